"""What stands in a table is said; what is no table is refused in words."""

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.errors import DataError
from mixedlab.labs.explorer.columns import as_numbers, check_table, family_of
from tests.labs.explorer import tables


def test_kinds_gaps_and_labels_alike_are_said():
    df = pd.DataFrame(
        {
            "y": [1.5, 2.5, np.nan, 4.5],
            "who": ["Ann", "ann ", "Bob", "Bob"],
            "same": [1, 1, 1, 1],
        }
    )
    check = check_table(df)
    assert (check["y"].kind, check["y"].n_missing) == ("number", 1)
    assert check["same"].kind == "constant"
    assert check["who"].alike == (("Ann", "ann "),)
    assert "str.lower()" in check.words()
    assert "1 of 4 missing" in check.words()


def test_nested_and_crossed_are_told_apart():
    [pair] = check_table(ml.load("penicillin")).pairs
    assert not pair.nested
    df = pd.DataFrame({"y": range(8), "school": list("aaaabbbb"), "class": list("ccddeeff")})
    assert [(p.outer, p.inner, p.nested) for p in check_table(df).pairs] == [
        ("school", "class", True)
    ]


@pytest.mark.parametrize(
    ("values", "family"),
    [([0, 1, 1], "binomial"), ([0, 3, 2], "poisson"), ([18, 27, 20], "gaussian"),
     ([0.5, 0, 2], "gaussian")],
)  # fmt: skip
def test_a_family_is_guessed(values, family):
    assert family_of(values) == family


def test_of_two_labels_the_second_is_one():
    y, success = as_numbers(tables.binary()["well"])
    assert success == "yes"
    assert set(y) == {0.0, 1.0}
    with pytest.raises(DataError, match="3 labels"):
        as_numbers(pd.Series(["a", "b", "c"], name="y"))


two = pd.DataFrame({"y": [1.0, 2.0, 3.0], "g": ["a", "b", "b"]})
BAD = {
    "no DataFrame": ([1, 2], "data must be a table"),
    "one column": (two[["y"]], "separator"),
    "no rows": (two.iloc[:0], "0 rows"),
    "one name twice": (two.rename(columns={"g": "y"}), "Two columns have one name"),
    "all text": (pd.DataFrame({"a": list("abcd"), "b": list("xxyz")}), "can be an outcome"),
    "a group for each row": (two.assign(g=list("abc")), "can name groups"),
    "all missing": (two.assign(y=np.nan, g=None), "can be an outcome"),
    "a backtick": (two.rename(columns={"y": "`"}), "Rename"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_table_is_refused_in_words(name):
    df, words = BAD[name]
    with pytest.raises(DataError, match=words):
        ml.explore(df)
