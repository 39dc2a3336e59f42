r"""Marginal likelihoods of generalised models of many data sets of one design, and their gradients.

The formulas, and the names, are those of ``mixedlab.engine.grouped_likelihood``: one grouping
factor, Laplace's approximation or adaptive Gauss-Hermite quadrature around each group's mode, the
gradient of the formula itself. Arrays gain a last axis, one place a data set: rows are (n, m),
groups (J, m). The modes of all groups of all data sets are found together, and data sets whose
modes are found leave the loop.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine import blocks
from mixedlab.engine.blocks import factor, solve
from mixedlab.engine.families import Family
from mixedlab.engine.layout import lower_triangle
from mixedlab.engine.many_responses import Groups, Responses, merge_groups, responses
from mixedlab.engine.quadrature import product_rule

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

_CELLS = 32_768  # rows x data sets handled at once: small enough for the processor's cache
_NEWTON_STEPS = 100


@dataclass
class Values:
    """Log-likelihoods (m,), minus infinity where out of range, and their gradients (m, d).

    ``spread`` (m, k) is the sum over groups of the squares of their gradients in theta.
    """

    loglik: Array
    gradient: Array
    spread: Array


class ManyLikelihoods:
    """Log-likelihoods of m data sets as functions of theta and beta.

    Parameters
    ----------
    family : Family
        Without a dispersion.
    y : ndarray (n, m)
    X : ndarray (n, p)
    index : ndarray of int (n,)
    Z : ndarray (n, q)
    sizes : tuple of int
        Coefficients of each term.
    weights : ndarray (n,) or 1.0
    offset : ndarray (n,)
    nagq : int
        Nodes a dimension; ``modes`` are kept between evaluations, and between likelihoods of
        different ``nagq`` if ``like`` is given.
    """

    def __init__(
        self,
        family: Family,
        y: Array,
        X: Array,
        index: Indices,
        Z: Array,
        sizes: tuple[int, ...],
        weights: Array | float,
        offset: Array,
        nagq: int = 1,
    ) -> None:
        order = np.argsort(index, kind="stable")
        self.family, self.groups = family, Groups(np.bincount(index))
        w = np.broadcast_to(weights, len(y)) * 1.0
        y, design = y[order], np.column_stack([X, Z, offset, w])[order]
        self.constant = responses(family, y, w[order, None]).constant()
        self.counts = None  # how many groups each one stands for
        merged = merge_groups(y, design, self.groups)
        if merged is not None:
            y, design, self.counts = merged.y, design[merged.rows], merged.counts
            self.groups = Groups(self.groups.counts[: len(merged.counts)])
        (self.q, self.p), m = (Z.shape[1], X.shape[1]), y.shape[1]
        self.J, self.m = self.groups.counts.size, m
        self.y, self.X = y, np.ascontiguousarray(design[:, : self.p])
        self.XX = np.einsum("na,nb->abn", self.X, self.X).reshape(-1, len(y))
        self.offset = design[:, -2, None]
        self.weights = design[:, -1:] if np.ndim(weights) else weights
        # None stands for a column of ones: no multiplication is needed
        columns = design[:, self.p : self.p + self.q].T
        self.Z = [None if np.all(z == 1) else z[:, None].copy() for z in columns]
        rows, cols, first = [], [], 0
        for size in sizes:
            r, c = lower_triangle(size)
            rows.append(r + first)
            cols.append(c + first)
            first += size
        self.rows, self.cols = np.concatenate(rows), np.concatenate(cols)
        self.n_theta = self.rows.size
        self.u = np.zeros((self.q, self.J, m))
        self.use_nodes(nagq)

    def use_nodes(self, nagq: int) -> None:
        """From now on take so many nodes a dimension; 1 is Laplace's approximation."""
        self.nagq = nagq
        self.nodes, self.node_weights = product_rule(nagq, self.q)

    def model(self, which: Indices | slice) -> Responses:
        """The responses of some data sets as functions of eta."""
        return responses(self.family, self.y[:, which], self.weights)

    def total(self, by_group: Array, which: Indices | slice) -> Array:
        """Sums over all groups of a data set, (..., m) from (..., J, m)."""
        return (by_group if self.counts is None else by_group * self.counts[:, which]).sum(-2)

    def of_rows(self, x: Array, which: Indices | slice) -> Array:
        """Rows (n, m) times the number of groups that theirs stands for."""
        return x if self.counts is None else x * self.groups.spread(self.counts[:, which])

    def _sum(self, x: Array, *columns: int) -> Array:
        """Group sums of x times the ``columns`` of Z."""
        for k in columns:
            x = x if self.Z[k] is None else x * self.Z[k]
        return self.groups.sum(x)

    def _rows(self, b: Array) -> Array:
        """``z_i' b_j`` of every row; b is (q, J, m)."""
        total = 0.0
        for z, b_a in zip(self.Z, b, strict=True):
            spread = self.groups.spread(b_a)
            total = total + (spread if z is None else z * spread)
        return total

    def __call__(self, theta: Array, beta: Array, which: Indices) -> Values:
        """Evaluate the data sets numbered ``which`` at theta (m, k) and beta (m, p)."""
        at_once = max(1, _CELLS // len(self.y))
        parts = [
            self._evaluate(theta[k : k + at_once], beta[k : k + at_once], which[k : k + at_once])
            for k in range(0, which.size, at_once)
        ]
        names = Values.__dataclass_fields__
        return Values(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))

    def _evaluate(self, theta: Array, beta: Array, which: Indices) -> Values:
        Lam = np.zeros((self.q, self.q, which.size))
        Lam[self.rows, self.cols] = theta.T
        model = self.model(which)
        fixed = self.offset + np.einsum("np,mp->nm", self.X, beta)
        with np.errstate(all="ignore"):
            u, eta = self._modes(model, fixed, Lam, which)
            l1, l2, l3 = model.derivatives(eta)
            A, H = self._curvature(-l2, Lam)
            L = factor(H)
            base = model.value_and_score(eta, self.groups)[0] - 0.5 * (u**2).sum(0)
            log_det = np.log(np.einsum("aajm->ajm", L)).sum(0)
            value = base - log_det
            at_nodes = None
            if self.nagq > 1:
                at_nodes = self._over_nodes(model, eta, u, Lam, L, base)
                value = value + np.log(at_nodes.total)
            value = self.total(value, which) + self.constant[which]
            d_Lam, d_eta = self._gradient(u, Lam, A, L, (l1, l2, l3), at_nodes)
            by_group = d_Lam[self.rows, self.cols]
            spread = self.total(by_group**2, which)
            d_beta = np.einsum("np,nm->pm", self.X, self.of_rows(d_eta, which))
            gradient = np.concatenate([self.total(by_group, which), d_beta]).T
        good = np.isfinite(value) & np.isfinite(gradient).all(1)
        self.u[:, :, which[good]] = u[:, :, good]
        return Values(np.where(good, value, -np.inf), gradient, spread.T)

    def _curvature(self, W: Array, Lam: Array) -> tuple[Array, Array]:
        """A = Z'WZ and H = I + Lam' A Lam of each group, (q, q, J, m)."""
        q = self.q
        A = np.empty((q, q, self.J, W.shape[1]))
        for a in range(q):
            for b in range(a + 1):
                A[a, b] = A[b, a] = self._sum(W, a, b)
        H = np.einsum("cam,cdjm,dbm->abjm", Lam, A, Lam) if q > 1 else Lam[0, 0] ** 2 * A
        for a in range(q):
            H[a, a] += 1.0
        return A, H

    # --- the modes

    def _modes(self, model, fixed: Array, Lam: Array, which: Indices) -> tuple[Array, Array]:
        """Modes u (q, J, m) and eta (n, m) there, by Newton's method; nan where there are none."""
        u = self.u[:, :, which].copy()
        eta = fixed + self._rows(_times(Lam, u))
        cold = ~np.isfinite(model.derivatives(eta)[0]).all(0)
        if cold.any():  # the last modes do not suit this point
            u[:, :, cold] = 0.0
            eta[:, cold] = fixed[:, cold]
        left, going, here = np.arange(which.size), np.ones(which.size, dtype=bool), model
        now = (fixed, Lam, u.copy(), eta.copy())  # of those that are left
        for _ in range(_NEWTON_STEPS):
            new_u, new_eta, worst = self._newton_step(here, *now)
            # What is found stays as it is, so that no data set depends on its neighbours.
            u[:, :, left[going]], eta[:, left[going]] = new_u[..., going], new_eta[:, going]
            going &= worst >= 1e-10  # the step just taken squares what was left
            if not going.any():
                return u, eta
            now = (now[0], now[1], new_u, new_eta)
            if 2 * np.count_nonzero(going) <= going.size:
                left, here = left[going], self.model(which[left[going]])
                now = tuple(part[..., going] for part in now)
                going = going[going]
        eta[:, left[going]] = np.nan
        return u, eta

    def _newton_step(self, model, fixed, Lam, u, eta) -> tuple[Array, Array, Array]:
        """New u and eta, and each data set's largest Newton decrement before the step."""
        l1, l2, _ = model.derivatives(eta)
        W = -l2
        if (W < 0).any():
            # keep the step uphill where the log density is not concave
            W = np.where(W >= 0, W, self.family.fisher_weights(eta, self.weights, 1.0))
        g = _times(Lam.swapaxes(0, 1), np.stack([self._sum(l1, a) for a in range(self.q)])) - u
        delta = solve(factor(self._curvature(W, Lam)[1]), g)
        worst = (delta * g).sum(0).max(0)
        new = u + delta
        new_eta = fixed + self._rows(_times(Lam, new))
        if not (worst > 0.05).any():
            return new, new_eta, worst
        # far from the mode a full step may overshoot: halve it where the density would fall
        value = self._penalised(model, eta, u)
        length = np.ones_like(value)
        for _ in range(40):
            after = self._penalised(model, new_eta, new)
            worse = ~(after >= value - 1e-10 * (1 + np.abs(value))) & (worst > 0.05)
            if not worse.any():
                break
            length = np.where(worse, length / 2, length)
            new = u + length * delta
            new_eta = fixed + self._rows(_times(Lam, new))
        return new, new_eta, worst

    def _penalised(self, model, eta: Array, u: Array) -> Array:
        return model.value_and_score(eta, self.groups)[0] - 0.5 * (u**2).sum(0)

    # --- the integral and its gradient

    def _over_nodes(self, model, eta, u, Lam, L, base) -> _NodeSums:
        """Sums over the nodes, each weighted by its share of its group's integral."""
        sums = _NodeSums(self.q, u.shape[1:], eta.shape)
        for z, weight in zip(self.nodes.T, self.node_weights, strict=True):
            away = np.broadcast_to(z[:, None, None, None], (self.q, 1, *u.shape[1:])).copy()
            away = blocks.solve_upper(L, away)[:, 0]
            u_k = u + away
            eta_k = eta + self._rows(_times(Lam, away))
            value, l1 = model.value_and_score(eta_k, self.groups)
            f = value - 0.5 * (u_k**2).sum(0) - base + (np.log(weight) + 0.5 * float(z @ z))
            share = np.exp(np.minimum(f, 700.0))
            # a node of no weight may lie where the score is infinite
            score = self.groups.spread(share) * l1
            if not np.isfinite(score).all():
                score[~np.isfinite(score)] = 0.0
            G = np.stack([self._sum(score, a) for a in range(self.q)])
            g = _times(Lam.swapaxes(0, 1), G) - share * u_k
            scaled = blocks.solve_lower(L, g[:, None].copy())[:, 0]
            sums.total += share
            sums.score += score
            sums.r += g
            sums.outer += G[:, None] * u_k
            sums.S += z[:, None, None, None] * scaled
        return sums.normalised(self.groups)

    def _gradient(self, u, Lam, A, L, derivatives, at_nodes) -> tuple[Array, Array]:
        """Gradients in Lambda by group (q, q, J, m), and in the fixed part by row (n, m)."""
        l1, l2, l3 = derivatives
        q = self.q
        inner = np.zeros_like(L)
        inner[range(q), range(q)] = 0.5
        Zl1 = np.stack([self._sum(l1, a) for a in range(q)])
        if at_nodes is None:
            score, r = l1, 0.0
            d_Lam = Zl1[:, None] * u
        else:
            score, r, d_Lam = at_nodes.score, at_nodes.r, at_nodes.outer
            for a in range(q):
                inner[a, a] += 0.5 * at_nodes.S[a, a]
                for b in range(a):
                    inner[a, b] = inner[b, a] = 0.5 * at_nodes.S[a, b]
        half = blocks.solve_upper(L, inner)  # L^-T (I/2 + N)
        K = -blocks.solve_upper(L, half.swapaxes(0, 1).copy())
        LamK = np.einsum("abm,bcjm->acjm", Lam, K)
        spread = np.einsum("acjm,bcm->abjm", LamK, Lam)
        leverage = 0.0
        for a in range(q):
            for b in range(a + 1):
                term = self.groups.spread(spread[a, b] * (1 if a == b else 2))
                for k in (a, b):
                    term = term if self.Z[k] is None else term * self.Z[k]
                leverage = leverage + term
        c = -l3 * leverage
        s = _times(Lam.swapaxes(0, 1), np.stack([self._sum(c, a) for a in range(q)])) + r
        t = solve(L, s)
        d = c + l2 * self._rows(_times(Lam, t))
        d_Lam = d_Lam + np.stack([self._sum(d, a) for a in range(q)])[:, None] * u
        d_Lam = d_Lam + Zl1[:, None] * t + 2 * np.einsum("abjm,bcjm->acjm", A, LamK)
        return d_Lam, score + d

    def information_of_beta(self, theta: Array, beta: Array) -> Array:
        """X'WX - X'WZ (Z'WZ + G^-1)^-1 Z'WX (m, p, p) of all data sets, at the last modes."""
        out = np.empty((self.m, self.p, self.p))
        at_once = max(1, _CELLS // len(self.y))
        for k in range(0, self.m, at_once):
            part = slice(k, k + at_once)
            Lam = np.zeros((self.q, self.q, len(theta[part])))
            Lam[self.rows, self.cols] = theta[part].T
            eta = self.offset + self.X @ beta[part].T + self._rows(_times(Lam, self.u[:, :, part]))
            W = -self.model(part).derivatives(eta)[1]
            W = np.where(np.isfinite(W) & (W > 0), W, 0.0)
            H = self._curvature(W, Lam)[1]
            WX = [[self._sum(W * x[:, None], a) for a in range(self.q)] for x in self.X.T]
            WX = np.array(WX).transpose(1, 0, 2, 3)  # (q, p, J, m)
            B = blocks.solve_lower(factor(H), np.einsum("bam,bpjm->apjm", Lam, WX))
            total = np.einsum("kn,nm->km", self.XX, self.of_rows(W, part))
            taken = self.total(np.einsum("apjm,arjm->prjm", B, B), part)
            out[part] = (total.reshape(self.p, self.p, -1) - taken).transpose(2, 0, 1)
        return out


def _times(Lam: Array, b: Array) -> Array:
    """``Lam b_j`` (q, J, m)."""
    return Lam[0, 0] * b if len(b) == 1 else np.einsum("abm,bjm->ajm", Lam, b)


class _NodeSums:
    """Sums over nodes: of shares, scores by row, and what the gradient needs by group."""

    def __init__(self, q: int, groups: tuple[int, int], rows: tuple[int, int]) -> None:
        self.total, self.score = np.zeros(groups), np.zeros(rows)
        self.r = np.zeros((q, *groups))
        self.S, self.outer = np.zeros((q, q, *groups)), np.zeros((q, q, *groups))

    def normalised(self, groups: Groups) -> _NodeSums:
        """Divide by the integrals."""
        share = 1 / self.total
        self.score *= groups.spread(share)
        self.r *= share
        self.S *= share
        self.outer *= share
        return self
