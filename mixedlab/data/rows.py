"""Which rows of a table are used, and why the others are not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mixedlab.data.names import unknown_column
from mixedlab.errors import DataError, first_rows, listed

MISSING, ZERO = "missing values", "zero"


@dataclass(frozen=True)
class Rows:
    """The rows of a table that are used.

    Attributes
    ----------
    n : int
        Number of rows of the table.
    kept : ndarray of int
        Row numbers of the rows used, in order.
    left_out : tuple of (why, name, count)
        For each column that made rows be left out: ``"missing values"`` or ``"zero"``.
    """

    n: int
    kept: NDArray[np.intp]
    left_out: tuple[tuple[str, str, int], ...] = ()

    @classmethod
    def all_of(cls, table: pd.DataFrame) -> Rows:
        """Every row of a table."""
        return cls(len(table), np.arange(len(table)))

    @property
    def is_all(self) -> bool:
        """Whether no row is left out."""
        return len(self.kept) == self.n

    def without(self, gaps: dict[str, NDArray[np.bool_]], why: str = MISSING) -> Rows:
        """Leave out more rows; ``gaps`` says which of those kept, by the column to blame."""
        gaps = {name: gap for name, gap in gaps.items() if gap.any()}
        if not gaps:
            return self
        keep = ~np.logical_or.reduce(list(gaps.values()))
        blamed = tuple((why, name, int(gap.sum())) for name, gap in gaps.items())
        return Rows(self.n, self.kept[keep], self.left_out + blamed)

    def of(self, values: Any) -> Any:
        """The values of these rows: of an array, Series or table with all rows, or of None."""
        if values is None or self.is_all:
            return values
        return values.iloc[self.kept] if hasattr(values, "iloc") else values[self.kept]

    def within(self, earlier: Rows) -> NDArray[np.intp]:
        """Places of these rows among those kept earlier."""
        return np.searchsorted(earlier.kept, self.kept)

    def spread(self, values: NDArray, fill: float) -> NDArray:
        """Values of these rows, one for each row of the table; ``fill`` where it is left out."""
        if self.is_all:
            return values
        out = np.full((self.n, *values.shape[1:]), fill, dtype=values.dtype)
        out[self.kept] = values
        return out

    def refuse_none(self) -> None:
        """Raise where no row is left."""
        if len(self.kept):
            return
        worst = max(self.left_out, key=lambda cause: cause[2], default=None)
        verb = "is missing" if worst and worst[0] == MISSING else "is zero"
        where = f": {worst[1]!r} {verb} in {worst[2]} of {self.n}" if worst else ""
        raise DataError(f"No row is complete{where}.")

    def report(self) -> str | None:
        """What was left out and why, with the number of gaps by column."""
        if self.is_all:
            return None
        causes = {why: [] for why, _, _ in self.left_out}
        for why, name, count in self.left_out:
            causes[why].append(f"{name} ({count})")
        why = ", and for ".join(f"{why} in {listed(names)}" for why, names in causes.items())
        return f"{self.n - len(self.kept)} of {self.n} rows left out for {why}."


def gaps_in(table: pd.DataFrame, names: Iterable[str]) -> dict[str, NDArray[np.bool_]]:
    """Where each column is missing."""
    return {name: table[name].isna().to_numpy() for name in names}


def one_a_row(
    values: ArrayLike | str | None, what: str, table: pd.DataFrame
) -> NDArray[np.float64] | None:
    """Weights or offset, given as an array or as a column's name.

    A Series is taken by its labels: it needs those of the table, in any order.

    Raises
    ------
    DataError
        For values that are no numbers, of another number than the rows, or, in a Series, with
        other labels.
    """
    if values is None:
        return None
    if isinstance(values, str):
        if values not in table.columns:
            raise DataError(f"{what}: {unknown_column(values, table.columns).message}")
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
    if not isinstance(values, pd.Series) or values.index.equals(table.index):
        return array
    unique = values.index.is_unique and table.index.is_unique
    place = values.index.get_indexer(table.index) if unique else np.array([-1])
    if (place < 0).any():
        lost = table.index[place < 0] if unique else ()
        without = f" (it has none for {listed(lost, 3)})" if len(lost) else ""
        raise DataError(
            f"{what} is a Series whose labels are not those of the table{without}: put it in the "
            f"table and give the column's name, or give {what}.to_numpy() to have it taken by "
            "position."
        )
    return array[place]


def refuse_infinite(values: NDArray[np.float64], name: str, rows: NDArray[np.intp]) -> None:
    """Raise where a column has an infinite value."""
    infinite = np.isinf(values)
    if infinite.any():
        raise DataError(
            f"{name!r} has {infinite.sum()} infinite values, in {first_rows(infinite, rows)}: "
            "replace or leave out those rows."
        )


def refuse_bad_weights(weights: NDArray[np.float64] | None) -> None:
    """Raise where a weight is negative, or none is positive."""
    if weights is not None and ((weights < 0).any() or (len(weights) and not weights.any())):
        raise DataError(
            f"weights must be positive; they are not in {first_rows(weights <= 0)}. "
            "A row of weight zero is left out."
        )


def raw_exposure(offset: NDArray[np.float64] | None) -> bool:
    """Whether the offset of counts looks like an exposure whose log was not taken."""
    if offset is None or not len(offset) or np.ptp(offset) == 0:
        return False
    return bool((offset >= 0).all() and ((offset % 1 == 0).all() or offset.max() > 25))


def refuse_duplicates(table: pd.DataFrame, names: Iterable[str]) -> None:
    """Raise where a name stands for several columns."""
    if table.columns.is_unique:
        return
    for name in names:
        if isinstance(table[name], pd.DataFrame):
            raise DataError(f"The data have several columns named {name!r}: rename them.")


def unused_levels(table: pd.DataFrame, rows: Rows, names: Iterable[str]) -> dict[str, tuple]:
    """Levels of factors that no row used has."""
    unused = {}
    for name in names:
        if isinstance(table[name].dtype, pd.CategoricalDtype):
            column = table[name].cat
            seen = np.zeros(len(column.categories) + 1, dtype=bool)
            seen[rows.of(column.codes.to_numpy())] = True
            if not seen[:-1].all():
                unused[name] = tuple(column.categories[~seen[:-1]])
    return unused
