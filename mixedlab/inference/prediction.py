"""Predictions with intervals, and new responses drawn from a fitted model.

Three meanings are kept apart. *Conditional* uses the predicted effects of the row's own groups.
*Population* sets the random effects to zero. *Marginal* averages over their distribution. In a
linear model the last two are the same number; under a logit link they are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mixedlab.errors import DataError, MixedlabError, listed
from mixedlab.inference.blocks import RandomBlocks
from mixedlab.models.linear import LinearFit

if TYPE_CHECKING:
    from mixedlab.data.design import Design
    from mixedlab.models.fit import MixedFit

Array = NDArray[np.float64]
Kind = Literal["conditional", "population", "marginal"]
_CHOICES = {
    "kind": ("conditional", "population", "marginal"),
    "scale": ("response", "link"),
    "interval": (None, "confidence", "prediction"),
    "new_levels": ("error", "population"),
}


def predict(
    fit: MixedFit,
    newdata: Any = None,
    kind: Kind = "conditional",
    scale: Literal["response", "link"] = "response",
    interval: Literal["confidence", "prediction"] | None = None,
    new_levels: Literal["error", "population"] = "error",
    level: float = 0.95,
) -> Any:
    """Predict the response of rows.

    Parameters
    ----------
    fit : MixedFit
    newdata : table, optional
        New rows; by default the rows fitted. Population and marginal predictions without a
        prediction interval need no grouping columns.
    kind : {"conditional", "population", "marginal"}
        With the groups' own effects, with effects of zero, or averaged over the effects.
    scale : {"response", "link"}
        The same thing for a linear model.
    interval : {None, "confidence", "prediction"}
        Where the mean may lie, or where a new observation may (of unit weight in new data). A
        confidence interval of a conditional prediction includes the uncertainty of the random
        effects. A population or marginal prediction interval is for a new group. Variances are
        taken as known.
    new_levels : {"error", "population"}
        What a conditional prediction does for a group the fit has not seen: raise, or use an
        effect of zero, whose uncertainty is the whole variance between groups.
    level : float
        Of the interval.

    Returns
    -------
    ndarray, shape (n,), or with an interval a DataFrame ``prediction, se, lower, upper``
    """
    given = {"kind": kind, "scale": scale, "interval": interval, "new_levels": new_levels}
    for name, value in given.items():
        if value not in _CHOICES[name]:
            raise MixedlabError(f"{name} is one of {_CHOICES[name]}, not {value!r}.")
    if not isinstance(fit, LinearFit):
        from mixedlab.inference.population_averaged import predict as predict_generalized

        return predict_generalized(fit, newdata, kind, scale, interval, new_levels, level)
    rows = rows_to_predict(
        fit, newdata, need_groups=kind == "conditional" or interval == "prediction"
    )
    if kind == "conditional":
        refuse_new_levels(rows, new_levels)
    mean = population_part(fit, rows)
    if kind == "conditional":
        mean = mean + random_part(fit, rows)
    if interval is None:
        return mean
    return _with_interval(fit, rows, mean, kind, interval, level, newdata)


def _with_interval(
    fit: LinearFit, rows: Design, mean: Array, kind: Kind, interval: str, level: float, newdata: Any
) -> Any:
    import pandas as pd
    from scipy import stats

    if kind == "conditional":
        variance = _conditional_variance(fit, rows)
    else:
        variance = np.einsum("ip,pq,iq->i", rows.X, fit.vcov_beta, rows.X)
    if interval == "prediction":
        if kind != "conditional":
            variance = variance + between_groups_variance(fit, rows)
        variance = variance + fit.sigma**2 * (1.0 if rows.weights is None else 1.0 / rows.weights)
    se = np.sqrt(variance)
    half = stats.norm.ppf(0.5 + level / 2.0) * se
    index = newdata.index if isinstance(newdata, pd.DataFrame) else None
    return pd.DataFrame(
        {"prediction": mean, "se": se, "lower": mean - half, "upper": mean + half}, index=index
    )


def rows_to_predict(fit: MixedFit, newdata: Any, need_groups: bool) -> Design:
    """Design of the new rows, or what was fitted."""
    if newdata is None:
        return fit  # a fit has X, terms, offset and weights as a design has
    if fit.design is None:
        raise MixedlabError(
            "This fit was made from arrays, so there is no formula to read new data with: "
            "compute X @ fit.beta and add the effects in fit.b."
        )
    return fit.design.rebuild(newdata, groups=need_groups)


def refuse_new_levels(rows: Design, new_levels: str) -> None:
    """Raise where a row's group was not seen in the fit, unless that is allowed."""
    if new_levels == "population":
        return
    for term in rows.terms:
        new = np.flatnonzero(term.index < 0)
        if new.size:
            raise DataError(
                f"The new data have levels of {term.group!r} that the fit has not seen, in rows "
                f"{listed(new, 5)} (counted from 0). Use new_levels='population' to predict them "
                "with an effect of zero."
            )


def population_part(fit: MixedFit, rows: Design) -> Array:
    """``X beta + offset``."""
    mean = rows.X @ fit.beta
    return mean if rows.offset is None else mean + rows.offset


def random_part(fit: MixedFit, rows: Design) -> Array:
    """``Z b``, zero for new levels."""
    out = np.zeros(rows.X.shape[0])
    for term, b in zip(rows.terms, fit.b, strict=True):
        seen = term.index >= 0
        out[seen] += np.einsum("ik,ik->i", term.Z[seen], b[term.index[seen]])
    return out


def between_groups_variance(fit: MixedFit, rows: Design) -> Array:
    """Variance of ``Z b`` over new groups, ``z' cov(b) z`` summed over terms."""
    out = np.zeros(rows.X.shape[0])
    for term, cov in zip(rows.terms, fit.covariances, strict=True):
        out += np.einsum("ik,kl,il->i", term.Z, cov, term.Z)
    return out


def _conditional_variance(fit: LinearFit, rows: Design) -> Array:
    """Variance of ``x'beta + z'b`` about its prediction, by the mixed model equations.

    ``b`` given beta has covariance ``sigma^2 K`` and moves with beta by ``-K Z'X``: a row's
    variance is ``sigma^2 z'Kz + (x - (KZ'X)'z)' vcov (x - (KZ'X)'z)``. New levels add all of
    their variance.
    """
    blocks = RandomBlocks(fit)
    wiring = blocks.wire(rows.terms)
    variance = fit.sigma**2 * blocks.quadratic(wiring, blocks.K)
    moved = rows.X - blocks.z_times(wiring, blocks.by_beta)
    variance += np.einsum("ip,pq,iq->i", moved, fit.vcov_beta, moved)
    for term, cov in zip(rows.terms, fit.covariances, strict=True):
        new = term.index < 0
        variance[new] += np.einsum("ik,kl,il->i", term.Z[new], cov, term.Z[new])
    return variance


def simulate(fit: MixedFit, n: int = 1, seed: int | None = None) -> Array:
    """Draw new responses from a fitted model, with new random effects.

    Parameters
    ----------
    fit : MixedFit
    n : int
        Number of draws.
    seed : int, optional

    Returns
    -------
    ndarray, shape (n, n_obs)
        One row a draw, in the order of the rows fitted; each can be given to ``fit.refit``.
    """
    if n < 1:
        raise MixedlabError(f"n is the number of draws, 1 or more, not {n}.")
    rng = np.random.default_rng(seed)
    return np.array([draw_response(fit, rng) for _ in range(n)])


def draw_response(fit: MixedFit, rng: np.random.Generator) -> Array:
    """One new response (n_obs,) of the fitted rows."""
    b = draw_effects(fit, rng)
    if not isinstance(fit, LinearFit):
        from mixedlab.inference.population_averaged import draw_response as draw_generalized

        return draw_generalized(fit, fit.predictor_of(fit.beta, b), rng)
    noise = fit.sigma * rng.standard_normal(fit.n_obs)
    if fit.residual is not None:
        noise = fit.residual.colour(noise[:, None], fit.residual_phi)[:, 0]
    if fit.weights is not None:
        noise /= np.sqrt(fit.weights)
    return fit.predictor_of(fit.beta, b) + noise


def draw_effects(fit: MixedFit, rng: np.random.Generator) -> list[Array]:
    """New random effects (J, q) of each term."""
    scale = 1.0 if fit.sigma is None else fit.sigma
    return [
        scale * rng.standard_normal((term.n_levels, term.n_coefs)) @ Lambda.T
        for term, Lambda in zip(fit.terms, fit.factors, strict=True)
    ]
