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


def test_another_table_than_the_one_fitted_is_refused():
    df = ml.load("sleepstudy")
    fit = ml.lmm("Reaction ~ Days + (Days | Subject)", df)
    others = (df.iloc[:30], df.iloc[:0], df.iloc[::-1], df.assign(Days=df["Days"] + 1))
    for other in others:
        for draw in (ml.pictures.effect, ml.pictures.spaghetti):
            with pytest.raises(MixedlabError, match="not the table that was fitted"):
                draw(fit, other, "Days")
    twice = pd.concat([df, df[["Days"]]], axis=1)
    with pytest.raises(MixedlabError, match="several columns named 'Days'"):
        ml.pictures.spaghetti(fit, twice, "Days")


def test_what_is_no_number_has_no_axis():
    df = ml.load("sleepstudy")
    df["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(df["Days"], unit="D")
    fit = ml.lmm("Reaction ~ Days + (Days | Subject)", df)
    with pytest.raises(MixedlabError, match="'day' holds no numbers"):
        ml.pictures.spaghetti(fit, df, "day")
    df["Age"] = 30
    with pytest.raises(MixedlabError, match="'Age' is not in the fixed part"):
        ml.pictures.effect(fit, df, "Age")
