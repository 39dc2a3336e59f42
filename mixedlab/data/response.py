"""The response of a model as numbers, checked against what its family can produce."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedlab.data.formula import MixedFormula, Part
from mixedlab.data.matrices import Matrices
from mixedlab.errors import DataError, FormulaError, first_rows, listed

Response = Literal["numeric", "binomial", "count"]
Array = NDArray[np.float64]


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


def response_column(part: Part, columns: dict[str, pd.Series], values: Matrices) -> pd.Series:
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
        levels = (
            column.cat.categories
            if isinstance(column.dtype, pd.CategoricalDtype)
            else pd.unique(column)
        )
        looks = pd.to_numeric(pd.Series(levels, dtype=object), errors="coerce").notna().all()
        remedy = (
            f"Turn it into numbers with pd.to_numeric(data[{column.name!r}])."
            if looks and len(levels)
            else "A response with two levels is for glmm(..., family='binomial')."
        )
        raise DataError(
            f"The response {column.name!r} is not numeric: it holds {listed(levels, 4)}. {remedy}"
        )
    return column.to_numpy(float)


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
