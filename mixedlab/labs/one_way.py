r"""REML for groups with a random intercept, from their sizes, means and the squares within.

With ``g = sigma_b^2 / sigma^2`` and ``v_j = 1 + n_j g``, up to a constant,

.. math:: -2 \log L = (N - 1) \log\Big(W + \sum_j n_j (\bar y_j - \mu)^2 / v_j\Big)
          + \sum_j \log v_j + \log \sum_j n_j / v_j,

where W is the sum of squares within groups and mu the generalised least squares mean. Source:
Searle, Casella and McCulloch (1992), *Variance Components*, section 3.8.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def reml_icc(size: NDArray, mean: Array, within: float) -> float:
    """Estimate the ICC, g / (1 + g), by REML; 0 where the variance between is estimated as 0.

    Parameters
    ----------
    size, mean : ndarray (J,)
        Rows and mean of each group.
    within : float
        Sum of squares of all rows about their group's mean.
    """
    low, high = 0.0, 0.99
    for _ in range(3):  # a grid, made finer twice
        icc = np.linspace(low, high, 101)
        best = int(reml_criterion(icc, size, mean, within).argmin())
        low, high = icc[max(best - 1, 0)], icc[min(best + 1, 100)]
    # A rounding error above 0 is 0: the criterion is flat there to the last digit.
    return float(icc[best]) if icc[best] > 1e-5 else 0.0


def reml_criterion(icc: Array, size: NDArray, mean: Array, within: float) -> Array:
    """Return -2 log restricted likelihood at each ICC, up to a constant."""
    v = 1 + np.outer(icc / (1 - icc), size)
    mu = (size * mean / v).sum(axis=1) / (size / v).sum(axis=1)
    misfit = within + (size * (mean - mu[:, None]) ** 2 / v).sum(axis=1)
    return (
        (size.sum() - 1) * np.log(misfit) + np.log(v).sum(axis=1) + np.log((size / v).sum(axis=1))
    )
