"""Standard deviations and correlations of a fit as named parameters, and their covariance.

An engine estimates relative factors Lambda, a log dispersion and beta; a reader asks about standard
deviations and correlations. With ``h(a)`` the parameters on their free scales as a function of what
the engine estimates, the delta method gives their covariance, ``J C J'`` with ``J = dh / da``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.terms import RandomTerm, lower_triangle
from mixedlab.inference.contract import Parameter

Array = NDArray[np.float64]
State = tuple[Sequence[Array], float, Array]
"""Covariance of each term's effects, log dispersion, beta."""

_STEP = 1e-5
_NEAR_ONE = 1e-6  # a correlation nearer to 1 or -1 than this is at its boundary


def random_parameters(
    terms: Sequence[RandomTerm],
    order: Sequence[int],
    covariances: Sequence[Array],
    smallest: Callable[[int, int], float],
    held: frozenset[str],
) -> list[Parameter]:
    """Parameters of the random terms, in ``order``.

    Parameters
    ----------
    smallest : callable
        Of (term, coefficient): the standard deviation below which it is zero.
    held : set of str
        Kinds that have a profile.
    """
    found = []
    for t in order:
        term, cov = terms[t], covariances[t]
        for i, j in zip(*map(np.ndarray.tolist, lower_triangle(term.n_coefs)), strict=True):
            if i == j:
                kind, scale, name = "sd", "log", f"sd {term.names[i]} | {term.group}"
                value = sd_or_correlation(cov, i, i)
                edge = value < smallest(t, i)
            else:
                kind, scale = "cor", "fisher-z"
                name = f"cor {term.names[j]}, {term.names[i]} | {term.group}"
                value = sd_or_correlation(cov, j, i)
                edge = not abs(value) < 1.0 - _NEAR_ONE
            found.append(Parameter(kind, name, value, scale, t, j, i, edge, kind in held))
    return found


def sd_or_correlation(cov: Array, first: int, second: int) -> float:
    """Standard deviation of a coefficient, or correlation of two; NaN where a variance is zero."""
    sd = np.sqrt(np.maximum(np.diag(cov), 0.0))
    if first == second:
        return float(sd[first])
    scale = sd[first] * sd[second]
    return float(np.clip(cov[first, second] / scale, -1, 1)) if scale > 0 else np.nan


def joint_covariance(
    parameters: Sequence[Parameter], state: Callable[[Array], State], at: Array, covariance: Array
) -> Array:
    """Covariance (k, k) of parameters on their free scales, by central differences.

    Parameters
    ----------
    state : callable
        What the estimates (d,) mean.
    at, covariance : ndarray, shapes (d,) and (d, d)
        The estimates, and their covariance; NaN for one about which nothing is known.
    """
    jacobian = np.empty((len(parameters), at.size))
    with np.errstate(divide="ignore", invalid="ignore"):
        for k in range(at.size):
            step = np.zeros(at.size)
            step[k] = _STEP * max(abs(at[k]), 1e-3)
            ends = (_on_free_scales(parameters, state(at + sign * step)) for sign in (1, -1))
            up, down = ends
            jacobian[:, k] = (up - down) / (2 * step[k])
    unknown = np.isnan(np.diag(covariance))
    known = np.where(unknown[:, None] | unknown, 0.0, covariance)
    out = jacobian @ known @ jacobian.T
    lost = (jacobian[:, unknown] != 0).any(axis=1)
    out[lost, :] = out[:, lost] = np.nan
    return out


def _on_free_scales(parameters: Sequence[Parameter], state: State) -> Array:
    covariances, log_dispersion, beta = state
    out = np.full(len(parameters), np.nan)
    for k, p in enumerate(parameters):
        if p.kind == "beta":
            out[k] = beta[p.first]
        elif p.kind == "sigma":
            out[k] = log_dispersion / 2.0
        elif p.kind == "dispersion":
            out[k] = log_dispersion
        elif p.kind == "sd":
            out[k] = np.log(sd_or_correlation(covariances[p.term], p.first, p.first))
        elif p.kind == "cor":
            out[k] = np.arctanh(sd_or_correlation(covariances[p.term], p.first, p.second))
    return out
