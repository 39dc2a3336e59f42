"""The dense block type: columns of crossed factors that the data connect.

For the products ``G`` of these columns, what is left after the levels before them,

    K = I + Lambda'G Lambda = R R',   C = Lambda K^-1 Lambda',   u = R^-1 Lambda'g,

with C the conditional covariance of their effects (over sigma^2) and ``Lambda R^-T u`` the effects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True)
class Square:
    """A connected set of columns of the crossed rest, kept dense.

    Attributes
    ----------
    columns : ndarray of int, shape (size,)
    where : slice
        Its place in the vector of all products, row by row.
    parts : mapping
        ``parts[f][k]`` is where coefficient k of factor f lies among ``columns``.
    """

    columns: Index
    where: slice
    parts: Mapping[int, list[slice]]

    @property
    def size(self) -> int:
        """Number of columns."""
        return self.columns.size

    def of(self, flat: Array) -> Array:
        """The symmetric matrix (size, size) whose lower triangle the products hold."""
        return _mirrored(flat[self.where].reshape(self.size, self.size))

    def scale(self, lambdas: list[Array], G: Array, transpose: bool = False) -> Array:
        """``Lambda G``, or ``Lambda' G``, for the columns of the square."""
        out = np.empty_like(G)
        for f, parts in self.parts.items():
            Lambda = lambdas[f].T if transpose else lambdas[f]
            for k, part in enumerate(parts):
                out[part] = Lambda[k, k] * G[part]
                for m, other in enumerate(parts):
                    if m != k and Lambda[k, m]:
                        out[part] += Lambda[k, m] * G[other]
        return out

    def factor_at(self, flat: Array, lambdas: list[Array]) -> FactoredSquare:
        """Factor ``I + Lambda'G Lambda``. Raises ``LinAlgError`` where it is not positive."""
        G = self.of(flat)
        scaled = self.scale(lambdas, G, transpose=True)
        K = self.scale(lambdas, scaled.T, transpose=True)
        K[np.diag_indices(self.size)] += 1.0
        return FactoredSquare(self, lambdas, G, scaled, _cholesky(K))


@dataclass(frozen=True)
class FactoredSquare:
    """A square at a value of Lambda: ``G``, ``Lambda'G`` and the Cholesky factor of K."""

    square: Square
    lambdas: list[Array]
    G: Array
    scaled: Array
    root: Array

    @property
    def logdet(self) -> float:
        """Log determinant of K."""
        return 2.0 * float(np.sum(np.log(np.diag(self.root))))

    def add_to(self, flat: Array) -> None:
        """No later columns feel what this block takes out."""

    def own(self, left: Array) -> Array:
        """The block's part (c, size) of the products of c columns carried this far."""
        return left[:, self.square.columns]

    def whiten(self, G: Array) -> Array:
        """``R^-1 Lambda' G`` for G (c, size)."""
        from scipy.linalg import solve_triangular

        scaled = self.square.scale(self.lambdas, G.T, transpose=True)
        return solve_triangular(self.root, scaled, lower=True, check_finite=False).T

    def spread(self, W: Array, left: Array) -> None:
        """No later columns feel what this block takes out."""

    def inner(self, W: Array, other: Array) -> Array:
        """What the block adds to the products ``M'V^-1 M`` of two sets of columns."""
        return -(W @ other.T)

    def back(self, G: Array, W: Array, mix: Array, effects: Array, scores: Array) -> None:
        """Fill in this block's part of the effects and of ``Z'V^-1 M``; both (c, n_columns)."""
        from scipy.linalg import solve_triangular

        u = solve_triangular(self.root, W.T @ mix, lower=True, trans=1, check_finite=False)
        own = self.square.scale(self.lambdas, u)
        effects[:, self.square.columns] = own.T
        scores[:, self.square.columns] = mix.T @ G - (self.G @ own).T

    def inverse(self) -> tuple[Array, Array]:
        """``K^-1`` and ``C = Lambda K^-1 Lambda'``."""
        from scipy.linalg.lapack import dpotri

        upper, info = dpotri(self.root.T)
        if info:
            raise np.linalg.LinAlgError("The system of the crossed factors is singular.")
        K_inverse = _mirrored(upper)
        half = self.square.scale(self.lambdas, K_inverse)
        return K_inverse, self.square.scale(self.lambdas, half.T)

    def covariance_times(self, s: Array) -> Array:
        """``C s`` for s (c, size)."""
        from scipy.linalg import cho_solve

        scaled = self.square.scale(self.lambdas, s.T, transpose=True)
        solved = cho_solve((self.root, True), scaled, check_finite=False)
        return self.square.scale(self.lambdas, solved).T

    def slope(self, f: int, K_inverse: Array, C: Array) -> Array:
        """Sum over the levels of factor f of the diagonal blocks of ``Z'V^-1Z = G - G C G``.

        From ``(G - G C G) Lambda = G Lambda K^-1`` where Lambda is regular: a pass over the
        square instead of a product of matrices.
        """
        Lambda, parts = self.lambdas[f], self.square.parts[f]
        q = len(parts)
        out = np.empty((q, q))
        spread = np.linalg.svd(Lambda, compute_uv=False)
        if spread.min() > 1e-6 * max(1.0, spread.max()):
            for k, rows in enumerate(parts):
                for m, cols in enumerate(parts):
                    out[k, m] = np.vdot(self.scaled[:, rows], K_inverse[:, cols])
            out = np.linalg.solve(Lambda.T, out.T).T
            return 0.5 * (out + out.T)
        for k, rows in enumerate(parts):
            GC = self.G[rows] @ C
            for m, cols in enumerate(parts):
                out[k, m] = np.trace(self.G[rows, cols]) - np.vdot(GC, self.G[cols])
        return out


def _cholesky(K: Array) -> Array:
    """Lower Cholesky factor, in place: half the time of numpy's at a thousand columns."""
    from scipy.linalg.lapack import dpotrf

    upper, info = dpotrf(K.T, lower=0, clean=1, overwrite_a=1)
    if info:
        raise np.linalg.LinAlgError("The system of the crossed factors is singular.")
    return upper.T


def _mirrored(triangle: Array) -> Array:
    """The symmetric matrix with this triangle; the other one holds zeros."""
    out = triangle + triangle.T
    out[np.diag_indices(len(out))] *= 0.5
    return out
