"""Chapter 6, Random slopes."""

from __future__ import annotations

from functools import cache

import numpy as np

from mixedlab.data.registry import load
from mixedlab.exercises.exercise import Choice, Misconception, Number
from mixedlab.models.linear import LinearFit, lmm

SLOPES = "distance ~ year + (year | Subject)"
INTERCEPTS = "distance ~ year + (1 | Subject)"
OLDEST = 6  # years after the age of 8


@cache
def _fit(formula: str = SLOPES, first_age: int = 8) -> LinearFit:
    """Fit the children's distances with years counted from ``first_age``."""
    jaws = load("orthodont")
    return lmm(formula, jaws.assign(year=jaws["age"] - first_age))


def _correlation_of_words(age: float) -> float:
    """Correlation of level and rate, read at an age; children are most alike at 3 years.

    There they differ by 50 words (sd), and from there on by 150 words a year.
    """
    apart = 150 * (age - 3)
    return apart / np.hypot(50, apart)


def _vocabulary_at_ten() -> str:
    rho = _correlation_of_words(10)
    return "near 1" if rho > 0.5 else "near -1" if rho < -0.5 else "near 0"


def _parts() -> tuple[float, float, float, float]:
    """Variance of intercepts, of slopes, their covariance, residual variance."""
    fit = _fit()
    (cov,) = fit.covariances
    return cov[0, 0], cov[1, 1], cov[0, 1], fit.sigma**2


def _variance(year: float = OLDEST) -> float:
    t00, t11, t01, s2 = _parts()
    return t00 + 2 * year * t01 + year**2 * t11 + s2


def _covariance(year: float, other: float) -> float:
    t00, t11, t01, _ = _parts()
    return t00 + (year + other) * t01 + year * other * t11


def _covariance_of_the_data() -> float:
    wide = load("orthodont").pivot(index="Subject", columns="age", values="distance")
    return float(np.cov(wide[10], wide[14])[0, 1])


EXERCISES = (
    Choice(
        id="6.1",
        title="Words of children",
        ask=(
            "At the age of three, children know about equally many words. From then on some learn "
            "faster than others, each at a rate of his own. A study follows them from three to "
            "twelve, and counts age from 10 years, x = age - 10. Will the correlation of intercept "
            "and slope be 'near -1', 'near 0' or 'near 1'?"
        ),
        options={
            "near -1": "below -0.5",
            "near 0": "from -0.5 to 0.5",
            "near 1": "above 0.5",
        },
        answer=_vocabulary_at_ten,
        hint="Draw the fan. Where is it narrowest, and on which side of that place is x = 0?",
        praise="Who learns fast is far ahead at ten. Counted from three, it would be near 0.",
        solution=lambda right: (
            f"{right!r}. With x = 0 at ten years, the intercept is the number of words known at "
            "ten. It is what was learned in the seven years before, and so goes with the rate. If "
            "children differ by 50 words at three and by 150 words a year from then on, the "
            f"correlation is {_correlation_of_words(10):.2f}."
        ),
        misconceptions=(
            Misconception(
                "correlation taken for a fact of the subjects",
                "near 0",
                "At three, levels and rates may have nothing to do with each other. But the level "
                "is read at ten. Who knows most words there?",
            ),
            Misconception(
                "direction of the move turned round",
                "near -1",
                "Left of the narrowest place high lines fall, right of it they rise. On which side "
                "of three years is ten?",
            ),
        ),
    ),
    Number(
        id="6.2",
        title="Variance at the age of 14",
        ask=(
            "A distance in the jaw of 27 children was measured at 8, 10, 12 and 14 years. By the "
            f'REML fit of "{SLOPES}", with year = age - 8, what is the variance of one '
            "measurement at 14, over children?"
        ),
        tolerance=0.005,
        unit="mm²",
        answer=_variance,
        hint="Var(y at x) = t00 + 2 x t01 + x² t11 + sigma², with x = 6. fit.varcorr holds all.",
        praise="It was less at 8: the children drift apart.",
        solution=lambda right: (
            "From fit.varcorr, column vcov: t00 + 2 * 6 * t01 + 36 * t11 + sigma² = "
            f"{_parts()[0]:.3f} + {12 * _parts()[2]:.3f} + {36 * _parts()[1]:.3f} + "
            f"{_parts()[3]:.3f} = {right:.3f}. At 8 years it is {_variance(0):.3f}."
        ),
        misconceptions=(
            Misconception(
                "residual left out",
                lambda: _variance() - _parts()[3],
                "That is the variance of the children's lines at 14. A measurement also has an "
                "error.",
            ),
            Misconception(
                "covariance left out",
                lambda: _variance() - 12 * _parts()[2],
                "You added the variances. Intercept and slope are correlated: what is missing?",
            ),
            Misconception(
                "covariance counted once",
                lambda: _variance() - 6 * _parts()[2],
                "The covariance enters a variance twice: 2 x t01.",
            ),
            Misconception(
                "slope variance not squared",
                lambda: _variance() - 30 * _parts()[1],
                "The slope is multiplied by 6, so its variance is multiplied by 36.",
            ),
            Misconception(
                "age for years since the origin",
                lambda: _variance(14),
                "The model counts years from the age of 8. What is x at 14?",
            ),
            Misconception(
                "standard deviation for variance",
                lambda: _variance() ** 0.5,
                "That is the standard deviation, in mm. The variance is asked for.",
            ),
            Misconception(
                "variance at the origin",
                lambda: _variance(0),
                "That is the variance at 8 years, where x is 0.",
            ),
        ),
    ),
    Choice(
        id="6.3",
        title="What may vary by child",
        ask=(
            "Two reading programmes, each for half of 200 children. Each child is tested five "
            "times in a year, and children learn at rates of their own. Do the programmes' mean "
            "rates differ? The fixed part is score ~ time * programme. Which random part is "
            "needed: 'level', 'level and rate' or 'programme'?"
        ),
        options={
            "level": "(1 | child)",
            "level and rate": "(time | child)",
            "programme": "(programme | child)",
        },
        answer=lambda: "level and rate",
        hint="What is compared are rates. Between whom do they differ, beside the programmes?",
        praise="The programmes' rates are compared by the spread of the children's rates.",
        solution=lambda right: (
            f"{right!r}. A mean rate is an average over children, so its error comes from how much "
            "their rates differ. (1 | child) claims that they do not, and makes the standard error "
            "of time:programme too small."
        ),
        misconceptions=(
            Misconception(
                "random intercept thought to be enough",
                "level",
                "This lets children start at different levels and then all learn equally fast. "
                "What becomes of the standard error of a mean rate?",
            ),
            Misconception(
                "random slope of what does not vary within the group",
                "programme",
                "Each child is in one programme. How would the data tell what the other one does "
                "for the same child?",
            ),
        ),
    ),
    Number(
        id="6.4",
        title="Repair a covariance",
        ask=(
            f'A report fits "{INTERCEPTS}" to the same children and says that any two of a '
            "child's measurements have the same covariance. By the model with random slopes, what "
            "is the covariance of the ages 10 and 14?"
        ),
        tolerance=0.005,
        unit="mm²",
        answer=lambda: _covariance(2, 6),
        hint=f"Fit \"{SLOPES}\". Cov(y, y') = t00 + t01 (x + x') + t11 x x'.",
        praise="The report's figure would do for any two ages.",
        solution=lambda right: (
            f'fit = ml.lmm("{SLOPES}", jaws); t00 + 8 * t01 + 12 * t11 = '
            f"{_parts()[0]:.3f} + {8 * _parts()[2]:.3f} + {12 * _parts()[1]:.3f} = {right:.3f}. "
            f"For the ages 8 and 10 it is {_covariance(0, 2):.3f}, for 12 and 14 "
            f"{_covariance(4, 6):.3f}."
        ),
        misconceptions=(
            Misconception(
                "one covariance for all ages",
                lambda: float(_fit(INTERCEPTS).varcorr["vcov"].iloc[0]),
                "That is the report's own figure: with a random intercept alone every two "
                "measurements covary alike.",
            ),
            Misconception(
                "residual added to a covariance",
                lambda: _covariance(2, 6) + _parts()[3],
                "The errors of two measurements are independent. They add to a variance and not "
                "to a covariance.",
            ),
            Misconception(
                "covariance of intercept and slope left out",
                lambda: _covariance(2, 6) - 8 * _parts()[2],
                "Two terms are there. The third is t01 (x + x').",
            ),
            Misconception(
                "sample covariance of the data",
                _covariance_of_the_data,
                "That is the covariance of the 27 pairs as they are: two ages alone. The model's "
                "covariance learns from all four.",
            ),
            Misconception(
                "years added, not multiplied",
                lambda: _covariance(2, 6) - 4 * _parts()[1],
                "The slopes' variance is multiplied by x x', the product of the years.",
            ),
        ),
    ),
)
