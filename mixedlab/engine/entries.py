"""The entries that link the levels of one factor to later columns: the sparse block type.

A pupil's row of ``Z'Z`` meets the columns of her class, her school and her teachers, and no
others. Each level keeps its own few entries, sorted by level and column; a block of a factor with
q coefficients is an array (q, nnz) over them.

Two operations need every two entries of one level: ``B'B``, added where the two columns meet, and
``B C B'``. The pairs are listed once. Where they would be too many, or where most entries are
there anyway, the rows are filled with zeros and multiplied as matrices instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.square import Square

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# Above this many pairs of entries in a level, matrix products take over: a pair costs some 10 ns
# and 24 bytes.
_MAX_PAIRS = 4_000_000
_CHUNK = 4_000_000
# So they do where this share of a matrix is filled: they are then the quicker way.
_FILLED = 0.2


class _DenseRows(NamedTuple):
    """Entries of some levels in one square, with the row and column of each in a full matrix."""

    square: Square
    entries: Index
    row: Index
    column: Index
    n_rows: int

    def fill(self, values: Array) -> Array:
        """One coefficient's entries as a matrix (n_rows, size)."""
        out = np.zeros((self.n_rows, self.square.size))
        out[self.row, self.column] = values[self.entries]
        return out


class Entries:
    """Where the levels of a factor meet later columns.

    Parameters
    ----------
    level, column : ndarray of int, shape (nnz,)
        Sorted by level, then column.
    n_levels, n_columns : int
    square_of : ndarray of int, shape (n_columns,)
        Number of the square that each column lies in, or -1.
    squares : sequence of Square
    position : callable
        Where the product of two columns lies in the vector of all products.
    """

    def __init__(
        self,
        level: Index,
        column: Index,
        n_levels: int,
        n_columns: int,
        square_of: Index,
        squares: Sequence[Square],
        position: Callable[[Index, Index], Index],
    ) -> None:
        self.level, self.column = level, column
        self.n_levels, self.n_columns = n_levels, n_columns
        self.dense: list[_DenseRows] = []
        counts = np.bincount(level, minlength=n_levels)
        square = square_of[column]
        crossed = np.bincount(level, square >= 0, n_levels)
        keep = np.ones(level.size, bool)
        filled = len(squares) == 1 and crossed.sum() > _FILLED * n_levels * squares[0].size
        if filled or np.sum(crossed * (crossed + 1) / 2) > _MAX_PAIRS:
            keep = square < 0
            self.dense = list(_dense_rows(level, column, square, squares))
        # Entry a meets every entry after it in its level; those in no square come first.
        reach = np.where(keep, np.cumsum(counts)[level] - np.arange(level.size), 0)
        first = np.cumsum(reach) - reach
        self.a = np.repeat(np.arange(level.size), reach)
        self.b = self.a + np.arange(self.a.size) - np.repeat(first, reach)
        self.itself = first[reach > 0]
        self.pairs_of_level = np.bincount(level, reach, n_levels).astype(np.intp)
        self.target = position(column[self.a], column[self.b])

    def by_level(self, values: Array, x: Array) -> Array:
        """``B x`` level by level (q, n_levels), x (n_columns,)."""
        picked, out = x[self.column], np.empty((len(values), self.n_levels))
        for k, v in enumerate(values):
            out[k] = np.bincount(self.level, v * picked, self.n_levels)
        return out

    def by_column(self, values: Array, x: Array) -> Array:
        """``B'x`` (n_columns,), x (q, n_levels)."""
        product = values[0] * x[0][self.level]
        for v, row in zip(values[1:], x[1:], strict=True):
            product += v * row[self.level]
        return np.bincount(self.column, product, self.n_columns)

    def apply(self, stack: Array, values: Array) -> Array:
        """``P_j B`` entry by entry: ``stack`` (m, q, n_levels), ``values`` (q, nnz)."""
        out = np.empty((len(stack), values.shape[1]))
        for k, rows in enumerate(stack):
            out[k] = rows[0][self.level] * values[0]
            for m in range(1, len(values)):
                out[k] += rows[m][self.level] * values[m]
        return out

    def at_pairs(self, first: Array, second: Array) -> Array:
        """Products of two coefficients' entries at each pair (one order of the two)."""
        return np.take(first, self.a) * np.take(second, self.b)

    def per_pair(self, by_level: Array) -> Array:
        """A number for each level, repeated at its pairs."""
        return np.repeat(by_level, self.pairs_of_level)

    def add_squares(
        self, flat: Array, values: Array, sign: float = 1.0, product: Array | None = None
    ) -> None:
        """Add ``sign B'B`` to the products in ``flat``; ``product`` is its part at the pairs."""
        if self.a.size:
            if product is None:
                product = self.at_pairs(values[0], values[0])
                for row in values[1:]:
                    product += self.at_pairs(row, row)
            update = np.add if sign > 0 else np.subtract
            if 4 * product.size > flat.size:
                update(flat, np.bincount(self.target, product, flat.size), out=flat)
            else:
                update.at(flat, self.target, product)
        for rows in self.dense:
            view = flat[rows.square.where].reshape(rows.square.size, -1)
            for row in values:
                matrix = rows.fill(row)
                view += sign * np.tril(matrix.T @ matrix)

    def half_of(self, C: Array) -> Array:
        """``C`` at the pairs, halved where an entry meets itself: what the next two sum over."""
        half = np.take(C, self.target)
        half[self.itself] *= 0.5
        return half

    def sandwich(self, h: Array, C: Array, half: Array, product: Array | None = None) -> Array:
        """Sum over levels of ``h_j C h_j'`` (q, q); ``product`` is ``h h`` at the pairs."""
        q = len(h)
        out = np.zeros((q, q))
        for m in range(q):
            for n in range(m + 1):
                at = self.at_pairs(h[m], h[n]) if product is None else product
                total = np.vdot(at, half)
                total += total if m == n else np.vdot(self.at_pairs(h[n], h[m]), half)
                out[m, n] = out[n, m] = total
        for rows in self.dense:
            CC = C[rows.square.where].reshape(rows.square.size, -1)
            filled = np.stack([rows.fill(row) for row in h])
            for m in range(q):
                out[m] += np.tensordot(filled, filled[m] @ CC, axes=2)
        return out

    def times(self, values: Array, C: Array, half: Array) -> Array:
        """``B_j C`` at the entries of each level (q, nnz)."""
        out = np.empty_like(values)
        for k, v in enumerate(values):
            out[k] = np.bincount(self.a, v[self.b] * half, v.size)
            out[k] += np.bincount(self.b, v[self.a] * half, v.size)
            for rows in self.dense:
                CC = C[rows.square.where].reshape(rows.square.size, -1)
                out[k, rows.entries] += (rows.fill(v) @ CC)[rows.row, rows.column]
        return out

    def inner(self, first: Array, second: Array) -> Array:
        """``A_j B_j'`` of two blocks, a stack (q, m, n_levels)."""
        return np.stack(
            [[np.bincount(self.level, x * z, self.n_levels) for z in second] for x in first]
        )


def _dense_rows(
    level: Index, column: Index, square_of: Index, squares: Sequence[Square]
) -> Iterator[_DenseRows]:
    for s, square in enumerate(squares):
        entries = np.flatnonzero(square_of == s)
        levels, row = np.unique(level[entries], return_inverse=True)
        place = np.searchsorted(square.columns, column[entries])
        step = max(1, _CHUNK // square.size)
        for start in range(0, levels.size, step):
            part = (row >= start) & (row < start + step)
            n_rows = min(step, levels.size - start)
            yield _DenseRows(square, entries[part], row[part] - start, place[part], n_rows)
