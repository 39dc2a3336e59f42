"""Random terms from arrays, and too many parameters said in words before a fit."""

import warnings

import numpy as np
import pytest

from mixedlab.engine.terms import Layout, RandomTerm, check_parameters
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


def layout():
    a, b = np.arange(12) % 3, np.arange(12) % 6
    x = np.arange(12.0)
    return Layout.of([
        RandomTerm.from_arrays(a, np.column_stack([np.ones(12), x]), group="a"),
        RandomTerm.from_arrays(b, group="b"),
        RandomTerm.from_arrays(a, x, group="a"),
    ])  # fmt: skip


def test_terms_by_falling_number_of_levels_and_columns_first():
    found = layout()
    assert found.slices == (slice(1, 4), slice(0, 1), slice(4, 5))
    assert found.n_theta == 5
    blocks = found.unpack(np.arange(5.0))
    assert blocks[0].tolist() == [[1.0, 0.0], [2.0, 3.0]]
    np.testing.assert_array_equal(found.pack(blocks), np.arange(5.0))


def test_terms_of_one_factor_share_a_block_diagonal_factor():
    found = layout()
    assert [f.terms for f in found.factors] == [(0, 2), (1,)]
    whole = found.by_factor(found.unpack(np.arange(5.0)))
    assert whole[0].tolist() == [[1, 0, 0], [2, 3, 0], [0, 0, 4]]
    np.testing.assert_array_equal(whole[0], found.factors[0].lambda_of(np.arange(5.0)))
