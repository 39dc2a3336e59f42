r"""Likelihoods of groups of rows whose one random effect is integrated out, by adaptive quadrature.

.. math:: \log I_j = \log \int \prod_{i \in j} f(y_i \mid \eta_i + z_i v) \, p_\lambda(v) \, dv

for any family of responses f and any prior p (`mixedlab.engine.random_families`).

The integrand of each group is centred at its mode and scaled by its curvature there, ``v = mode +
sd sinh(t)``, and summed at equal steps of t. Gauss-Hermite nodes would do for tails like a
normal's, but the log of a gamma has an exponential tail: with ``sinh`` the integrand falls doubly
exponentially in t for either, and the trapezoidal sum converges exponentially in the number of
nodes (Takahasi and Mori 1974). Nodes are taken one by one from the mode outwards until they add
nothing, so memory is O(n).

Where v cannot go below a bound (the prior's own, or a mean that must be positive under an identity
or inverse link), the variable is ``s = log(v - bound)`` instead, with its Jacobian: the integrand
is smooth on the whole line again.

Derivatives are by Fisher's identity, the posterior means of derivatives of the complete log
density; they are summed beside the integral, in one pass over the nodes:

.. math:: \frac{\partial \log I_j}{\partial \eta_i} = E(\ell'_i \mid y), \qquad
          \frac{\partial \log I_j}{\partial \log \lambda} =
          E\left(\frac{\partial \log p_\lambda}{\partial \log\lambda} \,\Big|\, y\right).

Source: Takahasi and Mori (1974), Publications of RIMS 9:721.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.families import Family

Array = NDArray[np.float64]

N_NODES = 61
_REACH = 4.5  # nodes reach sinh(4.5) = 45 standard deviations from the mode
_NOTHING = 40.0  # fall of the log integrand below which further nodes add nothing
_STEPS, _HALVINGS = 100, 60  # Newton steps to a mode, and halvings of a step
_NEGLIGIBLE = 1e-18  # share of the integral at the mode, below which a node has no slopes


class Prior(Protocol):
    """A log-concave density of v with one parameter lambda."""

    lower: float
    """Least value of v."""

    def logpdf(self, v: Array, lam: float) -> Array:
        """Log density."""

    def score(self, v: Array, lam: float) -> Array:
        """Derivative of ``logpdf`` in v."""

    def curvature(self, v: Array, lam: float) -> Array:
        """Minus the second derivative."""

    def score_log_lambda(self, v: Array, lam: float) -> Array:
        """Derivative of ``logpdf`` in log lambda."""


@dataclass(frozen=True)
class Integrated:
    """The integrals at one point of the parameters: value, slopes, posterior.

    Attributes
    ----------
    log_integrals : ndarray, shape (J,)
    mode : ndarray, shape (J,)
        Of v: where an evaluation near by starts.
    nodes, weights : ndarray, shape (K, J)
        Posterior of v: its nodes, and weights that sum to 1.
    d_eta, d_log_dispersion : ndarray, shape (n,)
        Derivatives in each row's predictor and in its own log dispersion; None where not asked.
    d_log_lambda : float
    """

    log_integrals: Array
    mode: Array
    nodes: Array
    weights: Array
    d_eta: Array | None = None
    d_log_dispersion: Array | None = None
    d_log_lambda: float = np.nan

    @property
    def value(self) -> float:
        """Log-likelihood of all groups."""
        return float(np.sum(self.log_integrals))

    def mean_and_sd(self, function: Callable[[Array], Array]) -> tuple[Array, Array]:
        """Posterior mean and standard deviation (J,) of a function of v."""
        with np.errstate(divide="ignore"):  # a node without weight may lie at a bound
            u = np.where(self.weights > 0, function(self.nodes), 0.0)
        mean = np.sum(self.weights * u, axis=0)
        return mean, np.sqrt(np.sum(self.weights * (u - mean) ** 2, axis=0))


@dataclass(frozen=True)
class EffectIntegral:
    """Groups of responses that share one effect each.

    Attributes
    ----------
    family : Family
    prior : Prior
    y, z : ndarray, shape (n,)
        Responses, and what multiplies the effect of each.
    index : ndarray of int, shape (n,)
        Group of each row, 0 to J - 1.
    n_groups : int
    n_nodes : int
    """

    family: Family
    prior: Prior
    y: Array
    index: NDArray[np.intp]
    n_groups: int
    z: Array
    n_nodes: int = N_NODES

    @cached_property
    def _steps(self) -> tuple[Array, Array]:
        """Nodes from the middle outwards, first up, then down, and their log weights."""
        t, step = np.linspace(-_REACH, _REACH, self.n_nodes, retstep=True)
        return np.sinh(t), np.log(step * np.cosh(t))

    @cached_property
    def plain(self) -> bool:
        """Whether each effect is added as it is."""
        return bool(np.all(self.z == 1))

    def total(self, values: Array) -> Array:
        """Sum over the rows of each group, (J,)."""
        return np.bincount(self.index, values, self.n_groups)

    def at(
        self,
        eta: Array,
        lam: float,
        *,
        weights: Array | float = 1.0,
        dispersion: float = 1.0,
        slopes: bool = False,
        dispersion_slopes: bool = False,
        near: Array | None = None,
    ) -> Integrated:
        """Integrate.

        Parameters
        ----------
        eta : ndarray, shape (n,)
            Linear predictor without the effects.
        lam : float
            Parameter of the prior.
        weights, dispersion
            Of the family.
        slopes, dispersion_slopes : bool
            Whether derivatives are wanted.
        near : ndarray, shape (J,), optional
            Modes at parameters near by.
        """
        integrand = _Integrand(self, eta, lam, weights, dispersion)
        mode, sd = find_modes(
            integrand, integrand.s(np.zeros(self.n_groups) if near is None else near)
        )
        nodes, log_weights = self._steps
        middle = self.n_nodes // 2
        top = integrand.height(mode)
        v, share = [], []
        d_eta, d_dispersion = np.zeros(eta.size), np.zeros(eta.size)
        d_lambda = np.zeros(self.n_groups)
        for side in (slice(middle, None), slice(middle - 1, None, -1)):  # from the mode outwards
            for node, log_weight in zip(nodes[side], log_weights[side], strict=True):
                at = integrand.at(mode + sd * node, score=slopes)
                fall = at.height - top + log_weight
                f = np.exp(np.minimum(fall, 600.0))  # no more than cosh(4.5) if log-concave
                v.append(at.v)
                share.append(f)
                if slopes:
                    of_row = f[self.index]
                    used = of_row > _NEGLIGIBLE
                    d_eta[used] += of_row[used] * at.score[used]
                    alive = f > _NEGLIGIBLE
                    d_lambda[alive] += f[alive] * self.prior.score_log_lambda(at.v[alive], lam)
                    if dispersion_slopes:
                        d_dispersion[used] += of_row[used] * self.family.dispersion_derivatives(
                            self.y[used], at.eta[used], _some(weights, used), dispersion
                        )[0]  # fmt: skip
                if np.all(fall < log_weights[middle] - _NOTHING):
                    break
        share = np.array(share)
        total = share.sum(axis=0)
        rest: dict = {}
        if slopes:
            rest = {
                "d_eta": d_eta / total[self.index],
                "d_log_lambda": float(np.sum(d_lambda / total)),
            }
            if dispersion_slopes:
                rest["d_log_dispersion"] = d_dispersion / total[self.index]
        constant = np.broadcast_to(self.family.constant(self.y, weights), self.y.shape)
        return Integrated(
            log_integrals=top + np.log(sd) + np.log(total) + self.total(constant),
            mode=integrand.v(mode),
            nodes=np.array(v),
            weights=share / total,
            **rest,
        )


@dataclass(frozen=True)
class _Point:
    """The integrand of each group at one s: log height (J,), v (J,), predictor and score (n,)."""

    height: Array
    v: Array
    eta: Array
    score: Array | None


@dataclass(frozen=True)
class _Integrand:
    """The log integrands of all groups in s, which is v or the log of its distance to a bound."""

    rows: EffectIntegral
    eta: Array
    lam: float
    weights: Array | float
    dispersion: float

    @cached_property
    def bound(self) -> Array | None:
        """Least v of each group (J,), where there is one."""
        rows = self.rows
        bound = np.full(rows.n_groups, rows.prior.lower)
        if rows.plain and _mean_is_positive(rows.family):
            np.maximum.at(bound, rows.index, -self.eta)
        return bound if np.all(np.isfinite(bound)) else None

    def v(self, s: Array) -> Array:
        """Effect at s."""
        if self.bound is None:
            return s
        with np.errstate(over="ignore"):
            return self.bound + np.exp(s)

    def s(self, v: Array) -> Array:
        """Inverse of ``v``; somewhere inside where v is out of bounds."""
        if self.bound is None:
            return v
        distance = v - self.bound
        return np.log(np.where(distance > 0, distance, 1.0))

    def at(self, s: Array, *, score: bool = False) -> _Point:
        """Evaluate at s (J,)."""
        rows, v, l1 = self.rows, self.v(s), None
        with np.errstate(all="ignore"):
            eta = self.eta + (v[rows.index] if rows.plain else rows.z * v[rows.index])
            if score:
                l, l1 = rows.family.value_and_score(rows.y, eta, self.weights, self.dispersion)
            else:
                l = rows.family.kernel(rows.y, eta, self.weights, self.dispersion)
            height = rows.total(l) + rows.prior.logpdf(v, self.lam)
        if self.bound is not None:
            height = height + s
        return _Point(np.where(np.isnan(height), -np.inf, height), v, eta, l1)

    def height(self, s: Array) -> Array:
        """Log integrands (J,)."""
        return self.at(s).height

    def slope_and_curvature(self, s: Array) -> tuple[Array, Array]:
        """Derivative and minus the second one in s, or its expectation where that is negative."""
        rows, prior, v = self.rows, self.rows.prior, self.v(s)
        eta = self.eta + rows.z * v[rows.index]
        l1, l2, _ = rows.family.derivatives(rows.y, eta, self.weights, self.dispersion)
        slope = rows.total(l1 * rows.z) + prior.score(v, self.lam)
        own = prior.curvature(v, self.lam)
        curvature = own - rows.total(l2 * rows.z**2)
        d = 1.0
        if self.bound is not None:  # dv/ds = d2v/ds2 = exp s; the Jacobian adds s
            d = np.exp(s)
            slope, curvature, own = slope * d + 1, curvature * d**2 - slope * d, own * d**2
        if np.any(curvature <= own / 2):
            information = rows.family.fisher_weights(eta, self.weights, self.dispersion)
            stand_in = own + rows.total(information * rows.z**2) * d**2
            curvature = np.where(curvature > 0.1 * stand_in, curvature, stand_in)
        return slope, curvature


def find_modes(densities: _Integrand, start: Array, tolerance: float = 1e-6) -> tuple[Array, Array]:
    """Modes (J,) and the standard deviations (J,) of the normals that match there.

    Each function has its own step, halved until the function does not fall. All take steps until
    the largest, in its own standard deviations, is below ``tolerance``. Functions are finite at 0
    or at ``start``.
    """
    s, h = start, densities.height(start)
    lost = ~np.isfinite(h)
    if lost.any():
        s = np.where(lost, 0.0, s)
        h = densities.height(s)
    for _ in range(_STEPS):
        slope, curvature = densities.slope_and_curvature(s)
        step = slope / curvature
        for _ in range(_HALVINGS):
            new_h = densities.height(s + step)
            worse = ~(new_h >= h - 1e-10 * (1 + np.abs(h)))
            if not worse.any():
                break
            step = np.where(worse, step / 2, step)
        else:
            step, new_h = np.where(worse, 0.0, step), np.where(worse, h, new_h)
        s, h = s + step, new_h
        if np.max(np.abs(step) * np.sqrt(curvature), initial=0.0) < tolerance:
            break
    return s, 1 / np.sqrt(curvature)


def _mean_is_positive(family: Family) -> bool:
    """Whether the predictor must be positive for the mean to be."""
    of_positive = family.name in ("gamma", "poisson", "negative_binomial")
    return of_positive and family.link.name in ("identity", "inverse")


def _some(weights: Array | float, rows: NDArray[np.bool_]) -> Array | float:
    return weights[rows] if np.ndim(weights) else weights
