"""Random terms from arrays, and too many parameters said in words before a fit."""

import warnings

import numpy as np
import pytest

from mixedlab.engine.terms import RandomTerm, check_parameters
from mixedlab.errors import DataError
from mixedlab.models.linear import fit_linear


def full(levels, n, group="g"):
    """A term ``(f | g)``: a coefficient for each level of a factor."""
    f = np.arange(n) % levels
    return RandomTerm.from_arrays(np.arange(n) // levels, np.eye(levels)[f], group=group)


def test_levels_are_sorted_and_an_intercept_is_the_default():
    term = RandomTerm.from_arrays(["b", "a", "b"])
    assert term.levels == ("a", "b")
    assert term.index.tolist() == [1, 0, 1]
    assert term.Z.tolist() == [[1.0], [1.0], [1.0]]
    with pytest.raises(ValueError, match="2 group labels"):
        RandomTerm.from_arrays(["a", "b"], np.ones((3, 1)))


def test_more_covariances_than_rows_are_refused_before_the_fit():
    term = full(120, 2_400)
    y = np.random.default_rng(0).normal(size=2_400)
    with pytest.raises(DataError, match="7260 variances and covariances: more than 2400 rows"):
        fit_linear(y, np.ones((2_400, 1)), [term])


def test_hundreds_of_covariances_are_said_to_take_long():
    with pytest.warns(RuntimeWarning, match=r"40 coefficients a level .* may take minutes"):
        check_parameters([full(40, 4_000)], 4_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_parameters([full(10, 200), full(5, 200, "h")], 200)
