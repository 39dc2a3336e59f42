r"""Marginal likelihood of a generalised model with one grouping factor, and its exact gradient.

Group j has responses ``y_i ~ f(. | eta_i)`` with ``eta_i = o_i + x_i' beta + z_i' Lambda u_j`` and
``u_j ~ N(0, I_q)``. Its likelihood is an integral over u of exp f(u),

    f(u) = sum_i l_i(eta_i) - u'u / 2       (the constants 2 pi cancel below),

taken around the mode u^ with ``H = -f''(u^) = I + Lambda' A Lambda``, ``A = Z' W Z``,
``W = -l''``, and ``H = L L'``. With nodes z_k and weights w_k of the standard normal,

    log integral = -log|L| + log sum_k w_k exp(f(u_k) + z_k'z_k / 2),   u_k = u^ + L^-T z_k,

which is adaptive Gauss-Hermite quadrature; one node (z = 0, w = 1) is Laplace's approximation.

**The mode** by Newton steps in each group, halved in those groups whose f would fall.

**The gradient** differentiates the formula itself, mode and scale of the nodes included, so that it
is exact for any number of nodes. Write pi_k for the share of node k in the sum, ``g_k = f'(u_k)``,
and ``S = sum_k pi_k z_k (L^-1 g_k)'``. A change dH moves the log integral by tr(K dH), with

    K = -L^-T (I/2 + N) L^-1,    N = S symmetrised from its lower triangle with half its diagonal.

Because ``dH = d(Lambda' A Lambda)`` and ``dW_i = -l'''_i d eta_i``, the rows feel it through
``c_i = -l'''_i z_i' Lambda K Lambda' z_i``, and the mode through
``s = Lambda' Z' c + sum_k pi_k g_k``. Implicit differentiation of ``f'(u^) = 0`` gives
``du^ = H^-1 [dLambda' Z' l' - Lambda' Z' W (X dbeta + Z dLambda u^)]``, so with ``t = H^-1 s`` and
``d_i = c_i - W_i z_i' Lambda t``

    d/dbeta   = X' (sum_k pi_k l'(eta_k) + d),
    d/dLambda = sum_k pi_k Z' l'(eta_k) u_k' + Z' d u^' + Z' l' t' + 2 A Lambda K.

For Laplace pi = 1, S = 0, g = 0, and K = -H^-1 / 2.

Sources: Pinheiro and Chao (2006), *J. Comput. Graph. Stat.* 15, 58-81 (adaptive quadrature);
Murray (2016), arXiv:1602.07527 (the differential of a Cholesky factor).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine import blocks
from mixedlab.engine.families import Family
from mixedlab.engine.layout import Layout
from mixedlab.engine.quadrature import product_rule
from mixedlab.engine.stacked_factor import factor, log_det, solve
from mixedlab.engine.terms import RandomTerm

Array = NDArray[np.float64]

_CELLS = 32_768  # rows x nodes handled at once: small enough for the processor's cache
_NEWTON_STEPS = 100


@dataclass
class Evaluation:
    """Log-likelihood at one point, and its gradient where it was asked for."""

    loglik: float
    d_theta: Array | None = None
    d_beta: Array | None = None
    d_log_dispersion: float = 0.0

    @property
    def finite(self) -> bool:
        """Whether the point is inside the family's and link's range."""
        return bool(np.isfinite(self.loglik))


class GroupedLikelihood:
    """Log-likelihood of (theta, beta, dispersion) by Laplace (``nagq=1``) or adaptive quadrature.

    The modes of the last evaluation start the next one, so points near each other cost little.

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
        terms: list[RandomTerm],
        weights: Array | float,
        offset: Array,
        nagq: int = 1,
    ) -> None:
        index = terms[0].index
        order = np.argsort(index, kind="stable")
        self.family = family
        self.rows = order
        self.y, self.X, self.offset = y[order], np.ascontiguousarray(X[order]), offset[order]
        self.weights = weights[order] if np.ndim(weights) else weights
        Z = np.concatenate([t.Z for t in terms], axis=1)[order].T
        # None stands for a column of ones: no multiplication is needed
        self.Z = [None if np.all(z == 1) else np.ascontiguousarray(z) for z in Z]
        self.layout = Layout.of(terms)
        self.factor = self.layout.factors[0]
        self.index = index[order]
        self.counts = np.bincount(self.index, minlength=terms[0].n_levels)
        self.starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]])
        self.q, self.J = len(self.Z), self.counts.size
        self.u = np.zeros((self.q, self.J))
        self.nagq = nagq
        self.nodes, self.node_weights = product_rule(nagq, self.q)
        self._chunks = self._split_groups()

    # --- rows and groups

    def _split_groups(self) -> list[tuple[slice, slice]]:
        """Runs of groups (slice of groups, slice of rows) of about `_CELLS` rows."""
        ends = np.cumsum(self.counts)
        chunks, first, row = [], 0, 0
        while first < self.J:
            last = max(int(np.searchsorted(ends, row + _CELLS, side="right")), first + 1)
            chunks.append((slice(first, last), slice(row, int(ends[last - 1]))))
            first, row = last, int(ends[last - 1])
        return chunks

    def _sum(self, x: Array, a: int | None = None, b: int | None = None) -> Array:
        """Group sums of ``Z_a Z_b x``."""
        for k in (a, b):
            if k is not None and self.Z[k] is not None:
                x = x * self.Z[k]
        return np.add.reduceat(x, self.starts)

    def _rows(self, b: Array) -> Array:
        """``z_i' b_j`` for every row; b is (q, J)."""
        total = 0.0
        for z, b_a in zip(self.Z, b, strict=True):
            spread = np.repeat(b_a, self.counts)
            total = total + (spread if z is None else z * spread)
        return total

    # --- the mode

    def _penalised(self, eta: Array, u: Array, dispersion: float) -> Array:
        l = self.family.loglik(self.y, eta, self.weights, dispersion)
        return np.add.reduceat(l, self.starts) - 0.5 * (u**2).sum(0)

    def _curvature(self, W: Array, Lam: Array) -> tuple[Array, Array]:
        """A = Z'WZ and H = I + Lam' A Lam of each group."""
        A = np.empty((self.q, self.q, self.J))
        for a in range(self.q):
            for b in range(a + 1):
                A[a, b] = A[b, a] = self._sum(W, a, b)
        H = np.einsum("ca,cdj,db->abj", Lam, A, Lam) if self.q > 1 else Lam[0, 0] ** 2 * A
        for a in range(self.q):
            H[a, a] += 1.0
        return A, H

    def _find_modes(self, fixed: Array, Lam: Array, dispersion: float) -> Array | None:
        """Newton's method in every group at once; eta at the modes, or None if out of range."""
        u = self.u
        eta = fixed + self._rows(Lam @ u)
        value = None  # the penalised log-likelihoods, computed only when steps are long
        for step in range(_NEWTON_STEPS):
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                l1, l2, _ = self.family.derivatives(self.y, eta, self.weights, dispersion)
            W = -l2
            if not (np.isfinite(l1).all() and np.isfinite(W).all()):
                if step == 0 and np.any(u):  # the last modes do not suit this point
                    u, value = np.zeros_like(u), None
                    eta = fixed.copy()
                    continue
                return None
            quadratic = not (W < 0).any()
            if not quadratic:  # keep the step uphill where the log density is not concave
                expected = self.family.fisher_weights(eta, self.weights, dispersion)
                W = np.where(W >= 0, W, expected)
            g = Lam.T @ np.stack([self._sum(l1, a) for a in range(self.q)]) - u
            L = factor(self._curvature(W, Lam)[1])
            delta = solve(L, g)
            decrement = (delta * g).sum(0)
            if not np.isfinite(decrement).all():
                return None
            worst = decrement.max(initial=0.0)
            if worst < 1e-20:
                break
            new = u + delta
            new_eta = fixed + self._rows(Lam @ new)
            if worst > 0.05:  # far from the mode a full step may overshoot
                if value is None:
                    value = self._penalised(eta, u, dispersion)
                    if not np.isfinite(value).all() and np.any(u):
                        u, value = np.zeros_like(u), None
                        eta = fixed.copy()
                        continue
                new, new_eta, value = self._halve(fixed, Lam, u, delta, value, dispersion)
                if new is None:
                    return None
            else:
                value = None
            u, eta = new, new_eta
            if worst < 1e-10 and quadratic:  # the step just taken squares what was left
                break
        else:
            return None
        self.u = u
        return eta

    def _halve(self, fixed, Lam, u, delta, value, dispersion):
        """Shorten the step in those groups whose penalised log-likelihood would fall."""
        length = np.ones(self.J)
        for _ in range(40):
            new = u + length * delta
            eta = fixed + self._rows(Lam @ new)
            with np.errstate(over="ignore", invalid="ignore"):
                now = self._penalised(eta, new, dispersion)
            worse = ~(now >= value - 1e-10 * (1 + np.abs(value)))
            if not worse.any():
                return new, eta, now
            length = np.where(worse, length / 2, length)
        return None, None, None

    # --- the integral

    def __call__(
        self, theta: Array, beta: Array, dispersion: float = 1.0, gradient: bool = True
    ) -> Evaluation:
        """Evaluate at one point. A point outside the link's range has log-likelihood -inf."""
        Lam = self.factor.lambda_of(theta)
        eta = self._find_modes(self.offset + self.X @ beta, Lam, dispersion)
        if eta is None:
            return Evaluation(-np.inf)
        family, y, w = self.family, self.y, self.weights
        l1, l2, l3 = family.derivatives(y, eta, w, dispersion)
        A, H = self._curvature(-l2, Lam)
        L = factor(H)
        base = self._penalised(eta, self.u, dispersion)
        laplace = base - log_det(L)
        at_nodes = None if self.nagq == 1 else self._over_nodes(eta, Lam, L, base, dispersion)
        value = laplace if at_nodes is None else laplace + np.log(at_nodes.total)
        self.L, self.Lam, self.eta = L, Lam, eta
        out = Evaluation(float(value.sum()))
        if not out.finite:
            return Evaluation(-np.inf)
        if gradient:
            self._gradient(out, Lam, A, L, eta, (l1, l2, l3), at_nodes, dispersion)
        return out

    def _gradient(self, out, Lam, A, L, eta, derivatives, at_nodes, dispersion) -> None:
        """Fill in the gradient; the names are those of the module's docstring."""
        l1, l2, l3 = derivatives
        q = self.q
        inner = np.zeros((q, q, self.J))
        inner[range(q), range(q)] = 0.5
        Zl1 = np.stack([self._sum(l1, a) for a in range(q)])
        if at_nodes is None:
            score, r = l1, 0.0
            d_Lam = Zl1 @ self.u.T
        else:
            score, r, d_Lam = at_nodes.score, at_nodes.r, at_nodes.d_Lam
            for a in range(q):
                inner[a, a] += 0.5 * at_nodes.S[a, a]
                for b in range(a):
                    inner[a, b] = inner[b, a] = 0.5 * at_nodes.S[a, b]
        half = blocks.solve_upper(L, inner)  # L^-T (I/2 + N)
        K = -blocks.solve_upper(L, half.transpose(1, 0, 2).copy())
        LamK = np.einsum("ab,bcj->acj", Lam, K)
        spread = np.einsum("acj,bc->abj", LamK, Lam)
        leverage = 0.0
        for a in range(q):
            for b in range(a + 1):
                term = np.repeat(spread[a, b] * (1 if a == b else 2), self.counts)
                for k in (a, b):
                    term = term if self.Z[k] is None else term * self.Z[k]
                leverage = leverage + term
        c = -l3 * leverage
        s = Lam.T @ np.stack([self._sum(c, a) for a in range(q)]) + r
        t = solve(L, s)
        Zt = self._rows(Lam @ t)
        d = c + l2 * Zt
        d_Lam = d_Lam + np.stack([self._sum(d, a) for a in range(q)]) @ self.u.T + Zl1 @ t.T
        d_Lam = d_Lam + 2 * np.einsum("abj,bcj->ac", A, LamK)
        out.d_beta = self.X.T @ (score + d)
        out.d_theta = np.empty(self.layout.n_theta)
        out.d_theta[self.factor.at] = d_Lam[self.factor.rows, self.factor.cols]
        if self.family.has_dispersion:
            value, first, second = self.family.dispersion_derivatives(
                self.y, eta, self.weights, dispersion
            )
            direct = value.sum() if at_nodes is None else at_nodes.d_log_dispersion
            out.d_log_dispersion = float(direct - leverage @ second + Zt @ first)

    def _over_nodes(self, eta, Lam, L, base, dispersion) -> _NodeSums:
        """Sums over the nodes, group chunk by group chunk and node chunk by node chunk."""
        sums = _NodeSums(self.q, self.J, self.y.size)
        for groups, rows in self._chunks:
            self._chunk_sums(sums, groups, rows, eta, Lam, L, base, dispersion)
        sums.normalise(self.counts)
        return sums

    def _chunk_sums(self, sums, groups, rows, eta, Lam, L, base, dispersion) -> None:
        q, family = self.q, self.family
        index = self.index[rows] - groups.start
        starts = self.starts[groups] - rows.start
        y, eta0, base = self.y[rows], eta[rows], base[groups]
        w = self.weights[rows] if np.ndim(self.weights) else self.weights
        Z = [None if z is None else z[rows] for z in self.Z]
        L, u_mode = L[:, :, groups], self.u[:, groups]
        at_once = max(1, _CELLS // y.size)
        for first in range(0, self.nodes.shape[1], at_once):
            z = self.nodes[:, first : first + at_once]  # (q, k)
            log_w = np.log(self.node_weights[first : first + at_once]) + 0.5 * (z**2).sum(0)
            shape = (q, z.shape[1], u_mode.shape[1])
            away = blocks.solve_upper(L, np.broadcast_to(z[:, :, None], shape).copy())
            u = u_mode[:, None, :] + away
            b = np.tensordot(Lam, away, axes=1)
            eta_k = np.broadcast_to(eta0, (z.shape[1], y.size))
            for z_a, b_a in zip(Z, b, strict=True):
                moved = np.take(b_a, index, axis=1)
                eta_k = eta_k + (moved if z_a is None else z_a * moved)
            with np.errstate(over="ignore", invalid="ignore"):
                l, l1 = family.value_and_score(y, eta_k, w, dispersion)
            f = np.add.reduceat(l, starts, axis=1) - 0.5 * (u**2).sum(0) - base
            share = np.exp(np.minimum(f + log_w[:, None], 700.0))  # (k, J), not yet divided
            # a node of no weight may lie where the score is infinite
            row_share = np.take(share, index, axis=1)
            weighted = np.where(row_share > 0, row_share * l1, 0.0)
            sums.total[groups] += share.sum(0)
            sums.score[rows] += weighted.sum(0)
            G = np.stack(
                [np.add.reduceat(weighted if z_a is None else weighted * z_a, starts, axis=1)
                 for z_a in Z]
            )  # fmt: skip  # share_k Z' l'(eta_k): (q, k, J)
            g = np.tensordot(Lam.T, G, axes=1) - share * u
            sums.r[:, groups] += g.sum(1)
            scaled = blocks.solve_lower(L, g)
            sums.outer[:, :, groups] += np.einsum("akj,bkj->abj", G, u)
            sums.S[:, :, groups] += np.einsum("ak,bkj->abj", z, scaled)
            if family.has_dispersion:
                value = family.dispersion_derivatives(y, eta_k, w, dispersion)[0]
                value = np.where(row_share > 0, row_share * value, 0.0)
                sums.dispersion[groups] += np.add.reduceat(value.sum(0), starts)

    # --- after the fit

    def modes(self) -> list[Array]:
        """Conditional modes b of each term at the last point, (J, q)."""
        b = self.Lam @ self.u
        return [b[columns].T for columns in self.factor.columns]

    def mode_covariances(self) -> list[Array]:
        """Conditional covariance ``Lambda H^-1 Lambda'`` of each term's b, (J, q, q)."""
        half = blocks.solve_lower(self.L, np.repeat(self.Lam.T[:, :, None], self.J, axis=2))
        V = np.einsum("kaj,kbj->jab", half, half)
        return [V[:, columns, columns] for columns in self.factor.columns]

    def predictive_variance(self, terms: list[RandomTerm]) -> Array:
        """Variance of ``sum_t z_t' b_t`` given y, beta and theta for any rows (a new level: -1)."""
        index = terms[0].index
        v = self.Lam.T @ np.concatenate([t.Z for t in terms], axis=1).T
        known = blocks.solve_lower(self.L[:, :, index], v.copy())
        return np.where(index >= 0, (known**2).sum(0), (v**2).sum(0))

    def solve_modes(self, W: Array, x: Array) -> list[Array]:
        """``Lambda H^-1 Lambda' Z' W x`` by term, (J, q), for x (n,) in the order given.

        The negative of what the modes b move by when the linear predictor moves by x.
        """
        Wx = (W * x)[self.rows]
        g = self.Lam.T @ np.stack([self._sum(Wx, a) for a in range(self.q)])
        moved = self.Lam @ solve(self.L, g)
        return [moved[columns].T for columns in self.factor.columns]


class _NodeSums:
    """Sums over quadrature nodes, each weighted by the node's share of its group's integral."""

    def __init__(self, q: int, J: int, n: int) -> None:
        self.total = np.zeros(J)
        self.score = np.zeros(n)
        self.r = np.zeros((q, J))
        self.S = np.zeros((q, q, J))
        self.outer = np.zeros((q, q, J))
        self.dispersion = np.zeros(J)

    def normalise(self, counts: NDArray[np.intp]) -> None:
        """Divide by the integrals, and sum over groups what is wanted in total only."""
        with np.errstate(divide="ignore", invalid="ignore"):
            share = 1 / self.total
        self.score *= np.repeat(share, counts)
        self.r *= share
        self.S *= share
        self.d_Lam = self.outer @ share
        self.d_log_dispersion = float(self.dispersion @ share)
