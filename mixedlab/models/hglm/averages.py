"""What a hierarchical model says over the distribution of its effects: means, variances, draws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.links import Link
from mixedlab.engine.random_families import RandomFamily
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import MixedlabError
from mixedlab.inference.population_averaged import marginal_mean as mean_over_normal_effects
from mixedlab.models.hglm.data import Estimates, HierarchicalData

Array = NDArray[np.float64]

N_QUANTILES = 400
REDRAWS = 1000


def marginal_mean(
    link: Link,
    eta: Array,
    random: Sequence[RandomFamily],
    lam: Sequence[float],
    terms: Sequence[RandomTerm],
) -> Array:
    """E(y) at linear predictor ``eta`` without effects, over the distribution of u.

    Exact where E u = 1 meets a log link. Otherwise u is integrated out at Gauss-Legendre points of
    its distribution function (several normal intercepts are one normal intercept).
    """
    if any(not np.all(t.Z == 1) for t in terms):
        raise MixedlabError("Marginal predictions are for random intercepts; use fit.simulate.")
    present = [(k, l) for k, l in zip(random, lam, strict=True) if l > 0]
    normal = [l for k, l in present if k.name == "gaussian"]
    others = [(k, l) for k, l in present if k.name != "gaussian"]
    if len(others) + bool(normal) > 1 and link.name != "log":
        raise MixedlabError(
            "Marginal predictions are for one random term, or several normal ones; use "
            "fit.simulate."
        )
    if link.name == "log" or not others:  # where E u = 1, effects leave a log link's mean alone
        return mean_over_normal_effects(link, eta, np.full(eta.shape, sum(normal)))
    if link.name == "inverse" and np.any(eta + others[0][0].lower < 0):
        raise MixedlabError(
            "Under the inverse link the mean over these effects does not exist: 1/eta has no mean "
            "when eta may be near 0. Use kind='population', or fit with link='log'."
        )
    nodes, weights = np.polynomial.legendre.leggauss(N_QUANTILES)
    points = others[0][0].quantile((nodes + 1) / 2, others[0][1])
    return link.mu(eta[:, None] + points) @ (weights / 2)


def variance_on_the_link(data: HierarchicalData, estimates: Estimates, t: int) -> float:
    """Variance of what the effects of term t add to the linear predictor, averaged over levels."""
    from scipy.special import polygamma

    lam = float(np.mean(estimates.lam[t]))
    if lam == 0:
        return 0.0
    if estimates.is_beta_binomial:  # of logit p, which is the predictor where the link is logit
        link = data.family.link
        first = np.unique(data.terms[t].index, return_index=True)[1]
        mu = link.mu(data.X[first] @ estimates.beta + data.offset[first])
        logit = polygamma(1, mu / lam) + polygamma(1, (1 - mu) / lam)
        return float(np.mean(logit * (link.dmu(link.eta(mu)) / (mu * (1 - mu))) ** -2))
    return data.random[t].variance_of_v(lam)


def draw_response(data: HierarchicalData, estimates: Estimates, rng: np.random.Generator) -> Array:
    """One response (n,), effects drawn anew.

    Effects that would carry a mean out of its range (normal ones on the inverse link) are drawn
    again.
    """
    link = data.family.link
    eta = data.X @ estimates.beta + data.offset
    for t, (term, kind) in enumerate(zip(data.terms, data.random, strict=True)):
        lam = estimates.lam[t]
        if np.all(lam == 0):
            continue
        if estimates.is_beta_binomial:
            mu = link.mu(eta[np.unique(term.index, return_index=True)[1]])
            p = np.clip(rng.beta(mu / lam, (1 - mu) / lam), 1e-15, 1 - 1e-15)
            eta = link.eta(p)[term.index]
            continue
        v = kind.quantile(rng.uniform(1e-16, 1, term.n_levels), lam)
        for _ in range(REDRAWS):
            bad = np.unique(term.index[_impossible(data, eta + term.Z[:, 0] * v[term.index])])
            if not bad.size:
                break
            v[bad] = kind.quantile(rng.uniform(1e-16, 1, bad.size), lam[bad])
        eta = eta + term.Z[:, 0] * v[term.index]
    return data.family.draw(rng, link.mu(eta), data.weights / estimates.phi, 1.0)


def _impossible(data: HierarchicalData, eta: Array) -> NDArray[np.bool_]:
    """Rows whose mean the family does not have."""
    mu = data.family.link.mu(eta)
    low = -np.inf if data.family.name == "gaussian" else 0.0
    high = 1.0 if data.family.name == "binomial" else np.inf
    return ~((mu >= low) & (mu <= high))
