"""What stands behind a picture's curves: responses as they can be looked at, and rows to predict.

A 0/1 outcome is no height: its points are dealt out a little about 0 and 1, or counted in bins.
Counts with an exposure are brought to one exposure, so that points and curves speak of the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedlab.data.columns import as_frame, refuse_unusable
from mixedlab.errors import MixedlabError, nearest
from mixedlab.pictures.style import check_fit

if TYPE_CHECKING:
    from mixedlab.models.fit import MixedFit

Array = NDArray[np.float64]

GRID = 60
_BINS = 12


def response_name(fit: MixedFit) -> str:
    """The left side of the formula, for an axis."""
    return fit.formula.split("~")[0].strip()


def is_binary(fit: MixedFit) -> bool:
    """Whether each row is one outcome, 0 or 1."""
    return fit.response_family.counts_trials and bool(np.isin(fit.y, (0.0, 1.0)).all())


def rows_fitted(fit: MixedFit, data: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The rows of the table that were fitted.

    Raises
    ------
    MixedlabError
        For a fit from arrays, a table that is not the one fitted, and a column that is not there.
    """
    check_fit(fit)
    if fit.design is None:
        raise MixedlabError("This picture needs a fit from a formula, not one from arrays.")
    table = as_frame(data)
    for name in columns:
        if name not in table.columns:
            raise MixedlabError(
                f"There is no column {name!r} in the data.{nearest(name, table.columns)}"
            )
    refuse_unusable(table, table.columns.unique())
    if len(table) > fit.design.rows.max(initial=0):
        rows = table.iloc[fit.design.rows].reset_index(drop=True)
        if np.allclose(fit.rows(rows, "none").X, fit.X):
            return rows
    raise MixedlabError(
        f"The data are not the table that was fitted, whose {fit.n_obs} rows the picture shows: "
        "give that table, in its order."
    )


def dealt_out(y: Array, width: float = 0.035) -> Array:
    """0/1 outcomes, each a little off its height, always in the same way."""
    return y + np.random.default_rng(0).uniform(-width, width, y.size)


def in_bins(x: Array, y: Array, weights: Array | None = None) -> tuple[Array, Array, Array]:
    """Mean x, mean y and number of rows in about a dozen bins with as many rows each."""
    order = np.argsort(x, kind="stable")
    parts = np.array_split(order, int(np.clip(x.size // 15, 2, _BINS)))
    w = np.ones(x.size) if weights is None else weights
    means = [(x[p].mean(), np.average(y[p], weights=w[p]), p.size) for p in parts if p.size]
    return tuple(np.array(column) for column in zip(*means, strict=True))


def typical(rows: pd.DataFrame, **varying) -> pd.DataFrame:
    """Rows that differ in the ``varying`` columns only, others at a typical value that occurs."""
    n = max(len(values) for values in varying.values())
    made = {name: pd.Series([middle(column)] * n) for name, column in rows.items()}
    for name, column in rows.items():
        if isinstance(column.dtype, pd.CategoricalDtype):
            made[name] = made[name].astype(column.dtype)
    return pd.DataFrame(made | {name: pd.Series(values) for name, values in varying.items()})


def middle(column: pd.Series) -> object:
    """A typical value that occurs (a number may be a label): the median, or the commonest."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.sort_values(ignore_index=True)[(len(column) - 1) // 2]
    return column.mode().iloc[0]


def over_range(column: pd.Series) -> Array:
    """Values from a column's least to its largest; raises where it holds no numbers."""
    if not pd.api.types.is_numeric_dtype(column.dtype):
        raise MixedlabError(
            f"Column {column.name!r} holds no numbers ({column.dtype}): it has no place on a "
            "horizontal axis. Turn dates into days since the first."
        )
    return np.linspace(column.min(), column.max(), GRID)


def at_one_exposure(fit: MixedFit, grid_offset: float) -> Array:
    """Responses (n,) as they would be with one offset, where the link is a logarithm."""
    if fit.offset is None or fit.response_family.link.name != "log":
        return fit.y
    return fit.y * np.exp(grid_offset - fit.offset)


def labels_of(fit: MixedFit, rows: pd.DataFrame) -> list[str]:
    """Columns of the fixed part that tell kinds of rows apart: factors, and two numbers."""
    recipe = fit.design.recipe
    return [
        name
        for name in recipe.formula.fixed.columns
        if recipe.levels.get(name) is not None or rows[name].nunique() == 2
    ]


def held_at(fit: MixedFit, row: pd.DataFrame, moving: set, of: Iterable[str] | None = None) -> str:
    """The columns of fixed part and offset that stand still (those ``of`` them), and where."""
    formula = fit.design.recipe.formula
    parts = (formula.fixed, *formula.offsets)
    names = dict.fromkeys(n for part in parts for n in part.columns if n not in moving)
    values = [(n, row[n].iloc[0]) for n in names if of is None or n in of]
    return ", ".join(f"{n} {v:.4g}" if isinstance(v, float) else f"{n} {v}" for n, v in values)
