"""Bring the columns of a model to a common scale, so that units and origins cost no digit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.blocks import gram
from mixedlab.errors import DataError

Array = NDArray[np.float64]


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
