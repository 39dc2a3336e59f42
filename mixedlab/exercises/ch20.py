"""Chapter 20, Overdispersion."""

from __future__ import annotations

from functools import cache

import numpy as np

from mixedlab.data.registry import load
from mixedlab.exercises.exercise import Choice, Misconception, Number
from mixedlab.models.generalized import glmm
from mixedlab.models.hglm.entry import hglm
from mixedlab.models.hglm.fit import HierarchicalFit

SEIZURES = "y ~ lbase * trt + lage + V4"
TICKS = "TICKS ~ YEAR + cHEIGHT"
TREATMENT, FOURTH, YEAR_97 = "trt[T.progabide]", "V4", "YEAR[T.97]"
GROWN = 1.5
EXPECTED = 10.0


@cache
def _patients(method: str = "exact") -> HierarchicalFit:
    return hglm(
        f"{SEIZURES} + (1 | subject)",
        load("epil"),
        family="poisson",
        random_family="gamma",
        method=method,
    )


@cache
def _growth() -> dict[str, float]:
    """How many times each standard error is that of the Poisson model without effects."""
    plain = glmm(SEIZURES, load("epil"), family="poisson")
    return dict(_patients().se / plain.se)


def _whose_se_grows() -> str:
    grown = [_growth()[name] > GROWN for name in (TREATMENT, FOURTH)]
    return {(True, True): "both", (True, False): "treatment", (False, True): "period"}.get(
        tuple(grown), "neither"
    )


def _variance_of_u(method: str = "exact") -> float:
    return float(_patients(method).dispersion_random.iloc[0])


def _variance() -> float:
    return EXPECTED + _variance_of_u() * EXPECTED**2


@cache
def _se_of_1997(effects: str = "") -> float:
    """Standard error of the year 1997 in a Poisson model with these random effects."""
    return float(glmm(TICKS + effects, load("grouseticks"), family="poisson").se[YEAR_97])


EXERCISES = (
    Choice(
        id="20.1",
        title="Whose standard error?",
        ask=(
            "The 59 patients of `epil` were counted in four periods each; a patient has one "
            "treatment throughout. Give the Poisson model a gamma effect for each patient. Whose "
            "standard error becomes more than 1.5 times what it was: that of the 'treatment' "
            f"({TREATMENT}), that of the fourth 'period' ({FOURTH}), of 'both', or of 'neither'?"
        ),
        options={
            "treatment": "only the treatment's",
            "period": "only the fourth period's",
            "both": "both",
            "neither": "neither",
        },
        answer=_whose_se_grows,
        hint="Which of the two compares patients, and which compares a patient with himself?",
        praise=(
            "What a patient is prone to stays when he is compared with himself, and cancels. In "
            "the lab: whole groups treated, then half of each group."
        ),
        solution=lambda right: (
            f"{right!r}. The treatment compares patients, who differ: its standard error becomes "
            f"{_growth()[TREATMENT]:.1f} times what it was. The fourth period compares each "
            f"patient with himself: {_growth()[FOURTH]:.2f} times."
        ),
        misconceptions=(
            Misconception(
                "every SE thought too small",
                "both",
                "Overdispersion by patients makes patients unlike one another. Does a comparison "
                "within a patient suffer?",
            ),
            Misconception(
                "within taken for between",
                "period",
                "Each patient has been through all four periods, but has had one treatment only.",
            ),
            Misconception(
                "extra variation thought harmless",
                "neither",
                "Are 236 counts of 59 patients 236 independent pieces of news about a treatment "
                "that each patient has throughout?",
            ),
        ),
    ),
    Number(
        id="20.2",
        title="The variance of a count",
        ask=(
            f'Fit "{SEIZURES} + (1 | subject)" to `epil` by ml.hglm with poisson responses and '
            "gamma effects. Take a new patient and a period with 10 seizures expected, the effect "
            "averaged over. What is the variance of his count?"
        ),
        tolerance=0.02,
        answer=_variance,
        hint="Var y = E Var(y | u) + Var E(y | u), where E(y | u) is 10 u. What is Var u?",
        praise="The Poisson part is 10. All the rest is that patients differ.",
        solution=lambda right: (
            "of_u = fit.dispersion_random.iloc[0]; 10 + of_u * 10**2 gives "
            f"{right:.2f}, since the variance of u is {_variance_of_u():.4f}."
        ),
        misconceptions=(
            Misconception(
                "Poisson variance",
                EXPECTED,
                "That is the variance for a patient whose effect is known. He is a new one.",
            ),
            Misconception(
                "Poisson part left out",
                lambda: _variance_of_u() * EXPECTED**2,
                "That is the variance of his mean. His count varies about his mean, too.",
            ),
            Misconception(
                "variance of u times mean",
                lambda: EXPECTED * (1 + _variance_of_u()),
                "The effect multiplies the mean. What does that do to its variance?",
            ),
            Misconception(
                "sd for variance",
                lambda: float(np.sqrt(_variance())),
                "That is the standard deviation.",
            ),
            Misconception(
                "shape for variance",
                lambda: EXPECTED + EXPECTED**2 / _variance_of_u(),
                "fit.dispersion_random is the variance of u already, not the shape of its gamma.",
            ),
            Misconception(
                "h-likelihood",
                lambda: EXPECTED + _variance_of_u("h-likelihood") * EXPECTED**2,
                "That is by h-likelihood. Ask for method='exact', the default.",
            ),
        ),
    ),
    Choice(
        id="20.3",
        title="Which effects?",
        ask=(
            "Half of 30 classrooms get an air filter. In each of four months every pupil reports "
            "how many days of cough there were. Pupils differ, and so do classrooms, more than "
            "Poisson allows. The filter's standard error must be right. Which random effects does "
            "the Poisson model need?"
        ),
        options={
            "rows": "an effect for each report: it takes up whatever variance Poisson lacks",
            "pupils": "an effect for each pupil, who reports four times",
            "classrooms": "effects for pupils and for classrooms",
            "none": "none, with each standard error multiplied by the root of Pearson's ratio",
        },
        answer=lambda: "classrooms",
        hint="To what was the filter given? Who is alike within one of those?",
        praise=(
            "The filter belongs to classrooms, so it is compared across 30 of them. Pupils' "
            "effects describe the rest."
        ),
        solution=lambda right: (
            f"{right!r}. The filter was given to classrooms, and pupils of one classroom are "
            "alike. Without effects for classrooms hundreds of pupils, or their reports, are taken "
            "for independent."
        ),
        misconceptions=(
            Misconception(
                "a fitted variance taken for a right SE",
                "rows",
                "The variance would fit. But are four reports of a pupil, or the pupils of a "
                "classroom, independent?",
            ),
            Misconception(
                "the unit of measurement for that of treatment",
                "pupils",
                "Pupils of one classroom breathe the same air. Are they independent?",
            ),
            Misconception(
                "one factor for every standard error",
                "none",
                "That is right if rows are independent. Who shares what here?",
            ),
        ),
    ),
    Number(
        id="20.4",
        title="Repair a standard error",
        ask=(
            f'A report on `grouseticks` fits "{TICKS} + (1 | INDEX)" by ml.glmm, family '
            "'poisson': an effect for each chick takes up the overdispersion. But chicks of a "
            "brood share nest and hen. Add an effect for each brood (BROOD) to the report's "
            "model. What is the standard error of the year 1997?"
        ),
        tolerance=0.0001,
        answer=lambda: _se_of_1997(" + (1 | INDEX) + (1 | BROOD)"),
        hint=f'Keep (1 | INDEX), add (1 | BROOD), and read fit.se["{YEAR_97}"].',
        praise="A brood has one year. So years are compared by broods, and there are 118 of them.",
        solution=lambda right: (
            f'ml.glmm("{TICKS} + (1 | INDEX) + (1 | BROOD)", ml.load("grouseticks"), '
            f'family="poisson").se["{YEAR_97}"] gives {right:.3f}. The report has '
            f"{_se_of_1997(' + (1 | INDEX)'):.3f}, a plain Poisson model {_se_of_1997():.3f}."
        ),
        misconceptions=(
            Misconception(
                "chick effects only",
                lambda: _se_of_1997(" + (1 | INDEX)"),
                "That is the report's own figure. Its 403 chicks are not independent.",
            ),
            Misconception(
                "no effects",
                _se_of_1997,
                "That is the plain Poisson model: it knows of neither chicks nor broods.",
            ),
            Misconception(
                "brood effects only",
                lambda: _se_of_1997(" + (1 | BROOD)"),
                "You have dropped the chicks' own effects. Chicks of one brood differ too.",
            ),
        ),
    ),
)
