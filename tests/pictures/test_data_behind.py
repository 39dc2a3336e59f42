"""Responses as they can be looked at."""

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.errors import MixedlabError
from mixedlab.pictures import data_behind


def test_dealt_out_outcomes_stay_near_their_height_and_the_same():
    y = np.tile([0.0, 1.0], 50)
    seen = data_behind.dealt_out(y)
    assert np.abs(seen - y).max() < 0.04
    np.testing.assert_array_equal(seen, data_behind.dealt_out(y))


def test_bins_hold_all_rows_and_keep_the_mean():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=200), rng.random(200)
    middle, mean, count = data_behind.in_bins(x, y)
    assert count.sum() == 200
    assert np.all(np.diff(middle) > 0)
    assert mean @ count / 200 == pytest.approx(y.mean())


def test_typical_values_occur():
    table = pd.DataFrame(
        {"n": [1, 2, 9, 12], "f": ["a", "b", "b", "c"], "t": [True, True, False] * 1 + [True]}
    )
    made = data_behind.typical(table, n=[5, 6])
    assert made["n"].tolist() == [5, 6]
    assert made["f"].tolist() == ["b", "b"]
    assert made["t"].tolist() == [True, True]


def test_a_missing_column_is_named():
    table = ml.load("sleepstudy")
    fit = ml.lmm("Reaction ~ Days + (1 | Subject)", table)
    with pytest.raises(MixedlabError, match="no column 'day'"):
        data_behind.rows_fitted(fit, table, "day")
    assert data_behind.response_name(fit) == "Reaction"
    assert data_behind.labels_of(fit, table) == []
