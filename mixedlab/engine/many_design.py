"""What the summaries of many data sets of one design share, and the summaries themselves.

The rows of a design are put in the order of their levels. Within level j, ``Z_j = Q_j U_j`` with
``Q_j`` orthonormal; what the likelihood needs of a response y are ``y_j~ = Q_j' y_j`` and the
squared length of what is left of it outside the span of Z and X. ``many_linear`` says how.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine import blocks
from mixedlab.engine.blocks import orthonormal_basis, term_basis
from mixedlab.engine.terms import Layout, RandomTerm
from mixedlab.errors import DataError

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

_PERFECT = 1e-13  # as in `mixedlab.engine.profiled`
_CELLS = 100_000  # numbers of responses handled at once: small enough for the processor's cache


@dataclass(frozen=True)
class Responses:
    """Summaries of m responses, at unit mean square about their least-squares fit on X.

    Attributes
    ----------
    y_scale : ndarray (m,)
        Unit of what follows.
    beta_start : ndarray (m, p)
        What was taken off in the span of X (data's units, orthonormal columns).
    beta_within : ndarray (m, p)
        What was then taken off as the least-squares fit within levels.
    w : ndarray (m, q, J)
        ``y~`` of each level.
    outside : ndarray (m,)
        Squared length of what is outside the span of X and Z: a lower bound of r^2.
    perfect : ndarray of bool (m,)
        Nothing is left up to rounding.
    """

    y_scale: Array
    beta_start: Array
    beta_within: Array
    w: Array
    outside: Array
    perfect: NDArray[np.bool_]


class Design:
    """What does not depend on the responses.

    ``x`` (p, n) has orthonormal rows, rows by level; ``z`` (q, n) is orthonormal within levels.
    ``U`` (q, q, C) and ``Xw`` (q, p, C) are those of the C classes of levels, ``count`` (C, 1) how
    many levels a class has, and ``kind`` (J,) the class of each level.
    """

    def __init__(
        self, X: Array, terms: Sequence[RandomTerm], reml: bool, weights: ArrayLike | None
    ) -> None:
        index, factor = terms[0].index, Layout.of(terms).factors[0]
        self.rows, self.cols, self.columns = factor.rows, factor.cols, factor.columns
        order = np.argsort(index, kind="stable")
        self.order = None if np.array_equal(order, np.arange(index.size)) else order
        self.counts = np.bincount(index, minlength=factor.n_levels)
        if not self.counts.all():
            raise DataError("Every level from 0 to the largest needs a row: number them anew.")
        self.J, (self.n, self.p), self.q = self.counts.size, X.shape, factor.n_coefs
        self.starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]])
        self.reml, self.nu = reml, self.n - self.p if reml else self.n
        self.root_weights, self.constant = None, 0.0
        if weights is not None:
            w = np.asarray(weights, dtype=float)[order]
            self.root_weights, self.constant = np.sqrt(w), -float(np.log(w).sum())
        X, Z = X[order], np.concatenate([t.Z for t in terms], axis=1)[order]
        self.kind, first = self._classes(X, Z)
        self.count = np.bincount(self.kind).astype(float)[:, None]
        names = [f"Column {k + 1} of X" for k in range(self.p)]
        self.x = np.empty((self.p, self.n))
        self.x_basis, logdet = orthonormal_basis(X, self.root_weights, self.x, names)
        self.logdet_x = -2.0 * logdet if reml else 0.0
        self._random_columns(Z, first)

    def _classes(self, X: Array, Z: Array) -> tuple[Indices, Indices]:
        """Class of each level, and one level of each class: equal rows of X, Z and weights."""
        w = np.ones(self.n) if self.root_weights is None else self.root_weights
        table = np.ascontiguousarray(np.column_stack([X, Z, w]) + 0.0)
        seen: dict[bytes, int] = {}
        kind, first = np.empty(self.J, dtype=np.intp), []
        for j, (start, count) in enumerate(zip(self.starts, self.counts, strict=True)):
            key = table[start : start + count].tobytes()
            if key not in seen:
                seen[key] = len(first)
                first.append(j)
            kind[j] = seen[key]
        return kind, np.array(first)

    def _random_columns(self, Z: Array, first: Indices) -> None:
        self.z_basis = np.zeros((self.q, self.q))
        for where in self.columns:
            self.z_basis[where, where] = term_basis(Z[:, where], self.root_weights)
        self.z = np.linalg.inv(self.z_basis).T @ Z.T
        if self.root_weights is not None:
            self.z *= self.root_weights
        level = np.repeat(np.arange(self.J), self.counts)
        self.U = blocks.orthogonalise(level, self.J, self.z)[..., first]
        self.outside = self.x.copy()
        self.level_X = self.remove_random(self.outside)
        self.Xw = self.level_X[..., first]
        self.Exx = self.outside @ self.outside.T

    def remove_random(self, columns: Array) -> Array:
        """Take the parts along Z within levels out of columns (c, n), in place.

        Returns their lengths (q, c, J).
        """
        along = []
        for z in self.z:
            part = np.add.reduceat(columns * z, self.starts, axis=-1)
            columns -= z * np.repeat(part, self.counts, axis=-1)
            along.append(part)
        return np.stack(along)

    def summaries(self, Y: Array) -> Responses:
        """Summaries of the responses Y (n, m), which are kept."""
        at_once = max(1, _CELLS // self.n)
        parts = [self._summaries(Y[:, k : k + at_once]) for k in range(0, Y.shape[1], at_once)]
        names = Responses.__dataclass_fields__
        return Responses(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))

    def _summaries(self, Y: Array) -> Responses:
        y = np.array((Y if self.order is None else Y[self.order]).T, order="C")
        if self.root_weights is not None:
            y *= self.root_weights
        start = y @ self.x.T
        y -= start @ self.x
        left = _length(y)
        size = np.hypot(left, _length(start))
        scale = left / np.sqrt(self.n)
        w = self.remove_random(y)
        # Subtract the least-squares fit within levels: r^2 is then a sum of squares.
        share, axes = np.linalg.eigh(self.Exx)
        # The columns of X have length 1: a shorter rest than this is rounding.
        inverse = np.divide(1.0, share, out=np.zeros_like(share), where=share > 1e-12)
        within = (y @ self.outside.T) @ (axes * inverse) @ axes.T
        y -= within @ self.outside
        w -= np.einsum("qpj,mp->qmj", self.level_X, within)
        outside = _length(y)
        perfect = (left <= _PERFECT * size) | (outside <= _PERFECT * left)
        scale[perfect] = 1.0
        return Responses(
            scale,
            start,
            within / scale[:, None],
            w.transpose(1, 0, 2) / scale[:, None, None],
            (outside / scale) ** 2,
            perfect,
        )

    def lower(self, theta: Array) -> Array:
        """Lambda (m, q, q) from theta (m, k)."""
        out = np.zeros((len(theta), self.q, self.q))
        out[:, self.rows, self.cols] = theta
        return out


def _length(y: Array) -> Array:
    return np.sqrt(np.einsum("mn,mn->m", y, y))
