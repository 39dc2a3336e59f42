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

_AT_ONCE = 256


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
        """The lower triangle (size, size) that the products hold, as a view."""
        return flat[self.where].reshape(self.size, self.size)

    def scale(self, lambdas: list[Array], G: Array, transpose: bool = False) -> Array:
        """``Lambda G``, or ``Lambda' G``, for the columns of the square: G (size, c), in place."""
        for f, parts in self.parts.items():
            Lambda = lambdas[f].T if transpose else lambdas[f]
            own = G[parts[0].start : parts[-1].stop]
            if len(parts) == 1:
                own *= Lambda[0, 0]
            elif own.size:
                by_coefficient = own.reshape(len(parts), -1, G.shape[1])
                own[:] = np.tensordot(Lambda, by_coefficient, 1).reshape(own.shape)
        return G

    def factor_at(self, flat: Array, lambdas: list[Array]) -> FactoredSquare:
        """Factor ``I + Lambda'G Lambda``; G stays in ``flat``.

        Raises ``LinAlgError`` where it is not positive definite.
        """
        G = _mirror(self.of(flat))
        K = self.scale(lambdas, G.copy(), transpose=True)
        self.scale(lambdas, K.T, transpose=True)
        K[np.diag_indices(self.size)] += 1.0
        return FactoredSquare(self, lambdas, G, _cholesky(K))


@dataclass(frozen=True)
class FactoredSquare:
    """A square at a value of Lambda: ``G`` and the Cholesky factor ``root`` of K."""

    square: Square
    lambdas: list[Array]
    G: Array
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

        scaled = self.square.scale(self.lambdas, G.T.copy(), transpose=True)
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

    def fill_inverse(self, flat: Array, slopes: Mapping[int, Array]) -> None:
        """Put ``C = Lambda K^-1 Lambda'`` in its place in ``flat``.

        To ``slopes`` of each factor f add the sum over its levels of the diagonal blocks of
        ``Z'V^-1Z = G - G C G``.
        """
        from scipy.linalg.lapack import dpotri

        C = self.square.of(flat)
        C[:] = self.root
        upper, info = dpotri(C.T, overwrite_c=1)
        if info:
            raise np.linalg.LinAlgError("The system of the crossed factors is singular.")
        C = _mirror(upper.T)
        self.square.scale(self.lambdas, C.T)
        wanted = [
            f for f, parts in self.square.parts.items() if f in slopes and self.G[parts[0]].size
        ]
        regular = {f: _is_regular(self.lambdas[f]) for f in wanted}
        for f in wanted:
            if regular[f]:
                slopes[f] += self._slope_where_regular(f, C)
        self.square.scale(self.lambdas, C)
        for f in wanted:
            if not regular[f]:
                slopes[f] += self._slope(f, C)

    def covariance_times(self, s: Array) -> Array:
        """``C s`` for s (c, size)."""
        from scipy.linalg import cho_solve

        scaled = self.square.scale(self.lambdas, s.T.copy(), transpose=True)
        solved = cho_solve((self.root.T, False), scaled, check_finite=False)
        return self.square.scale(self.lambdas, solved).T

    def _slope_where_regular(self, f: int, half: Array) -> Array:
        """From ``(G - G C G) Lambda = G Lambda K^-1``, given ``half = K^-1 Lambda'``.

        A pass over the square instead of a product of matrices.
        """
        parts = self.square.parts[f]
        out = np.array([[np.vdot(self.G[k], half[m]) for m in parts] for k in parts])
        out = np.linalg.solve(self.lambdas[f].T, out.T)
        return 0.5 * (out + out.T)

    def _slope(self, f: int, C: Array) -> Array:
        parts = self.square.parts[f]
        out = np.empty((len(parts),) * 2)
        for k, rows in enumerate(parts):
            GC = self.G[rows] @ C
            for m, cols in enumerate(parts):
                out[k, m] = np.trace(self.G[rows, cols]) - np.vdot(GC, self.G[cols])
        return out


def _is_regular(Lambda: Array) -> bool:
    spread = np.linalg.svd(Lambda, compute_uv=False)
    return bool(spread.min() > 1e-6 * max(1.0, spread.max()))


def _cholesky(K: Array) -> Array:
    """Lower Cholesky factor, in place: half the time of numpy's at a thousand columns."""
    from scipy.linalg.lapack import dpotrf

    upper, info = dpotrf(K.T, lower=0, clean=1, overwrite_a=1)
    if info:
        raise np.linalg.LinAlgError("The system of the crossed factors is singular.")
    return upper.T


def _mirror(triangle: Array) -> Array:
    """The symmetric matrix with this lower triangle, in place, some rows at a time."""
    for start in range(0, len(triangle), _AT_ONCE):
        stop = start + _AT_ONCE
        triangle[:start, start:stop] = triangle[start:stop, :start].T
        own = triangle[start:stop, start:stop]
        own[:] = np.tril(own) + np.tril(own, -1).T
    return triangle
