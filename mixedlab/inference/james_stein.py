r"""Shrink k estimates of known variance towards their mean: James-Stein and the mixed model.

Let :math:`x_j \sim N(\theta_j, v)` for :math:`j = 1, \dots, k`, with ``v`` known. Both estimators
keep a share of each estimate's distance from the mean of all,

.. math:: \hat\theta_j = \bar x + c\,(x_j - \bar x), \qquad S = \sum_j (x_j - \bar x)^2.

The best share for :math:`\theta_j \sim N(\mu, \tau^2)` is :math:`c = \tau^2 / (\tau^2 + v)`
:math:`= 1 - v / (\tau^2 + v)`. The two differ in how they estimate :math:`1 / (\tau^2 + v)`:

* **James-Stein** (Efron and Morris 1975): :math:`(k - 3) / S`, which is unbiased. It needs no
  normal :math:`\theta_j` to beat the :math:`x_j` in total squared error, whatever they are, if
  :math:`k \ge 4`.
* **The mixed model** by REML: :math:`\tau^2 + v` is estimated by :math:`S / (k - 1)`, so that
  its inverse is :math:`(k - 1) / S`.

The same :math:`(k - 1) / S` minimises Stein's unbiased estimate of the total squared error as a
function of the share (Stein 1981), so the mixed model's share is the one that the data alone
predict to be best.

References
----------
Efron, B. and Morris, C. (1975). Data analysis using Stein's estimator and its generalizations.
*Journal of the American Statistical Association* 70, 311-319.
Stein, C. M. (1981). Estimation of the mean of a multivariate normal distribution. *Annals of
Statistics* 9, 1135-1151.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Shrinkage:
    """k estimates pulled towards their mean.

    Attributes
    ----------
    keep : float
        Share of the distance from the mean that is kept: 1 no pooling, 0 complete pooling.
    center : float
        The mean that the estimates are pulled to.
    estimate : ndarray, shape (k,)
        The pulled estimates, in the units of those given.
    """

    keep: float
    center: float
    estimate: NDArray[np.float64]

    @property
    def pooling(self) -> float:
        """Share of the distance given up, ``1 - keep``: 0 no pooling, 1 complete pooling."""
        return 1.0 - self.keep


def james_stein(x: ArrayLike, variance: float = 1.0) -> Shrinkage:
    """Shrink by the positive-part James-Stein rule towards the mean.

    Parameters
    ----------
    x : array_like, shape (k,)
        Estimates of equal, known variance; at least 4.
    variance : float
        Their sampling variance v.

    Raises
    ------
    ValueError
        For fewer than 4 estimates, values that are not finite, or a variance of 0 or less.
    """
    x = _estimates(x, variance, at_least=4)
    return _shrink(x, variance * (x.size - 3))


def known_variance_mixed_model(x: ArrayLike, variance: float = 1.0) -> Shrinkage:
    """Shrink by the mixed model ``x ~ 1 + (1 | unit)`` whose residual variance is known.

    ``estimate`` holds its predictions (BLUP) at the REML estimate of the units' variance, which
    is ``max(0, S / (k - 1) - variance)``.

    Parameters
    ----------
    x : array_like, shape (k,)
        Estimates of equal, known variance; at least 2.
    variance : float
        Their sampling variance v.

    Raises
    ------
    ValueError
        For fewer than 2 estimates, values that are not finite, or a variance of 0 or less.
    """
    x = _estimates(x, variance, at_least=2)
    return _shrink(x, variance * (x.size - 1))


def predicted_error(x: ArrayLike, keep: ArrayLike, variance: float = 1.0) -> NDArray[np.float64]:
    r"""Return Stein's unbiased estimate of the total squared error for each share kept.

    With pooling :math:`d = 1 - c` it is :math:`v k - 2 d v (k - 1) + d^2 S`: the errors are
    predicted without the truth. (Stein 1981, applied to a fixed share.)
    """
    x = _estimates(x, variance, at_least=2)
    pooling = 1.0 - np.asarray(keep, dtype=float)
    k = x.size
    return variance * k - 2 * pooling * variance * (k - 1) + pooling**2 * _spread(x)


def total_squared_error(estimate: ArrayLike, truth: ArrayLike) -> float:
    """Return the sum over units of (estimate - truth) squared."""
    return float(np.sum((np.asarray(estimate) - np.asarray(truth)) ** 2))


def arcsine_scale(rate: ArrayLike, trials: ArrayLike) -> NDArray[np.float64]:
    r"""Return :math:`\sqrt n \arcsin(2 y - 1)`, on which a rate's variance is about 1.

    Parameters
    ----------
    rate : array_like
        Proportions y of successes, 0 to 1.
    trials : array_like
        Number n of trials that sets the unit: 1 is the sampling sd of a rate from n trials.

    Raises
    ------
    ValueError
        For a rate outside 0 to 1 (counts given for rates, perhaps).
    """
    rate = np.asarray(rate, dtype=float)
    if not np.all((rate >= 0) & (rate <= 1)):
        raise ValueError("A rate lies between 0 and 1: divide the successes by the trials.")
    return np.sqrt(trials) * np.arcsin(2 * rate - 1)


def rate_scale(x: ArrayLike, trials: ArrayLike) -> NDArray[np.float64]:
    """Return the rates of values on the arcsine scale; those beyond its ends give 0 or 1."""
    angle = np.asarray(x, dtype=float) / np.sqrt(trials)
    return (1 + np.sin(np.clip(angle, -np.pi / 2, np.pi / 2))) / 2


def _estimates(x: ArrayLike, variance: float, at_least: int) -> NDArray[np.float64]:
    x = np.asarray(x, dtype=float).ravel()
    if x.size < at_least:
        raise ValueError(f"There are {x.size} estimates: this needs at least {at_least}.")
    if not np.all(np.isfinite(x)):
        raise ValueError(f"{np.sum(~np.isfinite(x))} of the {x.size} estimates are not finite.")
    if not variance > 0:
        raise ValueError(f"The sampling variance is {variance}: it must be above 0.")
    return x


def _spread(x: NDArray[np.float64]) -> float:
    return float(np.sum((x - x.mean()) ** 2))


def _shrink(x: NDArray[np.float64], noise: float) -> Shrinkage:
    """Keep what of the spread is more than ``noise``, the part that sampling explains."""
    spread, center = _spread(x), float(x.mean())
    # A negative share would turn the ranking round.
    keep = 1.0 - noise / spread if spread > noise else 0.0
    return Shrinkage(keep, center, center + keep * (x - center))
