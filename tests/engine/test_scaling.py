"""Columns on a common scale."""

import numpy as np
import pytest

from mixedlab.engine.scaling import orthonormal_basis, term_basis
from mixedlab.errors import DataError


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
