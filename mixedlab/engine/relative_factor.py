"""The relative covariance factor Lambda of a set of random-effects terms, and its numbers theta.

The coefficients of one level are ``b = Lambda u`` with ``u`` standard normal. Lambda of a term is
lower triangular; theta holds its entries column by column, terms one after another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class RelativeFactor:
    """Moves between theta and the factors of terms with q_1, q_2, ... coefficients a level."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        # np.triu_indices of the transpose walks the lower triangle column by column
        self._cells = [tuple(reversed(np.triu_indices(q))) for q in self.sizes]
        ends = np.cumsum([rows.size for rows, _ in self._cells])
        self.n_theta = int(ends[-1]) if self.sizes else 0
        self.slices = [
            slice(int(end) - rows.size, int(end))
            for (rows, _), end in zip(self._cells, ends, strict=True)
        ]
        on_diagonal = [rows == cols for rows, cols in self._cells]
        self.is_diagonal = np.concatenate(on_diagonal) if self.sizes else np.zeros(0, dtype=bool)

    def matrices(self, theta: Array) -> list[Array]:
        """Lambda of each term, (q, q)."""
        out = []
        for q, cells, part in zip(self.sizes, self._cells, self.slices, strict=True):
            matrix = np.zeros((q, q))
            matrix[cells] = theta[part]
            out.append(matrix)
        return out

    def gather(self, matrices: Sequence[Array]) -> Array:
        """The entries of (q, q) matrices that stand where theta stands in Lambda."""
        return np.concatenate([m[cells] for m, cells in zip(matrices, self._cells, strict=True)])

    def start(self) -> Array:
        """Theta of identity factors."""
        return self.is_diagonal.astype(float)

    def with_positive_diagonal(self, theta: Array) -> Array:
        """The same covariances, with the sign of every column turned so that its diagonal is >= 0."""
        turned = []
        for matrix in self.matrices(theta):
            turned.append(matrix * np.where(np.diag(matrix) < 0, -1.0, 1.0))
        return self.gather(turned) + 0.0 if turned else theta


def block_diagonal(matrices: Sequence[Array]) -> Array:
    """One factor for several terms of the same grouping factor."""
    size = sum(m.shape[0] for m in matrices)
    out = np.zeros((size, size))
    at = 0
    for m in matrices:
        out[at : at + m.shape[0], at : at + m.shape[0]] = m
        at += m.shape[0]
    return out


def diagonal_blocks(matrix: Array, sizes: Sequence[int]) -> list[Array]:
    """Undo `block_diagonal`."""
    ends = np.cumsum(sizes)
    return [matrix[e - q : e, e - q : e] for q, e in zip(sizes, ends, strict=True)]
