r"""Residuals that are standard normal where the model is right, whatever its family.

A linear model's are over their own standard deviation. Others are *randomised quantile residuals*.

With F the distribution of row i, :math:`u_i` is uniform between :math:`F(y_i-)` and
:math:`F(y_i)`, and :math:`\Phi^{-1}(u_i)` is normal if the model is right, for counts and 0/1
outcomes too (Dunn and Smyth 1996, J. Comput. Graph. Stat. 5, 236-244). F is that of responses
drawn by the model, at a linear predictor drawn as the random effects vary given the responses: at
their predictions, which saw the same responses, residuals would be too small.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedlab.inference.contract import MixedModel, answers
from mixedlab.inference.explained import (
    likely_predictor,
    pearson_residuals,
    standardised_residuals,
)

Array = NDArray[np.float64]

_DRAWS = 500
_CELLS = 4_000_000


def normal_residuals(
    fit: MixedModel, seed: int = 1, *, at_most: int | None = None
) -> tuple[Array, str]:
    """Residuals (n,) that are standard normal where the model is right, and what they are.

    Where there are more rows than ``at_most``, those that take draws are of evenly spaced rows, NaN
    elsewhere.
    """
    if answers(fit, "leverage"):
        return standardised_residuals(fit), "Standardised residual"
    family = fit.response_family
    if family.name == "gaussian" and family.link.name == "identity":
        return pearson_residuals(fit), "Pearson residual"
    return quantile_residuals(fit, seed, at_most=at_most), "Quantile residual"


def quantile_residuals(fit: MixedModel, seed: int = 1, *, at_most: int | None = None) -> Array:
    """Randomised quantile residuals (n,), standard normal where the model is right.

    Parameters
    ----------
    fit : MixedModel
    seed : int
        Of the draws. Another one gives other residuals: what shows with one seed only is chance.
    at_most : int, optional
        Evenly spaced rows that get a residual; others are NaN.
    """
    from scipy.special import ndtri

    rng = np.random.default_rng(seed)
    family = fit.response_family
    eta, sd = likely_predictor(fit)
    weights = np.ones(fit.n_obs) if fit.weights is None else fit.weights
    u = np.full(fit.n_obs, np.nan)
    rows = np.unique(np.linspace(0, fit.n_obs - 1, at_most or fit.n_obs).astype(int))
    for part in np.array_split(rows, -(-rows.size * _DRAWS // _CELLS)):
        # One draw of the effects is what the residual is given; many responses are F.
        given = eta[part] + sd[part] * rng.standard_normal(part.size)
        mean = np.broadcast_to(family.link.mu(given), (_DRAWS, part.size))
        drawn = family.draw(rng, mean, weights[part], fit.dispersion)
        close = 1e-9 * (1 + np.abs(fit.y[part]))
        below = np.sum(drawn < fit.y[part] - close, axis=0)
        same = np.sum(np.abs(drawn - fit.y[part]) <= close, axis=0)
        u[part] = (below + (same + 1) * rng.random(part.size)) / (_DRAWS + 1)
    return ndtri(np.clip(u, 1e-6, 1 - 1e-6))
