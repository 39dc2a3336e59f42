"""Predictions, simulations and Wald intervals of a hierarchical generalised linear model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixedlab.data.errors import DataError, MixedlabError, listed

if TYPE_CHECKING:
    import pandas as pd

    from mixedlab.models.hierarchical import HierarchicalFit

Array = NDArray[np.float64]

N_QUANTILES = 400


def predict(
    fit: HierarchicalFit,
    newdata: Any,
    kind: str,
    scale: str,
    interval: str | None,
    new_levels: str,
    level: float,
) -> Array | pd.DataFrame:
    """Predict for the rows fitted or for new ones.

    Parameters
    ----------
    fit : HierarchicalFit
    newdata : DataFrame, optional
    kind : {"conditional", "population", "marginal"}
        With the predicted effects; with v = 0; with u integrated out.
    scale : {"response", "link"}
    interval : {"confidence"}, optional
        Of a population prediction, for the uncertainty of beta: a DataFrame with ``fit``,
        ``lower``, ``upper``.
    new_levels : {"error", "population"}
        What a conditional prediction does for a level that was not fitted.
    level : float
        Coverage of the interval.

    Returns
    -------
    ndarray, shape (n,), or DataFrame
    """
    _one_of("kind", kind, ("conditional", "population", "marginal"))
    _one_of("scale", scale, ("response", "link"))
    _one_of("new_levels", new_levels, ("error", "population"))
    if interval not in (None, "confidence") or (interval and kind != "population"):
        raise MixedlabError(
            "Intervals here are interval='confidence' with kind='population'; for the rest use "
            "fit.simulate."
        )
    conditional = kind == "conditional"
    X, offset, terms = fit.X, fit.offset, fit.terms
    if newdata is not None:
        design = fit.design.rebuild(newdata, groups=conditional)
        X, terms = design.X, design.terms
        offset = np.zeros(len(X)) if design.offset is None else design.offset
    eta = X @ fit.beta + offset
    link = fit.data.family.link
    if conditional:
        for term, effects in zip(terms, fit.b, strict=True):
            new = term.index < 0
            if new.any() and new_levels == "error":
                raise DataError(
                    f"{int(new.sum())} rows have levels of {term.group!r} that were not fitted: "
                    "use new_levels='population' to give them v = 0."
                )
            eta = eta + np.where(new, 0.0, term.Z[:, 0] * effects[term.index, 0])
    if kind == "marginal":
        mean = marginal_mean(fit, eta)
        return mean if scale == "response" else link.eta(mean)
    if interval is None:
        return link.mu(eta) if scale == "response" else eta
    import pandas as pd
    from scipy.special import ndtri

    half = ndtri((1 + level) / 2) * np.sqrt(np.einsum("ij,jk,ik->i", X, fit.vcov_beta, X))
    ends = np.column_stack([eta, eta - half, eta + half])
    if scale == "response":
        ends = link.mu(ends)
        ends[:, 1:] = np.sort(ends[:, 1:], axis=1)  # a falling link turns the ends round
    return pd.DataFrame(ends, columns=["fit", "lower", "upper"])


def marginal_mean(fit: HierarchicalFit, eta: Array) -> Array:
    """E(y) at linear predictor ``eta`` without effects, over the distribution of u.

    Exact where E u = 1 meets a log link and for the beta-binomial. Otherwise u is integrated out
    at Gauss-Legendre points of its distribution function, for the sum of the terms one after the
    other (several normal intercepts are one normal intercept).
    """
    link = fit.data.family.link
    if any(not np.all(t.Z == 1) for t in fit.terms):
        raise MixedlabError("Marginal predictions are for random intercepts; use fit.simulate.")
    lam = [float(np.mean(l)) for l in fit.estimates.lam]
    present = [(k, l) for k, l in zip(fit.data.random, lam, strict=True) if l > 0]
    normal = [l for k, l in present if k.name == "gaussian"]
    others = [(k, l) for k, l in present if k.name != "gaussian"]
    if fit.is_beta_binomial or not present:
        return link.mu(eta)
    if len(others) + bool(normal) > 1 and link.name != "log":
        raise MixedlabError(
            "Marginal predictions are for one random term, or several normal ones; use "
            "fit.simulate."
        )
    if link.name == "log":  # factors of the mean: 1 for E u = 1, exp(lambda / 2) for normal v
        return np.exp(eta + sum(normal) / 2)
    if normal:
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        points, weights = np.sqrt(sum(normal)) * nodes, weights / np.sqrt(2 * np.pi)
    else:
        nodes, weights = np.polynomial.legendre.leggauss(N_QUANTILES)
        points, weights = others[0][0].quantile((nodes + 1) / 2, others[0][1]), weights / 2
    return link.mu(eta[:, None] + points) @ weights


def simulate(fit: HierarchicalFit, n: int, seed: int | None) -> Array:
    """Draw ``n`` responses (n, n_obs), effects drawn anew."""
    if int(n) != n or n < 1:
        raise MixedlabError(f"`n` is {n!r}; it must be a whole number of at least 1.")
    rng = np.random.default_rng(seed)
    data, fixed = fit.data, fit.X @ fit.beta + fit.offset
    out = np.empty((int(n), fit.n_obs))
    for row in out:
        eta = fixed.copy()
        for term, kind, lam in zip(fit.terms, data.random, fit.estimates.lam, strict=True):
            if np.all(lam == 0):
                continue
            chance = rng.uniform(1e-16, 1, term.n_levels)
            if fit.is_beta_binomial:
                mu = data.family.link.mu(fixed[np.unique(term.index, return_index=True)[1]])
                p = rng.beta(mu / lam, (1 - mu) / lam)
                eta = data.family.link.eta(np.clip(p, 1e-15, 1 - 1e-15))[term.index]
            else:
                eta += term.Z[:, 0] * kind.quantile(chance, lam)[term.index]
        row[:] = data.family.draw(rng, data.family.link.mu(eta), data.weights / fit.phi, 1.0)
    return out


def wald_intervals(fit: HierarchicalFit, level: float) -> pd.DataFrame:
    """Estimate plus and minus z standard errors; dispersions as logarithms, turned back."""
    import pandas as pd
    from scipy.special import ndtri

    if not 0 < level < 1:
        raise MixedlabError(f"`level` is {level!r}; it must lie between 0 and 1.")
    z = ndtri((1 + level) / 2)
    rows = {name: (b - z * s, b + z * s)
            for name, b, s in zip(fit.names, fit.beta, fit.se, strict=True)}  # fmt: skip
    for (of, name), row in fit.dispersion_coefs.iterrows():
        low, high = row["estimate"] - z * row["se"], row["estimate"] + z * row["se"]
        alone = sum(of == other for other, _ in fit.dispersion_coefs.index) == 1
        key = of if alone else f"log {of}: {name}"
        rows[key] = (np.exp(low), np.exp(high)) if alone else (low, high)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["lower", "upper"])


def _one_of(what: str, value: Any, options: tuple[str, ...]) -> None:
    if value not in options:
        raise MixedlabError(f"`{what}` is {value!r}; it must be one of {listed(options)}.")
