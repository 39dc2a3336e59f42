"""What the lab of random slopes computes: two REML fits of one data set, and what they say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.closed_forms import RandomCoefficients, random_coefficients
from mixedlab.simulate.fibre_response import slope_covariance
from mixedlab.simulate.scenario import Simulated

Array = NDArray[np.float64]

MAX_FIBRE = 20.0
N_MEALS = 5
SD_ERROR = 0.3


@dataclass(frozen=True)
class Fits:
    """The same data fitted with x counted from 0 g and from the reader's zero.

    ``covariance`` is that of the glucose after two meals, over persons, shape (5, 5).
    """

    at_zero: RandomCoefficients
    at_origin: RandomCoefficients
    covariance: Array


def meals(data: Simulated) -> tuple[Array, Array, Array]:
    """Return grams and x of the meals, shape (5,), and glucose, shape (persons, 5)."""
    return data["fibre"][:N_MEALS], data["x"][:N_MEALS], data["glucose"].reshape(-1, N_MEALS)


def fit(data: Simulated) -> Fits:
    """Fit glucose ~ x + (x | person) by REML, twice: only the zero of x differs."""
    grams, x, glucose = meals(data)
    ones = np.ones(N_MEALS)
    return Fits(
        at_zero=random_coefficients(glucose, np.column_stack([ones, grams])),
        at_origin=random_coefficients(glucose, np.column_stack([ones, x])),
        covariance=np.cov(glucose, rowvar=False),
    )


def correlation(cov: Array) -> float:
    """Correlation of intercept and slope; NaN where one of them does not vary."""
    spread = np.sqrt(cov[0, 0] * cov[1, 1])
    return float(np.clip(cov[0, 1] / spread, -1, 1)) if spread > 1e-9 else np.nan


def narrowest(cov: Array) -> float:
    """The x at which lines differ least, -rho s0 / s1; NaN where all are parallel."""
    return float(-cov[0, 1] / cov[1, 1]) if cov[1, 1] > 1e-12 else np.nan


def sd_of_lines(cov: Array, x: Array) -> Array:
    """Standard deviation over persons of the height of their lines at x."""
    return np.sqrt(np.diag(slope_covariance(cov, x)).clip(0))
