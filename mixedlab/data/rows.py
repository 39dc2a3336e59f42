"""Which rows of a table are used, why the others are not, and what each brings.

A row brings its response, checked against what the family can produce, a weight and an offset.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mixedlab.data.formula import MixedFormula, Part
from mixedlab.data.names import unknown_column
from mixedlab.errors import DataError, FormulaError, first_rows, listed

Response = Literal["numeric", "binomial", "count"]
Array = NDArray[np.float64]
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


def one_a_row(values: ArrayLike | str | None, what: str, table: pd.DataFrame) -> Array | None:
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
        culprits = listed(map(repr, dict.fromkeys(no_numbers(np.ravel(values)))), 4)
        raise DataError(
            f"{what} must be numbers{culprits and f'; {culprits} cannot be read as one'}."
        ) from None
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


def refuse_infinite(values: Array, name: str, rows: NDArray[np.intp]) -> None:
    """Raise where a column has an infinite value."""
    infinite = np.isinf(values)
    if infinite.any():
        raise DataError(
            f"{name!r} has {infinite.sum()} infinite values, in {first_rows(infinite, rows)}: "
            "replace or leave out those rows."
        )


def refuse_bad_weights(weights: Array | None) -> None:
    """Raise where a weight is negative, or none is positive."""
    if weights is not None and ((weights < 0).any() or (len(weights) and not weights.any())):
        raise DataError(
            f"weights must be positive; they are not in {first_rows(weights <= 0)}. "
            "A row of weight zero is left out."
        )


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


def response_of(
    columns: Sequence[pd.Series],
    formula: MixedFormula,
    kind: Response,
    weights: Array | None,
    rows: NDArray[np.intp],
) -> tuple[Array, Array | None, Array | None]:
    """The response, the prior weights and the trials; weights that are trials are no weights.

    Parameters
    ----------
    columns : sequence of Series
        The response, or successes and failures.
    formula : MixedFormula
    kind : {"numeric", "binomial", "count"}
    weights : ndarray or None
    rows : ndarray of int
        Row numbers in the table, to name a row by.
    """
    if formula.successes_failures is not None:
        if kind != "binomial":
            raise FormulaError(
                "cbind(successes, failures) is for family='binomial'.",
                formula.source,
                formula.response.position,
            )
        if weights is not None:
            raise DataError("cbind gives the number of trials: leave weights= out.")
        y, trials = successes_of_trials(*columns, rows)
        return y, None, trials
    if kind == "binomial":
        y, trials = binomial_response(columns[0], weights, rows)
        return y, None, trials
    y = count_response(columns[0], rows) if kind == "count" else numeric_response(columns[0])
    return y, weights, None


def response_column(
    part: Part, columns: dict[str, pd.Series], values: dict[str, Array]
) -> pd.Series:
    """A column as it is, which may be a factor; or the value of an expression."""
    if part.as_column is not None:
        return columns[part.as_column]
    made = values[part.code]
    if made.shape[1] != 1:
        raise DataError(f"The response {part.text!r} is not one column of numbers.")
    return pd.Series(made[:, 0], name=part.text)


def without_trials(columns: Sequence[pd.Series]) -> dict[str, NDArray[np.bool_]]:
    """Rows of ``cbind(successes, failures)`` without a trial: they have no proportion."""
    none = np.logical_and(*(numeric_response(column) == 0 for column in columns))
    return {_cbind(*columns): none} if none.any() else {}


def numeric_response(column: pd.Series) -> Array:
    """Any numbers that are not all equal."""
    if not pd.api.types.is_numeric_dtype(column.dtype):
        is_factor = isinstance(column.dtype, pd.CategoricalDtype)
        levels = column.cat.categories if is_factor else pd.unique(column)
        raise DataError(
            f"The response {column.name!r} is not numeric: it holds {listed(levels, 4)}. "
            f"{_numbers_from(column.name, list(levels))}"
        )
    return column.to_numpy(float)


def _numbers_from(name: str, levels: list) -> str:
    """How a column of these labels becomes a response."""
    if all(isinstance(level, bool | np.bool_) for level in levels):
        return (
            "True and False are a response for glmm(..., family='binomial'), or pooling with that "
            f"family; for a linear model of the share, data[{name!r}].astype(int)."
        )
    culprits = no_numbers(levels)
    if not culprits:
        return f"Turn it into numbers with pd.to_numeric(data[{name!r}])."
    if len(levels) >= 3 * len(culprits):
        return (
            f"Numbers but for {listed(map(repr, culprits), 4)}: read the file with "
            f"pd.read_csv(..., na_values=[{culprits[0]!r}])."
        )
    return "A response with two levels is for glmm(..., family='binomial')."


def no_numbers(values: Iterable[object]) -> list:
    """Those among some values that cannot be read as numbers."""
    values = pd.Series(list(values), dtype=object)
    return values[pd.to_numeric(values, errors="coerce").isna() & values.notna()].tolist()


def refuse_constant(y: Array, name: str) -> None:
    """A response without variation has nothing to explain."""
    if np.all(y == y[0]):
        raise DataError(f"The response {name!r} is {y[0]:g} in every row: nothing varies.")


def count_response(column: pd.Series, rows: NDArray[np.intp]) -> Array:
    """Whole numbers from 0 on."""
    y = numeric_response(column)
    bad = (y < 0) | (y != np.round(y))
    if bad.any():
        raise DataError(
            f"The response {column.name!r} must be counts 0, 1, 2, ...; "
            f"it is not in {first_rows(bad, rows)}."
        )
    return y


def binomial_response(
    column: pd.Series, weights: Array | None, rows: NDArray[np.intp]
) -> tuple[Array, Array | None]:
    """Proportion of successes and number of trials (None where every row is one trial).

    A factor needs two levels, the second is the success. A proportion strictly between 0 and 1
    needs ``weights``, the number of trials.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        levels = column.cat.categories
        if len(levels) != 2:
            raise DataError(
                f"A binomial response has two levels; {column.name!r} has {len(levels)}: "
                f"{listed(levels)}."
            )
        y = column.cat.codes.to_numpy(float)
    else:
        y = numeric_response(column)
    bad = (y < 0) | (y > 1)
    if bad.any():
        raise DataError(
            f"A binomial response lies between 0 and 1; {column.name!r} does not in "
            f"{first_rows(bad, rows)}. For numbers of successes write cbind(successes, failures)."
        )
    if weights is None:
        between = (y > 0) & (y < 1)
        if between.any():
            raise DataError(
                f"{column.name!r} holds proportions ({first_rows(between, rows)}): give the "
                "number of trials with weights=."
            )
        return y, None
    check_whole_trials(y * weights, weights, column.name, rows)
    return y, weights


def successes_of_trials(
    successes: pd.Series, failures: pd.Series, rows: NDArray[np.intp]
) -> tuple[Array, Array]:
    """Proportion and trials of ``cbind(successes, failures)``."""
    won, lost = numeric_response(successes), numeric_response(failures)
    for name, part in ((successes.name, won), (failures.name, lost)):
        if (part < 0).any():
            raise DataError(
                f"{name!r} is negative in {first_rows(part < 0, rows)}: cbind takes counts of "
                "successes and of failures. Are there more successes than trials?"
            )
    trials = won + lost
    check_whole_trials(won, trials, _cbind(successes, failures), rows)
    return won / trials, trials


def _cbind(successes: pd.Series, failures: pd.Series) -> str:
    return f"cbind({successes.name}, {failures.name})"


def check_whole_trials(successes: Array, trials: Array, name: str, rows: NDArray[np.intp]) -> None:
    """Trials are whole numbers from 1 on, and so many of them are successes."""
    bad = (trials < 1) | (np.abs(trials - np.round(trials)) > 1e-6)
    if bad.any():
        raise DataError(
            f"The number of trials for {name!r} must be 1, 2, 3, ...; it is not in "
            f"{first_rows(bad, rows)}."
        )
    bad = np.abs(successes - np.round(successes)) > 1e-6 * trials
    if bad.any():
        raise DataError(
            f"{name!r} times its number of trials is no whole number of successes in "
            f"{first_rows(bad, rows)}: are the weights the trials?"
        )
