r"""The likelihood of a generalised model with its normal random effects integrated out.

Responses ``y_i ~ f(. | eta_i)`` have ``eta = o + X beta + V u`` with ``V = Z Lambda(theta)`` and
``u ~ N(0, I)``. The likelihood is an integral over u of exp f(u),

    f(u) = sum_i l_i(eta_i) - u'u / 2       (the constants 2 pi cancel below),

taken around the mode u^ with ``H = -f''(u^) = I + V' W V``, ``W = -l''``, and ``H = L L'``. With
nodes z_k and weights w_k of the standard normal,

    log integral = f(u^) - log|L| + log sum_k w_k exp(f(u_k) - f(u^) + z_k'z_k / 2),
    u_k = u^ + L^-T z_k,

which is adaptive Gauss-Hermite quadrature; one node (z = 0, w = 1) is Laplace's approximation.
Random effects come in independent blocks: one for each level where there is one grouping factor, a
single one where factors are nested or crossed. u has shape (effects in a block, blocks).

**The mode** by Newton steps, halved in those blocks whose f would fall.

**The gradient** differentiates the formula itself, mode and scale of the nodes included, so that it
is exact for any number of nodes. Write pi_k for the share of node k in the sum, ``g_k = f'(u_k)``,
and ``S = sum_k pi_k z_k (L^-1 g_k)'``. A change dH moves the log integral by tr(K dH), with

    K = -L^-T (I/2 + N) L^-1,    N = S symmetrised from its lower triangle with half its diagonal.

Because ``dH = d(V' W V)`` and ``dW_i = -l'''_i d eta_i``, the rows feel it through
``c_i = -l'''_i v_i' K v_i``, and the mode through ``s = V' c + sum_k pi_k g_k``. Implicit
differentiation of ``f'(u^) = 0`` gives ``du^ = H^-1 [dLambda' Z' l' - V' W (X dbeta + Z dLambda
u^)]``, so with ``t = H^-1 s`` and ``d_i = c_i - W_i v_i' t``

    d/dbeta   = X' (sum_k pi_k l'(eta_k) + d),
    d/dLambda = sum_k pi_k Z' l'(eta_k) u_k' + Z' d u^' + Z' l' t' + 2 Z' W V K.

For Laplace pi = 1, S = 0, g = 0, and K = -H^-1 / 2.

Sources: Pinheiro and Chao (2006), *J. Comput. Graph. Stat.* 15, 58-81 (adaptive quadrature);
Murray (2016), arXiv:1602.07527 (the differential of a Cholesky factor).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.terms import Layout, RandomTerm

Array = NDArray[np.float64]

_NEWTON_STEPS = 60
_STUCK = 1e-4  # of what a step promised: the mode lies at the end of the mean's range


class Factor(Protocol):
    """``H = I + V' W V``, factored: a value that is never changed."""

    def half_log_det(self) -> Array:
        """``log|L|`` of each block."""

    def solve(self, g: Array) -> Array:
        """``H^-1 g``."""

    def scale_terms(self, S: Array | None) -> tuple[Array, Array]:
        """``v_i' K v_i`` of each row, and the part ``2 Z' W V K`` of d/dtheta."""

    def by_term(self, u: Array) -> list[Array]:
        """The random effects ``b = Lambda u`` of each term, (J, q)."""

    def covariances(self) -> list[Array]:
        """``Lambda H^-1 Lambda'`` at each level of each term, (J, q, q)."""

    def predictive_variance(self, terms: Sequence[RandomTerm]) -> Array:
        """Variance of ``sum_t z_t' b_t`` given y, beta, theta for any rows (a new level: -1)."""


class Effects(Protocol):
    """``V = Z Lambda`` at some theta, as an operator."""

    def spread(self, u: Array) -> Array:
        """``V u`` for every row."""

    def sums(self, x: Array) -> Array:
        """``Z' x``, in the shape of u."""

    def collect(self, x: Array) -> Array:
        """``V' x``, in the shape of u."""

    def total(self, x: Array) -> Array:
        """Sum of x over the rows of each block."""

    def over_blocks(self, by_block: Array) -> Array:
        """Sum over the blocks."""

    def counted(self, x: Array) -> Array:
        """Rows times the number of rows that each stands for."""

    def d_theta(self, sums: Array, u: Array) -> Array:
        """Entries of ``sum Z'x u'`` that belong to theta, ``sums = Z'x``."""

    def factorise(self, W: Array) -> Factor | None:
        """Factor H; None where it is not positive definite."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All that is known of the likelihood at one point: a value that is never changed.

    Attributes
    ----------
    loglik : float
        Minus infinity outside the family's and link's range.
    d_theta, d_beta, d_log_dispersion
        Gradient, where it was asked for.
    u : ndarray or None
        Modes of the standardised random effects.
    eta : ndarray or None
        Linear predictor at the modes, in the likelihood's order of rows.
    factor : Factor or None
        H at the modes.
    """

    loglik: float
    d_theta: Array | None = None
    d_beta: Array | None = None
    d_log_dispersion: float = 0.0
    u: Array | None = field(default=None, repr=False)
    eta: Array | None = field(default=None, repr=False)
    factor: Factor | None = field(default=None, repr=False)

    @property
    def finite(self) -> bool:
        """Whether the point is inside the family's and link's range."""
        return bool(np.isfinite(self.loglik))

    def modes(self) -> list[Array]:
        """Conditional modes b of each term, (J, q)."""
        return [] if self.factor is None else self.factor.by_term(self.u)

    def mode_covariances(self) -> list[Array]:
        """Conditional covariance of each term's b, (J, q, q)."""
        return [] if self.factor is None else self.factor.covariances()

    def predictive_variance(self, terms: Sequence[RandomTerm]) -> Array | float:
        """Variance of ``sum_t z_t' b_t`` given y, beta and theta for any rows (a new level: -1)."""
        return 0.0 if self.factor is None else self.factor.predictive_variance(terms)


OUTSIDE = Evaluation(-np.inf)


@dataclass(frozen=True)
class NodeSums:
    """Sums over quadrature nodes, each weighted by the node's share of its block's integral.

    Attributes
    ----------
    log_integral : ndarray (blocks,)
        What the nodes add to Laplace's approximation.
    score : ndarray (n,)
        ``sum_k pi_k l'(eta_k)``.
    r : ndarray, shape of u
        ``sum_k pi_k g_k``.
    S : ndarray (q, q, blocks)
    d_theta : ndarray
        Theta's entries of ``sum_k pi_k Z' l'(eta_k) u_k'``.
    d_log_dispersion : float
    """

    log_integral: Array
    score: Array
    r: Array
    S: Array
    d_theta: Array
    d_log_dispersion: float


class IntegratedLikelihood:
    """Log-likelihood of (theta, beta, dispersion); subclasses know how Z is stored.

    Nothing changes after construction: an evaluation is a value, and one that is near is passed as
    ``start`` to the next. ``order`` is the order of the rows that the arrays are kept in.
    """

    def __init__(
        self,
        family: Family,
        y: Array,
        X: Array,
        terms: Sequence[RandomTerm],
        weights: Array | float,
        offset: Array,
        order: NDArray[np.intp] | slice = slice(None),
    ) -> None:
        self.family = family
        self.order = order
        self.y, self.X, self.offset = y[order], np.ascontiguousarray(X[order]), offset[order]
        self.weights = weights[order] if np.ndim(weights) else weights
        self.layout = Layout.of(terms)
        constant = family.constant(self.y, self.weights)
        self.constant = np.broadcast_to(constant, self.y.shape).sum(0)

    def effects(self, theta: Array) -> Effects:
        """V at theta."""
        raise NotImplementedError

    def no_effects(self) -> Array:
        """U = 0."""
        raise NotImplementedError

    def over_nodes(
        self, V: Effects, u: Array, eta: Array, H: Factor, peak: Array, dispersion: float
    ) -> NodeSums | None:
        """Sums over quadrature nodes; None for Laplace. ``peak`` is f(u^) of each block."""
        return None

    def __call__(
        self,
        theta: Array,
        beta: Array,
        dispersion: float = 1.0,
        gradient: bool = True,
        start: Evaluation | None = None,
    ) -> Evaluation:
        """Evaluate at one point; ``start`` is an evaluation near it, whose modes are the first."""
        V = self.effects(theta)
        found = self._modes(V, self.offset + self.X @ beta, dispersion, start)
        if found is None:
            return OUTSIDE
        u, eta = found
        derivatives = self.family.derivatives(self.y, eta, self.weights, dispersion)
        H = V.factorise(-derivatives[1])
        if H is None:
            return OUTSIDE
        peak = self._penalised(V, eta, u, dispersion)
        nodes = self.over_nodes(V, u, eta, H, peak, dispersion)
        by_block = peak - H.half_log_det() + (0.0 if nodes is None else nodes.log_integral)
        value = V.over_blocks(by_block)
        if not np.isfinite(value).any():
            return OUTSIDE
        at = Evaluation(value + self.constant, u=u, eta=eta, factor=H)
        return self._with_gradient(at, V, derivatives, nodes, dispersion) if gradient else at

    # --- the mode

    def _penalised(self, V: Effects, eta: Array, u: Array, dispersion: float) -> Array:
        """``f(u)`` of each block, less what does not depend on any parameter."""
        with np.errstate(over="ignore", invalid="ignore"):
            l = self.family.kernel(self.y, eta, self.weights, dispersion)
        return V.total(l) - 0.5 * (u**2).sum(0)

    def _modes(
        self, V: Effects, fixed: Array, dispersion: float, start: Evaluation | None
    ) -> tuple[Array, Array] | None:
        """The modes and eta there, from those of ``start`` or from 0; None if out of range."""
        if start is not None and start.u is not None:
            found = self._newton(V, fixed, dispersion, start.u)
            if found is not None:
                return found
        return self._newton(V, fixed, dispersion, self.no_effects())

    def _newton(
        self, V: Effects, fixed: Array, dispersion: float, u: Array
    ) -> tuple[Array, Array] | None:
        eta = fixed + V.spread(u)
        value = None  # f of each block, computed only when steps are long
        for _ in range(_NEWTON_STEPS):
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                l1, l2, _ = self.family.derivatives(self.y, eta, self.weights, dispersion)
            if not (np.isfinite(l1).all() and np.isfinite(l2).all()):
                return None
            W = -l2
            quadratic = not (W < 0).any()
            if not quadratic:  # keep the step uphill where the log density is not concave
                W = np.where(W >= 0, W, self.family.fisher_weights(eta, self.weights, dispersion))
            H = V.factorise(W)
            if H is None:
                return None
            g = V.collect(l1) - u
            step = H.solve(g)
            decrement = (step * g).sum(0)
            worst = decrement.max(initial=0.0)
            if not np.isfinite(worst):
                return None
            if worst < 1e-20:
                return u, eta
            if worst > 0.05:  # far from the mode a full step may overshoot
                if value is None:
                    value = self._penalised(V, eta, u, dispersion)
                if not np.isfinite(value).all():
                    return None
                moved, found = self._halve(V, fixed, u, step, value, dispersion)
                if not found or (moved[2] - value).max() < _STUCK * worst:
                    return None
                u, eta, value = moved
            else:
                u, value = u + step, None
                eta = fixed + V.spread(u)
                if worst < 1e-10 and quadratic:  # the step just taken squares what was left
                    return u, eta
        return None

    def _halve(
        self,
        V: Effects,
        fixed: Array,
        u: Array,
        step: Array,
        value: Array,
        dispersion: float,
        far: NDArray[np.bool_] | bool = True,
    ) -> tuple[tuple[Array, Array, Array], bool]:
        """Shorten the step in those blocks whose f would fall: u, eta, f, and whether none does.

        Only data sets that are ``far`` from their modes are looked at.
        """
        length = np.ones(u.shape[1:])
        for _ in range(20):
            new = u + length * step
            eta = fixed + V.spread(new)
            now = self._penalised(V, eta, new, dispersion)
            worse = ~(now >= value - 1e-10 * (1 + np.abs(value))) & far
            if not worse.any():
                return (new, eta, now), True
            length = np.where(worse, length / 2, length)
        return (new, eta, now), False

    # --- the gradient

    def _with_gradient(
        self,
        at: Evaluation,
        V: Effects,
        derivatives: tuple[Array, Array, Array],
        nodes: NodeSums | None,
        dispersion: float,
    ) -> Evaluation:
        """Add the gradient; the names are those of the module's docstring."""
        (l1, l2, l3), u, H = derivatives, at.u, at.factor
        leverage, from_scale = H.scale_terms(None if nodes is None else nodes.S)  # v' K v
        c = -l3 * leverage
        s = V.collect(c) if nodes is None else V.collect(c) + nodes.r
        t = H.solve(s)
        Vt = V.spread(t)
        d = c + l2 * Vt
        Zl1 = V.sums(l1)
        direct = V.d_theta(Zl1, u) if nodes is None else nodes.d_theta
        out = replace(
            at,
            d_theta=direct + V.d_theta(V.sums(d), u) + V.d_theta(Zl1, t) + from_scale,
            d_beta=self.X.T @ V.counted((l1 if nodes is None else nodes.score) + d),
        )
        if not self.family.has_dispersion:
            return out
        value, first, second = self.family.dispersion_derivatives(
            self.y, at.eta, self.weights, dispersion
        )
        direct = value.sum() if nodes is None else nodes.d_log_dispersion
        return replace(out, d_log_dispersion=float(direct - leverage @ second + Vt @ first))

    # --- beta and the modes

    def modes_by_beta(self, at: Evaluation, dispersion: float) -> list[Array]:
        """Minus the derivative of each term's modes in beta, ``Lambda H^-1 V' W X``: (J, q, p)."""
        V = at.factor.effects
        W = -self.family.derivatives(self.y, at.eta, self.weights, dispersion)[1]
        columns = [at.factor.by_term(at.factor.solve(V.collect(W * x))) for x in self.X.T]
        return [np.stack(term, axis=2) for term in zip(*columns, strict=True)]

    def information_of_beta(self, at: Evaluation, dispersion: float) -> Array:
        """Expected information ``X' (W - W V H^-1 V' W) X`` with the family's expected weights."""
        V = at.factor.effects
        W = self.family.fisher_weights(at.eta, self.weights, dispersion)
        W = np.where(np.isfinite(W), W, 0.0)
        WX = [(x if W.ndim == 1 else x[:, None]) * W for x in self.X.T]
        information = np.stack([self.X.T @ V.counted(x) for x in WX])
        H = V.factorise(W)
        if H is None:
            return information
        collected = [V.collect(x) for x in WX]
        solved = [H.solve(g) for g in collected]
        taken = [[V.over_blocks((g * x).sum(0)) for x in solved] for g in collected]
        return information - np.array(taken).reshape(information.shape)
