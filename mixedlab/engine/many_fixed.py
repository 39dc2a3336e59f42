r"""Generalised linear models, without random effects, of many responses to one design.

Fisher scoring for all responses at once (McCullagh and Nelder, 1989, section 2.5): with the weights
``W = (d mu / d eta)^2 w / V(mu)`` and the scores ``s = (d mu / d eta) w (y - mu) / V(mu)``,

    beta += (X'WX)^-1 X's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.families import Family

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_SETTLED = 1e-13  # of the squared step in standard errors


@dataclass(frozen=True)
class ManyFixed:
    """The fits of m responses.

    Attributes
    ----------
    beta : ndarray (m, p)
    se : ndarray (m, p)
        Standard errors at dispersion 1: multiply by the root of the dispersion.
    pearson : ndarray (m,)
        Pearson's statistic; over n - p it estimates the dispersion.
    converged : ndarray of bool (m,)
    """

    beta: Array
    se: Array
    pearson: Array
    converged: Mask


def many_fixed(
    y: Array,
    X: Array,
    family: Family,
    *,
    weights: Array | float = 1.0,
    offset: Array | float = 0.0,
    max_steps: int = 25,
) -> ManyFixed:
    """Fit a generalised linear model to each column of y.

    Parameters
    ----------
    y : array (n, m)
    X : array (n, p)
    family : Family
    weights, offset : arrays (n, 1) or (n, m), or numbers
    """
    m, p = y.shape[1], X.shape[1]
    XX = np.einsum("na,nb->abn", X, X).reshape(-1, len(X))
    w, link = np.broadcast_to(np.asarray(weights, dtype=float), y.shape), family.link
    beta, se = np.zeros((m, p)), np.full((m, p), np.nan)
    pearson, converged = np.full(m, np.nan), np.zeros(m, dtype=bool)
    left = np.arange(m)
    with np.errstate(all="ignore"):
        # Weighted least squares on the linearised response, at means near the responses.
        mu = family.start_mu(y, w)
        eta = link.eta(mu)
        for step in range(max_steps + 1):
            y_left, w_left = y[:, left], w[:, left]
            slope, over = link.dmu(eta), link.dmu(eta) / family.variance(mu, 1.0) * w_left
            W, score = slope * over, over * (y_left - mu)
            if step == 0:
                score = score + W * (eta - offset)
            good = np.isfinite(W) & np.isfinite(score)
            W, score = np.where(good, W, 0.0), np.where(good, score, 0.0)
            information = np.einsum("kn,nm->mk", XX, W).reshape(-1, p, p)
            # Saturated rows may leave a column without weight.
            trace = np.einsum("mpp->m", information)[:, None, None]
            M = information + np.maximum(1e-12 * trace, 1e-300) * np.eye(p)
            move = np.linalg.solve(M, np.einsum("np,nm->mp", X, score)[:, :, None])[:, :, 0]
            done = np.einsum("ma,mab,mb->m", move, information, move) < _SETTLED
            done &= step > 0
            beta[left] += move
            if done.any():
                at = left[done]
                converged[at] = True
                se[at] = np.sqrt(np.einsum("mpp->mp", np.linalg.inv(M[done])))
                squares = w_left * (y_left - mu) ** 2 / family.variance(mu, 1.0)
                pearson[at] = squares[:, done].sum(0)
            left = left[~done]
            if not left.size:
                break
            eta = offset + np.einsum("np,mp->nm", X, beta[left])
            mu = link.mu(eta)
    return ManyFixed(beta, se, pearson, converged)
