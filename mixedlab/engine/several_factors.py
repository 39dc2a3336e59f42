"""The random-effects system with several grouping factors: nested, crossed, or both.

With ``A = Z'Z`` over the coefficients of all factors, ``M = I + Lambda'A Lambda`` and
``|V| = |M|``. The factors of the nested chain are eliminated one after the other. For the levels
of one factor, with blocks ``A`` (its own), ``B`` (to later columns) and ``G`` (to ``[X y]``),

    L L' = I + Lambda'A Lambda,  P = L^-1 Lambda',
    W_B = P B,  W_G = P G,       later products less W_B'W_B, W_B'W_G, W_G'W_G.

Every block is small and every level is done at once. What is left of the crossed factors is a
dense Cholesky factor for each connected set of levels.

The gradient needs parts of the inverse: see ``selected_inverse``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.blocks import cholesky, solve_lower
from mixedlab.engine.dense_squares import (
    FactoredSquare,
    cholesky_root,
    lambda_rows,
    lambda_times,
    mirrored,
)
from mixedlab.engine.elimination import Elimination, Stage
from mixedlab.engine.layout import Factor
from mixedlab.engine.one_factor import Score, directions
from mixedlab.engine.selected_inverse import apply, selected_inverse

Array = NDArray[np.float64]


@dataclass
class Eliminated:
    """One stage at a value of Lambda: small matrices of each level, stacks (., ., J)."""

    A: Array
    B: Array
    P: Array
    W_A: Array
    W_B: Array
    products: Array | None = None
    """``B'B`` for each pair of entries, where it is the same at every Lambda."""


@dataclass
class Carried:
    """Columns carried through the elimination.

    ``G`` holds their products with each stage's columns (q, c, J) as they are when its turn
    comes, ``W = P G`` what the stage takes out; ``dense_G`` and ``dense_W`` the same for each
    square; ``removed`` is the sum of squares and products taken out.
    """

    G: list[Array]
    W: list[Array]
    dense_G: list[Array]
    dense_W: list[Array]
    removed: Array


@dataclass
class ReducedSeveral:
    """What is left when the random effects are integrated out; see `one_factor.Reduced`."""

    logdet: float
    gram: Array
    lambdas: list[Array]
    stages: list[Eliminated]
    squares: list[FactoredSquare]
    data: Carried


class SeveralFactors:
    """Random effects of several grouping factors; see the module's text.

    Parameters
    ----------
    factors : sequence of Factor
        By falling number of coefficients.
    Z : list of ndarray, shapes (q, n)
        The columns that vary with each factor, one a row.
    columns : ndarray, shape (p + 1, n)
        The columns of ``X`` and last ``y``, one a row.
    """

    def __init__(self, factors: Sequence[Factor], Z: list[Array], columns: Array) -> None:
        self.factors = tuple(factors)
        self._Z, self._columns = Z, columns
        self.plan = Elimination(self.factors)
        self.own = [_products(f.index, f.n_levels, z, z) for f, z in zip(factors, Z, strict=True)]
        self.between = {
            (f, g): _products(link.pair_of_row, link.size, Z[f], Z[g])
            for (f, g), link in self.plan.links.items()
        }
        self._flat = self._gather()
        self._set_data(np.stack([self._with(column) for column in columns], axis=1))

    def _with(self, column: Array) -> Array:
        """Products of every random-effects column with a column of the data (n_columns,)."""
        out = np.empty(self.plan.n_columns)
        for f, factor in enumerate(self.factors):
            for k in range(factor.n_coefs):
                at = self.plan.columns_of(f, k, np.arange(factor.n_levels))
                out[at] = np.bincount(factor.index, self._Z[f][k] * column, factor.n_levels)
        return out

    def _set_data(self, cross: Array) -> None:
        self._cross = cross
        self._gram = self._columns @ self._columns.T

    def _gather(self) -> Array:
        """``Z'Z`` of all columns but the first factor's, in the order of ``flat``."""
        plan = self.plan
        flat = np.zeros(plan.flat_size)
        for f in plan.order[1:]:
            levels = np.arange(self.factors[f].n_levels)
            q = self.factors[f].n_coefs
            for k in range(q):
                for m in range(k, q):
                    i, j = plan.columns_of(f, k, levels), plan.columns_of(f, m, levels)
                    flat[plan.position(i, j)] = self.own[f][m, k]
        for (f, g), link in plan.links.items():
            if f == plan.order[0]:
                continue
            for k in range(self.factors[f].n_coefs):
                for m in range(self.factors[g].n_coefs):
                    i = plan.columns_of(f, k, link.first)
                    j = plan.columns_of(g, m, link.second)
                    flat[plan.position(i, j)] = self.between[f, g][k, m]
        first = plan.stages[0]
        keys = first.level * plan.n_columns + first.column
        self._first_entries = np.zeros((self.factors[first.factor].n_coefs, keys.size))
        for g in plan.order[1:]:
            link = plan.links[first.factor, g]
            for m in range(self.factors[g].n_coefs):
                column = plan.columns_of(g, m, link.second)
                at = np.searchsorted(keys, link.first * plan.n_columns + column)
                self._first_entries[:, at] = self.between[first.factor, g][:, m]
        entries = self._first_entries[0]
        self._first_products = np.take(entries, first.a) * np.take(entries, first.b)
        return flat

    def take_off_within(self) -> Array:
        """Nothing is taken off ``y`` here; see `OneFactor.take_off_within`."""
        return np.zeros(len(self._columns) - 1)

    @property
    def y_outside(self) -> float:
        """An upper bound on the residual sum of squares is not known before a fit."""
        return np.inf

    def with_response(self, y: Array) -> SeveralFactors:
        """The same system for another ``y`` (n,); shares all that does not depend on it."""
        other = object.__new__(SeveralFactors)
        other.__dict__.update(self.__dict__)
        other._columns = np.vstack([self._columns[:-1], y])
        other._set_data(np.column_stack([self._cross[:, :-1], self._with(y)]))
        return other

    def moment_start(self) -> Array:
        """Variance ratio of each factor by the method of moments (MINQUE(0), X left out).

        The expectations of ``y'y`` and of each ``|Z_f'y|^2`` are linear in the variances.
        """
        n, F = self._columns.shape[1], len(self.factors)
        left, right = np.empty((F + 1, F + 1)), np.empty(F + 1)
        left[0, 0], right[0] = n, self._gram[-1, -1]
        for f, factor in enumerate(self.factors):
            trace = float(np.einsum("iij->", self.own[f]))
            left[0, f + 1] = left[f + 1, 0] = trace
            q = factor.n_coefs
            left[f + 1, f + 1] = float(np.sum(self.own[f] ** 2))
            at = self.plan.start[f]
            right[f + 1] = np.sum(self._cross[at : at + q * factor.n_levels, -1] ** 2)
        for (f, g), values in self.between.items():
            left[f + 1, g + 1] = left[g + 1, f + 1] = float(np.sum(values**2))
        variances = np.linalg.lstsq(left, right, rcond=None)[0]
        residual = max(variances[0], 0.05 * right[0] / n)
        return np.maximum(variances[1:], 0.0) / residual

    # ---- forward ------------------------------------------------------------------------

    def reduce(self, lambdas: list[Array]) -> ReducedSeveral:
        """Integrate the random effects out, for ``Lambda`` of each factor."""
        plan, flat = self.plan, self._flat.copy()
        logdet, stages, squares = 0.0, [], []
        for s, stage in enumerate(plan.stages):
            q, J = self.factors[stage.factor].n_coefs, self.factors[stage.factor].n_levels
            if s == 0:
                A, B = self.own[stage.factor], self._first_entries
            else:
                A = flat[stage.blocks].reshape(q, q, J).copy()
                B = flat[stage.entries].reshape(q, -1).copy()
                for k in range(q):
                    A[k, k + 1 :] = A[k + 1 :, k]
            Lambda = lambdas[stage.factor]
            M = np.einsum("ak,abj,bm->kmj", Lambda, A, Lambda, optimize=q > 1)
            M[np.arange(q), np.arange(q)] += 1.0
            L = cholesky(M)
            logdet += 2.0 * sum(float(np.sum(np.log(L[k, k]))) for k in range(q))
            P = solve_lower(L, np.repeat(Lambda.T[:, :, None], J, axis=2))
            W_B = apply(P, B, stage.level)
            done = Eliminated(A, B, P, np.einsum("kmj,mnj->knj", P, A), W_B)
            if s == 0 and q == 1:
                done.products = self._first_products
            self._take_products(flat, stage, done)
            stages.append(done)
        for square in plan.squares:
            G = mirrored(flat[square.where].reshape(square.size, square.size))
            scaled = lambda_rows(square, lambdas, G)
            K = lambda_rows(square, lambdas, scaled.T)
            K[np.diag_indices(square.size)] += 1.0
            root = cholesky_root(K)
            logdet += 2.0 * float(np.sum(np.log(np.diag(root))))
            squares.append(FactoredSquare(G, scaled, root))
        out = ReducedSeveral(logdet, self._gram, lambdas, stages, squares, None)
        out.data = self._carry(out, self._cross)
        out.gram = self._gram - out.data.removed
        return out

    @staticmethod
    def _take_products(flat: Array, stage: Stage, done: Eliminated) -> None:
        """Subtract ``W_B'W_B`` where columns meet in a level."""
        W = done.W_B
        if stage.a.size:
            if done.products is not None:
                product = np.repeat(done.P[0, 0] ** 2, stage.pairs_of_level) * done.products
            else:
                product = np.take(W[0], stage.a) * np.take(W[0], stage.b)
                for row in W[1:]:
                    product += np.take(row, stage.a) * np.take(row, stage.b)
            flat -= np.bincount(stage.target, product, flat.size)
        for square, entries, row, column, n_rows in stage.dense_rows:
            view = flat[square.where].reshape(square.size, square.size)
            dense = np.zeros((n_rows, square.size))
            for values in W:
                dense[row, column] = values[entries]
                view -= np.tril(dense.T @ dense)

    def _carry(self, at: ReducedSeveral, cross: Array) -> Carried:
        """Carry columns with products ``cross`` (n_columns, c) through the elimination."""
        from scipy.linalg import solve_triangular

        plan, left = self.plan, cross.copy()
        c = cross.shape[1]
        removed = np.zeros((c, c))
        out = Carried([], [], [], [], removed)
        for stage, done in zip(plan.stages, at.stages, strict=True):
            G = self._own_rows(left, stage.factor)
            W = np.einsum("kmj,mcj->kcj", done.P, G)
            flat_W = W.transpose(1, 0, 2).reshape(c, -1)
            removed += flat_W @ flat_W.T
            if stage.level.size:
                for m in range(c):
                    product = done.W_B[0] * W[0, m][stage.level]
                    for k in range(1, len(W)):
                        product += done.W_B[k] * W[k, m][stage.level]
                    left[:, m] -= np.bincount(stage.column, product, plan.n_columns)
            out.G.append(G)
            out.W.append(W)
        for square, done in zip(plan.squares, at.squares, strict=True):
            G = left[square.columns]
            W = solve_triangular(
                done.root, lambda_rows(square, at.lambdas, G), lower=True, check_finite=False
            )
            removed += W.T @ W
            out.dense_G.append(G)
            out.dense_W.append(W)
        return out

    def _own_rows(self, values: Array, f: int) -> Array:
        """Rows of one factor out of (n_columns, c), as (q, c, J)."""
        q, J = self.factors[f].n_coefs, self.factors[f].n_levels
        mine = values[self.plan.start[f] : self.plan.start[f] + q * J]
        return mine.reshape(q, J, -1).transpose(0, 2, 1)

    # ---- backward -----------------------------------------------------------------------

    def _effects(self, at: ReducedSeveral, mix: Array) -> tuple[Array, Array]:
        """``C Z'M`` and ``Z'V^-1 M`` for ``M = [X y] mix``, both (n_columns, c)."""
        from scipy.linalg import solve_triangular

        plan = self.plan
        effects = np.zeros((plan.n_columns, mix.shape[1]))
        scores = np.empty_like(effects)
        parts = zip(plan.squares, at.squares, at.data.dense_W, at.data.dense_G, strict=True)
        for square, done, W, G in parts:
            u = solve_triangular(done.root, W @ mix, lower=True, trans=1, check_finite=False)
            effects[square.columns] = lambda_times(square, at.lambdas, u)
            scores[square.columns] = G @ mix - done.G @ effects[square.columns]
        for s in reversed(range(len(plan.stages))):
            stage, done, W = plan.stages[s], at.stages[s], at.data.W[s]
            q, J = self.factors[stage.factor].n_coefs, self.factors[stage.factor].n_levels
            e = np.einsum("kpj,pc->kcj", W, mix)
            later_part = np.zeros((q, mix.shape[1], J))
            if stage.level.size:
                for c in range(mix.shape[1]):
                    later = effects[:, c][stage.column]
                    for k in range(q):
                        e[k, c] -= np.bincount(stage.level, done.W_B[k] * later, J)
                        later_part[k, c] = np.bincount(stage.level, done.B[k] * later, J)
            own = np.einsum("kmj,kcj->mcj", done.P, e)
            score = np.einsum("kpj,pc->kcj", at.data.G[s], mix) - later_part
            score -= np.einsum("kmj,mcj->kcj", done.A, own)
            rows = slice(plan.start[stage.factor], plan.start[stage.factor] + q * J)
            effects[rows] = own.transpose(0, 2, 1).reshape(q * J, -1)
            scores[rows] = score.transpose(0, 2, 1).reshape(q * J, -1)
        return effects, scores

    def score(
        self, at: ReducedSeveral, beta: Array, root: Array, sigma2: float, restricted: bool
    ) -> Score:
        """Derivatives at ``at``, given ``beta`` and ``root``, the Cholesky factor of X'V^-1X."""
        p = beta.size
        mix = np.append(-beta, 1.0)[:, None]
        if restricted:
            mix = np.column_stack([np.vstack([np.linalg.inv(root).T, np.zeros(p)]), mix])
        effects, scores = self._effects(at, mix)
        slopes = selected_inverse(self.plan, at)[1]
        g, b, d = [], [], np.zeros((self.plan.n_columns, 0))
        at_theta = []
        for f, factor in enumerate(self.factors):
            own = self._own_rows(scores, f)
            H = own[:, :-1].reshape(factor.n_coefs, -1)
            g.append(np.ascontiguousarray(own[:, -1]))
            b.append(self._own_rows(effects, f)[:, -1])
            slopes[f] = slopes[f] - H @ H.T - g[f] @ g[f].T / sigma2
            mine = np.zeros((self.plan.n_columns, factor.at.size))
            rows = slice(self.plan.start[f], self.plan.start[f] + b[f].size)
            moved = directions(factor, g[f])
            mine[rows] = moved.reshape(factor.at.size, -1).T
            d = np.column_stack([d, mine])
            at_theta.append(factor.at)
        where = np.concatenate(at_theta)
        average = np.empty((where.size, where.size))
        average[np.ix_(where, where)] = self._inner(at, d, root) / sigma2
        return Score([slopes[f] for f in range(len(self.factors))], g, b, average)

    def _inner(self, at: ReducedSeveral, d: Array, root: Array) -> Array:
        """``d'Z'P Z d`` for coefficient vectors ``d`` (n_columns, k)."""
        p = root.shape[0]
        Ad = self._times_gram(d)
        X = self._cross[:, :p]
        removed = self._carry(at, np.column_stack([X, Ad])).removed
        along_X = np.linalg.solve(root, X.T @ d - removed[:p, p:])
        return d.T @ Ad - removed[p:, p:] - along_X.T @ along_X

    def _times_gram(self, d: Array) -> Array:
        """``Z'Z d`` for coefficient vectors ``d`` (n_columns, k)."""
        plan, out = self.plan, np.zeros_like(d)
        for c in range(d.shape[1]):
            for f, factor in enumerate(self.factors):
                rows = slice(plan.start[f], plan.start[f] + factor.n_coefs * factor.n_levels)
                v = d[rows, c].reshape(factor.n_coefs, -1)
                if v.any():
                    out[rows, c] += np.einsum("kmj,mj->kj", self.own[f], v).ravel()
            for (f, g), link in plan.links.items():
                for k in range(self.factors[f].n_coefs):
                    i = plan.columns_of(f, k, link.first)
                    for m in range(self.factors[g].n_coefs):
                        j = plan.columns_of(g, m, link.second)
                        values = self.between[f, g][k, m]
                        out[:, c] += np.bincount(i, values * d[j, c], plan.n_columns)
                        out[:, c] += np.bincount(j, values * d[i, c], plan.n_columns)
        return out

    def relative_covariances(self, at: ReducedSeveral) -> list[Array]:
        """Conditional covariance of the random effects over sigma^2, one (J, q, q) a factor."""
        blocks = selected_inverse(self.plan, at, all_stages=True)[2]
        return [blocks[f].transpose(2, 0, 1) for f in range(len(self.factors))]


def _products(index: NDArray[np.intp], size: int, first: Array, second: Array) -> Array:
    """Sums over rows of the products of two sets of columns, (q, m, size)."""
    out = np.empty((len(first), len(second), size))
    for k, z in enumerate(first):
        for m, x in enumerate(second):
            out[k, m] = np.bincount(index, z * x, size)
    return out
