"""Which rows of a table can be used, and what is refused before a model is fitted."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mixedlab.data.columns import first_rows, unknown_column
from mixedlab.errors import DataError, DataWarning, listed


def one_a_row(
    values: ArrayLike | str | None, what: str, table: pd.DataFrame, source: str
) -> NDArray[np.float64] | None:
    """Weights or offset, given as an array or as a column's name."""
    if values is None:
        return None
    if isinstance(values, str):
        if values not in table.columns:
            raise DataError(f"{what}: {unknown_column(values, table, source).message}")
        values = table[values]
    try:
        if isinstance(values, pd.Series):  # the dtypes with their own missing value
            array = values.to_numpy(dtype=float, na_value=np.nan)
        else:
            array = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise DataError(f"{what} must be numbers.") from None
    if array.shape != (len(table),):
        raise DataError(
            f"{what} has shape {array.shape}: give one value for each of the {len(table)} rows."
        )
    return array


def take_rows(values: NDArray | None, rows: NDArray[np.intp]) -> NDArray | None:
    """The values of the rows in use."""
    if values is None or len(rows) == len(values):
        return values
    return values[rows]


def summed(parts: list[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
    """Sum of the columns that are given; None where there is none."""
    given = [part.reshape(-1) for part in parts if part is not None]
    return np.sum(given, axis=0) if given else None


def complete_rows(gaps: dict[str, NDArray[np.bool_]], n: int) -> NDArray[np.intp]:
    """Rows without a gap in any column."""
    missing = np.zeros(n, dtype=bool)
    for gap in gaps.values():
        missing |= gap
    if missing.all():
        worst = max(gaps, key=lambda name: gaps[name].sum()) if gaps and n else None
        where = f": {worst!r} is missing in {gaps[worst].sum()} of {n}" if worst else ""
        raise DataError(f"No row is complete{where}.")
    return np.flatnonzero(~missing)


def report_missing(gaps: dict[str, NDArray[np.bool_]], n: int, n_kept: int) -> None:
    """Warn once, with the number of gaps by column, where rows were left out."""
    if n_kept < n:
        counts = [f"{name} ({gap.sum()})" for name, gap in gaps.items() if gap.any()]
        warnings.warn(
            f"{n - n_kept} of {n} rows left out for missing values in {listed(counts)}.",
            DataWarning,
            stacklevel=4,
        )


def refuse_infinite(values: NDArray[np.float64], name: str, rows: NDArray[np.intp]) -> None:
    """Raise where a column has an infinite value."""
    infinite = np.isinf(values)
    if infinite.any():
        raise DataError(
            f"{name!r} has {infinite.sum()} infinite values, in {first_rows(infinite, rows)}: "
            "replace or leave out those rows."
        )


def refuse_nonpositive_weights(weights: NDArray[np.float64] | None, rows: NDArray[np.intp]) -> None:
    """Raise where a weight is zero or negative."""
    if weights is not None and (weights <= 0).any():
        raise DataError(
            f"weights must be positive; they are not in {first_rows(weights <= 0, rows)}. "
            "Leave out rows that should not count."
        )


def refuse_duplicates(table: pd.DataFrame, names: Iterable[str]) -> None:
    """Raise where a name stands for several columns."""
    for name in names:
        if isinstance(table[name], pd.DataFrame):
            raise DataError(f"The data have several columns named {name!r}: rename them.")


def refuse_one_level(frame: pd.DataFrame, names: Iterable[str]) -> None:
    """Raise where a factor of the fixed part has one level in the rows used."""
    for name in names:
        if frame[name].dtype == "category" and len(frame[name].cat.categories) == 1:
            raise DataError(
                f"Factor {name!r} has one level in the rows used "
                f"({frame[name].cat.categories[0]!r}): it has no effect to estimate, "
                "leave it out of the fixed part."
            )


def unused_levels(
    table: pd.DataFrame, rows: NDArray[np.intp], names: Iterable[str]
) -> dict[str, tuple]:
    """Levels of factors that no row used has."""
    unused = {}
    for name in names:
        if name in table.columns and isinstance(table[name].dtype, pd.CategoricalDtype):
            column = table[name].cat
            missing = np.setdiff1d(np.arange(len(column.categories)), column.codes.to_numpy()[rows])
            if len(missing):
                unused[name] = tuple(column.categories[missing])
    return unused
