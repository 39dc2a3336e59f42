"""Errors in words: the place, the nearest name, the rows."""

import copy
import pickle

import numpy as np
import pytest

from mixedlab.errors import DataError, FormulaError, first_rows, listed, nearest


def test_a_formula_error_shows_the_formula_and_a_caret():
    error = FormulaError("What is wrong.", "y ~ x", 4)
    assert str(error).splitlines() == ["What is wrong.", "", "    y ~ x", "        ^"]
    for again in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert str(again) == str(error)
        assert (again.message, again.source, again.position) == ("What is wrong.", "y ~ x", 4)


def test_input_errors_are_value_errors():
    assert issubclass(DataError, ValueError)
    assert issubclass(FormulaError, ValueError)


@pytest.mark.parametrize(
    ("name", "known", "says"),
    [
        ("days", ["Days", "Subject"], " Did you mean 'Days'?"),
        ("Subjct", ["Days", "Subject"], " Did you mean 'Subject'?"),
        ("zzz", ["a", "b"], " There are: a, b."),
        ("zzz", [], ""),
    ],
)
def test_the_nearest_name(name, known, says):
    assert nearest(name, known) == says


def test_long_lists_are_counted():
    assert listed(range(3)) == "0, 1, 2"
    assert listed(range(20), 2) == "0, 1, ... (20 in all)"


def test_rows_are_named_as_in_the_table():
    assert first_rows([False, True]) == "row 1 (counted from 0)"
    assert first_rows(np.array([True, False, True]), [5, 6, 9]) == "rows 5, 9 (counted from 0)"
