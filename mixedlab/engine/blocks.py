"""Linear algebra on a model's columns, and on stacks of small matrices, one for each level.

Columns are brought to a common scale, so that units and origins cost no digit.

A stack has shape ``(q, q, J)``: the level of a grouping factor is the last axis, so that numpy
loops over the ``q`` coefficients only and each operation is a pass over ``J`` adjacent numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mixedlab.errors import DataError

Array = NDArray[np.float64]

# A column that is left with less than this share of its square length is taken as a combination
# of the columns before it (within its level): what is left of it is rounding.
_RANK_TOLERANCE = 1e-22
# Up to how many rows, and from what length on, their products are taken row by row.
_FEW, _LONG = 8, 1_000


def gram(rows: Array) -> Array:
    """Products ``M M'`` of the rows of a matrix (c, n)."""
    c, n = rows.shape
    if c > _FEW or n < _LONG:
        return rows @ rows.T
    # BLAS is at its slowest with a few long rows times themselves.
    out = np.empty((c, c))
    for k in range(c):
        out[k, : k + 1] = out[: k + 1, k] = rows[: k + 1] @ rows[k]
    return out


def cholesky(stack: Array) -> Array:
    """Lower Cholesky factors of a stack ``(q, q, J)`` of positive definite matrices, in place.

    Only the lower triangles are read and written.
    """
    q = stack.shape[0]
    for k in range(q):
        for m in range(k):
            stack[k, k] -= stack[k, m] ** 2
        np.sqrt(stack[k, k], out=stack[k, k])
        for i in range(k + 1, q):
            for m in range(k):
                stack[i, k] -= stack[i, m] * stack[k, m]
            stack[i, k] /= stack[k, k]
    return stack


def solve_lower(L: Array, B: Array) -> Array:
    """Solve ``L_j X_j = B_j`` in place: ``L`` lower triangular (q, q, J), ``B`` (q, c, J)."""
    for k in range(L.shape[0]):
        for m in range(k):
            B[k] -= L[k, m] * B[m]
        B[k] /= L[k, k]
    return B


def solve_upper(L: Array, B: Array) -> Array:
    """Solve ``L_j' X_j = B_j`` in place: ``L`` lower triangular (q, q, J), ``B`` (q, c, J)."""
    for k in reversed(range(L.shape[0])):
        for m in range(k + 1, L.shape[0]):
            B[k] -= L[m, k] * B[m]
        B[k] /= L[k, k]
    return B


def identity_plus_square(F: Array) -> Array:
    """Stack of ``I + F_j F_j'`` (lower triangles), for ``F`` of shape (q, m, J)."""
    q = F.shape[0]
    out = np.empty((q, q, F.shape[2]))
    for i in range(q):
        for k in range(i + 1):
            np.einsum("mj,mj->j", F[i], F[k], out=out[i, k])
        out[i, i] += 1.0
    return out


def orthogonalise(index: NDArray[np.intp], n_levels: int, Z: Array) -> Array:
    """Orthonormalise the columns of ``Z`` within each level, by modified Gram-Schmidt.

    Parameters
    ----------
    index : ndarray of int, shape (n,)
        Level of each row.
    n_levels : int
        Number of levels J.
    Z : ndarray, shape (q, n)
        The columns, one a row; replaced by orthonormal ones (zero where a column is a
        combination of the columns before it).

    Returns
    -------
    U : ndarray, shape (q, q, J)
        Upper triangular, ``Z_j = Q_j U_j`` with ``Q_j`` what ``Z`` now holds.
    """
    q = Z.shape[0]
    U = np.zeros((q, q, n_levels))
    length = [np.bincount(index, z * z, n_levels) for z in Z]
    for k in range(q):
        left = length[0] if k == 0 else np.bincount(index, Z[k] * Z[k], n_levels)
        kept = left > _RANK_TOLERANCE * length[k]
        U[k, k] = np.sqrt(np.where(kept, left, 0.0))
        Z[k] *= np.divide(1.0, U[k, k], out=np.zeros(n_levels), where=kept)[index]
        for m in range(k + 1, q):
            U[k, m] = remove(index, n_levels, Z[k], Z[m])
    return U


def remove(index: NDArray[np.intp], n_levels: int, unit: Array, column: Array) -> Array:
    """Take the part along ``unit`` out of ``column`` within each level; return its length (J,)."""
    along = np.bincount(index, unit * column, n_levels)
    column -= unit * along[index]
    return along


def factor(H: Array) -> Array:
    """Cholesky factors, in place; nan where a matrix is not positive definite."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return cholesky(H)


def solve(L: Array, g: Array) -> Array:
    """The x with ``L_j L_j' x_j = g_j``; g is (q, J) or (q, c, J) and is kept."""
    return solve_upper(L, solve_lower(L, g.copy()))


def log_det(L: Array) -> Array:
    """Log determinant of each factor, (J,)."""
    return np.log(np.einsum("aa...->a...", L)).sum(0)


def orthonormal_basis(
    X: Array, root_weights: Array | None, out: Array, names: Sequence[str]
) -> tuple[Array, float]:
    """Write orthonormal columns ``X B`` (as rows) to ``out[:p]``; return ``B`` and log|B|."""
    p = X.shape[1]
    columns = out[:p]
    columns[:] = X.T
    if root_weights is not None:
        columns *= root_weights
    length = np.sqrt(np.einsum("pn,pn->p", columns, columns))
    _check_rank(length <= 0, names)
    columns /= length[:, None]
    basis, logdet = np.diag(1.0 / length), -float(np.sum(np.log(length)))
    for _ in range(2):
        if np.abs(gram(columns) - np.eye(p)).max(initial=0.0) < 1e-10:
            break
        # A column without a part of its own leaves rounding on the diagonal.
        R = np.linalg.qr(columns.T, mode="r").T
        _check_rank(np.abs(np.diag(R)) < 1e-10, names)
        R *= np.where(np.diag(R) < 0, -1.0, 1.0)
        inverse = np.linalg.inv(R)
        columns[:] = inverse @ columns
        basis = basis @ inverse.T
        logdet -= float(np.sum(np.log(np.diag(R))))
    return basis, logdet


def term_basis(Z: Array, root_weights: Array | None) -> Array:
    """Lower triangular ``R`` with ``Z R^-1`` uncorrelated and of unit mean square."""
    if root_weights is not None:
        Z = Z * root_weights[:, None]
    products = Z.T @ Z / Z.shape[0]
    scale = np.sqrt(products.diagonal())
    scale[scale == 0] = 1.0
    flipped = (products / np.outer(scale, scale))[::-1, ::-1]
    try:
        L = np.linalg.cholesky(flipped)
    except np.linalg.LinAlgError:
        return np.diag(scale)
    if L.diagonal().min(initial=1.0) < 1e-6:
        return np.diag(scale)
    return L.T[::-1, ::-1] * scale


def _check_rank(aliased: NDArray[np.bool_], names: Sequence[str]) -> None:
    if aliased.any():
        at = int(np.flatnonzero(aliased)[0])
        name = names[at] if at < len(names) else f"number {at + 1}"
        raise DataError(
            f"The fixed-effects column {name!r} is a combination of the columns before it "
            "(or zero throughout): its coefficient is not identified. Drop it."
        )
