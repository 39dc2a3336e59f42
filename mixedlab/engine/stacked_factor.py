"""Cholesky factors of stacks of small matrices (q, q, J) that may fail to be positive definite."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine import blocks

Array = NDArray[np.float64]


def factor(H: Array) -> Array:
    """Cholesky factors, nan where a matrix is not positive definite."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return blocks.cholesky(H)


def solve(L: Array, g: Array) -> Array:
    """The x with ``L_j L_j' x_j = g_j``; g is (q, J) or (q, c, J) and is kept."""
    return blocks.solve_upper(L, blocks.solve_lower(L, g.copy()))


def log_det(L: Array) -> Array:
    """Log determinant of each factor, (J,)."""
    return np.log(np.einsum("aaj->aj", L)).sum(0)
