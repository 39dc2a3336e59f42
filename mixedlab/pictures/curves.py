"""Curves: each group's line with the population's, and the profile of a parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mixedlab.errors import MixedlabError, nearest
from mixedlab.inference.profiles import Profile, profile
from mixedlab.inference.tables import normal_quantile
from mixedlab.pictures.data_behind import (
    GRID,
    at_one_exposure,
    dealt_out,
    held_at,
    is_binary,
    labels_of,
    middle,
    over_range,
    response_name,
    rows_fitted,
    typical,
)
from mixedlab.pictures.style import (
    BLUE,
    GREEN,
    GREY,
    LIGHT,
    ORANGE,
    PURPLE,
    SKY,
    at_least_one,
    axes_or_new,
    term_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedlab.models.fit import MixedFit

_MOST_ARMS = 4
_ARMS = ((ORANGE, "-"), (BLUE, "--"), (GREEN, "-."), (PURPLE, ":"))


def spaghetti(
    fit: MixedFit,
    data: pd.DataFrame,
    x: str,
    group: str | None = None,
    *,
    at_most: int = 60,
    ax: Axes | None = None,
) -> Axes:
    """Each group's data and fitted curve, and the population's curve through them.

    Parameters
    ----------
    fit : MixedFit
        From a formula.
    data : DataFrame
        The table that was fitted.
    x : str
        Numeric column for the horizontal axis. Other columns are held at a typical value (median,
        or most frequent level): a group's own where they do not vary within groups, else the
        table's, which the title names.
        Factors and 0/1 columns that do not vary within groups, such as the arms of a trial, have
        a named population curve for each level.
    group : str, optional
        Grouping factor, one column; by default that of the first term.
    at_most : int
        Groups drawn; where there are more, evenly spaced ones.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes
        The points of a group are joined where they are one series, measured at the same few
        values of x as the others'; 0/1 outcomes and rows of different persons are not.

    Examples
    --------
    >>> import mixedlab as ml
    >>> df = ml.load("sleepstudy")
    >>> fit = ml.lmm("Reaction ~ Days + (Days | Subject)", df)
    >>> ax = ml.pictures.spaghetti(fit, df, "Days")
    >>> ax.get_xlabel()
    'Days'
    """
    at_least_one(at_most)
    name = fit.terms[term_of(fit, group)].group
    rows = rows_fitted(fit, data, x)
    if name not in rows.columns:
        raise MixedlabError(
            f"{name!r} combines columns; name a grouping factor that is one column with group=."
        )
    levels = list(dict.fromkeys(rows[name].dropna()))
    shown = [levels[i] for i in np.unique(np.linspace(0, len(levels) - 1, at_most).astype(int))]
    arms = _arms(fit, rows, name, x)
    held = _held_within(fit, rows, name, x)
    offset = fit.rows(typical(rows, **{x: [middle(rows[x])]}), "none").offset[0]
    y = at_one_exposure(fit, offset)
    y = dealt_out(y) if is_binary(fit) else y
    joined = _is_series(fit, rows, x, name)
    ax = axes_or_new(ax)
    for i, level in enumerate(shown):
        own = rows[rows[name] == level].sort_values(x)
        if joined:
            ax.plot(own[x], y[own.index], "-", color=LIGHT, linewidth=0.6, zorder=1)
        ax.plot(own[x], y[own.index], ".", color=LIGHT, markersize=3, zorder=1)
        grid = typical(own, **held, **{x: over_range(own[x])})
        label = f"each {name}, fitted" if i == 0 else None
        curve = fit.predict(grid, kind="conditional")
        ax.plot(grid[x], curve, color=SKY, linewidth=0.9, zorder=2, label=label)
    for (arm, part), (colour, dash) in zip(arms.items(), _ARMS, strict=False):
        grid = typical(part, **held, **{x: over_range(rows[x])})
        population = fit.predict(grid, kind="population")
        ax.plot(grid[x], population, dash, color=colour, linewidth=2.8, zorder=3,
                label=f"population{arm and f', {arm}'}")  # fmt: skip
    ax.set_xlabel(x)
    ax.set_ylabel(response_name(fit))
    some = [f"{len(shown)} of {len(levels)} levels of {name}"] if len(shown) < len(levels) else []
    if held:
        some.append(f"curves at {held_at(fit, typical(rows, **held), {x}, held)}")
    ax.set_title("; ".join(some), fontsize="small")
    ax.legend(fontsize="small")
    return ax


def _arms(fit: MixedFit, rows: pd.DataFrame, group: str, x: str) -> dict[str, pd.DataFrame]:
    """The rows of each combination of factors that do not vary within groups, by its name."""
    grouped = rows.groupby(group, observed=True)
    others = [name for name in labels_of(fit, rows) if name not in (x, group)]
    factors = [name for name in others if (grouped[name].nunique() <= 1).all()]
    if not factors:
        return {"": rows}
    made = {
        ", ".join(f"{n} = {v}" for n, v in zip(factors, values, strict=True)): part
        for values, part in rows.groupby(factors, observed=True)
    }
    return made if len(made) <= _MOST_ARMS else {"": rows}


def _held_within(fit: MixedFit, rows: pd.DataFrame, group: str, x: str) -> dict[str, list]:
    """The columns of fixed part and offset that vary within groups, the same for all curves."""
    formula = fit.design.recipe.formula
    names = dict.fromkeys(n for part in (formula.fixed, *formula.offsets) for n in part.columns)
    if isinstance(fit.design.recipe.offset, str):
        names[fit.design.recipe.offset] = None
    counts = rows.groupby(group, observed=True)
    exposures = {n for part in formula.offsets for n in part.columns} | {fit.design.recipe.offset}
    return {
        name: [middle(rows[name])] * GRID
        for name in names
        if name not in (x, group) and (name in exposures or (counts[name].nunique() > 1).any())
    }


def _is_series(fit: MixedFit, rows: pd.DataFrame, x: str, group: str) -> bool:
    """Whether a group's rows are one series: at most one row at each of a few values of x."""
    once = not rows.duplicated([group, x]).any()
    return once and not is_binary(fit) and 3 * rows[x].nunique() <= len(rows)


def profile_zeta(
    fit: MixedFit | Profile,
    parameter: str,
    *,
    level: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """The signed root of the deviance's rise against a parameter's value.

    A straight line means that the estimate is as good as normal and that the Wald interval will
    do. The dashed tangent at the estimate is what Wald assumes.

    Parameters
    ----------
    fit : MixedFit or Profile
        A profile made by `mixedlab.inference.profiles.profile` is not made again.
    parameter : str
        A row's name in ``fit.confint(method="profile")``.
    level : float
        Level of the interval that is marked.
    ax : matplotlib Axes, optional

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    >>> ax = ml.pictures.profile_zeta(fit, "Days")
    >>> ax.get_xlabel()
    'Days'
    """
    made = fit if isinstance(fit, Profile) else profile(fit, [parameter], level)
    if parameter not in made.curves:
        raise MixedlabError(
            f"There is no profile of {parameter!r}.{nearest(parameter, made.curves)}"
        )
    curve = made.curves[parameter]
    if curve.value.size < 2:
        raise MixedlabError(f"{parameter!r} is not defined: one of its variances is zero.")
    z = normal_quantile(level)
    ax = axes_or_new(ax)
    ends = [curve.at(-z), curve.at(z)]
    smooth = np.linspace(curve.zeta[0], curve.zeta[-1], 200)
    ax.plot([curve.at(v) for v in smooth], smooth, color=BLUE, linewidth=2, label="profile")
    ax.plot(curve.value, curve.zeta, ".", color=BLUE)
    here = int(np.argmin(np.abs(curve.zeta)))
    near = [k for k in (here - 1, here + 1) if 0 <= k < curve.zeta.size]
    slope = np.mean([(curve.zeta[k]) / (curve.value[k] - curve.estimate) for k in near])
    span = np.array([curve.value[0], curve.value[-1]])
    ax.plot(span, slope * (span - curve.estimate), "--", color=GREY, label="if it were normal")
    for end, sign in zip(ends, (-1, 1), strict=True):
        ax.vlines(end, min(0, sign * z), max(0, sign * z), color=ORANGE, linewidth=1.2)
        ax.plot(end, sign * z, "D", color=ORANGE, markersize=5)
    ax.hlines(0, *ends, color=ORANGE, linewidth=2.5, label=f"{100 * level:g} % interval")
    ax.plot(curve.estimate, 0, "o", color=BLUE)
    ax.set_ylim(1.1 * curve.zeta[0] - 0.1, 1.1 * curve.zeta[-1] + 0.1)
    ax.set_xlabel(parameter)
    ax.set_ylabel("zeta")
    ax.legend(fontsize="small")
    return ax
