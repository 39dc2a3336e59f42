"""The three poolings of every group, each group in a panel of its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedlab.errors import MixedlabError, nearest
from mixedlab.inference.tables import normal_quantile
from mixedlab.pictures.data_behind import GRID, dealt_out, in_bins, is_binary, response_name
from mixedlab.pictures.style import BLUE, GREY, LIGHT, ORANGE, at_least_one, axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedlab.three_poolings import ThreePoolings

Array = NDArray[np.float64]

_LOOKS = {
    "complete": (GREY, "--", 1.4, "s", "complete pooling"),
    "none": (ORANGE, ":", 2.0, "D", "no pooling"),
    "partial": (BLUE, "-", 2.0, "o", "partial pooling"),
}
_MANY = 40


def pooling(
    three: ThreePoolings,
    x: str | None = None,
    *,
    at_most: int = 12,
    level: float = 0.95,
) -> NDArray[np.object_]:
    """Small multiples: a group's data, and its line by complete, no and partial pooling.

    Parameters
    ----------
    three : ThreePoolings
        From `ml.pooling`.
    x : str, optional
        Numeric column of the model for the horizontal axis; by default the first one. Others are
        held at the group's mean. A model without one is drawn as three estimates a group, with
        intervals, in one panel.
    at_most : int
        Panels drawn; where there are more groups, evenly spaced ones from few rows to many.
    level : float
        Coverage of the intervals, where there are some.

    Returns
    -------
    ndarray of Axes
        Groups go from few rows to many, for the less a group says of itself the more it is
        pulled. With an exposure, points and lines are for one unit of it.

    Raises
    ------
    MixedlabError
        For an ``x`` that the model does not have, and for what is no result of `ml.pooling`.

    Examples
    --------
    >>> import mixedlab as ml
    >>> three = ml.pooling("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    >>> len(ml.pictures.pooling(three))
    12
    """
    import matplotlib.pyplot as plt

    at_least_one(at_most)
    if not hasattr(three, "partial"):
        raise MixedlabError(
            f"ml.pictures.pooling takes what ml.pooling returns, not {type(three).__name__}."
        )
    numeric = _numeric_columns(three)
    if x is not None and x not in numeric:
        raise MixedlabError(f"The model has no numeric column {x!r}.{nearest(x, numeric)}")
    if not numeric:
        return np.array([_estimates(three, level)], dtype=object)
    x = x or next(iter(numeric))
    order = np.argsort(three.sizes.to_numpy(), kind="stable")
    shown = order[np.unique(np.linspace(0, order.size - 1, at_most).astype(int))]
    columns = min(4, shown.size)
    rows = -(-shown.size // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(2.3 * columns + 0.6, 1.9 * rows + 1.0),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    panels = axes.reshape(-1)
    for ax, j in zip(panels, shown, strict=False):
        _panel(ax, three, j, x, numeric[x])
    for ax in panels[shown.size :]:
        ax.set_visible(False)
        panels[shown.size - columns].tick_params(labelbottom=True)
    figure.supxlabel(x, fontsize="medium")
    figure.supylabel(_label(three), fontsize="medium")
    some = f": {shown.size} of {order.size} levels" if shown.size < order.size else ""
    lines = [line for line in panels[-1 if shown.size == panels.size else shown.size - 1].lines
             if not line.get_label().startswith("_")]  # fmt: skip
    figure.legend(lines, [line.get_label() for line in lines], ncols=3, loc="outside upper center",
                  fontsize="small", title=f"{three.sizes.index.name}{some}")  # fmt: skip
    return panels[: shown.size]


def _columns(three: ThreePoolings) -> dict[str, Array]:
    """The columns (n,) behind a group's coefficients."""
    fit = three.fit
    columns = {n: z for t in fit.terms for n, z in zip(t.names, t.Z.T, strict=True)}
    columns |= dict(zip(fit.names, fit.X.T, strict=True))
    return {name: columns[name] for name in three.partial.coef.columns}


def _numeric_columns(three: ThreePoolings) -> dict[str, Array]:
    levels = three.fit.design.recipe.levels
    return {n: c for n, c in _columns(three).items() if levels.get(n, "") is None}


def _rows_of(three: ThreePoolings, j: int) -> NDArray[np.intp]:
    finest = max(three.fit.terms, key=lambda term: term.n_levels)
    return np.flatnonzero(finest.index == j)


def _panel(ax: Axes, three: ThreePoolings, j: int, x: str, values: Array) -> None:
    fit, rows = three.fit, _rows_of(three, j)
    here = values[rows]
    y = fit.y[rows]
    if fit.offset is not None and fit.response_family.link.name == "log":
        y = y * np.exp(-fit.offset[rows])
    if is_binary(fit):
        ax.plot(here, dealt_out(y), "|", color=LIGHT, markersize=5, zorder=1)
        if rows.size >= 30:
            ax.plot(*in_bins(here, y)[:2], "o", color=LIGHT, markersize=4, zorder=1)
    else:
        ax.plot(here, y, "o", color=LIGHT, markersize=3.5, markeredgewidth=0, zorder=1)
    grid = np.linspace(values.min(), values.max(), GRID)
    along = np.column_stack(
        [_along(name, column[rows], here, grid, x) for name, column in _columns(three).items()]
    )
    for pooled in (three.complete, three.none, three.partial):
        colour, dash, width, _, label = _LOOKS[pooled.kind]
        coef = pooled.coef.iloc[j].copy()
        if not coef.isna().all():  # what the group's own coefficients took up
            coef = coef.fillna(0.0)
        eta = along @ coef
        ax.plot(grid, fit.response_family.link.mu(eta), linestyle=dash, color=colour,
                linewidth=width, label=label)  # fmt: skip
    shown = y if not is_binary(fit) else np.array([-0.05, 1.05])
    pad = 0.05 * (np.ptp(shown) or np.std(fit.y))  # a group of one row has no range
    low, high = ax.get_ylim() if ax.lines and ax.get_autoscaley_on() is False else (np.inf, -np.inf)
    ax.set_ylim(min(low, shown.min() - pad), max(high, shown.max() + pad))
    title = f"{three.sizes.index[j]}  (n = {rows.size})"
    ax.set_title(title, fontsize="small")


def _along(name: str, column: Array, here: Array, grid: Array, x: str) -> Array:
    """A column of the model over the grid of x: as x moves it in this group, or at its mean."""
    if name == x:
        return grid
    at, first = np.unique(here, return_index=True)
    speaks_of_x = re.search(rf"(?<!\w){re.escape(x)}(?!\w)", name) is not None
    follows = speaks_of_x and np.allclose(column[first][np.searchsorted(at, here)], column)
    if not follows or at.size < 2 or np.ptp(column) == 0:
        return np.full(grid.size, column.mean())
    order = min(2, at.size - 1)
    curve = np.polynomial.Polynomial.fit(at, column[first], order)
    return curve(grid) if np.allclose(curve(at), column[first], atol=1e-8) else np.interp(
        grid, at, column[first]
    )  # fmt: skip


def _label(three: ThreePoolings) -> str:
    fit = three.fit
    name = response_name(fit)
    if is_binary(fit):
        return f"share of {name}"
    per_unit = fit.offset is not None and fit.response_family.link.name == "log"
    return f"{name} for one unit of exposure" if per_unit else name


def _estimates(three: ThreePoolings, level: float) -> Axes:
    """The three estimates of each group's first coefficient, by number of rows."""
    name = three.partial.coef.columns[0]
    order = np.argsort(three.sizes.to_numpy(), kind="stable")
    at, few = np.arange(order.size), order.size <= _MANY
    ax = axes_or_new(None, width=max(6.4, 0.28 * order.size) if few else 9.0)
    z = normal_quantile(level)
    complete = three.complete.coef[name].iloc[0]
    colour, dash, width, _, label = _LOOKS["complete"]
    ax.axhline(complete, linestyle=dash, color=colour, linewidth=width, label=label)
    for pooled, nudge in ((three.none, -0.15), (three.partial, 0.15)):
        colour, _, _, marker, label = _LOOKS[pooled.kind]
        estimate = pooled.coef[name].to_numpy()[order]
        half = z * pooled.se[name].to_numpy()[order]
        ax.errorbar(at + nudge, estimate, half, fmt=marker, color=colour, markersize=4,
                    elinewidth=0.9, label=f"{label}, {100 * level:g} %")  # fmt: skip
    labels = [f"{three.sizes.index[j]} ({three.sizes.iloc[j]})" for j in order]
    ax.set_xticks(at if few else [], labels if few else [], rotation=90, fontsize="small")
    ax.set_xlabel(f"{three.sizes.index.name} (rows), from few rows to many")
    link = three.fit.response_family.link.name
    ax.set_ylabel(f"{name}{'' if link == 'identity' else f', {link} scale'}")
    ax.legend(fontsize="small")
    return ax
