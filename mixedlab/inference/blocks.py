"""The random effects of a fitted linear model, block by block: what inference needs of V.

With rows made independent (weighted by ``sqrt(w)``), ``V = I + Z T Z'`` where ``T`` is the
covariance of the random effects over ``sigma^2``. With ``A = Z'Z``, ``C = Z'X`` and
``K = T (I + A T)^-1``,

    V^-1 = I - Z K Z',    cov(b | y, beta) = sigma^2 K,    b = K (Z'y - C beta).

One grouping factor makes these block diagonal: a stack of J blocks of q random effects.
Several factors make one block of all m random effects. The formulas are the same, so J = 1 then.
Nothing here is n x n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.layout import lower_triangle
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError

Array = NDArray[np.float64]
Integers = NDArray[np.intp]

# One dense block of this many random effects takes about 130 MB.
_LARGEST_BLOCK = 4_000


@dataclass(frozen=True)
class Wiring:
    """Which random effects each row meets, and with what values.

    Attributes
    ----------
    block : ndarray of int, shape (n,)
    place : ndarray of int, shape (n, Q)
        Positions within the block.
    value : ndarray, shape (n, Q)
        The entries of Z; zero where the level is new.
    """

    block: Integers
    place: Integers
    value: Array


class RandomBlocks:
    """V of a fitted linear model by blocks.

    Parameters
    ----------
    fit : LinearModel

    Attributes
    ----------
    n_blocks, size : int
        J blocks of q random effects.
    X : ndarray, shape (n, p)
        Fixed-effects columns, weighted as V is.
    T, A, K : ndarray, shape (J, q, q)
    C : ndarray, shape (J, q, p)
    """

    def __init__(self, fit: Any) -> None:
        self.fit = fit
        terms, self.sizes = fit.terms, [t.n_coefs for t in fit.terms]
        self.one_factor = len(fit.layout.factors) == 1
        if self.one_factor:
            self.n_blocks, self.size = terms[0].n_levels, sum(self.sizes)
            self._starts = np.cumsum([0, *self.sizes])[:-1]
        else:
            m = [t.n_levels * t.n_coefs for t in terms]
            self.n_blocks, self.size = 1, sum(m)
            self._starts = np.cumsum([0, *m])[:-1]
            if self.size > _LARGEST_BLOCK:
                raise DataError(
                    f"The crossed or nested groups have {self.size} random effects; this "
                    f"question needs a dense matrix of them, and {_LARGEST_BLOCK} is the limit. "
                    "Ask for what needs less: Satterthwaite's degrees of freedom, Wald intervals "
                    "or the bootstrap."
                )
        self.X = self.white(fit.X)
        self.wiring = self.wire([replace(term, Z=self.white(term.Z)) for term in terms])
        self.A = self._gram()
        self.C = self.z_transpose(self.X)
        self.T = self.block_diagonal(
            [L @ L.T for L in fit.factors],
        )
        eye = np.eye(self.size)
        self.K = self.T @ np.linalg.inv(eye + self.A @ self.T)

    def white(self, columns: Array) -> Array:
        """Rows (n, k) in which residuals are independent and of variance ``sigma^2``."""
        if self.fit.weights is not None:
            columns = columns * np.sqrt(self.fit.weights)[:, None]
        if self.fit.residual is not None:
            columns = self.fit.residual.whiten(columns, self.fit.residual_phi)
        return columns

    def wire(self, terms: Sequence[RandomTerm]) -> Wiring:
        """Where the rows of ``terms`` (the fit's, or rebuilt for new rows) meet the effects."""
        if not terms:
            n = self.fit.n_obs
            return Wiring(np.zeros(n, int), np.zeros((n, 0), int), np.zeros((n, 0)))
        places, values = [], []
        for term, start, q in zip(terms, self._starts, self.sizes, strict=True):
            level = np.maximum(term.index, 0)
            at = start + np.arange(q)
            places.append(
                np.broadcast_to(at, (level.size, q)) if self.one_factor else level[:, None] * q + at
            )
            values.append(np.where(term.index[:, None] < 0, 0.0, term.Z))
        block = np.maximum(terms[0].index, 0) if self.one_factor else np.zeros_like(terms[0].index)
        return Wiring(block, np.concatenate(places, axis=1), np.concatenate(values, axis=1))

    def block_diagonal(self, parts: Sequence[Array | None]) -> Array:
        """A matrix (q_t, q_t) a term, None for zero, as blocks: (1, q, q) where all are equal."""
        out = np.zeros((self.size, self.size))
        for term, start, part in zip(self.fit.terms, self._starts, parts, strict=True):
            if part is None:
                continue
            q = term.n_coefs
            for level in range(1 if self.one_factor else term.n_levels):
                at = slice(start + level * q, start + (level + 1) * q)
                out[at, at] = part
        return out[None]

    def _gram(self) -> Array:
        w, q = self.wiring, self.size
        out = np.zeros(self.n_blocks * q * q)
        for a in range(w.place.shape[1]):
            for b in range(w.place.shape[1]):
                cell = (w.block * q + w.place[:, a]) * q + w.place[:, b]
                out += np.bincount(cell, w.value[:, a] * w.value[:, b], minlength=out.size)
        return out.reshape(self.n_blocks, q, q)

    def z_transpose(self, columns: Array) -> Array:
        """``Z'M`` by blocks, (J, q, k), of a matrix with n rows."""
        w, q = self.wiring, self.size
        out = np.zeros((columns.shape[1], self.n_blocks * q))
        for a in range(w.place.shape[1]):
            cell = w.block * q + w.place[:, a]
            for k in range(columns.shape[1]):
                out[k] += np.bincount(cell, w.value[:, a] * columns[:, k], minlength=out.shape[1])
        return out.reshape(columns.shape[1], self.n_blocks, q).transpose(1, 2, 0)

    @staticmethod
    def z_times(wiring: Wiring, blocks: Array) -> Array:
        """``Z M`` (n, k) of blocks (J, q, k)."""
        rows = blocks[wiring.block[:, None], wiring.place]
        return np.einsum("ia,iak->ik", wiring.value, rows)

    @staticmethod
    def quadratic(wiring: Wiring, blocks: Array) -> Array:
        """``z_i' M z_i`` (n,) of blocks (J, q, q)."""
        out = np.zeros(len(wiring.block))
        at = wiring.block if blocks.shape[0] > 1 else np.zeros_like(wiring.block)
        for a in range(wiring.place.shape[1]):
            for b in range(wiring.place.shape[1]):
                entry = blocks[at, wiring.place[:, a], wiring.place[:, b]]
                out += wiring.value[:, a] * wiring.value[:, b] * entry
        return out

    def solve(self, columns: Array) -> Array:
        """``V^-1 M`` (n, k) of a matrix with n rows, both weighted."""
        return columns - self.z_times(self.wiring, self.K @ self.z_transpose(columns))

    @cached_property
    def by_beta(self) -> Array:
        """``K C`` (J, q, p): how much the random effects fall as beta rises."""
        return self.K @ self.C

    @cached_property
    def phi(self) -> Array:
        """``(X'V^-1X)^-1``, shape (p, p)."""
        return self.fit.vcov_beta / self.fit.sigma**2

    def project(self, columns: Array) -> Array:
        """``P M`` with ``P = V^-1 - V^-1 X (X'V^-1X)^-1 X'V^-1``."""
        solved = self.solve(columns)
        VX = self.solve(self.X)
        return solved - VX @ (self.phi @ (self.X.T @ solved))

    @cached_property
    def leverage(self) -> Array:
        """Diagonal of the hat matrix (n,): the derivative of a fitted value in its own y."""
        inverse = 1.0 - self.quadratic(self.wiring, self.K)
        VX = self.solve(self.X)
        return 1.0 - inverse + np.einsum("ip,pq,iq->i", VX, self.phi, VX)

    def theta_direction(self, k: int) -> Array:
        """Derivative of T with respect to ``theta[k]`` of the fit, as blocks."""
        parts: list[Array | None] = [None] * len(self.fit.terms)
        for t, where in enumerate(self.fit.layout.slices):
            if where.start <= k < where.stop:
                rows, cols = lower_triangle(self.sizes[t])
                E = np.zeros((self.sizes[t], self.sizes[t]))
                E[rows[k - where.start], cols[k - where.start]] = 1.0
                Lambda = self.fit.factors[t]
                parts[t] = E @ Lambda.T + Lambda @ E.T
        return self.block_diagonal(parts)
