"""Stacks of small matrices against numpy, one matrix at a time."""

import numpy as np
import pytest

from mixedlab.engine.blocks import (
    cholesky,
    identity_plus_square,
    orthogonalise,
    orthonormal_basis,
    remove,
    solve_lower,
    solve_upper,
    term_basis,
)
from mixedlab.errors import DataError


@pytest.mark.parametrize("q", [1, 2, 3, 5])
def test_cholesky_and_solves(q):
    rng = np.random.default_rng(q)
    F = rng.normal(size=(q, q, 7))
    N = identity_plus_square(F)
    L = cholesky(N.copy())
    B = rng.normal(size=(q, 3, 7))
    down, up = solve_lower(L, B.copy()), solve_upper(L, B.copy())
    for j in range(7):
        full = np.eye(q) + F[:, :, j] @ F[:, :, j].T
        np.testing.assert_allclose(np.tril(N[:, :, j]), np.tril(full))
        root = np.linalg.cholesky(full)
        np.testing.assert_allclose(np.tril(L[:, :, j]), root)
        np.testing.assert_allclose(root @ down[:, :, j], B[:, :, j])
        np.testing.assert_allclose(root.T @ up[:, :, j], B[:, :, j])


def test_orthogonalise_within_levels():
    rng = np.random.default_rng(0)
    index = rng.integers(0, 5, 60)
    Z = np.vstack([np.ones(60), rng.normal(size=(2, 60))])
    Z[2, index == 3] = 2 * Z[1, index == 3] + 1  # aliased in one level only
    Q = Z.copy()
    U = orthogonalise(index, 5, Q)
    for j in range(5):
        here = index == j
        np.testing.assert_allclose(Q[:, here].T @ U[:, :, j], Z[:, here].T, atol=1e-10)
        gram = Q[:, here] @ Q[:, here].T
        np.testing.assert_allclose(gram, np.diag([1, 1, float(j != 3)]), atol=1e-12)


def test_remove_leaves_nothing_along_the_unit_vector():
    rng = np.random.default_rng(0)
    index = rng.integers(0, 4, 40)
    unit = np.ones((1, 40))
    orthogonalise(index, 4, unit)
    column = rng.normal(size=40)
    left = column.copy()
    along = remove(index, 4, unit[0], left)
    np.testing.assert_allclose(np.bincount(index, unit[0] * left, 4), 0, atol=1e-13)
    np.testing.assert_allclose(left + unit[0] * along[index], column)


@pytest.mark.parametrize("weights", [None, np.linspace(0.5, 2.0, 30)])
def test_columns_become_orthonormal_whatever_their_units(weights):
    rng = np.random.default_rng(0)
    X = np.column_stack([np.ones(30), 1e6 + rng.normal(size=30), 1e-6 * rng.normal(size=30)])
    out = np.empty((4, 30))
    basis, logdet = orthonormal_basis(X, weights, out, ("1", "far", "small"))
    np.testing.assert_allclose(out[:3] @ out[:3].T, np.eye(3), atol=1e-10)
    rows = X if weights is None else X * weights[:, None]
    np.testing.assert_allclose(rows @ basis, out[:3].T, atol=1e-8)
    assert logdet == pytest.approx(np.linalg.slogdet(basis)[1])


def test_a_column_of_zeros_is_named():
    X = np.column_stack([np.ones(5), np.zeros(5)])
    with pytest.raises(DataError, match="'nothing'"):
        orthonormal_basis(X, None, np.empty((3, 5)), ("1", "nothing"))


def test_columns_of_a_term_become_uncorrelated():
    rng = np.random.default_rng(1)
    Z = np.column_stack([np.ones(50), 5 + rng.normal(size=50)])
    R = term_basis(Z, None)
    assert R[0, 1] == 0
    own = Z @ np.linalg.inv(R)
    np.testing.assert_allclose(own.T @ own / 50, np.eye(2), atol=1e-12)
    # Dependent columns keep their directions, at unit mean square.
    np.testing.assert_allclose(term_basis(Z[:, [0, 0]], None), np.eye(2))
