"""Columns and random terms that the data cannot tell apart, found before a model is fitted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.terms import RandomTerm

# A column whose part not explained by earlier ones is below this share of its length is
# aliased. Rounding leaves about 1e-15; a year column of 2000 to 2010 has 1e-3.
_ALIASED = 1e-9
_ROWS_AT_ONCE = 65_536


def independent_columns(X: NDArray[np.float64]) -> NDArray[np.intp]:
    """Positions of the columns that are no linear combination of earlier ones.

    The triangle R of a QR factorisation has the same linear dependencies as X. It is gathered
    over blocks of rows, so that no second copy of X is made.

    Parameters
    ----------
    X : ndarray, shape (n, p)
    """
    length = np.sqrt(np.einsum("ij,ij->j", X, X))
    unit = np.where(length > 0, length, 1.0)
    R = np.empty((0, X.shape[1]))
    for start in range(0, X.shape[0], _ROWS_AT_ONCE):
        R = np.linalg.qr(np.vstack([R, X[start : start + _ROWS_AT_ONCE] / unit]), mode="r")
    basis = np.empty((R.shape[0], 0))
    kept = []
    for k in range(X.shape[1]):
        rest = R[:, k]
        for _ in range(2):  # the second pass removes what rounding left of the first
            rest = rest - basis @ (basis.T @ rest)
        size = np.linalg.norm(rest)
        if length[k] > 0 and size > _ALIASED:
            basis = np.column_stack([basis, rest / size])
            kept.append(k)
    return np.array(kept, dtype=np.intp)


def is_confounded_with_residual(term: RandomTerm, weights: NDArray[np.float64] | None) -> bool:
    """Whether a random term can stand in for the residual variance.

    The term adds ``Z_i T Z_i'`` to the covariance of level i and the residual adds
    ``sigma2 W_i^-1``. If some symmetric T gives ``Z_i T Z_i' = W_i^-1`` for every level, only
    their sum is identified. That needs no level with more rows than coefficients: one row a
    group with a random intercept is the common case.
    """
    counts = np.bincount(term.index, minlength=term.n_levels)
    q = term.n_coefs
    if counts.max() > q:
        return False
    order = np.argsort(term.index, kind="stable")
    left, right = [], []
    for k in range(q):  # pairs of rows of one level, k places apart
        first = np.arange(len(order) - k)
        same = term.index[order[first]] == term.index[order[first + k]]
        left.append(order[first[same]])
        right.append(order[first[same] + k])
    i, j = np.concatenate(left), np.concatenate(right)
    a, b = np.triu_indices(q)
    products = term.Z[i][:, a] * term.Z[j][:, b] + term.Z[i][:, b] * term.Z[j][:, a]
    w = np.ones(len(term.index)) if weights is None else weights
    target = np.where(i == j, 1.0 / w[i], 0.0)
    scale = np.abs(products).max(axis=0)
    products = products / np.where(scale > 0, scale, 1.0)
    T = np.linalg.lstsq(products, target, rcond=None)[0]
    return bool(np.linalg.norm(products @ T - target) < 1e-8 * np.linalg.norm(target))
