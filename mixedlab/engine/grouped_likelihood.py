r"""Marginal likelihood of a generalised model with one grouping factor.

The groups are the independent blocks of ``mixedlab.engine.integrated_likelihood``, which has the
formulas: u is (q, J), and H, L, S and K are stacks (q, q, J), so that numpy loops over the q
coefficients only. Rows are sorted by group, so that sums over a group are sums over a run.

Quadrature evaluates nodes x rows. They are taken in chunks of groups and of nodes, small enough for
the processor's cache, whatever the size of the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine import blocks
from mixedlab.engine.blocks import factor, log_det, solve
from mixedlab.engine.families import Family
from mixedlab.engine.integrated_likelihood import IntegratedLikelihood, NodeSums
from mixedlab.engine.quadrature import product_rule
from mixedlab.engine.terms import RandomTerm

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
        self.factor = self.layout.factors[0]
        self.index = terms[0].index[order]
        self.counts = np.bincount(self.index, minlength=terms[0].n_levels)
        self.starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]])
        Z = np.concatenate([t.Z for t in terms], axis=1)[order].T
        # None stands for a column of ones: no multiplication is needed
        self.Z = [None if np.all(z == 1) else np.ascontiguousarray(z) for z in Z]
        self.q, self.J = len(self.Z), self.counts.size
        self.nodes, self.node_weights = product_rule(nagq, self.q)

    def effects(self, theta: Array) -> GroupedEffects:
        """V at theta."""
        return GroupedEffects(self, self.factor.lambda_of(theta))

    def no_effects(self) -> Array:
        """U = 0, (q, J)."""
        return np.zeros((self.q, self.J))

    # --- sums over the nodes

    def _chunks(self) -> list[tuple[slice, slice]]:
        """Runs of groups (slice of groups, slice of rows) of about `_CELLS` rows."""
        ends = np.cumsum(self.counts)
        chunks, first, row = [], 0, 0
        while first < self.J:
            last = max(int(np.searchsorted(ends, row + _CELLS, side="right")), first + 1)
            chunks.append((slice(first, last), slice(row, int(ends[last - 1]))))
            first, row = last, int(ends[last - 1])
        return chunks

    def over_nodes(self, V, u, eta, H, peak, dispersion) -> NodeSums | None:  # noqa: D102
        if self.node_weights.size == 1:
            return None
        q, J = self.q, self.J
        total, score, r = np.zeros(J), np.zeros(self.y.size), np.zeros((q, J))
        S, outer, by_dispersion = np.zeros((q, q, J)), np.zeros((q, q, J)), np.zeros(J)
        for groups, rows in self._chunks():
            here = (groups, rows, V.Lam, H.L[:, :, groups], u[:, groups], eta[rows], peak[groups])
            for part in self._chunk(*here, dispersion):
                total[groups] += part[0]
                score[rows] += part[1]
                r[:, groups] += part[2]
                S[:, :, groups] += part[3]
                outer[:, :, groups] += part[4]
                by_dispersion[groups] += part[5]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = 1 / total
            log_integral = np.log(total)
        return NodeSums(
            log_integral=log_integral,
            score=score * np.repeat(share, self.counts),
            r=r * share,
            S=S * share,
            d_theta=V.entries(outer @ share),
            d_log_dispersion=float(by_dispersion @ share),
        )

    def _chunk(self, groups, rows, Lam, L, u_mode, eta0, peak, dispersion):
        """Sums of a run of groups, one set for each run of nodes, not yet divided by the total."""
        family = self.family
        index = self.index[rows] - groups.start
        starts = self.starts[groups] - rows.start
        y = self.y[rows]
        w = self.weights[rows] if np.ndim(self.weights) else self.weights
        Z = [None if z is None else z[rows] for z in self.Z]
        at_once = max(1, _CELLS // y.size)
        for first in range(0, self.nodes.shape[1], at_once):
            z = self.nodes[:, first : first + at_once]  # (q, k)
            log_w = np.log(self.node_weights[first : first + at_once]) + 0.5 * (z**2).sum(0)
            shape = (self.q, z.shape[1], u_mode.shape[1])
            away = blocks.solve_upper(L, np.broadcast_to(z[:, :, None], shape).copy())
            u = u_mode[:, None, :] + away
            b = np.tensordot(Lam, away, axes=1)
            eta = np.broadcast_to(eta0, (z.shape[1], y.size))
            for z_a, b_a in zip(Z, b, strict=True):
                moved = np.take(b_a, index, axis=1)
                eta = eta + (moved if z_a is None else z_a * moved)
            with np.errstate(all="ignore"):
                l, l1 = family.value_and_score(y, eta, w, dispersion)
            f = np.add.reduceat(l, starts, axis=1) - 0.5 * (u**2).sum(0) - peak
            share = np.exp(np.minimum(f + log_w[:, None], 700.0))  # (k, J), not yet divided
            # a node of no weight may lie where the score is infinite
            row_share = np.take(share, index, axis=1)
            weighted = np.where(row_share > 0, row_share * l1, 0.0)
            G = np.stack(
                [np.add.reduceat(weighted if z_a is None else weighted * z_a, starts, axis=1)
                 for z_a in Z]
            )  # fmt: skip  # share_k Z' l'(eta_k): (q, k, J)
            g = np.tensordot(Lam.T, G, axes=1) - share * u
            r = g.sum(1)
            S = np.einsum("ak,bkj->abj", z, blocks.solve_lower(L, g))
            by_dispersion = 0.0
            if family.has_dispersion:
                with np.errstate(all="ignore"):
                    value = family.dispersion_derivatives(y, eta, w, dispersion)[0]
                value = np.where(row_share > 0, row_share * value, 0.0)
                by_dispersion = np.add.reduceat(value.sum(0), starts)
            outer = np.einsum("akj,bkj->abj", G, u)
            yield share.sum(0), weighted.sum(0), r, S, outer, by_dispersion


@dataclass(frozen=True, eq=False)
class GroupedEffects:
    """``V = Z Lambda``: see `mixedlab.engine.integrated_likelihood.Effects`."""

    groups: GroupedLikelihood
    Lam: Array

    def spread(self, u: Array) -> Array:  # noqa: D102
        total = 0.0
        for z, b_a in zip(self.groups.Z, self.Lam @ u, strict=True):
            by_row = np.repeat(b_a, self.groups.counts)
            total = total + (by_row if z is None else z * by_row)
        return total

    def total(self, x: Array) -> Array:  # noqa: D102
        return np.add.reduceat(x, self.groups.starts)

    def sums(self, x: Array) -> Array:  # noqa: D102
        return np.stack([self.total(self.times(x, a)) for a in range(self.groups.q)])

    def times(self, x: Array, *columns: int) -> Array:
        """X multiplied by some columns of Z."""
        for k in columns:
            if self.groups.Z[k] is not None:
                x = x * self.groups.Z[k]
        return x

    def collect(self, x: Array) -> Array:  # noqa: D102
        return self.Lam.T @ self.sums(x)

    def d_theta(self, sums: Array, u: Array) -> Array:  # noqa: D102
        return self.entries(sums @ u.T)

    def entries(self, d_Lam: Array) -> Array:
        """Theta's entries of a derivative in Lambda."""
        at = self.groups.factor
        out = np.empty(self.groups.layout.n_theta)
        out[at.at] = d_Lam[at.rows, at.cols]
        return out

    def factorise(self, W: Array) -> GroupedFactor | None:
        """``A = Z'WZ`` and ``H = I + Lambda' A Lambda = L L'`` of each group."""
        q, Lam = self.groups.q, self.Lam
        A = np.empty((q, q, self.groups.J))
        for a in range(q):
            for b in range(a + 1):
                A[a, b] = A[b, a] = self.total(self.times(W, a, b))
        H = np.einsum("ca,cdj,db->abj", Lam, A, Lam) if q > 1 else Lam[0, 0] ** 2 * A
        for a in range(q):
            H[a, a] += 1.0
        L = factor(H)
        return GroupedFactor(self, A, L) if np.isfinite(L).all() else None


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
        V, q = self.effects, self.effects.groups.q
        inner = np.zeros_like(self.L)  # I/2 + N
        for a in range(q):
            inner[a, a] = 0.5 if S is None else 0.5 + 0.5 * S[a, a]
            for b in range(a if S is not None else 0):
                inner[a, b] = inner[b, a] = 0.5 * S[a, b]
        half = blocks.solve_upper(self.L, inner)
        K = -blocks.solve_upper(self.L, half.transpose(1, 0, 2).copy())
        LamK = np.einsum("ab,bcj->acj", V.Lam, K)
        of_b = np.einsum("acj,bc->abj", LamK, V.Lam)
        leverage = 0.0
        for a in range(q):
            for b in range(a + 1):
                by_row = np.repeat(of_b[a, b] * (1 if a == b else 2), V.groups.counts)
                leverage = leverage + V.times(by_row, a, b)
        return leverage, V.entries(2 * np.einsum("abj,bcj->ac", self.A, LamK))

    def by_term(self, u: Array) -> list[Array]:  # noqa: D102
        b = self.effects.Lam @ u
        return [b[columns].T for columns in self.effects.groups.factor.columns]

    def covariances(self) -> list[Array]:  # noqa: D102
        Lam, groups = self.effects.Lam, self.effects.groups
        half = blocks.solve_lower(self.L, np.repeat(Lam.T[:, :, None], groups.J, axis=2))
        of_b = np.einsum("kaj,kbj->jab", half, half)
        return [of_b[:, columns, columns] for columns in groups.factor.columns]

    def predictive_variance(self, terms: Sequence[RandomTerm]) -> Array:  # noqa: D102
        index = terms[0].index
        v = self.effects.Lam.T @ np.concatenate([t.Z for t in terms], axis=1).T
        known = blocks.solve_lower(self.L[:, :, index], v.copy())
        return np.where(index >= 0, (known**2).sum(0), (v**2).sum(0))
