"""Predictions, simulations and Wald intervals of a hierarchical generalised linear model."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixedlab.errors import DataError, MixedlabError, listed

if TYPE_CHECKING:
    import pandas as pd

    from mixedlab.models.hglm.fit import HierarchicalFit

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
        design = fit.design.rebuild(newdata, groups=conditional, missing="mark")
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
    return np.array([draw_response(fit, rng) for _ in range(int(n))])


def draw_response(fit: HierarchicalFit, rng: np.random.Generator) -> Array:
    """Draw one response (n_obs,), effects drawn anew."""
    data, eta = fit.data, fit.X @ fit.beta + fit.offset
    link = data.family.link
    for term, kind, lam in zip(fit.terms, data.random, fit.estimates.lam, strict=True):
        if np.all(lam == 0):
            continue
        if fit.is_beta_binomial:
            mu = link.mu(eta[np.unique(term.index, return_index=True)[1]])
            p = np.clip(rng.beta(mu / lam, (1 - mu) / lam), 1e-15, 1 - 1e-15)
            eta = link.eta(p)[term.index]
        else:
            v = kind.quantile(rng.uniform(1e-16, 1, term.n_levels), lam)
            eta = eta + term.Z[:, 0] * v[term.index]
    return data.family.draw(rng, link.mu(eta), data.weights / fit.phi, 1.0)


def wald_intervals(fit: HierarchicalFit, level: float) -> pd.DataFrame:
    """Estimate plus and minus z standard errors; constant dispersions by way of logarithms."""
    import pandas as pd
    from scipy.special import ndtri

    if not 0 < level < 1:
        raise MixedlabError(f"`level` is {level!r}; it must lie between 0 and 1.")
    z = ndtri((1 + level) / 2)
    names, values, errors, logged = _parameters(fit)
    ends = np.column_stack([values - z * errors, values + z * errors])
    ends[logged] = np.exp(ends[logged])
    return pd.DataFrame(ends, index=names, columns=["lower", "upper"])


def bootstrap_intervals(
    fit: HierarchicalFit,
    level: float,
    n: int = 1000,
    seed: int = 1,
    executor: Any = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Percentiles of the estimates in ``n`` data sets that the fit simulates."""
    import pandas as pd

    from mixedlab.inference.replication import replicate

    study = partial(_refit_once, replace(fit, design=None))
    done = replicate(study, n, seed, executor, progress=progress)
    if not done.values:
        raise MixedlabError(
            f"All {n} replicates failed. The first: {next(iter(done.failures.values()))}"
        )
    tail = (1 - level) / 2
    ends = np.quantile(np.array(list(done.values.values())), [tail, 1 - tail], axis=0).T
    return pd.DataFrame(ends, index=_parameters(fit)[0], columns=["lower", "upper"])


def _refit_once(fit: HierarchicalFit, rng: np.random.Generator) -> Array:
    _, values, _, logged = _parameters(fit.refit(draw_response(fit, rng)))
    return np.where(logged, np.exp(values), values)


def _parameters(fit: HierarchicalFit) -> tuple[list[str], Array, Array, NDArray[np.bool_]]:
    """Names, estimates, standard errors, and which are logarithms of a constant dispersion.

    The coefficients of a modelled dispersion stay logarithms, and their names say so.
    """
    coefs = fit.dispersion_coefs
    owners = [of for of, _ in coefs.index]
    alone = [owners.count(of) == 1 for of in owners]
    names = [
        of if one else f"log {of}: {name}"
        for one, (of, name) in zip(alone, coefs.index, strict=True)
    ]
    return (
        [*fit.names, *names],
        np.concatenate([fit.beta, coefs["estimate"]]).astype(float),
        np.concatenate([fit.se, coefs["se"]]).astype(float),
        np.array([False] * fit.beta.size + alone),
    )


def _one_of(what: str, value: Any, options: tuple[str, ...]) -> None:
    if value not in options:
        raise MixedlabError(f"`{what}` is {value!r}; it must be one of {listed(options)}.")
