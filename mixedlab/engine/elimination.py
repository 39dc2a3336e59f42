"""In which order the random effects are eliminated, and where what is left is kept.

The factors form a chain ``f0, f1, ...`` in which every level of one lies in a single level of the
next (pupils in classes in schools), and a rest that is crossed with it. Eliminating a factor
links every two coefficients that share one of its levels. Because each level of the chain lies
in one level of the next, the factors of the chain stay block diagonal, and no link arises that
the data do not have. The rest fills up, but only within sets of levels that are connected at
all: each connected set is kept as a dense square.

What is left after each step, and likewise the matching part of the inverse, lies in one vector
(``flat``): for each later factor of the chain its diagonal blocks ``(q, q, J)`` and the entries
``(q, nnz)`` that link it to later columns, then the dense squares.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.layout import Factor

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# Above this many pairs of columns that meet in a level, matrix products take over: a pair costs
# some 10 ns and 24 bytes.
_MAX_PAIRS = 4_000_000
_CHUNK = 4_000_000


@dataclass
class Link:
    """Levels of two factors that occur together in some row, once each."""

    first: Index
    second: Index
    pair_of_row: Index

    @property
    def size(self) -> int:
        """Number of pairs."""
        return self.first.size


@dataclass
class Square:
    """A connected set of columns of the crossed rest, kept dense.

    ``parts[f][k]`` is where coefficient k of crossed factor f lies among ``columns``.
    """

    columns: Index
    where: slice
    parts: dict[int, list[slice]]

    @property
    def size(self) -> int:
        """Number of columns."""
        return self.columns.size


@dataclass
class Stage:
    """One factor of the chain: its links to later columns, and where their products go.

    Attributes
    ----------
    level, column : ndarray of int, shape (nnz,)
        Level and later column of each entry, sorted by level and column.
    a, b, target : ndarray of int
        Pairs of entries (``b`` not before ``a``) that share a level, and where in ``flat`` the
        product of their columns lies; ``itself`` are the pairs of an entry with itself.
    pairs_of_level : ndarray of int, shape (J,)
        Number of pairs in each level; they follow each other.
    blocks, entries : slice
        Where in ``flat`` this factor's own blocks and entries lie (empty for the first one).
    dense_rows : list
        Where pairs would be too many: for each square the entries of its levels, with their row
        and column, to be multiplied as matrices.
    """

    factor: int
    level: Index
    column: Index
    blocks: slice = field(default_factory=lambda: slice(0))
    entries: slice = field(default_factory=lambda: slice(0))
    a: Index = field(default_factory=lambda: np.empty(0, np.intp))
    b: Index = field(default_factory=lambda: np.empty(0, np.intp))
    target: Index = field(default_factory=lambda: np.empty(0, np.intp))
    itself: Index = field(default_factory=lambda: np.empty(0, np.intp))
    pairs_of_level: Index = field(default_factory=lambda: np.empty(0, np.intp))
    dense_rows: list[tuple[Square, Index, Index, Index, int]] = field(default_factory=list)


class Elimination:
    """The chain, the dense squares, and the place of every number.

    Columns are numbered factor by factor in elimination order, within a factor coefficient by
    coefficient: column ``start[f] + k * J + j``.
    """

    def __init__(self, factors: Sequence[Factor]) -> None:
        chain, crossed = [0], []
        for f in range(1, len(factors)):
            nested = _parents(factors[chain[-1]], factors[f]) is not None
            (chain if nested else crossed).append(f)
        self.factors, self.chain, self.crossed = factors, chain, crossed
        self.order = chain + crossed
        self.start = {}
        self.n_columns = 0
        for f in self.order:
            self.start[f] = self.n_columns
            self.n_columns += factors[f].n_coefs * factors[f].n_levels
        self.links = {
            (f, g): _link(factors[f], factors[g])
            for i, f in enumerate(self.order)
            for g in self.order[i + 1 :]
        }
        self.stages = [self._stage(f) for f in chain]
        self.squares: list[Square] = []
        self.flat_size = 0
        self._place()
        for stage in self.stages:
            self._pair(stage)

    def columns_of(self, f: int, k: int, levels: Index) -> Index:
        """Column numbers of coefficient ``k`` of factor ``f`` for these levels."""
        return self.start[f] + k * self.factors[f].n_levels + levels

    def _stage(self, f: int) -> Stage:
        level, column = [np.empty(0, np.intp)], [np.empty(0, np.intp)]
        for g in self.order[self.order.index(f) + 1 :]:
            link = self.links[f, g]
            for k in range(self.factors[g].n_coefs):
                level.append(link.first)
                column.append(self.columns_of(g, k, link.second))
        level, column = np.concatenate(level), np.concatenate(column)
        sort = np.argsort(level * self.n_columns + column, kind="stable")
        return Stage(f, level[sort], column[sort])

    def _place(self) -> None:
        """Lay out ``flat``; number the columns of each square."""
        at = 0
        for stage in self.stages[1:]:
            f = self.factors[stage.factor]
            stage.blocks = slice(at, at + f.n_coefs**2 * f.n_levels)
            at = stage.blocks.stop
            stage.entries = slice(at, at + f.n_coefs * stage.level.size)
            at = stage.entries.stop
        self.square_of = np.full(self.n_columns, -1, np.intp)
        self.row_in_square = np.zeros(self.n_columns, np.intp)
        if self.crossed:
            component = self._connected()
            for c in range(int(component.max()) + 1):
                square = self._square(component, c, at)
                at = square.where.stop
                self.square_of[square.columns] = len(self.squares)
                self.row_in_square[square.columns] = np.arange(square.size)
                self.squares.append(square)
        self.flat_size = at
        # Where the row of each column begins in its square.
        self._row_starts = np.zeros(self.n_columns, np.intp)
        for square in self.squares:
            own = self.row_in_square[square.columns]
            self._row_starts[square.columns] = square.where.start + own * square.size

    def _connected(self) -> Index:
        """Component of each column of the crossed factors (-1 elsewhere)."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        ends = [
            (self.columns_of(f, 0, link.first), self.columns_of(g, 0, link.second))
            for (f, g), link in self.links.items()
            if g in self.crossed
        ]
        for f in self.crossed:
            levels = np.arange(self.factors[f].n_levels)
            ends += [
                (self.columns_of(f, 0, levels), self.columns_of(f, k, levels))
                for k in range(1, self.factors[f].n_coefs)
            ]
        rows, cols = (np.concatenate(side) for side in zip(*ends, strict=True))
        graph = coo_array((np.ones(rows.size), (rows, cols)), shape=(self.n_columns,) * 2)
        component = connected_components(graph, directed=False)[1]
        out = np.full(self.n_columns, -1, np.intp)
        own = np.arange(self.start[self.crossed[0]], self.n_columns)
        out[own] = np.unique(component[own], return_inverse=True)[1]
        return out

    def _square(self, component: Index, c: int, at: int) -> Square:
        columns = np.flatnonzero(component == c)
        parts = {}
        for f in self.crossed:
            J, q = self.factors[f].n_levels, self.factors[f].n_coefs
            edges = np.searchsorted(columns, self.start[f] + J * np.arange(q + 1))
            parts[f] = [slice(edges[k], edges[k + 1]) for k in range(q)]
        return Square(columns, slice(at, at + columns.size**2), parts)

    def _pair(self, stage: Stage) -> None:
        """List the pairs of entries in each level; leave crossed ones out where too many."""
        counts = np.bincount(stage.level, minlength=self.factors[stage.factor].n_levels)
        in_chain = self.square_of[stage.column] < 0
        n_crossed = np.bincount(stage.level, ~in_chain, counts.size)
        if np.sum(n_crossed * (n_crossed + 1) / 2) > _MAX_PAIRS:
            keep = in_chain
            stage.dense_rows = list(self._rows_of_squares(stage))
        else:
            keep = np.ones(stage.level.size, bool)
        # Entry a meets every entry after it in its level; chain columns come first.
        last = np.cumsum(counts)[stage.level]
        reach = np.where(keep, last - np.arange(stage.level.size), 0)
        stage.a = np.repeat(np.arange(stage.level.size), reach)
        first_of = np.cumsum(reach) - reach
        stage.b = stage.a + np.arange(stage.a.size) - np.repeat(first_of, reach)
        stage.pairs_of_level = np.bincount(stage.level, reach, counts.size).astype(np.intp)
        stage.itself = first_of[reach > 0]
        stage.target = self.position(stage.column[stage.a], stage.column[stage.b])

    def _rows_of_squares(self, stage: Stage) -> Iterator[tuple[Square, Index, Index, Index, int]]:
        square = self.square_of[stage.column]
        for s, whole in enumerate(self.squares):
            entries = np.flatnonzero(square == s)
            levels, row = np.unique(stage.level[entries], return_inverse=True)
            step = max(1, _CHUNK // whole.size)
            for start in range(0, levels.size, step):
                part = (row >= start) & (row < start + step)
                here = entries[part]
                column = self.row_in_square[stage.column[here]]
                yield whole, here, row[part] - start, column, min(step, levels.size - start)

    def position(self, i: Index, j: Index) -> Index:
        """Where in ``flat`` the product of columns i and j lies (i not after j)."""
        out = np.empty(i.size, np.intp)
        for stage in self.stages[1:]:
            f = stage.factor
            J, q = self.factors[f].n_levels, self.factors[f].n_coefs
            mine = (i >= self.start[f]) & (i < self.start[f] + q * J)
            k, level = np.divmod(i[mine] - self.start[f], J)
            other = j[mine]
            same = other < self.start[f] + q * J
            keys = stage.level * self.n_columns + stage.column
            entry = np.searchsorted(keys, level * self.n_columns + other)
            k_other = (other - self.start[f]) // J
            out[mine] = np.where(
                same,
                stage.blocks.start + (k_other * q + k) * J + level,
                stage.entries.start + k * keys.size + entry,
            )
        if self.squares:
            crossed = np.take(self._row_starts, j) + np.take(self.row_in_square, i)
            if len(self.stages) == 1:
                return crossed
            out = np.where(self.square_of[i] >= 0, crossed, out)
        return out


def _parents(fine: Factor, coarse: Factor) -> Index | None:
    """The level of ``coarse`` that each level of ``fine`` lies in, or None if not nested."""
    parent = np.zeros(fine.n_levels, np.intp)
    parent[fine.index] = coarse.index
    return parent if np.array_equal(parent[fine.index], coarse.index) else None


def _link(f: Factor, g: Factor) -> Link:
    parent = _parents(f, g)
    if parent is not None:
        return Link(np.arange(f.n_levels), parent, f.index)
    keys, pair = np.unique(f.index * g.n_levels + g.index, return_inverse=True)
    return Link(*np.divmod(keys, g.n_levels), pair.reshape(-1))
