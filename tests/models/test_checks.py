"""Arrays that do not make a model are refused in words."""

import numpy as np
import pytest

from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError
from mixedlab.models import checks


def test_a_matrix_gets_names_and_keeps_its_own():
    X, names = checks.matrix([[1, 2], [1, 3]], None)
    assert X.dtype == float
    assert names == ("x1", "x2")
    assert checks.matrix(X, ["a", "b"])[1] == ("a", "b")


@pytest.mark.parametrize(
    ("X", "names", "words"),
    [
        (np.ones(3), None, "give a matrix"),
        (np.ones((3, 2)), ["a"], "1 names for the 2 columns"),
        (np.array([[1.0, np.nan]]), ["a", "b"], "'b' of X has missing"),
    ],
)
def test_a_matrix_that_is_none(X, names, words):
    with pytest.raises(DataError, match=words):
        checks.matrix(X, names)


def test_a_column_and_a_term_fit_the_rows():
    np.testing.assert_array_equal(checks.column("y", [1, 2], 2), [1.0, 2.0])
    with pytest.raises(DataError, match=r"y has shape \(2,\)"):
        checks.column("y", [1, 2], 3)
    with pytest.raises(DataError, match="the first in row 1"):
        checks.column("offset", [1, np.inf], 2)
    term = RandomTerm.from_arrays(["a", "b", "b"])
    checks.random_term(term, 3)
    with pytest.raises(DataError, match="has 3 rows, X has 4"):
        checks.random_term(term, 4)
    with pytest.raises(DataError, match="one level"):
        checks.random_term(RandomTerm.from_arrays(["a", "a"]), 2)
    with pytest.raises(DataError, match="not finite"):
        checks.random_term(RandomTerm.from_arrays(["a", "b"], [[1.0], [np.nan]]), 2)


def test_dependent_columns_are_named():
    X = np.column_stack([np.ones(4), np.arange(4), 2 + 3 * np.arange(4)])
    with pytest.raises(DataError, match="a, b, c of X are linearly dependent"):
        checks.independent_columns(X, ["a", "b", "c"])
    checks.independent_columns(X[:, :2], ["a", "b"])
