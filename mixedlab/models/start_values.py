r"""Start values of variances and dispersions, from the model without random effects.

With working residuals r, their weights W, and over the rows of level j of a grouping factor
``S_j = sum_i z_i W_i r_i`` and ``I_j = sum_i z_i^2 W_i``, a variance s^2 of z's coefficient has

    E S_j^2 = I_j + s^2 I_j^2,      s^2 = sum_j (S_j^2 - I_j) / sum_j I_j^2,

whose standard error at s = 0 is ``(2 / sum_j I_j^2)^(1/2)``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.terms import RandomTerm

Array = NDArray[np.float64]


def first_deviations(
    family: Family,
    y: Array,
    eta: Array,
    mu: Array,
    weights: Array | float,
    dispersion: float,
    terms: Sequence[RandomTerm],
) -> tuple[list[Array], float]:
    """Standard deviations of each term's coefficients, and their share of the residual variance.

    A variance is not less than its standard error. ``eta`` and ``mu`` are those without effects.
    """
    with np.errstate(all="ignore"):
        W = family.fisher_weights(eta, weights, dispersion)
        Wr = W * (y - mu) / family.link.dmu(eta)
    good = np.isfinite(W) & np.isfinite(Wr)
    W, Wr = np.where(good, W, 0.0), np.where(good, Wr, 0.0)
    sd, share = [], 0.0
    for term in terms:
        variances = []
        for z in term.Z.T:
            S = np.bincount(term.index, z * Wr, term.n_levels)
            information = np.bincount(term.index, z**2 * W, term.n_levels)
            known = max(float(information @ information), 1e-300)
            moment = float(S @ S - information.sum()) / known
            variances.append(max(moment, np.sqrt(2 / known)))
            share += max(moment, 0.0) * float(np.mean(z**2 * W))
        sd.append(np.sqrt(variances))
    return sd, share


def spread_of_means(
    family: Family, y: Array, weights: Array | float, terms: Sequence[RandomTerm]
) -> list[Array]:
    """Standard deviations as the link of the levels' mean responses has them: mostly too large."""
    w = np.broadcast_to(np.asarray(weights, dtype=float), y.shape)
    found = []
    for term in terms:
        total = np.maximum(np.bincount(term.index, w, term.n_levels), 1e-300)
        mean = np.bincount(term.index, w * y, term.n_levels) / total
        eta = family.link.eta(family.start_mu(mean, total))
        size = np.maximum(np.sqrt(np.mean(term.Z**2, axis=0)), 1e-300)
        found.append(np.nanstd(eta) / size)
    return found


def first_dispersion(family: Family, y: Array, mu: Array, weights: Array | float) -> float:
    """Moment estimate of a dispersion where the means are ``mu``."""
    w = np.broadcast_to(np.asarray(weights, dtype=float), mu.shape)
    with np.errstate(all="ignore"):
        ratio = float(np.nanmean(w * (y - mu) ** 2 / family.unit_variance(mu)))
        if family.name == "negative_binomial":
            excess = np.nanmean((y - mu) ** 2 - mu) / np.nanmean(mu**2)
            return float(np.clip(1 / max(excess, 1e-3), 0.05, 100.0))
    if family.name == "beta_binomial":
        rho = (ratio - 1) / max(float(w.mean()) - 1, 1e-6)
        return float(np.clip(1 / max(rho, 1e-3) - 1, 0.5, 200.0))
    return ratio
