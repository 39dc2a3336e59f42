"""What the summaries of many data sets of one design share, and the summaries themselves.

The rows of a design are put in the order of their levels. Within level j, ``Z_j = Q_j U_j`` with
``Q_j`` orthonormal; what the likelihood needs of a response y are ``y_j~ = Q_j' y_j`` and the
squared length of what is left of it outside the span of Z and X. ``many_linear`` says how.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine import blocks
from mixedlab.engine.layout import lower_triangle
from mixedlab.engine.scaling import term_basis
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
    """What does not depend on the responses; arrays of d designs, d = 1 or m.

    ``x`` (d, p, n) has orthonormal rows, rows by level; ``z`` (q, d, n) is orthonormal within
    levels. ``U`` (q, q, C, d) and ``Xw`` (q, p, C, d) are those of the C classes of levels,
    ``count`` (C, 1) how many levels a class has, and ``kind`` (J,) the class of each level.
    """

    def __init__(
        self,
        X: Array,
        index: Indices,
        Z: Array,
        sizes: tuple[int, ...],
        reml: bool,
        weights: ArrayLike | None,
    ) -> None:
        self.sizes, self.reml = sizes, reml
        order = np.argsort(index, kind="stable")
        self.order = None if np.array_equal(order, np.arange(index.size)) else order
        counts = np.bincount(index)
        if not counts.all():
            raise DataError("Every level from 0 to the largest needs a row: number them anew.")
        self.counts, self.J, self.n = counts, counts.size, index.size
        self.starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        X = X[None] if X.ndim == 2 else X
        Z = Z[None] if Z.ndim == 2 else Z
        self.n_designs = d = max(len(X), len(Z))
        X, Z = X[:, order], Z[:, order]
        self.p, self.q = X.shape[2], Z.shape[2]
        self.rows, self.cols, self.columns = _lower_blocks(sizes)
        self.nu = self.n - self.p if reml else self.n
        self.root_weights, self.constant = None, 0.0
        if weights is not None:
            w = np.asarray(weights, dtype=float)[order]
            self.root_weights = np.sqrt(w)
            self.constant = -float(np.log(w).sum())
        self.kind, first = self._classes(X, Z) if d == 1 else (np.arange(self.J),) * 2
        self.count = np.bincount(self.kind).astype(float)[:, None]
        self.cells = max(first.size * self.q, 20)
        if self.root_weights is not None:
            X = X * self.root_weights[:, None]
        self._fixed_columns(np.broadcast_to(X, (d, *X.shape[1:])))
        self._random_columns(np.broadcast_to(Z, (d, *Z.shape[1:])), first)

    def _classes(self, X: Array, Z: Array) -> tuple[Indices, Indices]:
        """Class of each level, and one level of each class: equal rows of X, Z and weights."""
        w = np.ones(self.n) if self.root_weights is None else self.root_weights
        table = np.ascontiguousarray(np.column_stack([X[0], Z[0], w]) + 0.0)
        seen: dict[bytes, int] = {}
        kind, first = np.empty(self.J, dtype=np.intp), []
        for j, (start, count) in enumerate(zip(self.starts, self.counts, strict=True)):
            key = table[start : start + count].tobytes()
            if key not in seen:
                seen[key] = len(first)
                first.append(j)
            kind[j] = seen[key]
        return kind, np.array(first)

    def _fixed_columns(self, X: Array) -> None:
        length = np.sqrt((X**2).sum(1))  # (d, p)
        zero = length <= 0
        Q, R = np.linalg.qr(X / np.where(zero, 1.0, length)[:, None, :])
        diagonal = np.abs(np.einsum("dpp->dp", R))
        self.deficient = (zero | (diagonal < 1e-10)).any(1)
        if self.n_designs == 1 and self.deficient[0]:
            at = int(np.flatnonzero(zero[0] | (diagonal[0] < 1e-10))[0])
            raise DataError(
                f"Column {at + 1} of X is a combination of the columns before it (or zero "
                "throughout): its coefficient is not identified. Drop it."
            )
        R[self.deficient] = np.eye(self.p)
        self.x = np.ascontiguousarray(Q.transpose(0, 2, 1))
        self.x_basis = np.linalg.inv(R) / np.where(zero, 1.0, length)[:, :, None]
        with np.errstate(divide="ignore"):
            self.logdet_x = 2.0 * (np.log(diagonal) + np.log(length)).sum(1) if self.reml else 0.0

    def _random_columns(self, Z: Array, first: Indices) -> None:
        d, q, J = self.n_designs, self.q, self.J
        shared = Z.strides[0] == 0
        bases = np.zeros((d, q, q))
        for where in self.columns:
            for k in range(1 if shared else d):
                bases[k, where, where] = term_basis(Z[k][:, where], self.root_weights)
        if shared:
            bases[:] = bases[0]
        self.z_basis = bases
        z = Z @ np.linalg.inv(bases)
        if self.root_weights is not None:
            z *= self.root_weights[:, None]
        self.z = np.ascontiguousarray(z.transpose(2, 0, 1))
        level = np.repeat(np.arange(J), self.counts)
        flat = (level + J * np.arange(d)[:, None]).ravel()
        U = blocks.orthogonalise(flat, J * d, self.z.reshape(q, -1))
        self.U = U.reshape(q, q, d, J)[..., first].transpose(0, 1, 3, 2)
        outside = self.x.transpose(1, 0, 2).copy()  # (p, d, n)
        Xw = self.remove_random(outside, self.z)  # (q, p, d, J)
        self.level_X = Xw.transpose(0, 1, 3, 2)
        self.Xw = self.level_X[:, :, first]
        self.outside = np.ascontiguousarray(outside.transpose(1, 0, 2))
        self.Exx = np.einsum("dan,dbn->dab", self.outside, self.outside)

    def remove_random(self, columns: Array, unit: Array) -> Array:
        """Take the parts along Z within levels out of columns (..., d or m, n), in place.

        Returns their lengths (q, ..., J).
        """
        along = []
        for z in unit:
            z = z[0] if len(z) == 1 else z
            part = np.add.reduceat(columns * z, self.starts, axis=-1)
            columns -= z * np.repeat(part, self.counts, axis=-1)
            along.append(part)
        return np.stack(along)

    def summaries(self, Y: Array) -> Responses:
        """Summaries of the responses Y (n, m), which are kept."""
        at_once = max(1, _CELLS // self.n)
        parts = [self._summaries(Y, slice(k, k + at_once)) for k in range(0, Y.shape[1], at_once)]
        names = Responses.__dataclass_fields__
        return Responses(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))

    def _summaries(self, Y: Array, part: slice) -> Responses:
        own = part if self.n_designs > 1 else slice(None)
        x, z, x_outside = self.x[own], self.z[:, own], self.outside[own]
        y = np.array(Y[slice(None) if self.order is None else self.order, part].T, order="C")
        if self.root_weights is not None:
            y *= self.root_weights
        start = _times(x, y)
        y -= _combine(start, x)
        left = _length(y)
        size = np.hypot(left, _length(start))
        scale = left / np.sqrt(self.n)
        w = self.remove_random(y, z)
        # Subtract the least-squares fit within levels: r^2 is then a sum of squares.
        share, axes = np.linalg.eigh(self.Exx[own])
        # The columns of X have length 1: a shorter rest than this is rounding.
        inverse = np.divide(1.0, share, out=np.zeros_like(share), where=share > 1e-12)
        within = np.einsum("mpa,mp->ma", axes, _times(x_outside, y)) * inverse
        within = np.einsum("mpa,ma->mp", axes, within)
        y -= _combine(within, x_outside)
        w -= np.einsum("qpjm,mp->qmj", self.level_X[..., own], within)
        outside = _length(y)
        perfect = (left <= _PERFECT * size) | (outside <= _PERFECT * left) | self.deficient[own]
        scale[perfect] = 1.0
        return Responses(
            scale,
            start,
            within / scale[:, None],
            w.transpose(1, 0, 2) / scale[:, None, None],
            (outside / scale) ** 2,
            perfect,
        )

    def only(self, part: slice) -> Design:
        """The designs of some of the data sets."""
        other = object.__new__(Design)
        other.__dict__.update(self.__dict__)
        for name in ("x", "outside", "x_basis", "z_basis", "deficient", "Exx"):
            setattr(other, name, getattr(self, name)[part])
        for name in ("U", "Xw", "level_X"):
            setattr(other, name, getattr(self, name)[..., part])
        other.z = self.z[:, part]
        other.logdet_x = self.logdet_x[part] if self.reml else 0.0
        return other

    def lower(self, theta: Array) -> Array:
        """Lambda (m, q, q) from theta (m, k)."""
        out = np.zeros((len(theta), self.q, self.q))
        out[:, self.rows, self.cols] = theta
        return out


def _lower_blocks(sizes: tuple[int, ...]) -> tuple[NDArray, NDArray, list[slice]]:
    """Rows and columns of theta's entries in the block diagonal Lambda, and each term's columns."""
    rows, cols, columns, start = [], [], [], 0
    for q in sizes:
        r, c = lower_triangle(q)
        rows.append(r + start)
        cols.append(c + start)
        columns.append(slice(start, start + q))
        start += q
    return np.concatenate(rows), np.concatenate(cols), columns


def _times(x: Array, y: Array) -> Array:
    """``x_i . y`` (m, p) for columns x (d, p, n) and responses y (m, n)."""
    return y @ x[0].T if len(x) == 1 else np.einsum("mpn,mn->mp", x, y)


def _combine(coefs: Array, x: Array) -> Array:
    """Combinations (m, n) of the columns x (d, p, n)."""
    return coefs @ x[0] if len(x) == 1 else np.einsum("mp,mpn->mn", coefs, x)


def _length(y: Array) -> Array:
    return np.sqrt(np.einsum("mn,mn->m", y, y))
