"""Which rows are used, what is said of the others, and the response against its family."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedlab.data.design import build_design
from mixedlab.data.formula import parse
from mixedlab.data.rows import (
    MISSING,
    ZERO,
    Rows,
    binomial_response,
    count_response,
    numeric_response,
    one_a_row,
    refuse_constant,
    response_of,
    without_trials,
)
from mixedlab.errors import DataError, DataWarning

RNG = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {"y": RNG.normal(size=12), "x": RNG.normal(size=12), "g": np.repeat(list("abc"), 4)},
    index=[f"r{k}" for k in range(12)],
)


def test_rows_are_left_out_step_by_step_and_counted():
    rows = Rows.all_of(TABLE)
    assert rows.is_all
    assert rows.report() is None
    first = rows.without({"x": np.arange(12) < 2, "g": np.arange(12) == 1})
    second = first.without({"w": np.arange(10) == 0}, ZERO)
    assert second.kept.tolist() == list(range(3, 12))
    assert second.within(first).tolist() == list(range(1, 10))
    assert second.of(TABLE).index[0] == "r3"
    assert second.of(np.arange(12))[0] == 3
    assert (
        second.report()
        == "3 of 12 rows left out for missing values in x (2), g (1), and for zero in w (1)."
    )
    assert second.without({"x": np.zeros(9, dtype=bool)}, MISSING) is second


def test_no_row_left_names_the_worst_column():
    rows = Rows.all_of(TABLE).without({"x": np.ones(12, dtype=bool), "g": np.arange(12) < 3})
    with pytest.raises(DataError, match="'x' is missing in 12 of 12"):
        rows.refuse_none()


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(12)))
def test_a_series_is_taken_by_its_labels(order):
    weights = pd.Series(np.arange(1.0, 13.0), index=TABLE.index)
    np.testing.assert_array_equal(
        one_a_row(weights.iloc[list(order)], "weights", TABLE), weights.to_numpy()
    )
    shuffled = TABLE.iloc[list(order)]
    np.testing.assert_array_equal(one_a_row(weights, "weights", shuffled), weights[shuffled.index])


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (pd.Series(np.ones(12)), r"labels are not those .*none for r0.*by position"),
        (pd.Series(np.ones(12), index=["r0", *TABLE.index[:11]]), r"labels .*weights\.to_numpy"),
        (pd.Series(np.ones(11)), r"shape \(11,\).*12 rows"),
        (["a"] * 12, "must be numbers"),
        ("xx", "no column 'xx'"),
    ],
)
def test_weights_that_do_not_belong_to_the_table(values, says):
    with pytest.raises(DataError, match=says):
        one_a_row(values, "weights", TABLE)


def test_rows_of_weight_zero_are_left_out_and_said():
    weights = np.ones(12)
    weights[[2, 7]] = 0
    with pytest.warns(DataWarning, match=r"2 of 12 rows left out for zero in weights \(2\)"):
        d = build_design("y ~ x + (1 | g)", TABLE, weights=weights)
    expected = build_design("y ~ x + (1 | g)", TABLE.drop(["r2", "r7"]))
    np.testing.assert_array_equal(d.X, expected.X)
    assert d.index.equals(expected.index)
    with pytest.raises(DataError, match=r"must be positive; they are not in row 0"):
        build_design("y ~ x + (1 | g)", TABLE, weights=[-1, *np.ones(11)])


def test_rows_without_a_trial_are_left_out_and_said():
    table = TABLE.assign(won=[0, 1] * 6, lost=[0, 2, 3, 1] * 3)
    with pytest.warns(DataWarning, match=r"3 of 12 rows left out .*cbind\(won, lost\) \(3\)"):
        d = build_design("cbind(won, lost) ~ x + (1 | g)", table, response="binomial")
    assert d.trials.min() == 3 or d.trials.min() == 2
    assert len(d.y) == 9


def test_an_exposure_without_its_log_is_mentioned():
    table = TABLE.assign(n=np.arange(12), hours=np.repeat([24.0, 48, 480], 4))
    with pytest.warns(DataWarning, match=r"'hours' goes from 24 to 480 .*offset\(log"):
        build_design("n ~ x + (1 | g)", table, offset="hours", response="count")
    for right in (np.log(table.hours), np.zeros(12), np.full(12, 3.0)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            build_design("n ~ x + (1 | g)", table, offset=right, response="count")


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
