"""Chapter 18, Conditional and marginal."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from mixedlab.data.registry import load
from mixedlab.engine.families import family
from mixedlab.exercises.exercise import Choice, Misconception, Number
from mixedlab.inference.population_averaged import marginal_mean
from mixedlab.models.gee.model import gee
from mixedlab.models.generalized import glmm

WHEEZE = "resp ~ age + smoke + (1 | id)"
SEIZURES = "y ~ trt + (1 | subject)"
NEW_PATIENTS = 100
PLACEBO = pd.DataFrame({"trt": ["placebo"]})


def _with_severity(sd: float = 2.0) -> str:
    """Compare a treatment's log odds ratio given severity with the one averaged over it."""
    link = family("binomial").link
    arms = marginal_mean(link, np.array([0.0, -1.0]), np.full(2, sd**2))
    without, given = np.diff(np.log(arms / (1 - arms)))[0], -1.0
    if np.isclose(without, given):
        return "the same"
    return "further" if abs(given) > abs(without) else "nearer"


@cache
def _children():
    return glmm(WHEEZE, load("ohio"), family="binomial", link="probit", nagq=30)


def _divided(factor: float) -> float:
    """The intercept divided as the rule for one link says, sqrt(1 + factor * variance)."""
    fit = _children()
    return float(fit.fixef.iloc[0] / np.sqrt(1 + factor * fit.varcorr["vcov"].iloc[0]))


@cache
def _children_together() -> float:
    fit = gee("resp ~ age + smoke", load("ohio"), groups="id", family="binomial", link="probit")
    return float(fit.coef.iloc[0])


@cache
def _patients():
    return glmm(SEIZURES, load("epil"), family="poisson", nagq=20)


def _seizures(kind: str) -> float:
    """Expected seizures of 100 new patients under placebo in a period."""
    return NEW_PATIENTS * float(_patients().predict(PLACEBO, kind=kind).iloc[0])


def _with_whole_variance() -> float:
    fit = _patients()
    return NEW_PATIENTS * float(np.exp(fit.fixef.iloc[0] + fit.varcorr["vcov"].iloc[0]))


def _observed_seizures() -> float:
    table = load("epil")
    return NEW_PATIENTS * float(table["y"][table["trt"] == "placebo"].mean())


EXERCISES = (
    Choice(
        id="18.1",
        title="Severity joins the model",
        ask=(
            "In a large randomised trial a logistic regression on the treatment alone is fitted. "
            "Then severity at the start is added. It is a strong predictor of the outcome, and "
            "randomisation has made it alike in both arms. The model with both is right. Will the "
            "coefficient of treatment be 'nearer' to 0, 'the same', or 'further' from 0?"
        ),
        options={
            "nearer": "severity explains part of what the treatment seemed to do",
            "the same": "severity is alike in both arms, so it cannot confound",
            "further": "the first coefficient was one of an average over severities",
        },
        answer=_with_severity,
        hint="Think of each severity as a patient of the lab. What did the first model average?",
        praise=(
            "Nothing was confounded, and still the two numbers differ: that is non-collapsibility."
        ),
        solution=lambda right: (
            f"{right!r}. Without severity the model is about the average over severities, and "
            "averaging flattens under a logit. Given severity the coefficient is a conditional one."
        ),
        misconceptions=(
            Misconception(
                "every covariate thought to explain away",
                "nearer",
                "That is so if severity differs between the arms. Here it is alike in both.",
            ),
            Misconception(
                "no confounding taken for no change",
                "the same",
                "Under the identity link that is right. What does averaging over severities do "
                "under a logit?",
            ),
        ),
    ),
    Number(
        id="18.2",
        title="From one child to all children",
        ask=(
            f'Fit "{WHEEZE}" to the table `ohio`, binomial, with link="probit" and nagq=30. `age` '
            "is counted from 9 years. Average over the children by the rule for the probit link: "
            "what is the marginal intercept?"
        ),
        tolerance=0.0002,
        answer=lambda: _divided(1.0),
        hint="The rule divides every coefficient by sqrt(1 + variance of the random intercepts).",
        praise=(
            "For the probit the rule is exact: ml.marginal_coefs, which integrates, says the same."
        ),
        solution=lambda right: (
            "s2 = fit.varcorr['vcov'].iloc[0]; fit.fixef.iloc[0] / np.sqrt(1 + s2) gives "
            f"{right:.4f}. One child's intercept is {_children().fixef.iloc[0]:.4f}, GEE's "
            f"{_children_together():.4f}."
        ),
        misconceptions=(
            Misconception(
                "conditional for marginal",
                lambda: float(_children().fixef.iloc[0]),
                "That is the child in the middle. Average over the children.",
            ),
            Misconception(
                "rule of the logit for the probit",
                lambda: _divided(0.346),
                "0.346 belongs to the logit. Look for the probit in the table of links.",
            ),
            Misconception(
                "standard deviation for variance",
                lambda: float(
                    _children().fixef.iloc[0] / np.sqrt(1 + _children().varcorr["sdcor"].iloc[0])
                ),
                "Under the root stands the variance, and that is the standard deviation squared.",
            ),
            Misconception(
                "GEE for the averaged mixed model",
                _children_together,
                "That is GEE's. It aims at the same number in another way; take the mixed model's.",
            ),
        ),
    ),
    Choice(
        id="18.3",
        title="Two odds ratios, one sentence",
        ask=(
            "In a trial of a drug for the airways (`respiratory`) the mixed model gives an odds "
            "ratio of 7.6 for a good visit, GEE gives 3.5. Which sentence may be written?"
        ),
        options={
            "bias": "GEE underestimates; the drug's true odds ratio is about 7.6",
            "share": "Under the drug good visits are about 3.5 times as frequent as under placebo",
            "whose": (
                "A patient's odds of a good visit are about 7.6 times as high with the drug; the "
                "odds in the arm with the drug are about 3.5 times those in the other"
            ),
            "middle": "For a patient in the middle (b = 0) the drug multiplies the odds by 3.5",
        },
        answer=lambda: "whose",
        hint="Whose odds is each number about? And are odds a frequency?",
        praise="Each number stands with whose odds it is about.",
        solution=lambda right: (
            f"{right!r}. 7.6 is conditional: one patient with and without the drug, whatever his "
            "b. 3.5 is marginal: one arm against the other. Neither is a ratio of frequencies."
        ),
        misconceptions=(
            Misconception(
                "marginal taken for biased",
                "bias",
                "Average the mixed model over its patients: it gives about 3.5, too. Which "
                "question does each answer?",
            ),
            Misconception(
                "odds taken for a frequency",
                "share",
                "3.5 is a ratio of odds. If 60 of 100 visits are good, can 3.5 times as many be?",
            ),
            Misconception(
                "marginal for the patient in the middle",
                "middle",
                "A patient with b = 0 is one patient. Which odds ratio is about one patient?",
            ),
        ),
    ),
    Number(
        id="18.4",
        title="Repair: seizures to plan for",
        ask=(
            f"A hospital expects {NEW_PATIENTS} new patients like those of `epil`, without the "
            f'drug. It fits "{SEIZURES}" (family "poisson", nagq=20) and plans for '
            f"{NEW_PATIENTS} times exp(intercept) seizures in a period of two weeks. Repair the "
            "plan: how many seizures does the same model expect of all the patients together?"
        ),
        tolerance=1.0,
        unit="seizures",
        answer=lambda: _seizures("marginal"),
        hint="Which of the three kinds of fit.predict averages over patients? What does a log do?",
        praise="Most of the seizures are those of the few patients with a large b.",
        solution=lambda right: (
            'new = pd.DataFrame({"trt": ["placebo"]}); 100 * fit.predict(new, kind="marginal") '
            f"gives {right:.0f}, which is exp(intercept + variance / 2) for each. With b = 0 it is "
            f"{_seizures('population'):.0f}."
        ),
        misconceptions=(
            Misconception(
                "patient in the middle for the average",
                lambda: _seizures("population"),
                "That is the plan as it was: each patient taken for one with b = 0.",
            ),
            Misconception(
                "one patient for all",
                lambda: _seizures("marginal") / NEW_PATIENTS,
                f"That is for one patient. The plan is for {NEW_PATIENTS}.",
            ),
            Misconception(
                "whole variance in the exponent",
                _with_whole_variance,
                "Look at the log's integral again: what of the variance goes into the exponent?",
            ),
            Misconception(
                "observed mean for the model's",
                _observed_seizures,
                "That is what was observed under placebo. Take what the model expects.",
            ),
        ),
    ),
)
