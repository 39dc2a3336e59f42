"""Chapter 20, Overdispersion and hierarchical GLMs."""

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
TREATMENT, FOURTH, YEAR_96 = "trt[T.progabide]", "V4", "YEAR[T.96]"
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


def _lambda(method: str = "exact") -> float:
    return float(_patients(method).dispersion_random.iloc[0])


def _variance() -> float:
    return EXPECTED + _lambda() * EXPECTED**2


@cache
def _se_of_1996(effects: str = "") -> float:
    """Standard error of the year 1996 in a Poisson model with these random effects."""
    return float(glmm(TICKS + effects, load("grouseticks"), family="poisson").se[YEAR_96])


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
            "gamma effects (method exact). Take a new patient and a period with 10 seizures "
            "expected, the effect averaged over. What is the variance of his count?"
        ),
        tolerance=0.1,
        answer=_variance,
        hint="Var y = E Var(y | u) + Var E(y | u), where E(y | u) is 10 u and Var u is lambda.",
        praise="The Poisson part is 10. All the rest is that patients differ.",
        solution=lambda right: (
            "lam = fit.dispersion_random.iloc[0]; 10 + lam * 10**2 gives "
            f"{right:.1f}, since lam is {_lambda():.3f}."
        ),
        misconceptions=(
            Misconception(
                "Poisson variance",
                EXPECTED,
                "That is the variance for a patient whose effect is known. He is a new one.",
            ),
            Misconception(
                "Poisson part left out",
                lambda: _lambda() * EXPECTED**2,
                "That is the variance of his mean. His count varies about his mean, too.",
            ),
            Misconception(
                "lambda times mean",
                lambda: EXPECTED * (1 + _lambda()),
                "The effect multiplies the mean. What does that do to lambda in the variance?",
            ),
            Misconception(
                "sd for variance",
                lambda: float(np.sqrt(_variance())),
                "That is the standard deviation.",
            ),
            Misconception(
                "shape for lambda",
                lambda: EXPECTED + EXPECTED**2 / _lambda(),
                "lambda is the variance of u, which is 1 over the shape of its gamma distribution.",
            ),
            Misconception(
                "h-likelihood",
                lambda: EXPECTED + _lambda("h-likelihood") * EXPECTED**2,
                "That is by h-likelihood. Ask for method='exact', the default.",
            ),
        ),
    ),
    Number(
        id="20.3",
        title="Repair a standard error",
        ask=(
            f'A report on `grouseticks` fits "{TICKS} + (1 | INDEX)" by ml.glmm, family '
            "'poisson': an effect for each chick takes up the overdispersion. But chicks of a "
            "brood share nest and hen. Add an effect for each brood (BROOD) to the report's "
            "model. What is the standard error of the year 1996?"
        ),
        tolerance=0.002,
        answer=lambda: _se_of_1996(" + (1 | INDEX) + (1 | BROOD)"),
        hint=f'Keep (1 | INDEX), add (1 | BROOD), and read fit.se["{YEAR_96}"].',
        praise="A brood has one year. So years are compared by broods, and there are 118 of them.",
        solution=lambda right: (
            f'ml.glmm("{TICKS} + (1 | INDEX) + (1 | BROOD)", ml.load("grouseticks"), '
            f'family="poisson").se["{YEAR_96}"] gives {right:.3f}. The report has '
            f"{_se_of_1996(' + (1 | INDEX)'):.3f}, a plain Poisson model {_se_of_1996():.3f}."
        ),
        misconceptions=(
            Misconception(
                "chick effects only",
                lambda: _se_of_1996(" + (1 | INDEX)"),
                "That is the report's own figure. Its 403 chicks are not independent.",
            ),
            Misconception(
                "no effects",
                _se_of_1996,
                "That is the plain Poisson model: it knows of neither chicks nor broods.",
            ),
            Misconception(
                "brood effects only",
                lambda: _se_of_1996(" + (1 | BROOD)"),
                "You have dropped the chicks' own effects. Chicks of one brood differ too.",
            ),
        ),
    ),
)
