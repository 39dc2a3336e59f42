"""Stacks of small matrices against numpy, one matrix at a time."""

import numpy as np
import pytest

from mixedlab.engine.blocks import (
    cholesky,
    identity_plus_square,
    orthogonalise,
    remove,
    solve_lower,
    solve_upper,
)


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
