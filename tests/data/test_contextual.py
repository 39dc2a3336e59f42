import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.errors import DataError


def test_mean_and_deviation_add_up_to_the_covariate():
    frame = ml.load("hsb82")
    split = ml.within_between(frame, "ses", "school")
    np.testing.assert_allclose(split["ses_mean"] + split["ses_dev"], frame["ses"], atol=1e-12)
    np.testing.assert_allclose(split["ses_mean"], frame["ses_mean"], atol=1e-9)
    np.testing.assert_allclose(
        split.groupby("school", observed=True)["ses_dev"].mean(), 0, atol=1e-12
    )


def test_the_table_given_is_left_alone():
    frame = pd.DataFrame({"x": [1.0, 3.0, 5.0], "g": ["a", "a", "b"]})
    split = ml.within_between(frame, "x", "g")
    assert list(frame.columns) == ["x", "g"]
    assert split["x_mean"].tolist() == [2, 2, 5]
    assert split["x_dev"].tolist() == [-1, 1, 0]


def test_a_missing_value_is_left_out_of_its_group_mean():
    frame = pd.DataFrame({"x": [1.0, np.nan, 3.0, 7.0], "g": ["a", "a", "a", None]})
    split = ml.within_between(frame, "x", "g")
    assert split["x_mean"].tolist()[0] == 2
    assert np.isnan(split["x_mean"].tolist()[1])
    assert split[["x_mean", "x_dev"]].iloc[3].isna().all()


def test_bad_columns_are_named():
    frame = ml.load("machines")
    with pytest.raises(ValueError, match="Did you mean 'score'"):
        ml.within_between(frame, "scores", "Worker")
    with pytest.raises(ValueError, match="'Machine' is not numeric"):
        ml.within_between(frame, "Machine", "Worker")


def test_an_index_of_the_group_s_name_and_columns_of_one_name():
    df = pd.DataFrame({"g": list("aabb"), "x": [1.0, 3.0, 10.0, 12.0]})
    expected = ml.within_between(df, "x", "g")
    indexed = ml.within_between(df.set_index("g", drop=False), "x", "g")
    np.testing.assert_array_equal(indexed["x_dev"], expected["x_dev"])
    with pytest.raises(DataError, match="several columns named 'x'"):
        ml.within_between(pd.concat([df, df[["x"]]], axis=1), "x", "g")
