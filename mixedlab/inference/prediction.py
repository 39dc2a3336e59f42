"""Predictions with intervals, and new responses drawn from a fitted model.

Three meanings are kept apart. *Conditional* uses the predicted effects of the row's own groups.
*Population* sets the random effects to zero. *Marginal* averages over their distribution. In a
linear model the last two are the same number; under a logit link they are not.

A fit gives the linear predictor of a row with its variance (`Moments`); its family and link do the
rest. With eta normal of variance v, a confidence interval is ``g^-1(eta -+ z sqrt(v))``. A new
observation has the variance of the groups besides, where its group is new, and the family's own: a
normal response adds its variances up, others are drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mixedlab.errors import MixedlabError
from mixedlab.inference.contract import Fit, Groups, Kind, MixedModel, Moments, Rows, refuse
from mixedlab.inference.tables import normal_quantile, on_rows

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

_CHOICES = {
    "kind": ("conditional", "population", "marginal"),
    "scale": ("response", "link"),
    "interval": (None, "confidence", "prediction"),
    "new_levels": ("error", "population"),
}
_DRAWS = 4000
_DRAW_CELLS = 4_000_000


def predict(
    fit: Fit,
    newdata: Any = None,
    kind: Kind = "conditional",
    scale: Literal["response", "link"] = "response",
    interval: Literal["confidence", "prediction"] | None = None,
    new_levels: Literal["error", "population"] = "error",
    level: float = 0.95,
) -> pd.Series | pd.DataFrame:
    """Predict the response of rows.

    Parameters
    ----------
    fit : Fit
    newdata : table, optional
        New rows; by default the rows fitted. Population and marginal predictions need no grouping
        columns: an absent one is a new group.
    kind : {"conditional", "population", "marginal"}
        With the groups' own effects, with effects of zero, or averaged over the effects.
    scale : {"response", "link"}
        The same thing under the identity link.
    interval : {None, "confidence", "prediction"}
        Where the mean may lie, or where a new observation may (of unit weight, or one trial, in
        new data). A confidence interval is symmetric on the link's scale. Of a conditional
        prediction it includes the uncertainty of the random effects; of a marginal one, where
        the link bends, that of the variances, which are taken as known otherwise. A population
        or marginal prediction interval is for a new group. Limits that have no formula are
        quantiles of 4000 draws with a fixed seed.
    new_levels : {"error", "population"}
        What a conditional prediction does for a group the fit has not seen: raise, or use an
        effect of zero, whose uncertainty is the whole variance between groups.
    level : float
        Of the interval.

    Returns
    -------
    Series, or with an interval a DataFrame ``prediction, se, lower, upper``
        On the index of ``newdata``, or of the table's rows used.

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    >>> fit.predict(kind="population", interval="confidence").head(2).round(1)
       prediction   se  lower  upper
    0       251.4  6.8  238.0  264.8
    1       261.9  6.8  248.6  275.2
    """
    given = {"kind": kind, "scale": scale, "interval": interval, "new_levels": new_levels}
    for name, value in given.items():
        if value not in _CHOICES[name]:
            raise MixedlabError(f"{name} is one of {_CHOICES[name]}, not {value!r}.")
    refuse(fit, f"{kind} prediction")
    if interval == "confidence":
        refuse(fit, "confidence interval of a prediction")
    elif interval == "prediction":
        refuse(fit, "prediction interval")
    link = fit.response_family.link
    straight = link.name == "identity"
    if interval == "prediction" and scale == "link" and not straight:
        raise MixedlabError(
            "A prediction interval is for a new observation, which is on the response's "
            "scale: use scale='response'."
        )
    rows = fit.rows(newdata, _groups_needed(kind, interval, straight), new_levels)
    at = fit.mean_and_variance(rows, kind, variance=interval is not None)
    value = link.mu(at.eta) if scale == "response" else at.eta
    if interval is None:
        return on_rows(value, rows.index, "prediction")
    z = normal_quantile(level)
    if interval == "confidence":
        se = np.sqrt(at.variance)
        ends = np.stack([at.eta - z * se, at.eta + z * se])
        if scale == "response":
            se = se * np.abs(link.dmu(at.eta))
            ends = np.sort(link.mu(ends), axis=0)  # a falling link turns the ends round
    else:
        se, ends = _of_new_observations(fit, rows, kind, at, level, z)
    columns = {"prediction": value, "se": se, "lower": ends[0], "upper": ends[1]}
    return on_rows(columns, rows.index)


def _groups_needed(kind: Kind, interval: str | None, straight: bool) -> Groups:
    if kind == "conditional":
        return "own"
    return "any" if interval == "prediction" or (kind == "marginal" and not straight) else "none"


def _of_new_observations(
    fit: Fit, rows: Rows, kind: Kind, at: Moments, level: float, z: float
) -> tuple[Array, Array]:
    """Standard deviation (m,) and limits (2, m) of a new observation in each row."""
    if kind == "marginal":
        at = fit.mean_and_variance(rows, "population")
    spread = at.variance if at.between is None else at.variance + at.between
    family = fit.response_family
    if family.name == "gaussian" and family.link.name == "identity":
        sd = np.sqrt(spread + fit.dispersion / rows.weights)
        return sd, np.stack([at.eta - z * sd, at.eta + z * sd])
    rng = np.random.default_rng(0)
    ends, sd = np.full((2, rows.n), np.nan), np.full(rows.n, np.nan)
    known = np.flatnonzero(np.isfinite(at.eta + spread))  # all but new rows with a gap
    at_once = max(1, _DRAW_CELLS // _DRAWS)
    for first in range(0, known.size, at_once):
        part = known[first : first + at_once]
        noise = rng.standard_normal((_DRAWS, at.eta[part].size))
        mean = family.link.mu(at.eta[part] + np.sqrt(spread[part]) * noise)
        y = family.draw(rng, mean, rows.weights[part], fit.dispersion)
        ends[:, part] = np.quantile(y, ((1 - level) / 2, (1 + level) / 2), axis=0)
        sd[part] = y.std(axis=0)
    return sd, ends


def simulate(fit: MixedModel, n: int = 1, seed: int | None = None) -> Array:
    """Draw new responses from a fitted model, with new random effects.

    Parameters
    ----------
    fit : MixedModel
    n : int
        Number of draws.
    seed : int, optional

    Returns
    -------
    ndarray, shape (n, n_obs)
        One row a draw, in the order of the rows fitted; each can be given to ``fit.refit``.

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    >>> fit.simulate(2, seed=1).shape
    (2, 180)
    """
    refuse(fit, "simulation")
    if int(n) != n or n < 1:
        raise MixedlabError(f"n is the number of draws, 1 or more, not {n}.")
    rng = np.random.default_rng(seed)
    return np.ascontiguousarray(fit.draw_many([rng] * int(n)).T)  # one after the other
