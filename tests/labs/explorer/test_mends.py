"""What is mended by a click is what its line of pandas does."""

import numpy as np
import pandas as pd
import pytest

from mixedlab.labs.explorer.columns import look_at
from mixedlab.labs.explorer.mends import keep_columns, mends_of

TEXT = [str(k) for k in range(1, 20)]
CASES = {
    "labels alike": (["Ann"] * 9 + ["ann "] * 5 + ["Bob"] * 6, "'ann ' is 'Ann'"),
    "text among numbers": ([*TEXT, "not done"], "'not done' becomes missing"),
    "decimal commas": ([f"{k},5" for k in range(20)], "Read as numbers"),
    "dates": ([f"2024-01-{k:02d}" for k in range(1, 21)], "days since the first"),
    "dates of England": ([f"{k:02d}/01/2024" for k in range(1, 21)], "days since the first"),
    "a stand-in": ([1.5, 2.5, 3.5, -99, -99] * 4, "-99 stands 8 times"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mend_does_what_its_line_does(name):
    values, label = CASES[name]
    df = pd.DataFrame({"y": np.sqrt(np.arange(20)), 'a "c"': values})
    [mend] = mends_of(look_at(df))
    assert mend.column == 'a "c"'
    assert label in mend.label
    names = {"pd": pd, "df": df.copy()}
    exec(mend.line, names)
    mended = mend.apply(df)
    pd.testing.assert_frame_equal(names["df"], mended)
    assert mends_of(look_at(mended)) == []
    assert not mended.equals(df)


@pytest.mark.parametrize("values", [TEXT[:10] + list("abcdefghij"), list(range(20)), [99, 98] * 10])
def test_what_is_right_is_left_alone(values):
    assert mends_of(look_at(pd.DataFrame({"y": np.sqrt(np.arange(20)), "a": values}))) == []


def test_columns_are_kept():
    df = pd.DataFrame(np.ones((3, 4)), columns=list("abcd"))
    assert list(keep_columns(["c", "a", "c"]).apply(df)) == ["c", "a"]
