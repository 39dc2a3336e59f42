"""What the lab of random slopes computes: two REML fits of one data set, and what they say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.closed_forms import RandomCoefficients, random_coefficients
from mixedlab.engine.many_linear import many_linear
from mixedlab.engine.terms import RandomTerm
from mixedlab.labs.kit.words import number
from mixedlab.simulate.fibre_response import slope_covariance
from mixedlab.simulate.scenario import Simulated

Array = NDArray[np.float64]

LINE = np.array([8.0, -0.08])  # true level at 0 g and slope of the population
GRAMS = np.linspace(0, 20, 5)  # fibre of the meals
MAX_FIBRE = float(GRAMS[-1])
SD_ERROR = 0.3
CIRCLE = np.linspace(0, 2 * np.pi, 61)
HOLDS_95 = 5.991**0.5  # radius of the ellipse that holds 95 % of a bivariate normal


@dataclass(frozen=True)
class Fits:
    """The same data fitted with x counted from 0 g and from the reader's zero.

    ``covariance`` is that of the glucose after two meals, over persons, shape (5, 5).
    """

    at_zero: RandomCoefficients
    at_origin: RandomCoefficients
    covariance: Array


def fit(data: Simulated) -> Fits:
    """Fit glucose ~ x + (x | person) by REML, twice: only the zero of x differs."""
    glucose, x = data["glucose"].reshape(-1, GRAMS.size), data["x"][: GRAMS.size]
    at_zero, at_origin = (
        random_coefficients(glucose, np.column_stack([np.ones(GRAMS.size), at]))
        for at in (GRAMS, x)
    )
    return Fits(at_zero, at_origin, np.cov(glucose, rowvar=False))


def covariance_of_many(glucose: Array) -> Array:
    """Estimate intercept's and slope's covariance at 0 g, (m, 2, 2), of glucose (m, J, 5)."""
    m, J = glucose.shape[:2]
    rows = np.tile(np.column_stack([np.ones(GRAMS.size), GRAMS]), (J, 1))
    person = np.repeat(np.arange(J), GRAMS.size)
    terms = [RandomTerm.from_arrays(person, rows)]
    found = many_linear(glucose.reshape(m, -1).T, rows, terms)
    factor = np.zeros((m, 2, 2))
    factor[:, [0, 1, 1], [0, 0, 1]] = found.theta * found.sigma[:, None]
    return factor @ factor.swapaxes(1, 2)


def covariance(sd_intercept: float, sd_slope: float, rho: float) -> Array:
    """Put together the covariance of intercept and slope."""
    both = rho * sd_intercept * sd_slope
    return np.array([[sd_intercept**2, both], [both, sd_slope**2]])


def counted_from(origin: float, cov: Array) -> Array:
    """Return the covariance of intercept and slope once x is counted from another zero."""
    move = np.array([[1.0, origin], [0.0, 1.0]])
    return move @ cov @ move.T


def correlation(cov: Array) -> float | Array:
    """Correlation of intercept and slope, of one covariance or many; NaN where one has no sd."""
    spread = np.sqrt(cov[..., 0, 0] * cov[..., 1, 1])
    varies = spread > 1e-9
    rho = cov[..., 0, 1] / np.where(varies, spread, 1.0)
    return np.where(varies, rho.clip(-1, 1), np.nan)[()]


def narrowest(cov: Array) -> float:
    """The x at which lines differ least, -rho s0 / s1; NaN where all are parallel."""
    return float(-cov[0, 1] / cov[1, 1]) if cov[1, 1] > 1e-12 else np.nan


def sd_of_lines(cov: Array, x: ArrayLike) -> Array:
    """Standard deviation over persons of the height of their lines at x."""
    return np.sqrt(np.diag(slope_covariance(cov, x)).clip(0))


def are_parallel(cov: Array) -> bool:
    """Whether the lines are about as far apart everywhere between 0 and 20 g."""
    sd = sd_of_lines(cov, GRAMS)
    return bool(np.ptp(sd) <= 0.1 * sd.max())


def most_alike(cov: Array) -> float | None:
    """Return where between 0 and 20 g the lines are closest; None where they are parallel."""
    return None if are_parallel(cov) else float(np.clip(narrowest(cov), 0, MAX_FIBRE))


def verdict(cov: Array) -> str:
    """Say in a headline where the lines are closest."""
    at = most_alike(cov)
    if at is None:
        return "equally alike everywhere: parallel lines"
    if at == 0:
        return "most alike without fibre: they only part"
    if at == MAX_FIBRE:
        return "most alike at 20 g: they meet"
    return f"most alike at {at:.1f} g, then parting"


def closest(cov: Array) -> str:
    """Say where the fitted lines are closest, and how far apart there and at the ends."""
    at, (start, end) = narrowest(cov), sd_of_lines(cov, [0, MAX_FIBRE])
    ends = f"sd {start:.2f} mmol/l at 0 g and {end:.2f} at 20 g"
    if are_parallel(cov):
        return f"The fitted lines are as good as parallel: {ends}."
    if not 0 <= at <= MAX_FIBRE:
        return f"No waist between 0 and 20 g: they would be closest at {number(at, 1)} g; {ends}."
    return f"The lines are closest at {at:.1f} g: sd {sd_of_lines(cov, [at])[0]:.2f} there, {ends}."


def rho_of(cov: Array) -> str:
    """Write the correlation of level and slope, or that there is none."""
    rho = correlation(cov)
    return number(rho) if np.isfinite(rho) else "none (no spread)"


def both_zeros(origin: float, at_zero: str, at_origin: str) -> str:
    """Put what holds with x = 0 at 0 g beside what holds at the reader's zero."""
    if origin == 0:
        return f"{at_zero} with x = 0 at 0 g"
    return f"{at_zero} with x = 0 at 0 g, {at_origin} with x = 0 at {origin:g} g"


def ellipse(centre: Array, cov: Array) -> Array:
    """Outline of the ellipse that holds 95 % of a bivariate normal, shape (61, 2)."""
    d, U = np.linalg.eigh(cov)
    circle = np.column_stack([np.cos(CIRCLE), np.sin(CIRCLE)])
    return centre + HOLDS_95 * (circle * np.sqrt(d.clip(0))) @ U.T
