r"""The block-diagonal type: one factor of the chain, all of whose levels are taken at once.

Before a factor joins, the later columns ``Z_l`` and the data have products with some ``V``. With
``A_j``, ``B`` and ``G`` those of level j's own columns with themselves, later columns and data,
adding ``Z_j T Z_j'`` to V, ``T = Lambda Lambda'``, takes out of all later products ``W'W``:

    L_j L_j' = I + Lambda'A_j Lambda,   P = L^-1 Lambda',   W_A = P A,  W_B = P B,  W_G = P G.

What the inverse and the gradient ask of the level follows, with C the covariance of later effects:

    K = P'P,   h = Z_j'V^-1Z_l = B - W_A'W_B,   Z_j'V^-1Z_j = A - W_A'W_A,
    b_j = P'(W_G - W_B b_l),    Z_j'V^-1 r = G - B b_l - A b_j.

The **first factor** of a model whose rows have fixed weights can do better. Take the QR
decomposition ``Z_j = Q_j U_j`` once, b and g for ``Q_j'Z_l`` and ``Q_j'`` times the data, and keep
of the later products what is *outside* the span of Q. Then ``N_j = I + U_j T U_j' = L_j L_j'``, and
``W = L^-1 [U b g]`` gives

    later products = outside + W_b'W_b,   h = W_U'W_b,   Z_j'V^-1Z_j = W_U'W_U,
    Z_j'V^-1 r = W_U'(W_g - W_b b_l),     b_j = T Z_j'V^-1 r.

No large number is subtracted from another: a variance ratio of 1e16 loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.blocks import cholesky, gram, identity_plus_square, solve_lower
from mixedlab.engine.entries import Entries

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Levels:
    """Levels of one factor that no product links: all of a factor of the chain, or a round.

    Attributes
    ----------
    factor, q, J : int
        Number of the factor, of its coefficients a level and of these levels.
    columns : slice or ndarray of int, shape (q J,)
        Their columns, coefficient by coefficient.
    blocks, where : slice
        Its diagonal blocks (q, q, J) and its entries (q, nnz) in the vector of all products.
    entries : Entries
        The later columns that its levels meet.
    """

    factor: int
    q: int
    J: int
    columns: slice | NDArray[np.intp]
    blocks: slice
    where: slice
    entries: Entries | None = None

    @property
    def linked(self) -> bool:
        """Whether a level meets any later column; if none does, there are no ``entries``."""
        return self.where.stop > self.where.start

    def factor_at(self, flat: Array, lambdas: list[Array]) -> FactoredLevels:
        """Factor ``I + Lambda'A Lambda`` at the products in ``flat``; nan where not positive."""
        q, J, Lambda = self.q, self.J, lambdas[self.factor]
        A = flat[self.blocks].reshape(q, q, J).copy()
        for k in range(q):
            A[k, k + 1 :] = A[k + 1 :, k]
        M = np.matmul(Lambda.T, np.tensordot(Lambda.T, A, 1))
        M[np.arange(q), np.arange(q)] += 1.0
        L = cholesky(M)
        P = solve_lower(L, np.repeat(Lambda.T[:, :, None], J, axis=2))
        B = flat[self.where].reshape(q, -1).copy()
        W_A = np.einsum("kmj,mnj->knj", P, A)
        W_B = self.entries.apply(P, B) if self.linked else B
        return FactoredLevels(self, Lambda, L, W_B, A, B, P, W_A)


@dataclass(frozen=True)
class OrthogonalLevels(Levels):
    """The first factor by its QR decomposition: ``U`` (q, q, J) and ``b`` (q, nnz)."""

    U: Array | None = None
    b: Array | None = None

    @cached_property
    def squares(self) -> Array | None:
        """``b'b`` at the pairs of entries: the same at every Lambda but for a number a level."""
        return self.entries.at_pairs(self.b[0], self.b[0]) if self.q == 1 else None

    def factor_at(self, flat: Array, lambdas: list[Array]) -> FactoredOrthogonal:
        """Factor ``N = I + U T U'``."""
        Lambda = lambdas[self.factor]
        L = cholesky(identity_plus_square(np.matmul(Lambda.T, self.U)))
        W_U = solve_lower(L, self.U.copy())
        W_B = self.b
        if self.linked:
            half = np.eye(self.q)[:, :, None].repeat(self.J, axis=2)
            W_B = self.entries.apply(solve_lower(L, half), self.b)
        return FactoredOrthogonal(self, Lambda, L, W_B, W_U)


@dataclass(frozen=True)
class _Factored:
    """A factor at a value of Lambda. ``c`` columns are carried as (c, q, J)."""

    levels: Levels
    Lambda: Array
    L: Array
    W_B: Array

    @property
    def logdet(self) -> float:
        """Log determinant of all levels together."""
        return 2.0 * float(np.log(np.einsum("kkj->kj", self.L)).sum())

    def own(self, left: Array) -> Array:
        """The block's part (c, q, J) of the products of c columns carried this far."""
        return left[:, self.levels.columns].reshape(len(left), self.levels.q, self.levels.J)

    def put(self, own: Array, into: Array) -> None:
        into[:, self.levels.columns] = _flat(own)


@dataclass(frozen=True)
class FactoredLevels(_Factored):
    """A factor in products form."""

    A: Array
    B: Array
    P: Array
    W_A: Array

    def add_to(self, flat: Array) -> None:
        """Take ``W_B'W_B`` out of the later products."""
        if self.levels.linked:
            self.levels.entries.add_squares(flat, self.W_B, -1.0)

    def whiten(self, G: Array) -> Array:
        """``P G`` for G (c, q, J)."""
        return np.einsum("kmj,cmj->ckj", self.P, G)

    def spread(self, W: Array, left: Array) -> None:
        """Take ``W_B'W`` out of the later products of columns."""
        for to, w in zip(left, W, strict=True) if self.levels.linked else ():
            to -= self.levels.entries.by_column(self.W_B, w)

    def inner(self, W: Array, other: Array) -> Array:
        """What the block adds to the products ``M'V^-1 M`` of two sets of columns."""
        return -_products(W, other)

    def back(self, G: Array, W: Array, mix: Array, effects: Array, scores: Array) -> None:
        """Fill in this block's part of the effects and of ``Z'V^-1 M``; both (c, n_columns)."""
        G, W = _mixed(mix, G), _mixed(mix, W)
        for c, later in enumerate(effects) if self.levels.linked else ():
            W[c] -= self.levels.entries.by_level(self.W_B, later)
            G[c] -= self.levels.entries.by_level(self.B, later)
        own = np.einsum("kmj,ckj->cmj", self.P, W)
        self.put(own, effects)
        self.put(G - np.einsum("kmj,cmj->ckj", self.A, own), scores)

    def cross(self) -> Array:
        """``h = Z_j'V^-1 Z_l`` at the entries."""
        return self.B - self.levels.entries.apply(self.W_A.swapaxes(0, 1), self.W_B)

    def cross_squares(self) -> None:
        """Not known at the pairs beforehand."""

    def moved(self) -> Array:
        """``K B``: how much the effects fall as later effects rise, at the entries."""
        return self.levels.entries.apply(self.P.swapaxes(0, 1), self.W_B)

    def own_precision(self) -> Array:
        """Sum over levels of ``Z_j'V^-1 Z_j``, later factors not in V, (q, q)."""
        return np.sum(self.A, axis=2) - np.tensordot(self.W_A, self.W_A, ((0, 2), (0, 2)))

    def covariance(self) -> Array:
        """``K``, the covariance of the effects given later ones, (q, q, J)."""
        return np.einsum("kmj,knj->mnj", self.P, self.P)


@dataclass(frozen=True)
class FactoredOrthogonal(_Factored):
    """The first factor in its QR form."""

    W_U: Array

    def add_to(self, flat: Array) -> None:
        """Add ``W_b'W_b`` to the later products outside the span of this factor."""
        if self.levels.linked:
            squares = self.levels.squares
            if squares is not None:
                squares = self.levels.entries.per_pair(self.L[0, 0] ** -2) * squares
            self.levels.entries.add_squares(flat, self.W_B, 1.0, squares)

    def whiten(self, G: Array) -> Array:
        """``L^-1 G`` for G (c, q, J)."""
        return solve_lower(self.L, G.copy().swapaxes(0, 1)).swapaxes(0, 1)

    def spread(self, W: Array, left: Array) -> None:
        """Add ``W_b'W`` to the later products of columns."""
        for to, w in zip(left, W, strict=True) if self.levels.linked else ():
            to += self.levels.entries.by_column(self.W_B, w)

    def inner(self, W: Array, other: Array) -> Array:
        """What the block adds to the products ``M'V^-1 M`` of two sets of columns."""
        return _products(W, other)

    def whitened(self, d: Array) -> Array:
        """`whiten` of the columns ``Z d``, d (c, n_columns)."""
        W = np.einsum("mij,cij->cmj", self.W_U, self.own(d))
        for c, of_later in enumerate(d) if self.levels.linked else ():
            W[c] += self.levels.entries.by_level(self.W_B, of_later)
        return W

    def back(self, G: Array, W: Array, mix: Array, effects: Array, scores: Array) -> None:
        """Fill in this block's part of the effects and of ``Z'V^-1 M``; both (c, n_columns)."""
        W = _mixed(mix, W)
        for c, later in enumerate(effects) if self.levels.linked else ():
            W[c] -= self.levels.entries.by_level(self.W_B, later)
        g = np.einsum("mij,cmj->cij", self.W_U, W)
        self.put(g, scores)
        self.put(np.matmul(self.Lambda @ self.Lambda.T, g), effects)

    def cross(self) -> Array:
        """``h = Z_j'V^-1 Z_l`` at the entries."""
        return self.levels.entries.apply(self.W_U.swapaxes(0, 1), self.W_B)

    def cross_squares(self) -> Array | None:
        """``h h`` at the pairs of entries, for one coefficient."""
        squares = self.levels.squares
        if squares is not None and self.levels.linked:
            squares = self.levels.entries.per_pair((self.W_U / self.L)[0, 0] ** 2) * squares
        return squares

    def moved(self) -> Array:
        """``K B = T h``: how much the effects fall as later effects rise, at the entries."""
        return (self.Lambda @ self.Lambda.T) @ self.cross()

    def own_precision(self) -> Array:
        """Sum over levels of ``Z_j'V^-1 Z_j``, later factors not in V, (q, q)."""
        U = self.W_U.transpose(1, 0, 2).reshape(len(self.W_U), -1)
        return gram(U)

    def covariance(self) -> Array:
        """``K = Lambda (I + Lambda'U'U Lambda)^-1 Lambda'``, the covariance given later ones."""
        F = np.matmul(self.Lambda.T, self.levels.U).transpose(2, 0, 1)
        M = np.swapaxes(F, 1, 2) @ F + np.eye(len(self.Lambda))
        return (self.Lambda @ np.linalg.inv(M) @ self.Lambda.T).transpose(1, 2, 0)


def _mixed(mix: Array, W: Array) -> Array:
    return (mix.T @ _flat(W)).reshape(mix.shape[1], *W.shape[1:])


def _products(W: Array, other: Array) -> Array:
    return gram(_flat(W)) if W is other else _flat(W) @ _flat(other).T


def _flat(W: Array) -> Array:
    return W.reshape(len(W), W.shape[1] * W.shape[2])
