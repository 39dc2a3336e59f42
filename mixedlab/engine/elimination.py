"""In which order the random effects are eliminated, and where what is left is kept.

The factors form a chain ``f0, f1, ...`` in which every level of one lies in a single level of the
next (pupils in classes in schools), and a rest that is crossed with it. Eliminating a factor
links every two coefficients that share one of its levels. Because each level of the chain lies
in one level of the next, the factors of the chain stay block diagonal, and no link arises that
the data do not have: a factor of the chain is one **stage** of the elimination. Of the rest, which
fills up, `ordering` finds rounds of levels that no product links; the levels of one factor in a
round are a stage too. What is left where that would be dense is kept as a square for each
connected set.

All products of columns, and likewise the matching part of an inverse, lie in one vector
(``flat``): for each stage its diagonal blocks ``(q, q, J)`` and the entries ``(q, nnz)`` that link
it to later columns, then the dense squares. Of symmetric blocks the lower triangle is kept.

The gradient needs the inverse where the data have an entry. With C the conditional covariance of
the random effects (over sigma^2), known for later columns, a stage adds

    C_fl = -K B C_ll,    C_ff = K + K B C_ll B'K,
    Z_f'V^-1 Z_f = Z_f'V_f^-1 Z_f - h C_ll h',    h = Z_f'V_f^-1 Z_l,

with ``V_f`` the covariance in which the later factors are not in yet, so that one pass back
through the blocks gives all of them (Takahashi, Fagan & Chin, 1973).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.entries import Entries
from mixedlab.engine.levels import FactoredLevels, FactoredOrthogonal, Levels
from mixedlab.engine.ordering import eliminate_in_rounds
from mixedlab.engine.square import FactoredSquare, Square
from mixedlab.engine.terms import Factor

Array = NDArray[np.float64]
Index = NDArray[np.intp]
Block = FactoredLevels | FactoredOrthogonal | FactoredSquare

# Rows whose levels the data do not pair are solved for this many at once.
_AT_ONCE = 256


class Link(NamedTuple):
    """Levels of two factors that occur together in some row, once each."""

    first: Index
    second: Index
    pair_of_row: Index


class _Meeting(NamedTuple):
    """Levels of a factor that go at once, and later levels: ``met[g]`` pairs rows with them."""

    factor: int
    levels: Index | None  # None: all
    met: dict[int, tuple[Index, Index]]


class Elimination:
    """The stages, the dense squares, and the place of every number.

    Columns are numbered factor by factor, within a factor coefficient by coefficient: column
    ``start[f] + k * J + j``. ``rank`` is the place of each in the order of elimination.
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
        meetings = [
            _Meeting(f, None, {g: self.links[f, g][:2] for g in order[i + 1 :]})
            for i, f in enumerate(chain)
        ]
        rounds, dense = self._order_crossed() if crossed else ([], [])
        self.stages: list[Levels] = []
        self.squares: list[Square] = []
        self.flat_size = 0
        for meeting in meetings + rounds:
            self.stages.append(self._stage(meeting))
            self.flat_size = self.stages[-1].where.stop
        for columns in dense:
            self.squares.append(self._square(columns))
            self.flat_size = self.squares[-1].where.stop
        self._number()
        self._keys: list[Index] = []
        for s, meeting in enumerate(meetings + rounds):
            level, column, key = self._entries_of(meeting)
            self._keys.append(key)
            self.stages[s] = replace(self.stages[s], entries=(level, column))
        shape = self.n_columns, self.square_of, self.squares, self.position
        self.stages = [
            replace(t, entries=Entries(*t.entries, t.J, *shape) if t.linked else None)
            for t in self.stages
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

    def position(self, i: Index, j: Index) -> Index:
        """Where in ``flat`` the product of columns i and j lies (i eliminated not after j).

        Where the data have no such entry, a place that holds another number.
        """
        out = self._row_start[j] + self._in_row[i]
        stage_of = self._stage_of[i]
        for s in np.unique(stage_of[stage_of >= 0]):
            stage, key = self.stages[s], self._keys[s]
            mine = np.flatnonzero(stage_of == s)
            k, level = np.divmod(self._in_row[i[mine]], stage.J)
            other = j[mine]
            k_other = self._in_row[other] // stage.J
            entry = np.searchsorted(key, level * self.n_columns + self.rank[other])
            out[mine] = np.where(
                self._stage_of[other] == s,
                stage.blocks.start + (k_other * stage.q + k) * stage.J + level,
                stage.where.start + k * key.size + entry,
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
        out = np.empty((self.factors[f].n_coefs, self.factors[g].n_coefs, link.first.size), np.intp)
        for k, m in np.ndindex(out.shape[:2]):
            i = self.columns_of(f, k, link.first)
            j = self.columns_of(g, m, link.second)
            late = self.rank[i] > self.rank[j]
            out[k, m] = self.position(np.where(late, j, i), np.where(late, i, j))
        return out

    def _order_crossed(self) -> tuple[list[_Meeting], list[Index]]:
        """The rounds of levels that go at once, and the columns of each dense set.

        After the chain the levels in one level of its last factor are linked, and no others: a
        level of a finer factor, and so every row, lies within it.
        """
        from scipy.sparse import coo_array

        ends = np.cumsum([0, *(self.factors[g].n_levels for g in self.crossed)])
        spans = dict(zip(self.crossed, pairwise(ends), strict=True))
        top = self.chain[-1]
        links = {g: self.links[top, g] for g in self.crossed}
        rows = np.concatenate([link.first for link in links.values()])
        cols = np.concatenate([spans[g][0] + link.second for g, link in links.items()])
        shape = self.factors[top].n_levels, ends[-1]
        B = coo_array((np.ones(rows.size, bool), (rows, cols)), shape=shape).tocsr()
        rounds, dense = eliminate_in_rounds((B.T @ B).tocsr())
        meetings = []
        for vertices, row, later in rounds:
            for f, (first, last) in spans.items():
                own = (vertices >= first) & (vertices < last)
                if not own.any():
                    continue
                here, number = own[row], np.cumsum(own) - 1
                met = {}
                for g, (start, stop) in spans.items():
                    pick = here & (later >= start) & (later < stop)
                    met[g] = number[row[pick]], later[pick] - start
                meetings.append(_Meeting(f, vertices[own] - first, met))
        sets = []
        for vertices in dense:
            columns = []
            for f, (first, last) in spans.items():
                own = vertices[(vertices >= first) & (vertices < last)] - first
                columns += [self.columns_of(f, k, own) for k in range(self.factors[f].n_coefs)]
            sets.append(np.concatenate(columns))
        return meetings, sets

    def _stage(self, meeting: _Meeting) -> Levels:
        """A stage without its entries, at the end of ``flat``."""
        f, levels, met = meeting
        q, start = self.factors[f].n_coefs, self.start[f]
        if levels is None:
            J = self.factors[f].n_levels
            columns: slice | Index = slice(start, start + q * J)
        else:
            J = levels.size
            columns = np.concatenate([self.columns_of(f, k, levels) for k in range(q)])
        nnz = sum(self.factors[g].n_coefs * row.size for g, (row, _) in met.items())
        blocks = slice(self.flat_size, self.flat_size + q * q * J)
        return Levels(f, q, J, columns, blocks, slice(blocks.stop, blocks.stop + q * nnz))

    def _square(self, columns: Index) -> Square:
        """The dense set of these (sorted) columns, at the end of ``flat``."""
        parts = {}
        for f in self.crossed:
            J, q = self.factors[f].n_levels, self.factors[f].n_coefs
            cuts = np.searchsorted(columns, self.start[f] + J * np.arange(q + 1))
            parts[f] = [slice(cuts[k], cuts[k + 1]) for k in range(q)]
        return Square(columns, slice(self.flat_size, self.flat_size + columns.size**2), parts)

    def _number(self) -> None:
        """``rank`` of the columns, the stage or square of each, and its place there."""
        n = self.n_columns
        self.rank, self._in_row, self._row_start = np.zeros((3, n), np.intp)
        self._stage_of, self.square_of = np.full((2, n), -1, np.intp)
        done = 0
        for owner, groups in ((self._stage_of, self.stages), (self.square_of, self.squares)):
            for number, group in enumerate(groups):
                size = owner[group.columns].size
                owner[group.columns] = number
                self._in_row[group.columns] = np.arange(size)
                self.rank[group.columns] = done + np.arange(size)
                done += size
        for square in self.squares:
            self._row_start[square.columns] = square.where.start + square.size * np.arange(
                square.size
            )

    def _entries_of(self, meeting: _Meeting) -> tuple[Index, Index, Index]:
        """Level and column of each later column that a level meets, and their sorted key."""
        level, column = [np.empty(0, np.intp)], [np.empty(0, np.intp)]
        for g, (row, other) in meeting.met.items():
            for k in range(self.factors[g].n_coefs):
                level.append(row)
                column.append(self.columns_of(g, k, other))
        level, column = np.concatenate(level), np.concatenate(column)
        key = level * self.n_columns + self.rank[column]
        sort = np.argsort(key, kind="stable")
        return level[sort], column[sort], key[sort]


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


class SelectedInverse(NamedTuple):
    """``C`` in the order of the products, and by factor the sums ``Z_f'V^-1Z_f``.

    For the whole of C no sums are made; for the sums the first factor's part of C is left out.
    """

    C: Array
    slopes: dict[int, Array]


def selected_inverse(
    plan: Elimination, blocks: Sequence[Block], *, whole: bool = False
) -> SelectedInverse:
    """One pass back through the factored blocks, for the sums or for the ``whole`` of C."""
    C = np.empty(plan.flat_size if whole or len(plan.factors) > 1 else 0)
    factors = () if whole else plan.factors
    slopes = {f: np.zeros((factor.n_coefs,) * 2) for f, factor in enumerate(factors)}
    last = len(plan.stages)
    for done in blocks[last:]:
        done.fill_inverse(C, slopes)
    for s in reversed(range(last)):
        stage, done = plan.stages[s], blocks[s]
        half = stage.entries.half_of(C) if stage.linked else None
        if not whole:
            slopes[stage.factor] += done.own_precision()
            if stage.linked:
                h, squares = done.cross(), done.cross_squares()
                slopes[stage.factor] -= stage.entries.sandwich(h, C, half, squares)
        if s or whole:
            own = done.covariance()
            if stage.linked:
                KB = done.moved()
                KBC = stage.entries.times(KB, C, half)
                own = own + stage.entries.inner(KBC, KB)
                C[stage.where] = -KBC.ravel()
            C[stage.blocks] = own.ravel()
    return SelectedInverse(C, slopes)


def covariance_times(plan: Elimination, blocks: Sequence[Block], s: Array) -> Array:
    """``C s`` for coefficients s (c, n_columns): forward through the blocks, and back."""
    left, own = s.copy(), []
    for stage, done in zip(plan.stages, blocks, strict=False):
        mine, KB = done.own(left), done.moved() if stage.linked else None
        own.append((done, KB, np.einsum("kmj,cmj->ckj", done.covariance(), mine)))
        for to, values in zip(left, mine, strict=True) if stage.linked else ():
            to -= stage.entries.by_column(KB, values)
    out = np.zeros_like(s)
    for square, done in zip(plan.squares, blocks[len(plan.stages) :], strict=True):
        out[:, square.columns] = done.covariance_times(left[:, square.columns])
    for done, KB, mine in reversed(own):
        for c, later in enumerate(out) if KB is not None else ():
            mine[c] -= done.levels.entries.by_level(KB, later)
        done.put(mine, out)
    return out


def row_variances(
    plan: Elimination, blocks: Sequence[Block], index: Sequence[Index], Z: list[Array]
) -> Array:
    """``z_i'C z_i`` (n,) for rows of any levels; a level of -1 adds nothing.

    ``Z`` holds the rows' columns of each factor (q, n), ``index`` the level of each (q, n). Rows
    whose levels occur together in the data need the selected inverse only, others a solve each.
    """
    C = selected_inverse(plan, blocks, whole=True).C
    Z = [np.where(at >= 0, z, 0.0) for z, at in zip(Z, index, strict=True)]
    index = [np.maximum(at, 0) for at in index]
    out = np.zeros(Z[0].shape[1])
    known = np.logical_and.reduce([(at == at[0]).all(axis=0) for at in index])
    for (f, g), places in plan.places.items():
        if f == g:
            pair, twice = index[f][0], 1.0
        else:
            link, J = plan.links[f, g], plan.factors[g].n_levels
            wanted, have = index[f][0] * J + index[g][0], link.first * J + link.second
            pair = np.minimum(np.searchsorted(have, wanted), have.size - 1)
            twice, absent = 2.0, (have[pair] != wanted) & Z[f].any(axis=0) & Z[g].any(axis=0)
            known &= ~absent
        at = C[places[:, :, pair]]
        out += twice * np.einsum("kn,kmn,mn->n", Z[f], at, Z[g])
    for rows in np.array_split(np.flatnonzero(~known), max(1, (~known).sum() // _AT_ONCE)):
        s = np.zeros((rows.size, plan.n_columns))
        for f, z in enumerate(Z):
            for k in range(len(z)):
                s[np.arange(rows.size), plan.columns_of(f, k, index[f][k, rows])] = z[k, rows]
        out[rows] = np.einsum("cm,cm->c", s, covariance_times(plan, blocks, s))
    return out
