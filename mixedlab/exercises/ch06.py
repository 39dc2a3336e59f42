"""Chapter 6, Random slopes."""

from __future__ import annotations

from functools import cache

import numpy as np

from mixedlab.data.registry import load
from mixedlab.exercises.exercise import Choice, Misconception, Number
from mixedlab.models.linear import LinearFit, lmm

SLOPES = "Reaction ~ Days + (Days | Subject)"
INTERCEPTS = "Reaction ~ Days + (1 | Subject)"


@cache
def _fit(formula: str = SLOPES, first_day: int = 0) -> LinearFit:
    """Fit the drivers' reaction times with days counted from ``first_day``."""
    sleep = load("sleepstudy")
    return lmm(formula, sleep.assign(Days=sleep["Days"] - first_day))


def _correlation(first_day: int) -> float:
    table = _fit(first_day=first_day).varcorr
    return float(table.loc[table["var2"].notna(), "sdcor"].iloc[0])


def _correlation_from_the_last_day() -> str:
    rho = _correlation(9)
    return "near 1" if rho > 0.5 else "near -1" if rho < -0.5 else "near 0"


def _parts() -> tuple[float, float, float, float]:
    """Variance of intercepts, of slopes, their covariance, residual variance."""
    fit = _fit()
    (cov,) = fit.covariances
    return cov[0, 0], cov[1, 1], cov[0, 1], fit.sigma**2


def _variance(day: float) -> float:
    t00, t11, t01, s2 = _parts()
    return t00 + 2 * day * t01 + day**2 * t11 + s2


def _covariance(day: float, other: float) -> float:
    t00, t11, t01, _ = _parts()
    return t00 + (day + other) * t01 + day * other * t11


def _covariance_of_the_data() -> float:
    wide = load("sleepstudy").pivot(index="Subject", columns="Days", values="Reaction")
    return float(np.cov(wide[2], wide[8])[0, 1])


EXERCISES = (
    Choice(
        id="6.1",
        title="Count from the last day",
        ask=(
            f"In the fit of `{SLOPES}` intercept and slope correlate "
            "0.07. Count the days from the last one instead, x = Days - 9, and fit again. Will the "
            "correlation be 'near -1', 'near 0' or 'near 1'?"
        ),
        options={
            "near -1": "below -0.5",
            "near 0": "from -0.5 to 0.5",
            "near 1": "above 0.5",
        },
        answer=_correlation_from_the_last_day,
        hint="Where is the fan narrowest, and on which side of that place is day 9?",
        praise=(
            "Day 9 is far to the right of the narrowest place: who slows down most is by then the "
            "slowest. The fit is the same to the last digit of its criterion."
        ),
        solution=lambda right: (
            f"{right!r}. The intercept is now the line's height on day 9, and its covariance with "
            "the slope is t01 + 9 t11. The correlation goes from "
            f"{_correlation(0):.2f} to {_correlation(9):.2f}; fitted values and criterion stay."
        ),
        misconceptions=(
            Misconception(
                "correlation taken for a fact of the subjects",
                "near 0",
                "The fit stays, the correlation does not: it belongs to the day that is called 0. "
                "Look at the fan on day 9. Who is high there?",
            ),
            Misconception(
                "direction of the move turned round",
                "near -1",
                "Left of the narrowest place high lines fall, right of it they rise. On which side "
                "is day 9?",
            ),
        ),
    ),
    Number(
        id="6.2",
        title="Variance on day 9",
        ask=(
            f'By the REML fit of "{SLOPES}", what is the variance of one reaction time on day 9, '
            "over drivers?"
        ),
        tolerance=5,
        unit="ms²",
        answer=lambda: _variance(9),
        hint="Var(y at x) = t00 + 2 x t01 + x² t11 + sigma², with x = 9. fit.varcorr holds all.",
        praise="On day 0 it is less than a third of that.",
        solution=lambda right: (
            "From fit.varcorr, column vcov: t00 + 2 * 9 * t01 + 81 * t11 + sigma² = "
            f"{_parts()[0]:.1f} + {18 * _parts()[2]:.1f} + {81 * _parts()[1]:.1f} + "
            f"{_parts()[3]:.1f} = {right:.0f}. On day 0 it is {_variance(0):.0f}."
        ),
        misconceptions=(
            Misconception(
                "residual left out",
                lambda: _variance(9) - _parts()[3],
                "That is the variance of the drivers' lines on day 9. A reaction time also has an "
                "error.",
            ),
            Misconception(
                "covariance left out",
                lambda: _variance(9) - 18 * _parts()[2],
                "You added the variances. Intercept and slope are correlated: what is missing?",
            ),
            Misconception(
                "covariance counted once",
                lambda: _variance(9) - 9 * _parts()[2],
                "The covariance enters a variance twice: 2 x t01.",
            ),
            Misconception(
                "slope variance not squared",
                lambda: _variance(9) - 72 * _parts()[1],
                "The slope is multiplied by 9, so its variance is multiplied by 81.",
            ),
            Misconception(
                "standard deviation for variance",
                lambda: _variance(9) ** 0.5,
                "That is the standard deviation, in ms. The variance is asked for.",
            ),
            Misconception(
                "variance on day 0",
                lambda: _variance(0),
                "That is the variance on day 0.",
            ),
        ),
    ),
    Number(
        id="6.3",
        title="Repair a covariance",
        ask=(
            f'A report fits "{INTERCEPTS}" and says that any two reaction times of a driver '
            "have the same covariance. By a model with random slopes, what is the covariance of "
            "day 2 and day 8?"
        ),
        tolerance=5,
        unit="ms²",
        answer=lambda: _covariance(2, 8),
        hint=f"Fit \"{SLOPES}\". Cov(y, y') = t00 + t01 (x + x') + t11 x x'.",
        praise="The report's figure would do for any two days. In truth days 0 and 1 share half.",
        solution=lambda right: (
            f'fit = ml.lmm("{SLOPES}", ml.load("sleepstudy")); t00 + 10 * t01 + 16 * t11 = '
            f"{_parts()[0]:.1f} + {10 * _parts()[2]:.1f} + {16 * _parts()[1]:.1f} = {right:.0f}. "
            f"For days 0 and 1 it is {_covariance(0, 1):.0f}, for days 8 and 9 "
            f"{_covariance(8, 9):.0f}."
        ),
        misconceptions=(
            Misconception(
                "one covariance for all days",
                lambda: float(_fit(INTERCEPTS).varcorr["vcov"].iloc[0]),
                "That is the report's own figure: with a random intercept alone every two days "
                "covary alike.",
            ),
            Misconception(
                "residual added to a covariance",
                lambda: _covariance(2, 8) + _parts()[3],
                "The errors of two days are independent. They add to a variance and not to a "
                "covariance.",
            ),
            Misconception(
                "covariance of intercept and slope left out",
                lambda: _covariance(2, 8) - 10 * _parts()[2],
                "Two terms are there. The third is t01 (x + x').",
            ),
            Misconception(
                "sample covariance of the data",
                _covariance_of_the_data,
                "That is the covariance of the 18 pairs as they are: two days alone. The model's "
                "covariance learns from all ten.",
            ),
            Misconception(
                "days added, not multiplied",
                lambda: _covariance(2, 8) - 6 * _parts()[1],
                "The slopes' variance is multiplied by x x', the product of the days.",
            ),
        ),
    ),
)
