# ruff: noqa: D102  (methods are documented in Marginal)
r"""Marginal log-likelihoods of hierarchical models with one effect for each group.

.. math:: \ell(\beta, \phi, \lambda) = \sum_j \log \int
          \prod_{i \in j} f(y_i \mid \eta_i + v, \phi_i) \, f_\lambda(v) \, dv.

Each class below has ``value_and_slopes(eta, phi, lam)``, which gives the sum and its derivatives
in every eta_i, every log phi_i and in log lambda; from these the gradient in beta and in the
coefficients of the dispersion model follows by the chain rule. ``posterior(eta, phi, lam)`` gives
the mean and sd of u given y.

**Poisson-gamma** (log link; negative multinomial). With S = sum y, M = sum mu, a = 1/lambda::

    log Gamma(a + S) - log Gamma(a) + a log a - (a + S) log(a + M) + sum(y log mu - log y!)

**Gamma-inverse-gamma** (log link). With nu_i = 1/phi_i, N = sum nu_i, R = sum nu_i y_i / mu_i::

    log Gamma(a+1+N) - log Gamma(a+1) + (a+1) log a - (a+1+N) log(a + R) + sum(rows' own terms)

**Beta-binomial** (any link; the mean is constant within each group). The probability of group j
is itself beta with mean mu_j and shapes that sum to 1/lambda; S successes in N trials have the
beta-binomial likelihood. Here u_j *is* the group's probability and mu_j its mean: unlike in the
logit-beta model, the fixed effects describe the population average.

Both gammas are written with ``log1p`` and log-rises so that nothing cancels as lambda goes to 0.

**Quadrature** for every other pair: the integrand of each group is centred at its mode and scaled
by its curvature there, ``v = mode + sd sinh(t)``, and summed at equal steps of t. Gauss-Hermite
nodes would do for tails like a normal's, but the log of a gamma has an exponential tail: with
``sinh`` the integrand falls doubly exponentially in t for either, and the trapezoidal sum converges
exponentially in the number of nodes (Takahasi and Mori 1974). Nodes are taken one by one from the
mode outwards until they add nothing, so memory is O(n). Derivatives are by Fisher's identity: the
posterior mean of the derivative of the complete log density.

Source: Lee and Nelder (1996), JRSS B 58:619, sections 2 and 6; Lee, Nelder and Pawitan (2017),
section 6.2; Takahasi and Mori (1974), Publications of RIMS 9:721.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, gammaln, psi

from mixedlab.engine.families import family as lookup_family
from mixedlab.models.hglm.data import HierarchicalData

Array = NDArray[np.float64]

N_NODES = 61
REACH = 4.5  # nodes reach sinh(4.5) = 45 standard deviations from the mode
NOTHING = 40.0  # fall of the log integrand below which further nodes add nothing
MODE_STEPS = 100


@dataclass(frozen=True)
class Slopes:
    """A marginal log-likelihood and its derivatives."""

    value: float
    eta: Array  # (n,)
    log_phi: Array  # (n,)
    log_lambda: float


class Marginal(Protocol):
    """One marginal likelihood of the data."""

    data: HierarchicalData
    how: str

    def value_and_slopes(self, eta: Array, phi: Array, lam: float) -> Slopes:
        """Log-likelihood and derivatives; ``eta`` has no effect in it."""

    def posterior(self, eta: Array, phi: Array, lam: float) -> tuple[Array, Array]:
        """Mean and sd of u given y, (J,) each."""


class _OneFactor:
    """What the forms share: sums over the rows of a group."""

    def __init__(self, data: HierarchicalData) -> None:
        self.data = data
        self.index = data.terms[0].index
        self.J = data.terms[0].n_levels

    def total(self, values: Array) -> Array:
        """Sum over the rows of each group, (J,)."""
        return np.bincount(self.index, values, self.J)


class PoissonGamma(_OneFactor):
    """Poisson counts, gamma effects, log link."""

    how = "closed form (negative multinomial)"

    @cached_property
    def _sums(self) -> tuple[Array, float]:
        y, w = self.data.y, self.data.weights
        return self.total(w * y), float(np.sum(w * gammaln(y + 1)))

    def value_and_slopes(self, eta: Array, phi: Array, lam: float) -> Slopes:
        y, w, a = self.data.y, self.data.weights, 1 / lam
        S, constant = self._sums
        mu = np.exp(eta)
        M = self.total(w * mu)
        log_AM = np.log(a + M)
        value = np.sum(log_rise(a, S) - S * log_AM - a * np.log1p(M / a))
        u = (a + S) / (a + M)
        d_a = psi_rise(a, S) - np.log1p(M / a) + (M - S) / (a + M)
        return Slopes(
            float(value + np.sum(w * y * eta) - constant),
            w * (y - mu * u[self.index]),
            np.zeros_like(eta),
            float(-a * np.sum(d_a)),
        )

    def posterior(self, eta: Array, phi: Array, lam: float) -> tuple[Array, Array]:
        shape = 1 / lam + self._sums[0]
        rate = 1 / lam + self.total(self.data.weights * np.exp(eta))
        return shape / rate, np.sqrt(shape) / rate


class GammaInverseGamma(_OneFactor):
    """Gamma responses, inverse-gamma effects, log link."""

    how = "closed form"

    def _sums(self, eta: Array, phi: Array) -> tuple[Array, Array, Array, Array]:
        nu = self.data.weights / phi
        ratio = self.data.y * np.exp(-eta)
        return nu, ratio, self.total(nu), self.total(nu * ratio)

    def value_and_slopes(self, eta: Array, phi: Array, lam: float) -> Slopes:
        y, a = self.data.y, 1 / lam
        nu, ratio, N, R = self._sums(eta, phi)
        group = log_rise(a + 1, N) - N * np.log(a + R) - (a + 1) * np.log1p(R / a)
        rows = nu * np.log(nu) - gammaln(nu) + nu * np.log(ratio) - np.log(y)
        per_u = (a + 1 + N) / (a + R)  # E(1/u | y)
        d_a = psi_rise(a + 1, N) - np.log1p(R / a) + (1 + 1 / a) - per_u
        d_nu = (
            np.log(nu * ratio) + 1 - psi(nu)
            + (psi(a + 1 + N) - np.log(a + R))[self.index] - ratio * per_u[self.index]
        )  # fmt: skip
        return Slopes(
            float(np.sum(group) + np.sum(rows)),
            nu * (ratio * per_u[self.index] - 1),
            -nu * d_nu,
            float(-a * np.sum(d_a)),
        )

    def posterior(self, eta: Array, phi: Array, lam: float) -> tuple[Array, Array]:
        _, _, N, R = self._sums(eta, phi)
        shape, scale = 1 / lam + 1 + N, 1 / lam + R
        mean = scale / (shape - 1)
        return mean, mean / np.sqrt(np.where(shape > 2, shape - 2, np.nan))


class BetaBinomial(_OneFactor):
    """Binomial responses whose probability is beta, one probability and one mean a group."""

    how = "closed form (beta-binomial, one mean for each group)"

    def __init__(self, data: HierarchicalData) -> None:
        super().__init__(data)
        self.trials = self.total(data.weights)
        self.proportion = self.total(data.weights * data.y) / self.trials
        self.first = np.unique(self.index, return_index=True)[1]
        self.family = lookup_family("beta_binomial", data.family.link.name)

        def log_choose(n: Array, p: Array) -> Array:
            return -np.log(n + 1) - betaln(n * p + 1, n * (1 - p) + 1)

        rows = np.sum(log_choose(data.weights, data.y))
        self.constant = float(rows - np.sum(log_choose(self.trials, self.proportion)))

    def value_and_slopes(self, eta: Array, phi: Array, lam: float) -> Slopes:
        args = self.proportion, eta[self.first], self.trials, 1 / lam
        d_eta = np.zeros_like(eta)
        d_eta[self.first] = self.family.derivatives(*args)[0]
        return Slopes(
            float(np.sum(self.family.loglik(*args)) + self.constant),
            d_eta,
            np.zeros_like(eta),
            float(-np.sum(self.family.dispersion_derivatives(*args)[0])),
        )

    def posterior(self, eta: Array, phi: Array, lam: float) -> tuple[Array, Array]:
        """Mean and sd of the group's own probability."""
        mu = self.data.family.link.mu(eta[self.first])
        n = 1 / lam + self.trials
        p = (mu / lam + self.trials * self.proportion) / n
        return p, np.sqrt(p * (1 - p) / (n + 1))


class Quadrature(_OneFactor):
    """Any pair of families, by adaptive quadrature in v."""

    def __init__(self, data: HierarchicalData, n_nodes: int = N_NODES) -> None:
        super().__init__(data)
        self.how = f"adaptive quadrature, {n_nodes} nodes"
        t, step = np.linspace(-REACH, REACH, n_nodes, retstep=True)
        self.nodes, self.log_weights = np.sinh(t), np.log(step * np.cosh(t))
        self.start = np.zeros(self.J)
        self.z = data.terms[0].Z[:, 0]

    def _mode(self, eta: Array, phi: Array, lam: float) -> tuple[Array, Array]:
        """Mode of each group's integrand and the sd of the normal that matches it there.

        Newton's method with halved steps, all groups at once. The expected information stands in
        where a link makes the curvature negative.
        """
        data, random = self.data, self.data.random[0]
        w = data.weights / phi

        def height(v: Array) -> Array:
            with np.errstate(all="ignore"):
                rows = data.family.loglik(data.y, eta + self.z * v[self.index], w, 1.0)
                h = self.total(rows) + random.logpdf(v, lam)
            return np.where(np.isfinite(h), h, -np.inf)

        v = self.start
        h = height(v)
        fallen = ~np.isfinite(h)
        v = np.where(fallen, 0.0, v)
        h = height(v)
        for _ in range(MODE_STEPS):
            at = eta + self.z * v[self.index]
            l1, l2, _ = data.family.derivatives(data.y, at, w, 1.0)
            slope = self.total(l1 * self.z) + random.score(v, lam)
            curvature = self.total(-l2 * self.z**2) + random.curvature(v, lam)
            expected = self.total(data.family.fisher_weights(at, w, 1.0) * self.z**2)
            fallback = expected + random.curvature(v, lam)
            curvature = np.where(curvature > 0.1 * fallback, curvature, fallback)
            step = slope / curvature
            scale = np.ones(self.J)
            for _ in range(30):
                new = v + scale * step
                new_h = height(new)
                worse = new_h < h - 1e-10 * (1 + np.abs(h))
                if not worse.any():
                    break
                scale = np.where(worse, scale / 2, scale)
            done = np.max(np.abs(scale * step) * np.sqrt(curvature)) < 1e-9
            v, h = new, new_h
            if done:
                break
        self.start = v
        return v, 1 / np.sqrt(curvature)

    def weights(self, eta: Array, phi: Array, lam: float) -> tuple[Array, Array, Array]:
        """Nodes (K, J), posterior weights (K, J) that sum to 1, and log integrals (J,)."""
        data, random = self.data, self.data.random[0]
        mode, sd = self._mode(eta, phi, lam)
        w = data.weights / phi
        v, log_f = [], []
        middle = self.nodes.size // 2
        for side in (slice(middle, None), slice(middle - 1, None, -1)):  # from the mode outwards
            for node, log_weight in zip(self.nodes[side], self.log_weights[side], strict=True):
                at = mode + sd * node
                with np.errstate(over="ignore", invalid="ignore"):
                    rows = data.family.loglik(data.y, eta + self.z * at[self.index], w, 1.0)
                    height = self.total(rows) + random.logpdf(at, lam)
                height = np.where(np.isnan(height), -np.inf, height) + log_weight + np.log(sd)
                v.append(at)
                log_f.append(height)
                if np.all(height < log_f[0] - NOTHING):  # all integrands are log-concave in v
                    break
        v, log_f = np.array(v), np.array(log_f)
        top = log_f.max(axis=0)
        f = np.exp(log_f - top)
        total = f.sum(axis=0)
        return v, f / total, top + np.log(total)

    def value_and_slopes(self, eta: Array, phi: Array, lam: float) -> Slopes:
        data, random = self.data, self.data.random[0]
        v, weight, log_integral = self.weights(eta, phi, lam)
        w = data.weights / phi
        d_eta, d_phi, d_lambda = np.zeros_like(eta), np.zeros_like(eta), 0.0
        for b, p in zip(v, weight, strict=True):
            if p.max() < 1e-18:
                continue
            at, of_row = eta + self.z * b[self.index], p[self.index]
            used = of_row > 1e-18
            d_eta[used] += (
                of_row[used] * data.family.derivatives(data.y[used], at[used], w[used], 1.0)[0]
            )
            if not data.phi_known:
                d_phi[used] += of_row[used] * dispersion_score(
                    data, data.y[used], at[used], w[used]
                )
            d_lambda += float(np.sum(np.where(p > 0, p * random.score_log_lambda(b, lam), 0.0)))
        return Slopes(float(np.sum(log_integral)), d_eta, d_phi, d_lambda)

    def posterior(self, eta: Array, phi: Array, lam: float) -> tuple[Array, Array]:
        v, weight, _ = self.weights(eta, phi, lam)
        u = self.data.random[0].u(v)
        mean = np.sum(weight * u, axis=0)
        return mean, np.sqrt(np.sum(weight * (u - mean) ** 2, axis=0))


class NoVariance(_OneFactor):
    """The model without random effects: the boundary lambda = 0 of every other one."""

    how = "no random effects (lambda = 0)"

    def value_and_slopes(self, eta: Array, phi: Array, lam: float) -> Slopes:
        data, w = self.data, self.data.weights / phi
        d_phi = np.zeros_like(eta)
        if not data.phi_known:
            d_phi = dispersion_score(data, data.y, eta, w)
        return Slopes(
            float(np.sum(data.family.loglik(data.y, eta, w, 1.0))),
            data.family.derivatives(data.y, eta, w, 1.0)[0],
            d_phi,
            0.0,
        )

    def posterior(self, eta: Array, phi: Array, lam: float) -> tuple[Array, Array]:
        return np.full(self.J, self.data.random[0].centre), np.zeros(self.J)


def dispersion_score(data: HierarchicalData, y: Array, eta: Array, w: Array) -> Array:
    """Derivative of each row's log density in its own log phi, where ``w`` is weight / phi."""
    return data.family.dispersion_derivatives(y, eta, w, 1.0)[0]


def constant_within_groups(data: HierarchicalData) -> bool:
    """Whether every row of a group has the same fixed part."""
    index = data.terms[0].index
    first = np.unique(index, return_index=True)[1][index]
    same_X = np.allclose(data.X, data.X[first], rtol=1e-12, atol=0)
    return bool(same_X and np.array_equal(data.offset, data.offset[first]))


def marginal_likelihood(data: HierarchicalData, *, closed_form: bool = True) -> Marginal:
    """Choose the form: closed where there is one, quadrature for the rest."""
    pair = data.family.name, data.random[0].name
    plain = np.all(data.terms[0].Z == 1)
    if closed_form and plain:
        if pair == ("poisson", "gamma") and data.family.link.name == "log":
            return PoissonGamma(data)
        if pair == ("gamma", "inverse_gamma") and data.family.link.name == "log":
            return GammaInverseGamma(data)
        if pair == ("binomial", "beta") and constant_within_groups(data):
            return BetaBinomial(data)
    return Quadrature(data)


def log_rise(a: float, s: Array) -> Array:
    """Log of Gamma(a + s) / Gamma(a), without cancellation for large a."""
    some = np.where(s == 0, 1.0, s)
    return np.where(s == 0, 0.0, gammaln(some) - betaln(a, some))


def psi_rise(a: float, s: Array) -> Array:
    """psi(a + s) - psi(a)."""
    return np.where(s == 0, 0.0, psi(a + s) - psi(a))
