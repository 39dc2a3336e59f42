"""A fitted effect: the curve of the response over one covariate, with its interval and the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from mixedlab.errors import MixedlabError
from mixedlab.pictures.data_behind import (
    at_one_exposure,
    held_at,
    in_bins,
    is_binary,
    over_range,
    response_name,
    rows_fitted,
    typical,
)
from mixedlab.pictures.style import BLUE, GREEN, LIGHT, ORANGE, PURPLE, YELLOW, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedlab.models.fit import MixedFit

_MANY = 6
_LOOKS = tuple(
    zip(
        (BLUE, ORANGE, GREEN, PURPLE, YELLOW, "#444444"),
        ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1))),
        ("o", "s", "^", "D", "v", "P"),
        strict=True,
    )
)
_SAYS = {
    "population": "in a group of effect zero",
    "marginal": "mean over groups",
}


def effect(
    fit: MixedFit,
    data: pd.DataFrame,
    x: str,
    *,
    by: str | None = None,
    kind: Literal["population", "marginal"] = "population",
    level: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """The fitted mean over one covariate, with its confidence interval and the data behind.

    Parameters
    ----------
    fit : MixedFit
        From a formula.
    data : DataFrame
        The table that was fitted.
    x : str
        Column for the horizontal axis, numbers or a factor. Other columns are held at a typical
        value (median, or most frequent level), which the title names.
    by : str, optional
        A factor: one curve for each of its levels, at most six.
    kind : {"population", "marginal"}
        In a group whose effects are zero, or averaged over the groups. For a bent link these
        differ.
    level : float
        Coverage of the interval, pointwise.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes
        0/1 outcomes are shown as shares in bins of equal numbers; counts with an exposure as they
        would be at the typical exposure.

    Raises
    ------
    MixedlabError
        For a column that is not there, and for a ``by`` with more than six levels.

    Examples
    --------
    >>> import mixedlab as ml
    >>> df = ml.load("contraception")
    >>> fit = ml.glmm("use ~ age + urban + (1 | district)", df)
    >>> ax = ml.pictures.effect(fit, df, "age", by="urban", kind="marginal")
    >>> ax.get_ylabel()
    'share of use'
    """
    rows = rows_fitted(fit, data, x, *([] if by is None else [by]))
    if kind not in _SAYS:
        raise MixedlabError(f"kind is 'population' or 'marginal', not {kind!r}.")
    _refuse_without_effect(fit, x)
    is_factor = fit.design.recipe.levels.get(x) is not None
    positions = list(pd.unique(rows[x].sort_values())) if is_factor else over_range(rows[x])
    arms = [None] if by is None else list(pd.unique(rows[by].sort_values()))
    if len(arms) > _MANY:
        raise MixedlabError(f"{by!r} has {len(arms)} levels: by= takes at most {_MANY}.")
    if by is not None:
        _refuse_without_effect(fit, by)
    ax = axes_or_new(ax)
    at = np.arange(len(positions), dtype=float) if is_factor else positions
    for k, arm in enumerate(arms):
        colour, dash, marker = _LOOKS[k]
        varying = {x: positions} | ({} if arm is None else {by: [arm] * len(positions)})
        grid = typical(rows, **varying)
        made = fit.predict(grid, kind=kind, interval="confidence", level=level)
        mine = np.ones(len(rows), dtype=bool) if arm is None else (rows[by] == arm).to_numpy()
        _data(ax, fit, rows, mine, x, positions if is_factor else None, grid, colour, marker)
        name = _SAYS[kind] if arm is None else f"{by} = {arm}"
        if is_factor:
            nudge = at + 0.12 * (k - (len(arms) - 1) / 2)
            ends = np.abs(made[["lower", "upper"]].to_numpy().T - made["prediction"].to_numpy())
            ax.errorbar(nudge, made["prediction"], ends, fmt=marker, color=colour, capsize=4,
                        label=name, zorder=3)  # fmt: skip
        else:
            ax.fill_between(at, made["lower"], made["upper"], color=colour, alpha=0.2, linewidth=0)
            ax.plot(at, made["prediction"], linestyle=dash, color=colour, linewidth=2, label=name)
    if is_factor:
        ax.set_xticks(at, [str(value) for value in positions])
    ax.set_xlabel(x)
    ax.set_ylabel(_label(fit))
    held = held_at(fit, typical(rows, **{x: positions[:1]}), {x, by})
    about = f"{'' if by is None else f'{_SAYS[kind]}, '}{100 * level:g} % interval"
    ax.set_title(f"{about}{held and f'; at {held}'}", fontsize="small", loc="left")
    ax.legend(fontsize="small")
    return ax


def _refuse_without_effect(fit: MixedFit, name: str) -> None:
    if name not in fit.design.recipe.formula.fixed.columns:
        raise MixedlabError(f"{name!r} is not in the fixed part of the model: it has no effect.")


def _label(fit: MixedFit) -> str:
    return f"share of {response_name(fit)}" if is_binary(fit) else response_name(fit)


def _data(ax, fit, rows, mine, x, levels, grid, colour, marker) -> None:
    """The responses of some rows behind the curve."""
    offset = fit.rows(grid, "none").offset[0]
    y = at_one_exposure(fit, offset)[mine]
    if levels is not None:
        place = pd.Categorical(rows[x], categories=levels).codes[mine].astype(float)
        if is_binary(fit):
            shares = pd.Series(y).groupby(place).mean()
            ax.plot(shares.index, shares, marker, color=LIGHT, markerfacecolor="none", zorder=1)
            return
        place = place + np.random.default_rng(0).uniform(-0.25, 0.25, place.size)
        ax.plot(place, y, marker, color=LIGHT, markersize=3, zorder=1)
        return
    where = rows[x].to_numpy(dtype=float)[mine]
    if is_binary(fit):
        middle, share, count = in_bins(where, y)
        ax.scatter(middle, share, s=14 + count, marker=marker, facecolors="none",
                   edgecolors=colour, alpha=0.8, label=None, zorder=2)  # fmt: skip
    else:
        ax.plot(where, y, marker, color=colour, alpha=0.25, markersize=3, markeredgewidth=0,
                zorder=1)  # fmt: skip
