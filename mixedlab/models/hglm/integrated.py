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

**Quadrature** for every other pair, `mixedlab.engine.integral`. Gamma-inverse-gamma on the inverse
link is one of them: its marginal is Tricomi's function U where the fixed part is constant in a
group, and has no closed form where it is not.

Source: Lee and Nelder (1996), JRSS B 58:619, sections 2 and 6; Lee, Nelder and Pawitan (2017),
section 6.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, gammaln, psi

from mixedlab.engine.families import family as lookup_family
from mixedlab.engine.integral import N_NODES, EffectIntegral, Integrated
from mixedlab.models.hglm.data import HierarchicalData

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Slopes:
    """A marginal log-likelihood and its derivatives; ``modes`` is where one near by may start."""

    value: float
    eta: Array  # (n,)
    log_phi: Array  # (n,)
    log_lambda: float
    modes: Array | None = None


class Marginal(Protocol):
    """One marginal likelihood of the data."""

    data: HierarchicalData
    how: str

    def value_and_slopes(
        self, eta: Array, phi: Array, lam: float, near: Slopes | None = None
    ) -> Slopes:
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

    def value_and_slopes(self, eta, phi, lam, near=None) -> Slopes:
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

    def posterior(self, eta, phi, lam) -> tuple[Array, Array]:
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

    def value_and_slopes(self, eta, phi, lam, near=None) -> Slopes:
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

    def posterior(self, eta, phi, lam) -> tuple[Array, Array]:
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

    def value_and_slopes(self, eta, phi, lam, near=None) -> Slopes:
        args = self.proportion, eta[self.first], self.trials, 1 / lam
        d_eta = np.zeros_like(eta)
        d_eta[self.first] = self.family.derivatives(*args)[0]
        return Slopes(
            float(np.sum(self.family.loglik(*args)) + self.constant),
            d_eta,
            np.zeros_like(eta),
            float(-np.sum(self.family.dispersion_derivatives(*args)[0])),
        )

    def posterior(self, eta, phi, lam) -> tuple[Array, Array]:
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
        self.integral = EffectIntegral(
            data.family, data.random[0], data.y, self.index, self.J, data.terms[0].Z[:, 0], n_nodes
        )
        self.all_weigh_1 = data.phi_known and bool(np.all(data.weights == 1))

    def _at(self, eta: Array, phi: Array, lam: float, **options: Any) -> Integrated:
        weights = 1.0 if self.all_weigh_1 else self.data.weights / phi
        return self.integral.at(eta, lam, weights=weights, **options)

    def value_and_slopes(self, eta, phi, lam, near=None) -> Slopes:
        modes = None if near is None else near.modes
        estimated = not self.data.phi_known
        at = self._at(eta, phi, lam, slopes=True, dispersion_slopes=estimated, near=modes)
        d_log_phi = at.d_log_dispersion if estimated else np.zeros_like(eta)
        return Slopes(at.value, at.d_eta, d_log_phi, at.d_log_lambda, at.mode)

    def posterior(self, eta, phi, lam) -> tuple[Array, Array]:
        return self._at(eta, phi, lam).mean_and_sd(self.data.random[0].u)


class NoVariance(_OneFactor):
    """The model without random effects: the boundary lambda = 0 of every other one."""

    how = "no random effects (lambda = 0)"

    def value_and_slopes(self, eta, phi, lam, near=None) -> Slopes:
        data, w = self.data, self.data.weights / phi
        d_phi = np.zeros_like(eta)
        if not data.phi_known:
            d_phi = data.family.dispersion_derivatives(data.y, eta, w, 1.0)[0]
        return Slopes(
            float(np.sum(data.family.loglik(data.y, eta, w, 1.0))),
            data.family.derivatives(data.y, eta, w, 1.0)[0],
            d_phi,
            0.0,
        )

    def posterior(self, eta, phi, lam) -> tuple[Array, Array]:
        return np.full(self.J, self.data.random[0].centre), np.zeros(self.J)


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
