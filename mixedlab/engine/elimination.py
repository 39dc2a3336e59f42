"""In which order the random effects are eliminated, and where what is left is kept.

The factors form a chain ``f0, f1, ...`` in which every level of one lies in a single level of the
next (pupils in classes in schools), and a rest that is crossed with it. Eliminating a factor
links every two coefficients that share one of its levels. Because each level of the chain lies
in one level of the next, the factors of the chain stay block diagonal, and no link arises that
the data do not have. The rest fills up, but only within sets of levels that are connected at
all: each connected set is kept as a dense square.

All products of columns, and likewise the matching part of an inverse, lie in one vector
(``flat``): for each factor of the chain its diagonal blocks ``(q, q, J)`` and the entries
``(q, nnz)`` that link it to later columns, then the dense squares. Of symmetric blocks the lower
triangle is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.entries import Entries
from mixedlab.engine.layout import Factor
from mixedlab.engine.levels import Levels
from mixedlab.engine.square import Square

Array = NDArray[np.float64]
Index = NDArray[np.intp]


class Link(NamedTuple):
    """Levels of two factors that occur together in some row, once each."""

    first: Index
    second: Index
    pair_of_row: Index


class Elimination:
    """The chain, the dense squares, and the place of every number.

    Columns are numbered factor by factor in elimination order, within a factor coefficient by
    coefficient: column ``start[f] + k * J + j``.
    """

    def __init__(self, factors: Sequence[Factor]) -> None:
        self.factors = tuple(factors)
        chain, crossed = list(range(min(1, len(factors)))), []
        for f in range(1, len(factors)):
            nested = _parents(factors[chain[-1]], factors[f]) is not None
            (chain if nested else crossed).append(f)
        self.chain, self.crossed = chain, crossed
        order = chain + crossed
        self.start, self.n_columns = {}, 0
        for f in order:
            self.start[f] = self.n_columns
            self.n_columns += factors[f].n_coefs * factors[f].n_levels
        self.links = {
            (f, g): _link(factors[f], factors[g])
            for i, f in enumerate(order)
            for g in order[i + 1 :]
        }
        self._chain: list[tuple[Levels, Index, Index]] = []
        at = 0
        for i, f in enumerate(chain):
            level, column = self._entries_of(f, order[i + 1 :])
            q, J = factors[f].n_coefs, factors[f].n_levels
            blocks = slice(at, at + q * q * J)
            where = slice(blocks.stop, blocks.stop + q * level.size)
            columns = slice(self.start[f], self.start[f] + q * J)
            self._chain.append((Levels(f, q, J, columns, blocks, where), level, column))
            at = where.stop
        self.squares, self.flat_size = self._squares(at)
        self.square_of = np.full(self.n_columns, -1, np.intp)
        # Where the row of each column begins in its square, and its place in a row.
        self._row_start, self._in_row = np.zeros((2, self.n_columns), np.intp)
        for s, square in enumerate(self.squares):
            own = np.arange(square.size)
            self.square_of[square.columns] = s
            self._in_row[square.columns] = own
            self._row_start[square.columns] = square.where.start + own * square.size
        shape = self.n_columns, self.square_of, self.squares, self.position
        self.stages = [
            replace(stage, entries=Entries(level, column, stage.J, *shape))
            for stage, level, column in self._chain
        ]

    @cached_property
    def places(self) -> dict[tuple[int, int], Index]:
        """Where the products of each two factors lie, (q_f, q_g, pairs of levels) each."""
        places = {(f, f): self._blocks_of(f) for f in self.start}
        return places | {pair: self._places_of(*pair) for pair in self.links}

    def columns_of(self, f: int, k: int, levels: Index | None = None) -> Index:
        """Column numbers of coefficient ``k`` of factor ``f`` for these levels (default: all)."""
        J = self.factors[f].n_levels
        return self.start[f] + k * J + (np.arange(J) if levels is None else levels)

    def by_factor(self, f: int, values: Array) -> Array:
        """The columns of one factor out of (c, n_columns), as a view (c, q, J)."""
        q, J = self.factors[f].n_coefs, self.factors[f].n_levels
        return values[:, self.start[f] : self.start[f] + q * J].reshape(len(values), q, J)

    def products(self, Z: Sequence[Array], weights: Array | None = None) -> Array:
        """``Z'WZ`` wherever the data have an entry, in the order of ``flat``.

        ``Z`` holds the columns of each factor, (q, n). Without weights they are those of
        the first factor's orthonormal columns, whose own products need no place.
        """
        flat = np.zeros(self.flat_size)
        for (f, g), places in self.places.items():
            if weights is None and g == 0:
                continue
            index = self.factors[f].index if f == g else self.links[f, g].pair_of_row
            size = places.shape[2]
            for k, z in enumerate(Z[f] if weights is None else weights * Z[f]):
                for m in range(k if f == g else 0, len(Z[g])):
                    flat[places[k, m]] = np.bincount(index, z * Z[g][m], size)
        return flat

    def later_products(self, flat: Array) -> tuple[Array, tuple[Index, Index]]:
        """The products of the columns after the first factor's, and where (row, column) they lie.

        Both triangles, in the form that a sparse matrix takes.
        """
        rows, cols, values = [], [], []

        def put(i: Index, j: Index, value: Array, both: bool) -> None:
            for one, other in ((i, j), (j, i)) if both else ((i, j),):
                rows.append(one)
                cols.append(other)
                values.append(value)

        for stage in self.stages[1:]:
            A = flat[stage.blocks].reshape(stage.q, stage.q, stage.J)
            B = flat[stage.where].reshape(stage.q, -1)
            for k in range(stage.q):
                at = self.columns_of(stage.factor, k)
                for m in range(k + 1):
                    put(at, self.columns_of(stage.factor, m), A[k, m], k != m)
                put(at[stage.entries.level], stage.entries.column, B[k], True)
        for square in self.squares:
            i, j = np.repeat(square.columns, square.size), np.tile(square.columns, square.size)
            put(i, j, square.of(flat).ravel(), False)
        return np.concatenate(values), (np.concatenate(rows), np.concatenate(cols))

    def position(self, i: Index, j: Index) -> Index:
        """Where in ``flat`` the product of columns i and j lies (i not after j).

        Where the data have no such entry, a place that holds another number.
        """
        out = self._row_start[j] + self._in_row[i]
        for stage, level_of_entry, column in self._chain:
            mine = np.flatnonzero((i >= stage.columns.start) & (i < stage.columns.stop))
            if not mine.size:
                continue
            k, level = np.divmod(i[mine] - stage.columns.start, stage.J)
            other = j[mine]
            entry = np.searchsorted(
                level_of_entry * self.n_columns + column, level * self.n_columns + other
            )
            k_other = (other - stage.columns.start) // stage.J
            out[mine] = np.where(
                other < stage.columns.stop,
                stage.blocks.start + (k_other * stage.q + k) * stage.J + level,
                stage.where.start + k * column.size + entry,
            )
        return out

    def _blocks_of(self, f: int) -> Index:
        """Places (q, q, J) of a factor's own blocks; both triangles point to the lower one."""
        q = self.factors[f].n_coefs
        out = np.empty((q, q, self.factors[f].n_levels), np.intp)
        for k in range(q):
            for m in range(k, q):
                out[k, m] = out[m, k] = self.position(self.columns_of(f, k), self.columns_of(f, m))
        return out

    def _places_of(self, f: int, g: int) -> Index:
        """Places (q_f, q_g, pairs) of the products of two factors, for each pair of levels."""
        link = self.links[f, g]
        return np.array(
            [
                [
                    self.position(
                        self.columns_of(f, k, link.first), self.columns_of(g, m, link.second)
                    )
                    for m in range(self.factors[g].n_coefs)
                ]
                for k in range(self.factors[f].n_coefs)
            ]
        )

    def _entries_of(self, f: int, later: list[int]) -> tuple[Index, Index]:
        """Level and column of each later column that a level of ``f`` meets, sorted."""
        if not later:
            return np.empty((2, 0), np.intp)
        level, column = [], []
        for g in later:
            link = self.links[f, g]
            for k in range(self.factors[g].n_coefs):
                level.append(link.first)
                column.append(self.columns_of(g, k, link.second))
        level, column = np.concatenate(level), np.concatenate(column)
        sort = np.argsort(level * self.n_columns + column, kind="stable")
        return level[sort], column[sort]

    def _squares(self, at: int) -> tuple[list[Square], int]:
        """The connected sets of columns of the crossed factors, from place ``at`` on."""
        if not self.crossed:
            return [], at
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        ends = [
            (self.columns_of(f, 0, link.first), self.columns_of(g, 0, link.second))
            for (f, g), link in self.links.items()
            if g in self.crossed
        ]
        ends += [
            (self.columns_of(f, 0), self.columns_of(f, k))
            for f in self.crossed
            for k in range(1, self.factors[f].n_coefs)
        ]
        rows, cols = (np.concatenate(side) for side in zip(*ends, strict=True))
        graph = coo_array((np.ones(rows.size), (rows, cols)), shape=(self.n_columns,) * 2)
        first = self.start[self.crossed[0]]
        component = connected_components(graph, directed=False)[1][first:]
        order = np.argsort(component, kind="stable")
        edges = np.flatnonzero(np.diff(component[order])) + 1
        squares = []
        for columns in np.split(order + first, edges):
            parts = {}
            for f in self.crossed:
                J, q = self.factors[f].n_levels, self.factors[f].n_coefs
                cuts = np.searchsorted(columns, self.start[f] + J * np.arange(q + 1))
                parts[f] = [slice(cuts[k], cuts[k + 1]) for k in range(q)]
            squares.append(Square(columns, slice(at, at + columns.size**2), parts))
            at += columns.size**2
        return squares, at


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
