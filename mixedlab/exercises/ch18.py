"""Chapter 18, Conditional and marginal."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from mixedlab.data.registry import load
from mixedlab.engine.families import family
from mixedlab.exercises.exercise import Choice, Misconception, Number
from mixedlab.inference.population_averaged import marginal_coefs, marginal_mean
from mixedlab.models.gee.model import gee
from mixedlab.models.generalized import glmm

MODEL = "y ~ treatment * time"
NODES = 20
LAST_VISIT = pd.DataFrame({"treatment": [0], "time": [12.0]})


@cache
def _conditional():
    return glmm(f"{MODEL} + (1 | patient)", load("toenail"), family="binomial", nagq=NODES)


@cache
def _marginal():
    return gee(MODEL, load("toenail"), groups="patient", family="binomial")


def _slope_over_patients(slope: float = 0.5, sd: float = 1.0) -> str:
    """Compare the slope of the log of the mean over patients with the one of each patient."""
    link = family("poisson").link
    low, high = np.log(marginal_mean(link, np.array([0.0, slope]), np.full(2, sd**2)))
    same = np.isclose(high - low, slope)
    return "the same" if same else "smaller" if high - low < slope else "larger"


def _share(kind: str) -> float:
    return float(_conditional().predict(LAST_VISIT, kind=kind)[0])


def _observed_share() -> float:
    nails = load("toenail")
    return float(nails["y"][(nails["visit"].astype(int) == 7) & (nails["treatment"] == 0)].mean())


def _by_rule() -> float:
    """Zeger, Liang and Albert's approximation."""
    fit = _conditional()
    return float(fit.fixef["time"] / np.sqrt(1 + 0.346 * fit.varcorr["vcov"].iloc[0]))


EXERCISES = (
    Choice(
        id="18.1",
        title="Attacks under a log link",
        ask=(
            "Counts of asthma attacks follow a Poisson mixed model with a log link. Patients "
            "differ by "
            "a normal intercept of sd 1. The coefficient of smoking is 0.5 within a patient. Will "
            "GEE's coefficient of smoking be 'smaller', 'the same' or 'larger'?"
        ),
        options={
            "smaller": "nearer to none than 0.5",
            "the same": "0.5 too, up to chance",
            "larger": "further from none than 0.5",
        },
        answer=_slope_over_patients,
        hint=(
            "Write the mean over patients of exp(a + b_j + 0.5 x). What may you take out of "
            "the mean?"
        ),
        praise=(
            "A factor that multiplies every patient's mean multiplies the mean of all. Only the "
            "intercept moves, by half the variance: 0.5."
        ),
        solution=lambda right: (
            f"{right!r}. E exp(a + b + 0.5 x) = exp(a + s2 / 2) exp(0.5 x): the variance goes "
            "into the "
            "intercept, and the coefficient of x stays. Set the lab's link to log."
        ),
        misconceptions=(
            Misconception(
                "attenuation taken for a law of all links",
                "smaller",
                "That is what happens under a logit. Here a patient's mean is a product: exp(b_j) "
                "times exp(0.5 x). What becomes of the second factor when you average?",
            ),
            Misconception(
                "marginal taken for larger",
                "larger",
                "The mean over patients is larger, that is true. Is it also steeper, on "
                "the log scale?",
            ),
        ),
    ),
    Number(
        id="18.2",
        title="The average, from the mixed model",
        ask=(
            f"Fit {MODEL} + (1 | patient) to the toenail data, binomial, with {NODES} nodes. "
            "Average "
            "over the patients. What is the marginal coefficient of time that follows?"
        ),
        tolerance=0.002,
        answer=lambda: float(marginal_coefs(_conditional()).coef["time"]),
        hint="ml.marginal_coefs(fit).coef has it. Is the family binomial, and nagq at least 20?",
        praise="GEE, which never heard of a random effect, says nearly the same.",
        solution=lambda right: (
            f'fit = ml.glmm("{MODEL} + (1 | patient)", nails, family="binomial", nagq={NODES}); '
            f'ml.marginal_coefs(fit).coef["time"] gives {right:.3f}. One patient\'s coefficient is '
            f"{_conditional().fixef['time']:.3f}, GEE's {_marginal().coef['time']:.3f}."
        ),
        misconceptions=(
            Misconception(
                "conditional for marginal",
                lambda: float(_conditional().fixef["time"]),
                "That is the coefficient within one patient. Average over the patients.",
            ),
            Misconception(
                "GEE for the averaged mixed model",
                lambda: float(_marginal().coef["time"]),
                "That is GEE's. It aims at the same number by another way; here take the "
                "mixed model's.",
            ),
            Misconception(
                "rule of thumb for the integral",
                _by_rule,
                "That is the rule of thumb, conditional / sqrt(1 + 0.346 s2). It is near; "
                "ml.marginal_coefs does the integral.",
            ),
        ),
    ),
    Number(
        id="18.3",
        title="Repair: a share for the ministry",
        ask=(
            "A report gives the share of infected patients under itraconazole (treatment 0) at "
            "month 12 as 0.002: the mixed model's prediction with b = 0. What share does the same "
            "model give for all such patients?"
        ),
        tolerance=0.003,
        answer=lambda: _share("marginal"),
        hint="fit.predict(new, kind=...) knows three kinds. Which of them integrates b out?",
        praise=(
            "The patient in the middle is cured. The mean is made by the patients who are not: it "
            "is forty times as large."
        ),
        solution=lambda right: (
            'new = pd.DataFrame({"treatment": [0], "time": [12.0]}); '
            f'fit.predict(new, kind="marginal") gives {right:.3f}; kind="population", which sets '
            f"b = 0, gives {_share('population'):.4f}."
        ),
        misconceptions=(
            Misconception(
                "patient in the middle for the average",
                lambda: _share("population"),
                "That is the report's figure: a patient with b = 0. Most infections at month 12 "
                "are "
                "those of patients with a large b.",
            ),
            Misconception(
                "log odds for a share",
                lambda: float(_conditional().predict(LAST_VISIT, kind="marginal", scale="link")[0]),
                'That is on the scale of log odds. Ask for scale="response".',
            ),
            Misconception(
                "observed share for the model's",
                _observed_share,
                "That is the share among the patients who came to the last visit. Take the mixed "
                "model's, for all patients at month 12.",
            ),
            Misconception(
                "GEE's prediction",
                lambda: float(_marginal().predict(LAST_VISIT)[0]),
                "That is GEE's prediction. Take the mixed model's, averaged over its patients.",
            ),
        ),
    ),
)
