"""Wald intervals for the variance parameters of a generalised mixed model.

The likelihood is maximised jointly over the entries of the relative factors, beta and the log
dispersion, and the inverse information covers them all. Standard deviations are taken to the log
scale and correlations to Fisher's z by the delta method, where their estimates are nearer normal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedlab.inference.variances import Parameter, parameters_of

if TYPE_CHECKING:
    from mixedlab.models.generalized import GeneralizedFit

Array = NDArray[np.float64]

_STEP = 1e-5
_AT_EDGE = 1e-6


def wald_of_variances(fit: GeneralizedFit, z: float) -> dict[str, tuple[float, float]]:
    """Ends of each sd, correlation and sigma; NaN at a variance of zero or a correlation of one.

    Parameters
    ----------
    fit : GeneralizedFit
    z : float
        Normal quantile, 1.96 for 95 %.
    """
    ends = {}
    for p in parameters_of(fit):
        if p.kind == "beta":
            continue
        center = _on_free_scale(fit, p, fit.parameters)
        slope = np.zeros(fit.parameters.size)
        for k in range(slope.size):
            h = _STEP * max(abs(fit.parameters[k]), 1e-3)
            moved = np.zeros(slope.size)
            moved[k] = h
            up, down = (_on_free_scale(fit, p, fit.parameters + sign * moved) for sign in (1, -1))
            slope[k] = (up - down) / (2 * h)
        used = slope != 0
        with np.errstate(invalid="ignore"):
            variance = slope[used] @ fit.vcov_parameters[np.ix_(used, used)] @ slope[used]
            half = z * np.sqrt(variance)
        if not (np.isfinite(center) and np.isfinite(half)) or _at_edge(fit, p):
            ends[p.name] = (np.nan, np.nan)
        else:
            back = np.tanh if p.kind == "cor" else np.exp
            ends[p.name] = (float(back(center - half)), float(back(center + half)))
    return ends


def _on_free_scale(fit: GeneralizedFit, p: Parameter, parameters: Array) -> float:
    """Log sd, Fisher's z of a correlation, or log sigma, at any parameters."""
    if p.kind == "sigma":
        return float(parameters[-1]) / 2
    L = fit.layout.unpack(parameters[: fit.theta.size])[p.term]
    with np.errstate(divide="ignore", invalid="ignore"):
        value = p.of_covariance(L @ L.T)
        return float(np.arctanh(value) if p.kind == "cor" else np.log(value))


def _at_edge(fit: GeneralizedFit, p: Parameter) -> bool:
    value = p.estimate(fit)
    if p.kind == "cor":
        return not abs(value) < 1 - _AT_EDGE
    return p.kind == "sd" and value < _AT_EDGE
