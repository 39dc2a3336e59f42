r"""Laplace's marginal likelihood for nested and crossed grouping factors, and its exact gradient.

All random effects u are one vector, ``eta = o + X beta + V u`` with row ``v_i`` of V holding
``Lambda_r' z_ir`` at the row's level of each factor r. At the mode of

    f(u) = sum_i l_i(eta_i) - u'u / 2,     H = I + V' W V,   W = -l'',

the log-likelihood is ``f(u^) - log|H| / 2``. The gradient is that of
`mixedlab.engine.grouped_likelihood` with one node; all it needs of H^-1 are the vectors
``h_i = (H^-1 v_i)`` at the row's own levels, since ``v_i' H^-1 v_i = v_i' h_i`` and
``tr(H^-1 dH)`` sums ``2 W_i (dLambda' z_i)' h_i + dW_i v_i' h_i`` over rows.

`mixedlab.engine.eliminated_system` factors H and finds them.

Source: Bates, Maechler, Bolker and Walker (2015), *J. Stat. Software* 67(1), for the model and its
Laplace approximation; the order of elimination is that of the documentation of MixedModels.jl.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.eliminated_system import EliminatedSystem
from mixedlab.engine.families import Family
from mixedlab.engine.grouped_likelihood import Evaluation
from mixedlab.engine.layout import Layout
from mixedlab.engine.terms import RandomTerm

Array = NDArray[np.float64]

_NEWTON_STEPS = 200


class CrossedLikelihood:
    """Log-likelihood of (theta, beta, dispersion) by Laplace for any set of random-effects terms.

    Parameters are those of `mixedlab.engine.grouped_likelihood.GroupedLikelihood`, but the terms
    may have different grouping factors.
    """

    def __init__(
        self,
        family: Family,
        y: Array,
        X: Array,
        terms: list[RandomTerm],
        weights: Array | float,
        offset: Array,
    ) -> None:
        self.family, self.y, self.X = family, y, X
        self.weights, self.offset = weights, offset
        self.terms = terms
        self.layout = Layout.of(terms)
        self.system = EliminatedSystem(terms, self.layout)
        self.u = [np.zeros((t.n_coefs, t.n_levels)) for t in terms]

    def _rows(self, b: list[Array]) -> Array:
        """``sum_r z_ir' b_r`` for every row, b_r (q_r, J_r)."""
        return sum((t.Z.T * b_r[:, t.index]).sum(0) for t, b_r in zip(self.terms, b, strict=True))

    def _levels(self, x: Array) -> list[Array]:
        """``Z_r' x`` by level of each term, (q_r, J_r)."""
        return [
            np.stack([np.bincount(t.index, z * x, t.n_levels) for z in t.Z.T]) for t in self.terms
        ]

    def _spread(self, Lam: list[Array], u: list[Array]) -> Array:
        return self._rows([L @ u_r for L, u_r in zip(Lam, u, strict=True)])

    # --- the mode

    def _penalised(self, eta: Array, u: list[Array], dispersion: float) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            l = self.family.loglik(self.y, eta, self.weights, dispersion).sum()
        return l - 0.5 * sum((u_r**2).sum() for u_r in u)

    def _find_mode(self, fixed: Array, Lam: list[Array], dispersion: float) -> Array | None:
        """Damped Newton over all random effects; returns eta there, None if out of range."""
        u = self.u
        eta = fixed + self._spread(Lam, u)
        value = self._penalised(eta, u, dispersion)
        if not np.isfinite(value):
            u = [np.zeros_like(u_r) for u_r in u]
            eta = fixed.copy()
            value = self._penalised(eta, u, dispersion)
        for _ in range(_NEWTON_STEPS):
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                l1, l2, _ = self.family.derivatives(self.y, eta, self.weights, dispersion)
            if not (np.isfinite(value) and np.isfinite(l1).all() and np.isfinite(l2).all()):
                return None
            W = -l2
            quadratic = not (W < 0).any()
            if not quadratic:  # keep the step uphill where the log density is not concave
                W = np.where(W >= 0, W, self.family.fisher_weights(eta, self.weights, dispersion))
            if not self.system.factorise(W, Lam):
                return None
            g = [L.T @ s - u_r for L, s, u_r in zip(Lam, self._levels(l1), u, strict=True)]
            delta = self.system.solve(g)
            decrement = sum((d * g_r).sum() for d, g_r in zip(delta, g, strict=True))
            if decrement < 1e-18:
                break
            for halvings in range(40):
                new = [u_r + d / 2**halvings for u_r, d in zip(u, delta, strict=True)]
                new_eta = fixed + self._spread(Lam, new)
                now = self._penalised(new_eta, new, dispersion)
                if now >= value - 1e-11 * (1 + abs(value)):
                    break
            else:
                return None
            u, eta, value = new, new_eta, now
            if decrement < 1e-11 and quadratic and halvings == 0:
                break
        else:
            return None
        self.u = u
        return eta

    # --- the integral

    def __call__(
        self, theta: Array, beta: Array, dispersion: float = 1.0, gradient: bool = True
    ) -> Evaluation:
        """Evaluate at one point. A point outside the link's range has log-likelihood -inf."""
        Lam = self.layout.unpack(theta)
        eta = self._find_mode(self.offset + self.X @ beta, Lam, dispersion)
        if eta is None:
            return Evaluation(-np.inf)
        derivatives = self.family.derivatives(self.y, eta, self.weights, dispersion)
        if not self.system.factorise(-derivatives[1], Lam):
            return Evaluation(-np.inf)
        self.Lam, self.eta = Lam, eta
        value = self._penalised(eta, self.u, dispersion) - 0.5 * self.system.log_det()
        out = Evaluation(float(value))
        if gradient and out.finite:
            self._gradient(out, Lam, eta, derivatives, dispersion)
        return out

    def _gradient(self, out, Lam, eta, derivatives, dispersion) -> None:
        """Fill in the gradient; names as in the module's docstring and the grouped one's."""
        l1, l2, l3 = derivatives
        h = self.system.selected_inverse_rows()  # one (q_r, n) for each term
        v = self.system.v
        leverage = sum((v_r * h_r).sum(0) for v_r, h_r in zip(v, h, strict=True))
        c = 0.5 * l3 * leverage  # -l3 v'Kv with K = -H^-1 / 2
        s = [L.T @ x for L, x in zip(Lam, self._levels(c), strict=True)]
        t = self.system.solve(s)
        Vt = self._spread(Lam, t)
        d = c + l2 * Vt
        Zd, Zl1 = self._levels(d + l1), self._levels(l1)
        d_Lam = []
        for term, u_r, t_r, zd, zl1, h_r in zip(self.terms, self.u, t, Zd, Zl1, h, strict=True):
            # Z'(l1 + d) u' + Z'l1 t' - sum_i W_i z_i h_i'
            d_Lam.append(zd @ u_r.T + zl1 @ t_r.T + (term.Z.T * l2) @ h_r.T)
        out.d_theta = self.layout.pack(d_Lam)
        out.d_beta = self.X.T @ (l1 + d)
        if self.family.has_dispersion:
            value, first, second = self.family.dispersion_derivatives(
                self.y, eta, self.weights, dispersion
            )
            out.d_log_dispersion = float(value.sum() + 0.5 * leverage @ second + Vt @ first)

    # --- after the fit

    def modes(self) -> list[Array]:
        """Conditional modes b of each term at the last point, (J, q)."""
        return [(L @ u_r).T for L, u_r in zip(self.Lam, self.u, strict=True)]

    def mode_covariances(self) -> list[Array]:
        """Conditional covariance of each term's b, (J, q, q)."""
        of_u = self.system.level_blocks()
        return [np.einsum("ab,bcj,dc->jad", L, B, L) for L, B in zip(self.Lam, of_u, strict=True)]

    def predictive_variance(self, terms: list[RandomTerm]) -> Array:
        """Variance of ``sum_t z_t' b_t`` given y, beta and theta for any rows (a new level: -1).

        One solve for each distinct row, because new rows may pair levels that no old row pairs.
        """
        v = [L.T @ t.Z.T for L, t in zip(self.Lam, terms, strict=True)]
        keys = np.concatenate([np.stack([t.index for t in terms]).astype(float), *v]).T
        _, first, back = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        variance = np.empty(first.size)
        for k, row in enumerate(first):
            g = [np.zeros_like(u_r) for u_r in self.u]
            variance[k] = 0.0
            for g_r, v_r, term in zip(g, v, terms, strict=True):
                level = term.index[row]
                if level >= 0:
                    g_r[:, level] = v_r[:, row]
                else:
                    variance[k] += (v_r[:, row] ** 2).sum()
            x = self.system.solve(g)
            variance[k] += sum((g_r * x_r).sum() for g_r, x_r in zip(g, x, strict=True))
        return variance[back.reshape(-1)]

    def solve_modes(self, W: Array, x: Array) -> list[Array]:
        """``Lambda H^-1 V' W x`` by term, (J, q): see `GroupedLikelihood.solve_modes`."""
        g = [L.T @ s for L, s in zip(self.Lam, self._levels(W * x), strict=True)]
        moved = self.system.solve(g)
        return [(L @ m).T for L, m in zip(self.Lam, moved, strict=True)]
