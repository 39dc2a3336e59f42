r"""A fill-reducing order in which the levels of crossed factors are eliminated.

The levels are the vertices of a graph, with an edge where a product may differ from zero.
Eliminating a vertex joins all its neighbours to each other. Vertices that are no neighbours do not
feel each other: an **independent set** of them goes at once, as one stage of the elimination, with
arrays over all its members. So a **round** takes, of the vertices of least degree (Rose's minimum
degree order), an independent set, and the graph of the rest becomes

    A_rest + B'B,

with B the edges between those that went and those that stay. Of two connected levels in sparse
data a few rounds eliminate most. As the rest gets smaller its degrees rise, until a dense factor
costs less: eliminating a vertex of degree d takes some d^2 / 2 steps of scattered arithmetic, a
column of a dense matrix of order c some c^2 of fast ones. Where d exceeds a twentieth of c, rounds
stop; what is left of each connected set is kept dense.

Sources: Liu (1985), *ACM Trans. Math. Software* 11, 141-153, on multiple elimination; Luby (1986),
*SIAM J. Comput.* 15, 1036-1053, on independent sets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Index = NDArray[np.intp]

# A vertex of this share of the vertices connected with it is cheaper in a dense matrix.
_DENSE = 0.05


class Round(NamedTuple):
    """Vertices that go at once, and their later neighbours: ``vertices[row]`` meets ``later``."""

    vertices: Index
    row: Index
    later: Index


def eliminate_in_rounds(graph: csr_array) -> tuple[list[Round], list[Index]]:
    """The rounds of elimination, and the connected sets of vertices that are left.

    ``graph`` is boolean and symmetric, its diagonal full. One of many sets of a kind is taken by
    rounds even if it is dense: they go at once.
    """
    from scipy.sparse.csgraph import connected_components

    n_sets, member = connected_components(graph, directed=False)
    alive = np.arange(graph.shape[0])
    tie = np.random.default_rng(0).permutation(alive.size)
    rounds = []
    while True:
        degree = np.diff(graph.indptr) - 1
        size = np.bincount(member, minlength=n_sets)[member]
        sparse = degree <= _DENSE * np.maximum(size, n_sets)
        if not sparse.any():
            break
        lowest = degree[sparse].min()
        free = sparse & (degree <= 2 * lowest + 2)
        chosen = independent(graph, degree * tie.size + tie[alive], free)
        going, staying = np.flatnonzero(chosen), np.flatnonzero(~chosen)
        B = graph[going][:, staying].tocsr()
        row = np.repeat(np.arange(B.shape[0]), np.diff(B.indptr))
        rounds.append(Round(alive[going], row, alive[staying][B.indices]))
        graph = (graph[staying][:, staying] + B.T @ B).tocsr()
        alive, member = alive[staying], member[staying]
    order = np.argsort(member, kind="stable")
    cuts = np.flatnonzero(np.diff(member[order])) + 1
    return rounds, [part for part in np.split(alive[order], cuts) if part.size]


def independent(graph: csr_array, priority: Index, free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the ``free`` vertices to take so that no two are neighbours: lowest priority first.

    A vertex is taken when it comes before all its free neighbours, which are then no longer free.
    """
    chosen, free = np.zeros(free.size, bool), free.copy()
    row = np.repeat(np.arange(free.size), np.diff(graph.indptr))
    col = graph.indices
    while free.any():
        both = free[row] & free[col]
        row, col = row[both], col[both]
        first = free.copy()
        first[row[priority[col] < priority[row]]] = False
        chosen |= first
        free &= ~first
        free[col[first[row]]] = False
    return chosen
