"""Functions of gamma and beta densities, without cancellation or overflow at their ends."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, polygamma, psi

Array = NDArray[np.float64]


def log_constant(a: Array) -> Array:
    """Return ``a log a - a - log Gamma(a)``, without cancellation for large a (Stirling)."""
    small, large = np.minimum(a, 100.0), np.maximum(a, 100.0)
    direct = small * np.log(small) - small - gammaln(small)
    series = 0.5 * np.log(large / (2 * np.pi)) - 1 / (12 * large) + 1 / (360 * large**3)
    return np.where(np.asarray(a) < 100, direct, series)


def shape_of_mean_deviance(mean: Array) -> Array:
    """Shape nu of a gamma whose mean deviance 2 (log nu - digamma(nu)) is ``mean``.

    Newton's method in 1/nu from an approximation within 2 % (Minka 2002, "Estimating a gamma
    distribution"), which is exact where nu is large and its correction would cancel.
    """
    s = np.maximum(np.asarray(mean) / 2, 1e-300)
    first = (3 - s + np.sqrt((s - 3) ** 2 + 24 * s)) / (12 * s)
    nu = np.minimum(first, 1e6)
    for _ in range(5):
        excess = np.log(nu) - psi(nu) - s
        nu = 1 / (1 / nu + excess / (nu**2 * (1 / nu - polygamma(1, nu))))
    return np.where(first < 1e6, nu, first)


def log_cosh(x: Array) -> Array:
    """Log of the hyperbolic cosine, exact near 0 and without overflow."""
    near = np.clip(x, -1, 1)
    far = np.abs(x) + np.log1p(np.exp(-2 * np.abs(x))) - np.log(2)
    return np.where(np.abs(x) < 1, 0.5 * np.log1p(np.sinh(near) ** 2), far)
