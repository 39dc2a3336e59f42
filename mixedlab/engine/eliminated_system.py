r"""The system ``H = I + V'WV`` of all random effects of a model with several grouping factors.

The factor with most levels (block 1) has a block-diagonal D in

    H = [D  E']      S = F - E D^-1 E',     log|H| = log|D| + log|S|.
        [E  F ]

E is kept as one small column for each pair (level of block 1, coefficient of another factor) that
occurs in the data. The Schur complement S falls into independent pieces: one for each top level
where factors are nested, one altogether where they are crossed. Each piece is dense, and pieces of
equal size are factored as one stack. The wanted parts of H^-1 follow from those of S^-1,

    (H^-1)_11 = D^-1 + D^-1 E' S^-1 E D^-1,   (H^-1)_21 = -S^-1 E D^-1,   (H^-1)_22 = S^-1,

each computed only at pairs that occur. Memory grows with the data and the squares of the pieces.

"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine import blocks
from mixedlab.engine.layout import Layout
from mixedlab.engine.stacked_factor import factor, log_det, solve
from mixedlab.engine.terms import RandomTerm

Array = NDArray[np.float64]

_DENSE_CELLS = 20_000_000  # of a level-by-coordinate matrix


class EliminatedSystem:
    """Factors ``H = I + V'WV`` by eliminating the factor with most levels, then piece by piece."""

    def __init__(self, terms: list[RandomTerm], layout: Layout) -> None:
        self.terms = terms
        largest = layout.factors[0]
        self.first = largest.terms
        self.others = [k for k in range(len(terms)) if k not in largest.terms]
        self.index1, self.J1 = largest.index, largest.n_levels
        self._number_coordinates()
        self._pair_up()
        self._split_into_pieces()

    def _number_coordinates(self) -> None:
        """Give each coefficient of each level outside block 1 a number; coords is (R, n) by row."""
        at, coords = 0, []
        self.blocks = {}  # term -> its coordinates, (q, J)
        for k in self.others:
            q, J = self.terms[k].n_coefs, self.terms[k].n_levels
            self.blocks[k] = at + np.arange(q * J).reshape(q, J)
            coords.extend(self.blocks[k][:, self.terms[k].index])
            at += q * J
        self.n_coords = at
        self.coords = np.stack(coords)

    def _pair_up(self) -> None:
        """Number the pairs (level of block 1, coordinate) that occur; pair is (R, n) by row."""
        key = self.index1 * self.n_coords + self.coords
        self.pair_keys, pair = np.unique(key, return_inverse=True)
        self.pair = pair.reshape(key.shape)
        self.pair_level, self.pair_coord = np.divmod(self.pair_keys, self.n_coords)

    def _split_into_pieces(self) -> None:
        """Coordinates joined by a level of block 1 or by a row belong to one piece of S."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        ones = np.ones(self.pair_keys.size)
        at = (self.pair_level, self.J1 + self.pair_coord)
        size = self.J1 + self.n_coords
        _, label = connected_components(coo_array((ones, at), (size, size)), directed=False)
        label = label[self.J1 :]
        order = np.argsort(label, kind="stable")
        _, piece, sizes = np.unique(label, return_inverse=True, return_counts=True)
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        place = np.empty(self.n_coords, dtype=np.intp)
        place[order] = np.arange(self.n_coords)
        self.local = place - starts[piece]  # place of each coordinate inside its piece
        self.size = sizes[piece]
        cells = np.concatenate([[0], np.cumsum(sizes.astype(np.int64) ** 2)])
        self.offset = cells[:-1][piece]  # S is one flat array: piece after piece, row by row
        self.n_cells = int(cells[-1])
        if self.n_cells > 4e8:
            raise MemoryError(
                "Crossed factors with so many levels need a dense matrix of "
                f"{self.n_cells * 8 / 1e9:.1f} GB. Fit fewer crossed levels, or drop a factor."
            )
        # one piece in the coordinates' own order, and well filled: dense products are quicker
        cells_in_all = self.J1 * self.n_coords
        filled = self.pair_keys.size > 0.2 * cells_in_all
        self.is_dense = sizes.size == 1 and filled and cells_in_all <= _DENSE_CELLS
        # pieces of one size form a stack: where each of its cells stands in the flat array
        self.stacks = []
        for s in np.unique(sizes):
            which = np.flatnonzero(sizes == s)
            self.stacks.append(
                (
                    cells[which][:, None] + np.arange(s * s),
                    order[starts[which][:, None] + np.arange(s)],
                )
            )

    def _cell(self, a: NDArray, b: NDArray) -> NDArray:
        """Flat position in S of the cell of two coordinates of one piece."""
        return self.offset[a] + self.local[a] * self.size[a] + self.local[b]

    def _dense(self, values: Array) -> Array:
        """A (J1, n_coords) matrix from one value for each pair."""
        out = np.zeros(self.J1 * self.n_coords)
        out[self.pair_keys] = values
        return out.reshape(self.J1, self.n_coords)

    def _sparse(self, values: Array):
        """A (J1, n_coords) sparse matrix from one value for each pair."""
        from scipy.sparse import csr_array

        shape = (self.J1, self.n_coords)
        starts = np.searchsorted(self.pair_level, np.arange(self.J1 + 1))
        return csr_array((values, self.pair_coord, starts), shape)

    def factorise(self, W: Array, Lam: list[Array]) -> bool:
        """Factor H at weights W (n,); False where H is not positive definite."""
        self.v = [L.T @ t.Z.T for t, L in zip(self.terms, Lam, strict=True)]
        v1 = np.concatenate([self.v[k] for k in self.first])
        rest = np.concatenate([self.v[k] for k in self.others])
        q1, R = v1.shape[0], rest.shape[0]
        D = np.zeros((q1, q1, self.J1))
        for a in range(q1):
            for b in range(a + 1):
                D[a, b] = D[b, a] = np.bincount(self.index1, W * v1[a] * v1[b], self.J1)
            D[a, a] += 1
        self.L1 = factor(D)
        if not np.isfinite(self.L1).all():
            return False
        E = np.zeros((q1, self.pair_keys.size))
        for a in range(q1):
            Wv = W * v1[a]
            for r in range(R):
                E[a] += np.bincount(self.pair[r], Wv * rest[r], self.pair_keys.size)
        L1_at = self.L1[:, :, self.pair_level]
        half = blocks.solve_lower(L1_at, E.copy())  # L1^-1 E
        self.E, self.T = E, blocks.solve_upper(L1_at, half.copy())  # T = D^-1 E
        S = np.zeros(self.n_cells)
        diagonal = np.arange(self.n_coords)
        S[self._cell(diagonal, diagonal)] = 1.0
        for r in range(R):
            for p in range(R):
                S += np.bincount(
                    self._cell(self.coords[r], self.coords[p]), W * rest[r] * rest[p], self.n_cells
                )
        for a in range(q1):
            if self.is_dense:
                M = self._dense(half[a])
                S -= (M.T @ M).ravel()
            else:
                M = self._sparse(half[a])
                product = (M.T @ M).tocoo()
                S[self._cell(product.row, product.col)] -= product.data
        self.S_factors = []
        for cells, _ in self.stacks:
            s = round(cells.shape[1] ** 0.5)
            try:
                self.S_factors.append(np.linalg.cholesky(S[cells].reshape(-1, s, s)))
            except np.linalg.LinAlgError:
                return False
        return True

    def log_det(self) -> float:
        """Log determinant of H."""
        total = 2 * log_det(self.L1).sum()
        for L in self.S_factors:
            total += 2 * np.log(np.diagonal(L, axis1=1, axis2=2)).sum()
        return float(total)

    def _solve_pieces(self, x: Array) -> Array:
        """S^-1 x for x over all coordinates."""
        from scipy.linalg import cho_solve

        out = np.empty_like(x)
        for (_, coords), L in zip(self.stacks, self.S_factors, strict=True):
            if L.shape[0] == 1:
                out[coords[0]] = cho_solve((L[0], True), x[coords[0]], check_finite=False)
            else:
                half = np.linalg.solve(L, x[coords][:, :, None])
                out[coords] = np.linalg.solve(L.transpose(0, 2, 1), half)[:, :, 0]
        return out

    def _split(self, x1: Array, x2: Array) -> list[Array]:
        """Back from block 1 and coordinates to one (q, J) array for each term."""
        out, at = [None] * len(self.terms), 0
        for k in self.first:
            q = self.terms[k].n_coefs
            out[k] = x1[at : at + q]
            at += q
        for k in self.others:
            out[k] = x2[self.blocks[k]]
        return out

    def solve(self, g: list[Array]) -> list[Array]:
        """H^-1 g, in and out one (q, J) array for each term."""
        g1 = np.concatenate([g[k] for k in self.first])
        g2 = np.concatenate([g[k].ravel() for k in self.others])
        y1 = solve(self.L1, g1)
        for E_a, y_a in zip(self.E, y1, strict=True):
            g2 = g2 - np.bincount(self.pair_coord, E_a * y_a[self.pair_level], self.n_coords)
        x2 = self._solve_pieces(g2)
        carried = self.T * x2[self.pair_coord]
        x1 = y1 - np.stack([np.bincount(self.pair_level, c, self.J1) for c in carried])
        return self._split(x1, x2)

    def _invert(self) -> None:
        """S^-1 (flat), ``TS = T S^-1`` at the pairs, and the diagonal blocks of block 1."""
        S_inv = np.zeros(self.n_cells)
        for (cells, _), L in zip(self.stacks, self.S_factors, strict=True):
            identity = np.broadcast_to(np.eye(L.shape[1]), L.shape)
            half = np.linalg.solve(L, identity)
            S_inv[cells] = (half.transpose(0, 2, 1) @ half).reshape(cells.shape)
        self.S_inv = S_inv
        self.TS = np.stack([self._times_S_inv(T_a) for T_a in self.T])
        q1 = self.TS.shape[0]
        identity = np.repeat(np.eye(q1)[:, :, None], self.J1, axis=2)
        self.B1 = solve(self.L1, identity)
        for a in range(q1):
            for b in range(q1):
                self.B1[a, b] += np.bincount(self.pair_level, self.TS[a] * self.T[b], self.J1)

    def _times_S_inv(self, T: Array) -> Array:
        """(T S^-1) at the pairs, T given at the pairs; levels of block 1 by the chunk."""
        if self.is_dense:
            product = self._dense(T) @ self.S_inv.reshape(self.n_coords, -1)
            return product.ravel()[self.pair_keys]
        M = self._sparse(T)
        if len(self.stacks) == 1 and len(self.S_factors[0]) == 1:  # one piece: a dense product
            coords = self.stacks[0][1][0]
            dense = np.empty((self.n_coords, self.n_coords))
            dense[np.ix_(coords, coords)] = self.S_inv.reshape(self.n_coords, -1)
            S_inv = dense
        else:
            from scipy.sparse import coo_array

            at = [
                (np.repeat(c, c.shape[1], axis=1).ravel(), np.tile(c, (1, c.shape[1])).ravel())
                for _, c in self.stacks
            ]
            rows, cols = (np.concatenate(part) for part in zip(*at, strict=True))
            values = np.concatenate([self.S_inv[cells].ravel() for cells, _ in self.stacks])
            S_inv = coo_array((values, (rows, cols)), (self.n_coords,) * 2).tocsr()
        out = np.empty_like(T)
        chunk = max(1, int(4e6 // self.n_coords)) if isinstance(S_inv, np.ndarray) else self.J1
        for first in range(0, self.J1, chunk):
            last = min(first + chunk, self.J1)
            here = slice(*np.searchsorted(self.pair_level, [first, last]))
            product = M[first:last] @ S_inv
            level, coord = self.pair_level[here] - first, self.pair_coord[here]
            out[here] = product[level, coord]
        return out

    def selected_inverse_rows(self) -> list[Array]:
        """``H^-1 v_i`` at the row's own levels, one (q_r, n) array for each term."""
        self._invert()
        v1 = np.concatenate([self.v[k] for k in self.first])
        rest = np.concatenate([self.v[k] for k in self.others])
        h1 = np.einsum("abn,bn->an", self.B1[:, :, self.index1], v1)
        h2 = np.zeros_like(rest)
        for r in range(rest.shape[0]):
            TS = self.TS[:, self.pair[r]]
            h1 -= TS * rest[r]
            h2[r] -= (TS * v1).sum(0)
            for p in range(rest.shape[0]):
                h2[r] += self.S_inv[self._cell(self.coords[r], self.coords[p])] * rest[p]
        out, at1, at2 = [None] * len(self.terms), 0, 0
        for k in self.first:
            out[k] = h1[at1 : at1 + self.terms[k].n_coefs]
            at1 += self.terms[k].n_coefs
        for k in self.others:
            out[k] = h2[at2 : at2 + self.terms[k].n_coefs]
            at2 += self.terms[k].n_coefs
        return out

    def level_blocks(self) -> list[Array]:
        """The diagonal block of H^-1 at each level, one (q, q, J) stack for each term."""
        self._invert()
        out, at = [None] * len(self.terms), 0
        for k in self.first:
            q = self.terms[k].n_coefs
            out[k] = self.B1[at : at + q, at : at + q]
            at += q
        for k in self.others:
            c = self.blocks[k]
            out[k] = self.S_inv[self._cell(c[:, None, :], c[None, :, :])]
        return out
