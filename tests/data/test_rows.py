"""Which rows are used, and what is said of the others."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedlab.data.design import build_design
from mixedlab.data.rows import MISSING, ZERO, Rows, one_a_row
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
