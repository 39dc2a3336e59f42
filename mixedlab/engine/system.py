"""The random-effects system: integrate the random effects out, factor after factor.

With ``V_0 = I`` and the factors' columns ``Z_1, Z_2, ...``,

    V_k = V_{k-1} + Z_k T_k Z_k',    T_k = Lambda_k Lambda_k',

the products ``S_k = [Z_later X y]' V_k^-1 [Z_later X y]`` follow from those before by

    S_k = S_{k-1} - B'K B,    K = Lambda M^-1 Lambda',    M = I + Lambda'A Lambda,
    log|V_k| = log|V_{k-1}| + log|M|,

with A and B the products of ``Z_k`` with itself and with what is later. Level by level M is small
where factors are nested, and all levels are done at once; what is crossed is one dense block for
each connected set of columns. Each block type factors itself, carries columns on and goes back
(`levels`, `square`; `elimination` says which is which). When all factors are in,
``[X y]'V^-1[X y]`` is left. The way back gives, for ``M = [X y] mix``, the effects ``T Z'V^-1 M``
and the scores ``Z'V^-1 M``, last block first. The gradient needs parts of the inverse too: see
`mixedlab.engine.elimination`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.blocks import gram, orthogonalise, remove
from mixedlab.engine.elimination import Block, Elimination, selected_inverse
from mixedlab.engine.levels import Levels, OrthogonalLevels
from mixedlab.engine.square import Square
from mixedlab.engine.terms import Factor

Array = NDArray[np.float64]
# With more rows than this, columns of Z that span them all are not looked for.
_LARGEST_RANK = 3_000
# A mean square of y outside the columns of Z (in all it is 1) that is rounding.
_SPANNED = 1e-24


def factor_blocks(
    blocks: Iterable[Levels | Square], flat: Array, lambdas: list[Array]
) -> list[Block]:
    """Add factor after factor to V; ``flat``, the products of the columns, is used up."""
    done: list[Block] = []
    for block in blocks:
        done.append(block.factor_at(flat, lambdas))
        done[-1].add_to(flat)
    return done


class Carried(NamedTuple):
    """Columns carried through all blocks: for each its part G of their products, and ``W``."""

    G: list[Array]
    W: list[Array]


def carry(blocks: Iterable[Block], cross: Array) -> Carried:
    """Carry c columns with products ``cross`` (c, n_columns) with those of Z."""
    left, out = cross.copy(), Carried([], [])
    for block in blocks:
        G = block.own(left)
        W = block.whiten(G)
        block.spread(W, left)
        out.G.append(G)
        out.W.append(W)
    return out


def back(
    blocks: Sequence[Block], carried: Carried, mix: Array, n_columns: int
) -> tuple[Array, Array]:
    """``T Z'V^-1 M`` and ``Z'V^-1 M``, both (k, n_columns), of the carried columns by ``mix``."""
    effects, scores = np.empty((2, mix.shape[1], n_columns))
    for block, G, W in reversed(list(zip(blocks, *carried, strict=True))):
        block.back(G, W, mix, effects, scores)
    return effects, scores


@dataclass(frozen=True)
class Score:
    """How the deviance changes with the covariance of the random effects.

    With ``P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1`` (for ML: ``V^-1`` in the traces):

    Attributes
    ----------
    slope : list of ndarray (q, q), one a factor
        Derivative of the deviance with respect to ``T = Lambda Lambda'``: the sum over levels
        of ``Z'PZ - Z'Py (Z'Py)' / sigma^2``.
    scores : list of ndarray (q, J), one a factor
        ``g = Z'Py``.
    effects : list of ndarray (q, J), one a factor
        Predicted random effects ``T g``.
    average : ndarray (k, k)
        ``y'P V_a P V_b P y / sigma^2``, with ``V_a`` the derivative of V in the entry of ``T``
        that is at the place of ``theta[a]`` in Lambda.
    """

    slope: list[Array]
    scores: list[Array]
    effects: list[Array]
    average: Array


@dataclass(frozen=True)
class Reduced:
    """What is left when the random effects are integrated out: ``log|V|`` and ``[X y]'V^-1[X y]``.

    ``blocks`` are the factors at this value of ``lambdas``, ``data`` is [X y] carried through them.
    """

    logdet: float
    gram: Array
    lambdas: list[Array]
    blocks: list[Block]
    data: Carried


class RandomEffects:
    """Random effects of any grouping factors, nested or crossed; see the module's text.

    Parameters
    ----------
    factors : sequence of Factor
        By falling number of coefficients; none is the system of least squares.
    Z : list of ndarray, shapes (q, n)
        The columns that vary with each factor, one a row; the first factor's are overwritten.
    columns : ndarray, shape (p + 1, n)
        The columns of ``X`` and last ``y``, one a row; overwritten by what they have outside the
        span of the first factor's columns.

    Attributes
    ----------
    outside_gram : ndarray, shape (p + 1, p + 1)
        Products of the columns outside that span.
    """

    def __init__(self, factors: Sequence[Factor], Z: list[Array], columns: Array) -> None:
        self.factors = tuple(factors)
        self.plan = Elimination(factors)
        self._Z, self._outside = Z, columns
        self._cross = np.zeros((len(columns), self.plan.n_columns))
        self.blocks: list[Levels | Square] = []
        self._flat, self._taken = np.zeros(0), np.zeros(len(columns) - 1)
        if self.factors:
            self._eliminate_first()
        for m in range(len(columns)):
            self._project(columns[m], self._cross[m])
        self.outside_gram = gram(columns)

    def _eliminate_first(self) -> None:
        """Orthonormal columns for the first factor; products of the rest outside their span."""
        plan, first, factor = self.plan, self.plan.stages[0], self.factors[0]
        U = orthogonalise(factor.index, factor.n_levels, self._Z[0])
        b = np.zeros((first.q, 0))
        if len(self.factors) > 1:
            self._flat = plan.products(self._Z)
            b = self._flat[first.where].reshape(first.q, -1).copy()
            self._moments = self._second_moments(U)
            first.entries.add_squares(self._flat, b, -1.0)
        block = OrthogonalLevels(*vars(first).values(), U, b)
        self.blocks = [block, *plan.stages[1:], *plan.squares]

    def _project(self, column: Array, cross: Array) -> None:
        """Leave in ``column`` what is outside the first factor; its products go to ``cross``."""
        for f, factor in enumerate(self.factors):
            own = self.plan.by_factor(f, cross[None])[0]
            for k, z in enumerate(self._Z[f]):
                if f == 0:
                    own[k] = remove(factor.index, factor.n_levels, z, column)
                else:
                    own[k] = np.bincount(factor.index, z * column, factor.n_levels)

    def take_off_within(self) -> Array:
        """Subtract from ``y`` its least-squares fit within the first factor's levels.

        Returns the coefficients. r^2 is then a sum of squares, never a difference of large ones.
        """
        # The columns of X have length 1: a shorter rest than this is rounding.
        share, axes = np.linalg.eigh(self.outside_gram[:-1, :-1])
        inverse = np.divide(1.0, share, out=np.zeros(share.size), where=share > 1e-12)
        self._taken = coefs = axes @ (inverse * (axes.T @ self.outside_gram[:-1, -1]))
        self._outside[-1] -= coefs @ self._outside[:-1]
        self._cross[-1] -= coefs @ self._cross[:-1]
        self._refresh_gram()
        return coefs

    def spans_rows(self, with_X: bool) -> bool:
        """Whether the columns of Z (and X) have rank n, so that no row is left for a residual."""
        columns = list(self._outside[:-1]) if with_X else []
        n = self._outside.shape[1]
        if self.plan.n_columns + len(columns) < n or n > _LARGEST_RANK:
            return False
        for factor, Z in zip(self.factors, self._Z, strict=True):
            rows = np.zeros((len(Z), factor.n_levels, n))
            rows[:, factor.index, np.arange(n)] = Z
            columns.extend(rows.reshape(-1, n))
        return int(np.linalg.matrix_rank(np.array(columns), tol=1e-9)) == n

    def with_response(self, y: Array) -> RandomEffects:
        """The same system for another ``y`` (n,); shares all that does not depend on it."""
        other = object.__new__(RandomEffects)
        other.__dict__.update(self.__dict__)
        other._outside = np.vstack([self._outside[:-1], y])
        other._cross = self._cross.copy()
        other._project(other._outside[-1], other._cross[-1])
        other.outside_gram = self.outside_gram.copy()
        other._refresh_gram()
        return other

    def _refresh_gram(self) -> None:
        with_y = self._outside @ self._outside[-1]
        self.outside_gram[-1] = with_y
        self.outside_gram[:, -1] = with_y

    def _second_moments(self, U: Array) -> Array:
        """What MINQUE(0) asks of the columns: n, ``tr Z_f'Z_f`` and ``|Z_f'Z_g|^2``, (F+1, F+1)."""
        F = len(self.factors)
        out = np.empty((F + 1, F + 1))
        out[0, 0] = self._outside.shape[1]
        for f in range(F):
            own = self._flat[self.plan.places[f, f]] if f else np.einsum("mkj,mlj->klj", U, U)
            out[0, f + 1] = out[f + 1, 0] = np.einsum("kkj->", own)
            out[f + 1, f + 1] = np.sum(own**2)
        for (f, g), link in self.plan.links.items():
            values = self._flat[self.plan.places[f, g]]
            if f == 0:
                values = np.einsum("mkj,mlj->klj", U[:, :, link.first], values)
            out[f + 1, g + 1] = out[g + 1, f + 1] = np.sum(values**2)
        return out

    def moment_start(self) -> Array:
        """Variance ratio of each factor by the method of moments.

        One factor: y's mean square in the span of Z against that outside. Several: MINQUE(0), X
        left out; the expectations of ``y'y`` and of each ``|Z_f'y|^2`` are linear in the variances.
        """
        F, n = len(self.factors), self._outside.shape[1]
        if not F:
            return np.zeros(0)
        first, block = self.plan.stages[0], self.blocks[0]
        # With several factors, of y as it came: its fit within the first may be far between them.
        mix = np.append(self._taken if F > 1 else 0.0 * self._taken, 1.0)
        y, outside = mix @ self._cross, float(mix @ self.outside_gram @ mix)
        inside = y[first.columns].reshape(first.q, first.J).copy()
        if F == 1:
            rank = np.count_nonzero(np.einsum("kkj->kj", block.U))
            if n <= rank or outside <= _SPANNED * n:
                return np.ones(1)
            between = float(np.sum(inside**2)) * (n - rank) / outside - rank
            return np.maximum([between / float(np.sum(block.U**2))], 0.0)
        y += first.entries.by_column(block.b, inside)
        y[first.columns] = np.einsum("mkj,mj->kj", block.U, inside).ravel()
        right = [outside + np.sum(inside**2)]
        right += [np.sum(self.plan.by_factor(f, y[None]) ** 2) for f in range(F)]
        variances = np.linalg.lstsq(self._moments, np.array(right), rcond=None)[0]
        return np.maximum(variances[1:], 0.0) / max(variances[0], 0.05 * right[0] / n)

    def reduce(self, lambdas: list[Array]) -> Reduced:
        """Integrate the random effects out, for ``Lambda`` of each factor."""
        blocks = factor_blocks(self.blocks, self._flat.copy(), lambdas)
        data = carry(blocks, self._cross)
        products = self.outside_gram.copy()
        for block, W in zip(blocks, data.W, strict=True):
            products += block.inner(W, W)
        return Reduced(sum(block.logdet for block in blocks), products, lambdas, blocks, data)

    def score(
        self, at: Reduced, beta: Array, root_inverse: Array, sigma2: float, restricted: bool
    ) -> Score:
        """Derivatives at ``at``, with R^-1 where ``X'V^-1X = R R'``."""
        p = beta.size
        mix = np.zeros((p + 1, p + 1))
        mix[:p, :p], mix[:p, p], mix[p, p] = root_inverse.T, -beta, 1.0
        if not restricted:
            mix = mix[:, p:]
        effects, scores = back(at.blocks, at.data, mix, self.plan.n_columns)
        slopes = selected_inverse(self.plan, at.blocks).slopes
        g, b = [], []
        d = np.zeros((sum(f.at.size for f in self.factors), self.plan.n_columns))
        for f, factor in enumerate(self.factors):
            own = self.plan.by_factor(f, scores)
            H = own[:-1].swapaxes(0, 1).reshape(factor.n_coefs, -1)
            g.append(own[-1])
            b.append(self.plan.by_factor(f, effects)[-1])
            slopes[f] = slopes[f] - gram(H) - gram(g[f]) / sigma2
            # V_a P y = Z d_a, V_a the derivative of V in entry (row, col) of the symmetric T.
            mine = self.plan.by_factor(f, d)
            mine[factor.at, factor.rows] = g[f][factor.cols]
            mine[factor.at, factor.cols] = g[f][factor.rows]
        average = self._inner(at, d, root_inverse) / sigma2
        return Score([slopes[f] for f in range(len(self.factors))], g, b, average)

    def _inner(self, at: Reduced, d: Array, root_inverse: Array) -> Array:
        """``d Z'P Z d'`` for coefficients ``d`` (k, n_columns) of columns ``Z d``."""
        if not self.factors:
            return np.zeros((0, 0))
        moved, products = self._carry_combination(at, d)
        later = slice(self.plan.stages[0].columns.stop, None)
        with_X = self._cross[:-1, later] @ d[:, later].T
        for block, W, of_data in zip(at.blocks, moved.W, at.data.W, strict=True):
            products += block.inner(W, W)
            with_X += block.inner(of_data[:-1], W)
        along_X = root_inverse @ with_X
        return products - along_X.T @ along_X

    def _carry_combination(self, at: Reduced, d: Array) -> tuple[Carried, Array]:
        """Columns ``Z d`` carried through the blocks, and their products outside the first."""
        first, left = at.blocks[0], self._times_outside(d)
        products, W = left @ d.T, first.whitened(d)
        first.spread(W, left)
        rest = carry(at.blocks[1:], left)
        return Carried([W, *rest.G], [W, *rest.W]), products

    def combination(self, at: Reduced, d: Array) -> tuple[Array, Array]:
        """``T Z'V^-1 Z d`` and ``Z'V^-1 Z d`` for coefficients ``d``, all (k, n_columns)."""
        moved, _ = self._carry_combination(at, d)
        return back(at.blocks, moved, np.eye(len(d)), self.plan.n_columns)

    def of_X(self, at: Reduced) -> tuple[Array, Array]:
        """``T Z'V^-1 X`` and ``Z'V^-1 X``, both (p, n_columns)."""
        p = len(self._cross) - 1
        return back(at.blocks, at.data, np.eye(p + 1, p), self.plan.n_columns)

    def rows_of_Z(self) -> list[Array]:
        """The columns of each factor, (q, n)."""
        if not self.factors:
            return []
        U, index = self.blocks[0].U, self.factors[0].index
        first = np.stack(
            [sum(U[m, k][index] * self._Z[0][m] for m in range(k + 1)) for k in range(len(U))]
        )
        return [first, *self._Z[1:]]

    def products_given_first(self, block: Block) -> Array:
        """``Z_l'V_1^-1 Z_l`` in the order of the plan, V_1 with the first factor alone."""
        flat = self._flat.copy()
        block.add_to(flat)
        return flat

    def _times_outside(self, d: Array) -> Array:
        """``Z_l'(I - QQ')Z_l d_l``, l the columns after the first factor's, which get zeros."""
        flat, out = self._flat, np.zeros_like(d)
        for stage in self.plan.stages[1:]:
            A = flat[stage.blocks].reshape(stage.q, stage.q, stage.J)
            B = flat[stage.where].reshape(stage.q, -1)
            for x, to in zip(d, out, strict=True):
                own = x[stage.columns].reshape(stage.q, stage.J)
                sums = np.zeros((stage.q, stage.J))
                if stage.linked:
                    to += stage.entries.by_column(B, own)
                    sums += stage.entries.by_level(B, x)
                for k in range(stage.q):
                    for m in range(k + 1):  # the lower triangle is kept
                        sums[k] += A[k, m] * own[m]
                        if m < k:
                            sums[m] += A[k, m] * own[k]
                to[stage.columns] += sums.ravel()
        for square in self.plan.squares:
            lower = square.of(flat)
            x = d[:, square.columns]
            out[:, square.columns] += x @ lower + x @ lower.T - x * np.diag(lower)
        return out

    def relative_covariances(self, at: Reduced) -> list[Array]:
        """Conditional covariance of the random effects over sigma^2, one (J, q, q) a factor."""
        C = selected_inverse(self.plan, at.blocks, whole=True).C
        places = (self.plan.places[f, f] for f in range(len(self.factors)))
        return [C[at].transpose(2, 0, 1) for at in places]
