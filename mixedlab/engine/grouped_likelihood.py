r"""Marginal likelihood of a generalised model with one grouping factor.

The groups are the independent blocks of ``mixedlab.engine.integrated_likelihood``, which has the
formulas: u is (q, J), and H, L, S and K are stacks (q, q, J), so that numpy loops over the q
coefficients only. Rows are sorted by group, so that sums over a group are sums over a run.

Arrays may have one more axis, the last: one place a data set (``many_likelihood``), or one a node.

Quadrature evaluates nodes x rows. They are taken in chunks of groups, small enough for the
processor's cache, whatever the size of the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine import blocks
from mixedlab.engine.blocks import factor, log_det, solve
from mixedlab.engine.families import Family
from mixedlab.engine.groups import Groups
from mixedlab.engine.integrated_likelihood import IntegratedLikelihood, NodeSums
from mixedlab.engine.quadrature import product_rule
from mixedlab.engine.terms import Factor, RandomTerm

Array = NDArray[np.float64]

_CELLS = 32_768  # rows x nodes handled at once: small enough for the processor's cache


class GroupedLikelihood(IntegratedLikelihood):
    """Log-likelihood of (theta, beta, dispersion) by Laplace (``nagq=1``) or adaptive quadrature.

    Parameters
    ----------
    family : Family
    y, X, weights, offset : arrays of n rows
        ``weights`` may be the number 1.
    terms : sequence of RandomTerm
        All of the same grouping factor.
    nagq : int
        Nodes a dimension.
    """

    def __init__(
        self,
        family: Family,
        y: Array,
        X: Array,
        terms: Sequence[RandomTerm],
        weights: Array | float,
        offset: Array,
        nagq: int = 1,
    ) -> None:
        order = np.argsort(terms[0].index, kind="stable")
        super().__init__(family, y, X, terms, weights, offset, order)
        Z = np.concatenate([t.Z for t in terms], axis=1)[order].T
        groups = Groups(np.bincount(terms[0].index, minlength=terms[0].n_levels))
        self.design = Design(self.layout.factors[0], groups, [_column(z) for z in Z])
        self.nodes, self.node_weights = product_rule(nagq, len(self.design.Z))

    def effects(self, theta: Array) -> GroupedEffects:
        """V at theta (k, ...)."""
        return GroupedEffects(self.design, self.design.lambda_of(theta))

    def no_effects(self) -> Array:
        """U = 0, (q, J)."""
        return np.zeros((len(self.design.Z), self.design.groups.counts.size))

    # --- sums over the nodes

    @cached_property
    def _chunks(self) -> list[tuple[slice, slice, Design]]:
        """Runs of groups, with all nodes of about `_CELLS` cells: groups, rows, their design."""
        counts, n = self.design.groups.counts, self.y.size
        at_once, ends = max(_CELLS // self.node_weights.size, 1), np.cumsum(counts)
        chunks, first, row = [], 0, 0
        while row < n:
            last = max(int(np.searchsorted(ends, row + at_once, side="right")), first + 1)
            groups, rows = slice(first, last), slice(row, int(ends[last - 1]))
            chunks.append((groups, rows, self.design.part(groups, rows)))
            first, row = last, rows.stop
        return chunks

    def over_nodes(self, V, u, eta, H, peak, dispersion) -> NodeSums | None:  # noqa: D102
        if self.node_weights.size == 1:
            return None
        log_w = np.log(self.node_weights) + 0.5 * (self.nodes**2).sum(0)
        parts = []
        for groups, rows, design in self._chunks:
            w = self.weights[rows, None] if np.ndim(self.weights) else self.weights
            at = AtNodes.of(
                replace(V, design=design), self.family, self.y[rows, None], w, dispersion,
                u[:, groups, None], eta[rows, None], H.L[:, :, groups, None], peak[groups, None],
                self.nodes[:, None, :], log_w,
            )  # fmt: skip
            parts.append([x.sum(-1) for x in at.arrays()])
        at = AtNodes(*(np.concatenate(part, axis=-1) for part in zip(*parts, strict=True)))
        return at.normalised(V)


def _column(z: Array) -> Array | None:
    """A column of Z; None stands for ones, which need no multiplication."""
    return None if np.all(z == 1) else np.ascontiguousarray(z)


@dataclass(frozen=True, eq=False)
class Design:
    """Z by group.

    Attributes
    ----------
    factor : Factor
        Where theta's entries lie in Lambda.
    groups : Groups
    Z : list of (n, ...) arrays, or None for a column of ones
    copies : ndarray (J, m), optional
        How many groups each one stands for.
    """

    factor: Factor
    groups: Groups
    Z: list[Array | None]
    copies: Array | None = None

    def part(self, groups: slice, rows: slice) -> Design:
        """Some groups, their arrays with one more axis."""
        Z = [None if z is None else z[rows, None] for z in self.Z]
        return Design(self.factor, Groups(self.groups.counts[groups]), Z)

    def lambda_of(self, theta: Array) -> Array:
        """Lambda (q, q, ...) at theta (k, ...)."""
        q, at = len(self.Z), self.factor
        Lam = np.zeros((q, q, *theta.shape[1:]))
        Lam[at.rows, at.cols] = theta[at.at]
        return Lam

    def copied(self, by_group: Array) -> Array:
        """Values (..., J, m) times the number of groups that each one stands for."""
        return by_group if self.copies is None else by_group * self.copies

    def copied_rows(self, x: Array) -> Array:
        """Rows (n, m) times the number of groups that theirs stands for."""
        return x if self.copies is None else x * self.groups.spread(self.copies)


@dataclass(frozen=True, eq=False)
class GroupedEffects:
    """``V = Z Lambda``: see `mixedlab.engine.integrated_likelihood.Effects`."""

    design: Design
    Lam: Array

    def apply(self, u: Array) -> Array:
        """``Lambda u`` of each group, (q, J, ...)."""
        if len(u) == 1:
            return self.Lam[0, 0] * u
        return np.einsum("ab...,bj...->aj...", self.Lam, u)

    def spread(self, u: Array) -> Array:  # noqa: D102
        total = 0.0
        for z, b_a in zip(self.design.Z, self.apply(u), strict=True):
            by_row = self.design.groups.spread(b_a)
            total = total + (by_row if z is None else z * by_row)
        return total

    def total(self, x: Array) -> Array:  # noqa: D102
        return self.design.groups.sum(x)

    def over_blocks(self, by_group: Array) -> Array:  # noqa: D102
        return self.design.copied(by_group).sum(0)

    def counted(self, x: Array) -> Array:  # noqa: D102
        return self.design.copied_rows(x)

    def sums(self, x: Array) -> Array:  # noqa: D102
        return np.stack([self.total(self.times(x, a)) for a in range(len(self.design.Z))])

    def times(self, x: Array, *columns: int) -> Array:
        """X multiplied by some columns of Z."""
        for k in columns:
            if self.design.Z[k] is not None:
                x = x * self.design.Z[k]
        return x

    def collect(self, x: Array) -> Array:  # noqa: D102
        return self.pull(self.sums(x))

    def pull(self, sums: Array) -> Array:
        """``Lambda' s`` of each group, (q, J, ...)."""
        if len(sums) == 1:
            return self.Lam[0, 0] * sums
        return np.einsum("ba...,bj...->aj...", self.Lam, sums)

    def d_theta(self, sums: Array, u: Array) -> Array:  # noqa: D102
        return self.entries(np.einsum("aj...,bj...->ab...", self.design.copied(sums), u))

    def entries(self, d_Lam: Array) -> Array:
        """Theta's entries (k, ...) of a derivative in Lambda."""
        at = self.design.factor
        out = np.empty((at.at.size, *d_Lam.shape[2:]))
        out[at.at] = d_Lam[at.rows, at.cols]
        return out

    def factorise(self, W: Array) -> GroupedFactor | None:
        """Factor ``H = I + Lambda' A Lambda``; None where that can't be, of one data set."""
        H = self.factor(W)
        return H if W.ndim > 1 or np.isfinite(H.L).all() else None

    def factor(self, W: Array) -> GroupedFactor:
        """``A = Z'WZ`` and ``H = I + Lambda' A Lambda = L L'`` of each group."""
        q, Lam = len(self.design.Z), self.Lam
        A = [[None] * q for _ in range(q)]
        for a in range(q):
            for b in range(a + 1):
                A[a][b] = A[b][a] = self.total(self.times(W, a, b))
        A = np.array(A)
        H = Lam[0, 0] ** 2 * A
        if q > 1:
            H = np.einsum("ca...,cdj...,db...->abj...", Lam, A, Lam)
        for a in range(q):
            H[a, a] += 1.0
        return GroupedFactor(self, A, factor(H))


@dataclass(frozen=True, eq=False)
class GroupedFactor:
    """``H = I + V'WV``, factored: see `mixedlab.engine.integrated_likelihood.Factor`."""

    effects: GroupedEffects
    A: Array
    L: Array

    def half_log_det(self) -> Array:  # noqa: D102
        return log_det(self.L)

    def solve(self, g: Array) -> Array:  # noqa: D102
        return solve(self.L, g)

    def scale_terms(self, S: Array | None) -> tuple[Array, Array]:  # noqa: D102
        V, q = self.effects, len(self.L)
        inner = np.zeros_like(self.L)  # I/2 + N
        for a in range(q):
            inner[a, a] = 0.5 if S is None else 0.5 + 0.5 * S[a, a]
            for b in range(a if S is not None else 0):
                inner[a, b] = inner[b, a] = 0.5 * S[a, b]
        half = blocks.solve_upper(self.L, inner)
        K = -blocks.solve_upper(self.L, half.swapaxes(0, 1).copy())
        LamK = np.einsum("ab...,bcj...->acj...", V.Lam, K)
        of_b = np.einsum("acj...,bc...->abj...", LamK, V.Lam)
        leverage = 0.0
        for a in range(q):
            for b in range(a + 1):
                by_row = V.design.groups.spread(of_b[a, b] * (1 if a == b else 2))
                leverage = leverage + V.times(by_row, a, b)
        A = V.design.copied(self.A)
        return leverage, V.entries(2 * np.einsum("abj...,bcj...->ac...", A, LamK))

    def by_term(self, u: Array) -> list[Array]:  # noqa: D102
        b = self.effects.Lam @ u
        return [b[columns].T for columns in self.effects.design.factor.columns]

    def covariances(self) -> list[Array]:  # noqa: D102
        Lam, columns = self.effects.Lam, self.effects.design.factor.columns
        half = blocks.solve_lower(self.L, np.repeat(Lam.T[:, :, None], self.L.shape[2], axis=2))
        of_b = np.einsum("kaj,kbj->jab", half, half)
        return [of_b[:, where, where] for where in columns]

    def predictive_variance(self, terms: Sequence[RandomTerm]) -> Array:  # noqa: D102
        index = terms[0].index
        v = self.effects.Lam.T @ np.concatenate([t.Z for t in terms], axis=1).T
        known = blocks.solve_lower(self.L[:, :, index], v.copy())
        return np.where(index >= 0, (known**2).sum(0), (v**2).sum(0))


@dataclass(frozen=True, eq=False)
class AtNodes:
    """What nodes, one or one a place of the last axis, add to the sums of `NodeSums`.

    The axis of groups (rows, for ``score``) is the last but that of nodes or data sets.
    """

    total: Array
    score: Array
    r: Array
    S: Array
    outer: Array
    by_dispersion: Array

    @classmethod
    def of(cls, V, family, y, w, dispersion, u, eta, L, peak, z, log_w) -> AtNodes:
        """Evaluate at nodes z (q, 1, ...) around the modes u, where eta and H = LL' are taken."""
        away = np.broadcast_to(z[:, None], (len(u), 1, *np.broadcast_shapes(z.shape, u.shape)[1:]))
        away = blocks.solve_upper(L, away.copy())[:, 0]
        u = u + away
        eta = eta + V.spread(away)
        with np.errstate(all="ignore"):
            l, l1 = family.value_and_score(y, eta, w, dispersion)
            f = V.total(l) - 0.5 * (u**2).sum(0) - peak + log_w
        share = np.exp(np.minimum(f, 700.0))  # not yet divided by the total
        # a node of no weight may lie where the score is infinite
        of_row = V.design.groups.spread(share)
        with np.errstate(invalid="ignore"):
            score = of_row * l1
        if not np.isfinite(score).all():
            score = np.where(of_row > 0, score, 0.0)
        G = V.sums(score)  # share Z' l'(eta)
        g = V.pull(G) - share * u
        scaled = blocks.solve_lower(L, g[:, None].copy())[:, 0]
        value = np.zeros_like(share)
        if family.has_dispersion:
            with np.errstate(all="ignore"):
                value = family.dispersion_derivatives(y, eta, w, dispersion)[0]
            value = V.total(np.where(of_row > 0, of_row * value, 0.0))
        return cls(share, score, g, z[:, None] * scaled, G[:, None] * u, value)

    def arrays(self) -> Iterator[Array]:
        """The sums, one after the other."""
        return (getattr(self, f.name) for f in fields(self))

    def normalised(self, V: GroupedEffects) -> NodeSums:
        """Divide by the integrals."""
        with np.errstate(divide="ignore", invalid="ignore"):
            share, log_integral = 1 / self.total, np.log(self.total)
        of_data = V.design.copied(share)
        return NodeSums(
            log_integral=log_integral,
            score=self.score * V.design.groups.spread(share),
            r=self.r * share,
            S=self.S * share,
            d_theta=V.entries(np.einsum("abj...,j...->ab...", self.outer, of_data)),
            d_log_dispersion=np.einsum("j...,j...->...", self.by_dispersion, of_data),
        )
