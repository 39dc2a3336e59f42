"""The response against what its family can produce."""

import numpy as np
import pandas as pd
import pytest

from mixedlab.data.formula import parse
from mixedlab.data.response import (
    binomial_response,
    count_response,
    numeric_response,
    refuse_constant,
    response_of,
    without_trials,
)
from mixedlab.errors import DataError

ROWS = np.array([4, 7, 9])


def series(values, name="y"):
    return pd.Series(values, name=name)


def test_numbers_of_any_type():
    np.testing.assert_array_equal(numeric_response(series([1, 2, 3])), [1.0, 2.0, 3.0])
    with pytest.raises(DataError, match=r"'y' is not numeric: it holds 1, 2, 3\. .*to_numeric"):
        numeric_response(series(["1", "2", "3"]).astype("category"))
    with pytest.raises(DataError, match="family='binomial'"):
        numeric_response(series(["no", "yes", "no"]).astype("category"))


def test_rows_are_named_as_in_the_table():
    with pytest.raises(DataError, match=r"counts .* in row 9 "):
        count_response(series([0, 3, 1.5]), ROWS)
    with pytest.raises(DataError, match=r"between 0 and 1; 'y' does not in rows 4, 7 "):
        binomial_response(series([3.0, -1.0, 0.0]), None, ROWS)


def test_the_second_level_is_the_success():
    y, trials = binomial_response(pd.Series(pd.Categorical(["dead", "alive", "dead"])), None, ROWS)
    np.testing.assert_array_equal(y, [1, 0, 1])
    assert trials is None


def test_weights_of_a_proportion_are_its_trials():
    formula = parse("y ~ 1")
    y, weights, trials = response_of(
        [series([0.5, 0.25, 1])], formula, "binomial", np.array([2.0, 4, 1]), ROWS
    )
    assert weights is None
    np.testing.assert_array_equal(y * trials, [1, 1, 1])
    y, weights, trials = response_of([series([1, 2, 3])], formula, "count", np.ones(3), ROWS)
    assert trials is None
    np.testing.assert_array_equal(weights, 1)


def test_rows_without_trials_are_found():
    won, lost = series([0, 1, 0], "won"), series([0, 0, 2], "lost")
    (name,), (mask,) = zip(*without_trials([won, lost]).items(), strict=True)
    assert name == "cbind(won, lost)"
    assert mask.tolist() == [True, False, False]
    assert without_trials([won + 1, lost]) == {}


def test_a_constant_response_explains_nothing():
    with pytest.raises(DataError, match="'y' is 2 in every row"):
        refuse_constant(np.full(3, 2.0), "y")
