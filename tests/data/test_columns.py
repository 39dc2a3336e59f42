"""One meaning for each kind of column, and what is likely a mistake of reading is said."""

import datetime
import decimal
import warnings

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.data.columns import (
    as_frame,
    factorized,
    level_numbers,
    numbers_of,
    typed,
    typed_as,
)
from mixedlab.errors import DataError, DataWarning


def column(values, dtype=None):
    return pd.Series(values, name="x", dtype=dtype)


@pytest.mark.parametrize(
    "made",
    [
        column([1, 2, 4]),
        column([1, 2, 4], "Int64"),
        column([1.0, 2, 4], "Float64"),
        column([1, 2, 4], object),
        column([decimal.Decimal("1"), decimal.Decimal("2.0"), decimal.Decimal("4")]),
        column(np.array([1, 2, 4], dtype=np.float32)),
    ],
)
def test_numbers_stay_numbers(made):
    result = typed(made)
    assert isinstance(result.dtype, np.dtype)
    assert result.dtype.kind in "if"
    np.testing.assert_array_equal(result, [1, 2, 4])


def test_arrow_columns():
    pa = pytest.importorskip("pyarrow")
    numbers = typed(column([1, 2, 4], pd.ArrowDtype(pa.int64())))
    assert numbers.dtype == float
    assert typed(column([True, False, True], pd.ArrowDtype(pa.bool_()))).cat.codes.tolist() == [
        1,
        0,
        1,
    ]
    assert list(typed(column(["b", "a"], pd.ArrowDtype(pa.string()))).cat.categories) == ["a", "b"]
    with pytest.raises(DataError, match="dates"):
        typed(column([datetime.date(2020, 1, 1)], pd.ArrowDtype(pa.date32())))


@pytest.mark.parametrize("dtype", [bool, "boolean", object])
def test_booleans_are_a_factor_however_they_are_held(dtype):
    result = typed(column([True, False, True], dtype))
    assert list(result.cat.categories) == [False, True]
    assert result.cat.codes.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "made",
    [
        column(pd.date_range("2020-01-01", periods=3)),
        column(pd.date_range("2020-01-01", periods=3, tz="UTC")),
        column(pd.period_range("2020-01", periods=3, freq="M")),
        column([datetime.date(2020, 1, day) for day in (1, 2, 3)]),
        column(pd.to_timedelta([1, 2, 3], unit="D")),
        column(["2020-01-03", "2020-01-04", "2020-02-04"]),
        column(["3.1.2020", "4.1.2020", "4.2.2020"]),
        column(["2020-01-03 10:30", "2020-01-04 11:15", "2020-02-04 9:00"]),
    ],
)
def test_dates_are_said_unless_declared_labels(made):
    with pytest.raises(DataError, match=r"'x' holds dates.*\.dt\.days.*factor\(x\)"):
        typed(made)
    assert len(typed(made, declared=True).cat.categories) == 3
    assert len(typed(made.astype("category")).cat.categories) == 3


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([f"{k}.5" for k in range(30)], r"30 different numbers as text.*to_numeric\(data\['x'\]\)"),
        (
            [*(f"{k}.5" for k in range(30)), "missing"],
            r"'missing' among them.*na_values=\['missing'\]",
        ),
        ([*map(str, range(30)), "<5", "n/a"], r"30 different numbers as text, and '<5', 'n/a'"),
        (["27,5", "28,1", "3,0", "-4,25"], r"decimal comma.*decimal=','"),
        ([1.5, 2.5, 3.5, 4.5, "none"], "'none' among them"),
    ],
)
def test_numbers_as_text_are_refused_with_the_culprit(values, says):
    with pytest.raises(DataError, match=says):
        typed(column(values))
    assert len(typed(column(values).astype("category")).cat.categories) == len(set(values))
    assert len(typed(column(values), declared=True).cat.categories) == len(set(values))


def test_many_whole_numbers_as_text_may_be_labels_and_are_mentioned():
    with pytest.warns(DataWarning, match=r"240 different numbers as text.*factor of 240 levels"):
        assert len(typed(column([str(k) for k in range(240)])).cat.categories) == 240


@pytest.mark.parametrize(
    "values",
    [
        [str(k) for k in range(12)],
        ["a1", "a2", "a3", "b1"],
        ["0", "1"],
        ["1.5 mg", "3.0 mg", "6.0 mg"],
        ["site 1", "site 2", "3"],
        ["2019", "2020", "2021", "2022"],
        ["<5", "5-10", "10-15", ">15"],
        ["1", "2", "3A", "3B"],
    ],
)
def test_ordinary_labels_get_no_word(values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(typed(column(values)).cat.categories) == len(values)


def test_labels_of_several_types_keep_them_numbers_first():
    codes, levels = factorized(column(["b", 2, "a", 10.5, ("t", 1), None, "b"], object))
    assert levels.tolist() == [2, 10.5, "a", "b", ("t", 1)]
    assert codes.tolist() == [3, 0, 2, 1, 4, -1, 3]


def test_tuples_are_labels():
    values = column([("a", 2), ("b", 1), ("a", 1)])
    codes, levels = factorized(values)
    assert levels.tolist() == [("a", 1), ("a", 2), ("b", 1)]
    assert not isinstance(levels, pd.MultiIndex)
    np.testing.assert_array_equal(level_numbers(values, levels), codes)
    assert level_numbers(column([("z", 1)]), levels).tolist() == [-1]


def test_new_rows_are_coded_by_the_levels_of_the_fit():
    levels = pd.Index(["lo", "hi"])
    assert typed_as(column(["hi", "lo"]), levels).cat.codes.tolist() == [1, 0]
    with pytest.raises(DataError, match=r"not seen: up.*It knows: lo, hi"):
        typed_as(column(["up"]), levels)
    with pytest.raises(DataError, match="'x' holds numbers"):
        typed_as(column(["1"]), None)
    assert typed_as(column([], object), None).dtype == float


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_file_read_with_the_wrong_separator(separator):
    table = pd.DataFrame({separator.join(["y", "x", "g"]): [separator.join("123")]})
    with pytest.raises(DataError, match=r"wrong separator.*sep="):
        as_frame(table)


def test_polars_tables_by_their_columns():
    pl = pytest.importorskip("polars")
    table = pl.DataFrame(
        {"x": [1.5, None, 3.0], "n": [1, 2, None], "f": ["b", "a", "b"], "b": [True, None, False]}
    ).with_columns(pl.Series("e", ["lo", "hi", "lo"], dtype=pl.Enum(["lo", "hi"])))
    for form in (table, table.lazy()):
        made = as_frame(form)
        assert isinstance(made, pd.DataFrame)
        assert made.columns.tolist() == ["x", "n", "f", "b", "e"]
        assert made.isna().sum().tolist() == [1, 1, 0, 1, 0]
        assert made.e.cat.categories.tolist() == ["lo", "hi"]
        assert made.x.dtype.kind == "f"


def test_what_can_become_pandas_does():
    class Foreign:
        def to_pandas(self):
            return pd.DataFrame({"y": [1], "x": [2]})

    assert as_frame(Foreign()).columns.tolist() == ["y", "x"]


@pytest.mark.parametrize("held", [[1, 2], {"a": 1}, {3}, np.zeros(2)])
@pytest.mark.parametrize("name", ["x", "g"])
def test_containers_in_a_column_are_refused_in_words(held, name):
    table = pd.DataFrame({"y": np.arange(12.0) % 5, "x": np.arange(12) % 7, "g": list("abcd") * 3})
    fit = ml.lmm("y ~ x + (1 | g)", table)
    wrong = table.assign(**{name: [held] * 12})
    for go in (
        lambda: ml.lmm("y ~ x + (1 | g)", wrong),
        lambda: fit.predict(wrong),
        lambda: ml.within_between(wrong, "x", "g"),
    ):
        with pytest.raises(DataError, match=f"'{name}' holds a {type(held).__name__} in each row"):
            go()


def test_numbers_of_any_type_are_numbers():
    values = [1.5, None, 2.5]
    for column in (
        pd.Series(values),
        pd.Series(values, dtype="Float64"),
        pd.Series([None if v is None else decimal.Decimal(str(v)) for v in values], dtype=object),
    ):
        read = numbers_of(pd.DataFrame({"x": column}), "x")
        np.testing.assert_array_equal(read, [1.5, np.nan, 2.5])
    for column in (["a", "b", "c"], np.array([1j, 2, 3])):
        with pytest.raises(DataError, match="is not numeric"):
            numbers_of(pd.DataFrame({"x": column}), "x")


def test_columns_named_on_two_levels_are_refused_in_words():
    table = pd.DataFrame(
        np.zeros((4, 2)), columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")])
    )
    with pytest.raises(DataError, match="named on 2 levels"):
        as_frame(table)
