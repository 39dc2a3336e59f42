"""The response of a model as numbers, checked against what its family can produce."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedlab.data.columns import first_rows
from mixedlab.errors import DataError, listed


def numeric_response(column: pd.Series) -> NDArray[np.float64]:
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


def refuse_constant(y: NDArray[np.float64], name: str) -> None:
    """A response without variation has nothing to explain."""
    if np.all(y == y[0]):
        raise DataError(f"The response {name!r} is {y[0]:g} in every row: nothing varies.")


def count_response(column: pd.Series, rows: NDArray[np.intp]) -> NDArray[np.float64]:
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
    column: pd.Series, weights: NDArray[np.float64] | None, rows: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
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
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Proportion and trials of ``cbind(successes, failures)``."""
    won, lost = numeric_response(successes), numeric_response(failures)
    for name, part in ((successes.name, won), (failures.name, lost)):
        if (part < 0).any():
            raise DataError(
                f"{name!r} is negative in {first_rows(part < 0, rows)}: cbind takes counts of "
                "successes and of failures. Are there more successes than trials?"
            )
    trials = won + lost
    check_whole_trials(won, trials, f"cbind({successes.name}, {failures.name})", rows)
    return won / trials, trials


def check_whole_trials(
    successes: NDArray[np.float64], trials: NDArray[np.float64], name: str, rows: NDArray[np.intp]
) -> None:
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
