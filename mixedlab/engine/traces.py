"""The traces ``tr(V^-1 V_a V^-1 V_b)`` of the expected information of variances.

``V_a = Z E_a Z'`` is the derivative of V in an entry of the covariance T of a factor's effects, so
that the trace is ``tr(E_a S E_b S)`` with ``S = Z'V^-1Z``: it asks for all of S. With the first
factor (levels j) and ``V_1`` the covariance in which it alone is in,

    D_j = Z_j'V_1^-1Z_j,  H = Z_1'V_1^-1Z_l,  A = Z_l'V_1^-1Z_l,  C = (T_l^-1 + A)^-1,
    S_11 = D - H C H',    S_1l = H (I - C A),    S_ll = A - A C A,

so that a dense matrix over the later columns l is enough, for each set of them that the levels of
the first factor connect: one for each top level where factors are nested. With
``G_a = H'E_aH`` and ``N = I - C A``,

    S_l. E_a S_.l = N'G_aN           for a on the first factor,  S_ll E_a S_ll  on a later one,
    tr(E_a S_11 E_b S_11) = sum_j tr(E_a D_j E_b (D_j - 2 (HCH')_jj)) + tr(G_a C G_b C).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.elimination import Elimination
from mixedlab.engine.system import RandomEffects, Reduced
from mixedlab.errors import DataError

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# A dense matrix of this many later columns takes 130 MB.
_LARGEST = 4_000
_CELLS = 4_000_000


class Direction(NamedTuple):
    """An entry of the covariance of a factor's effects, at ``(row, col)`` and ``(col, row)``."""

    factor: int
    row: int
    col: int


class Traces(NamedTuple):
    """``tr(E_a S)``, shape (k,), and ``tr(E_a S E_b S)``, shape (k, k)."""

    once: Array
    twice: Array


def directions(system: RandomEffects) -> list[Direction]:
    """The entries of T that may differ from zero, in the order of theta."""
    at = {
        int(a): Direction(f, int(r), int(c))
        for f, factor in enumerate(system.factors)
        for a, r, c in zip(factor.at, factor.rows, factor.cols, strict=True)
    }
    return [at[a] for a in sorted(at)]


def traces(system: RandomEffects, at: Reduced) -> Traces:
    """The traces of all pairs of `directions`. Raises ``DataError`` where too much is crossed."""
    found = directions(system)
    k = len(found)
    once, twice = np.zeros(k), np.zeros((k, k))
    first = at.blocks[0]
    own = [a for a, d in enumerate(found) if d.factor == 0]
    D = np.einsum("mij,mkj->ikj", first.W_U, first.W_U)
    X = np.zeros_like(D)
    if len(system.factors) > 1:
        for part in _parts(system, at):
            part.add(found, own, X, once, twice)
    for a in own:
        once[a] += np.sum(_times(found[a], D - X)[np.diag_indices(len(D))])
        left = _times(found[a], D)
        for b in own:
            twice[a, b] += np.einsum("ikj,kij->", left, _times(found[b], D - 2.0 * X))
    return Traces(once, (twice + twice.T) / 2.0)


def _times(d: Direction, stack: Array) -> Array:
    """``E_a M``: rows of M moved."""
    out = np.zeros_like(stack)
    out[d.row] = stack[d.col]
    out[d.col] = stack[d.row]
    return out


class _Part:
    """A connected set of later columns: dense matrices over them, and the levels that meet them."""

    def __init__(
        self,
        system: RandomEffects,
        at: Reduced,
        columns: Index,
        A: Array,
        levels: Index,
        H: list,
    ) -> None:
        plan = system.plan
        self.A, self.levels, self.H = A, levels, H
        self.places = {}
        T = np.zeros_like(A)
        for f, factor in enumerate(system.factors[1:], start=1):
            cuts = np.searchsorted(
                columns, plan.start[f] + factor.n_levels * np.arange(factor.n_coefs + 1)
            )
            self.places[f] = [np.arange(*cuts[k : k + 2]) for k in range(factor.n_coefs)]
            cov = at.lambdas[f] @ at.lambdas[f].T
            for k, rows in enumerate(self.places[f]):
                for m, cols in enumerate(self.places[f]):
                    T[rows, cols] = cov[k, m]
        self.C = T @ np.linalg.inv(np.eye(len(A)) + A @ T)

    def add(
        self, found: list[Direction], own: list[int], X: Array, once: Array, twice: Array
    ) -> None:
        """Add this part's share of the traces, and of ``(HCH')_jj`` to X."""
        A, C, H = self.A, self.C, self.H
        self._add_within(X)
        N = np.eye(len(A)) - C @ A
        S = A @ N
        later = [b for b in range(len(found)) if b not in own]
        GC = {}
        for a, d in enumerate(found):
            if a in own:
                product = (H[d.row].T @ H[d.col]).toarray()
                G = product if d.row == d.col else product + product.T
                GC[a] = G @ C
                around = N.T @ G @ N
            else:
                once[a] += self._trace(d, S)
                rows, cols = self.places[d.factor][d.row], self.places[d.factor][d.col]
                around = S[:, rows] @ S[cols]
                if d.row != d.col:
                    around = around + around.T
            for b in later:
                twice[a, b] += self._trace(found[b], around)
                if a in own:
                    twice[b, a] = twice[a, b]
        for a in own:
            for b in own:
                twice[a, b] += np.einsum("ij,ji->", GC[a], GC[b])

    def _trace(self, d: Direction, M: Array) -> float:
        """``tr(E_a M)`` over the levels in this part, M symmetric."""
        rows, cols = self.places[d.factor][d.row], self.places[d.factor][d.col]
        return float(M[rows, cols].sum() * (1.0 if d.row == d.col else 2.0))

    def _add_within(self, X: Array) -> None:
        """Add the diagonal blocks of ``H C H'``, some levels at a time."""
        step = max(1, _CELLS // len(self.C))
        for start in range(0, self.levels.size, step):
            some = slice(start, start + step)
            for k, H in enumerate(self.H):
                HC = H[some] @ self.C
                for m, other in enumerate(self.H):
                    within = np.asarray(other[some].multiply(HC).sum(axis=1)).ravel()
                    X[k, m, self.levels[some]] += within


def _parts(system: RandomEffects, at: Reduced) -> Iterator[_Part]:
    """The connected sets of later columns, with A and H of each."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    plan, first, block = system.plan, system.plan.stages[0], at.blocks[0]
    J, N, entries = first.J, plan.n_columns, first.entries
    ends = (entries.level, entries.column)
    ones = np.ones(entries.level.size)
    graph = coo_array((ones, (ends[0], J + ends[1])), shape=(J + N, J + N))
    label = connected_components(graph, directed=False)[1]
    A = coo_array(later_products(plan, system.products_given_first(block)), shape=(N, N)).tocsr()
    H = [coo_array((h, ends), shape=(J, N)).tocsr() for h in block.cross()]
    of_level, of_column = label[:J], label[J:]
    levels, later = np.argsort(of_level, kind="stable"), np.arange(first.columns.stop, N)
    order = later[np.argsort(of_column[later], kind="stable")]
    for columns in np.split(order, np.flatnonzero(np.diff(of_column[order])) + 1):
        if columns.size > _LARGEST:
            raise DataError(
                f"Beside the factor with most levels, the crossed groups have {columns.size} "
                "random effects that the data connect; this question needs a dense matrix of "
                f"them, and {_LARGEST} is the limit. Ask for what needs less: Satterthwaite's "
                "degrees of freedom, Wald intervals or the bootstrap."
            )
        ends = np.searchsorted(of_level[levels], of_column[columns[0]] + np.arange(2))
        mine = np.sort(levels[slice(*ends)])
        dense = A[columns][:, columns].toarray()
        yield _Part(system, at, columns, dense, mine, [h[mine][:, columns] for h in H])


def later_products(plan: Elimination, flat: Array) -> tuple[Array, tuple[Index, Index]]:
    """The products in ``flat`` of the columns after the first factor's, and their row and column.

    Both triangles, in the form that a sparse matrix takes.
    """
    rows, cols, values = [], [], []

    def put(i: Index, j: Index, value: Array, both: bool) -> None:
        for one, other in ((i, j), (j, i)) if both else ((i, j),):
            rows.append(one)
            cols.append(other)
            values.append(value)

    for stage in plan.stages[1:]:
        A = flat[stage.blocks].reshape(stage.q, stage.q, stage.J)
        B = flat[stage.where].reshape(stage.q, -1)
        columns = np.arange(plan.n_columns)[stage.columns].reshape(stage.q, stage.J)
        for k, at in enumerate(columns):
            for m in range(k + 1):
                put(at, columns[m], A[k, m], k != m)
            if stage.linked:
                put(at[stage.entries.level], stage.entries.column, B[k], True)
    for square in plan.squares:
        i, j = np.repeat(square.columns, square.size), np.tile(square.columns, square.size)
        lower = square.of(flat)
        put(i, j, (np.tril(lower) + np.tril(lower, -1).T).ravel(), False)
    return np.concatenate(values), (np.concatenate(rows), np.concatenate(cols))
