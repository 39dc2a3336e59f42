"""Aliased columns and confounded random terms against ranks computed outright."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedlab.data import identifiability
from mixedlab.data.identifiability import independent_columns, is_confounded_with_residual
from mixedlab.engine.terms import RandomTerm


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(0, 4))
def test_keeps_the_earliest_columns_that_span_all(seed, p, extra):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, p))
    X = np.column_stack([X, X @ rng.normal(size=(p, extra))])[:, rng.permutation(p + extra)]
    X *= 10.0 ** rng.integers(-6, 7, p + extra)
    kept = independent_columns(X)
    unit = X / np.linalg.norm(X, axis=0)
    assert len(kept) == np.linalg.matrix_rank(unit, tol=1e-8)
    for k in range(p + extra):  # a column is kept exactly if it adds to those before it
        adds = np.linalg.matrix_rank(unit[:, : k + 1], tol=1e-8) > np.linalg.matrix_rank(
            unit[:, :k], tol=1e-8
        )
        assert (k in kept) == adds


def test_blocks_of_rows_make_no_difference(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 5))
    X[:, 3] = X[:, 0] - 2 * X[:, 1]
    X = np.column_stack([X, np.zeros(1000)])
    whole = independent_columns(X)
    monkeypatch.setattr(identifiability, "_ROWS_AT_ONCE", 64)
    np.testing.assert_array_equal(independent_columns(X), whole)
    np.testing.assert_array_equal(whole, [0, 1, 2, 4])
    assert independent_columns(np.empty((10, 0))).size == 0


def term(index, Z):
    return RandomTerm("g", np.asarray(index), tuple(range(max(index) + 1)), Z, ("a",) * Z.shape[1])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("q", [1, 2])
def test_confounded_where_the_information_is_singular(seed, rows, q):
    """Against the rank of the derivatives of V in all its parameters, written out."""
    rng = np.random.default_rng(seed)
    J = 6
    index = np.repeat(np.arange(J), rows)
    Z = np.column_stack([np.ones(J * rows), rng.normal(size=J * rows)])[:, :q]
    if seed % 2:  # the same columns in every level
        Z = np.tile(Z[:rows], (J, 1))
    same = index[:, None] == index
    slopes = [np.eye(J * rows)]
    for i in range(q):
        for j in range(i + 1):
            E = np.zeros((q, q))
            E[i, j] = E[j, i] = 1.0
            slopes.append(same * (Z @ E @ Z.T))
    flat = np.array([s.ravel() for s in slopes])
    others = np.linalg.matrix_rank(flat[1:], tol=1e-9)
    expected = np.linalg.matrix_rank(flat, tol=1e-9) == others
    assert is_confounded_with_residual(term(index, Z), None) == expected
