"""Three kinds of outcome from one linear predictor, and what they are on average.

Within a group the mean is ``g^-1(eta + b)``. Averaged over groups, ``b ~ N(0, s^2)``, it is

* continuous (identity link): ``eta``;
* count (log link): ``exp(eta + s^2 / 2)``, so that only the intercept moves;
* binary (logit link): no closed form; the integral is taken by Gauss-Hermite quadrature.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.simulate.draws import Draws

Outcome = Literal["continuous", "binary", "count"]


def draw_outcome(
    draws: Draws, role: str, kind: Outcome, eta: NDArray, sd: float, *index: ArrayLike
) -> NDArray:
    """Draw the outcome of each row. ``sd`` is the residual sd of a continuous outcome."""
    if kind == "continuous":
        return eta + sd * draws.normal(role, *index)
    if kind == "binary":
        return draws.bernoulli(role, expit(eta), *index)
    return draws.poisson(role, np.exp(eta), *index)


def marginal_mean(kind: Outcome, eta: ArrayLike, sd_group: float) -> NDArray[np.float64]:
    """Mean of the outcome over groups whose effects are N(0, sd_group**2)."""
    eta = np.asarray(eta, dtype=float)
    if kind == "continuous":
        return eta
    if kind == "count":
        return np.exp(eta + sd_group**2 / 2)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    return expit(eta[..., None] + sd_group * nodes) @ weights / np.sqrt(2 * np.pi)


def residual_variance(kind: Outcome, sd: float) -> float:
    """Variance within groups on the scale of the linear predictor.

    Binary: pi^2/3, the variance of the logistic distribution behind the logit (Snijders and
    Bosker 2012, ch. 17). Count: none is defined without the mean, so nan.
    """
    return {"continuous": sd**2, "binary": np.pi**2 / 3}.get(kind, np.nan)


def expit(x: ArrayLike) -> NDArray[np.float64]:
    """Return the inverse logit, without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * np.asarray(x, dtype=float)))
