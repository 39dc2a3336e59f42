# ruff: noqa: D102  (methods of the distributions are documented in Family)
"""Families that are mixtures of a plain one: negative binomial and beta-binomial.

Both tend to the plain family as their dispersion grows. Every formula is written so that nothing
cancels on the way there, because data without overdispersion lead the estimate to infinity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mixedlab.engine.distribution import (
    Family,
    OfTrials,
    log_factorials,
    not_a_count,
    positive_start,
    through,
    times,
)
from mixedlab.engine.links import Array


@dataclass(frozen=True)
class NegativeBinomial(Family):
    """Counts with variance mu + mu^2 / theta, the mean-dispersion form."""

    name = "negative_binomial"
    default_link = "log"
    has_dispersion = True

    def variance(self, mu, weights=1.0, dispersion=1.0):
        return (mu + mu**2 / dispersion) / weights

    def unit_variance(self, mu):
        return mu

    def constant(self, y, weights=1.0):
        return log_factorials(y, weights)

    def kernel(self, y, eta, weights=1.0, dispersion=1.0):
        theta = dispersion
        with np.errstate(divide="ignore", invalid="ignore"):
            log_odds = self.link.log_mu(eta) - np.log(theta)  # of a success: mu / theta
            l = _log_rise(theta, y) - theta * np.logaddexp(0, log_odds)
            l = l - times(y, np.logaddexp(0, -log_odds))
        return np.where(np.isnan(l), -np.inf, weights * l)

    def _success(self, eta: Array, theta: float) -> Array:
        """The share mu / (theta + mu)."""
        from scipy.special import expit

        return expit(self.link.log_mu(eta) - np.log(theta))

    def derivatives(self, y, eta, weights=1.0, dispersion=1.0):
        p = self._success(eta, dispersion)
        total = y + dispersion
        d2 = total * p * (1 - p)
        inner = weights * (y - total * p), -(weights * d2), -(weights * d2 * (1 - 2 * p))
        if self.link.name == "log":
            return inner
        return through(inner, self.link.log_mu_derivatives(eta))

    def dispersion_derivatives(self, y, eta, weights=1.0, dispersion=1.0):
        theta = dispersion
        mu = self.link.mu(eta)
        p = self._success(eta, theta)
        # written in delta, because for large theta (nearly Poisson) all other terms cancel
        delta = (y - mu) / (theta + mu)
        value = np.log1p(delta) - delta + _psi_rise_less_log(theta, y)
        inner = (
            weights * (p * theta * delta),
            weights * (p * (1 - p) * (y * (1 - 2 * p) - 2 * p * theta)),
        )
        s = self.link.log_mu_derivatives(eta)
        return weights * theta * value, inner[0] * s[0], inner[1] * s[0] ** 2 + inner[0] * s[1]

    def deviance(self, y, mu, weights=1.0, dispersion=1.0):
        from scipy.special import xlogy

        theta = dispersion
        return (
            2
            * np.asarray(weights)
            * (xlogy(y, y) - xlogy(y, mu) - (y + theta) * np.log((y + theta) / (mu + theta)))
        )

    def draw(self, rng, mu, weights=1.0, dispersion=1.0):
        return rng.poisson(rng.gamma(dispersion, mu / dispersion)).astype(float)

    def out_of_range(self, y, weights):
        return not_a_count(y), "whole numbers from 0 up"

    def start_mu(self, y, weights):
        return positive_start(y)


@dataclass(frozen=True)
class BetaBinomial(OfTrials):
    """Binomial whose probability is beta with mean mu and shapes that sum to the dispersion."""

    name = "beta_binomial"
    default_link = "logit"
    has_dispersion = True

    def variance(self, mu, weights=1.0, dispersion=1.0):
        return mu * (1 - mu) / weights * (dispersion + weights) / (dispersion + 1)

    def unit_variance(self, mu):
        return mu * (1 - mu)

    def _shapes(self, eta: Array, kappa: float) -> tuple[Array, Array]:
        """The two shapes; kept off 0, where the density of an extreme response has its limit."""
        a = kappa * np.exp(self.link.log_mu(eta))
        b = kappa * np.exp(self.link.log1m_mu(eta))
        return np.maximum(a, 1e-280), np.maximum(b, 1e-280)

    def kernel(self, y, eta, weights=1.0, dispersion=1.0):
        w = np.asarray(weights, dtype=float)
        r = np.round(w * y)
        a, b = self._shapes(eta, dispersion)
        l = _log_rise(a, r) + _log_rise(b, w - r) - _log_rise(dispersion, w)
        return np.where(self.allowed(eta), l, -np.inf)

    def derivatives(self, y, eta, weights=1.0, dispersion=1.0):
        w = np.asarray(weights, dtype=float)
        r = np.round(w * y)
        a, b = self._shapes(eta, dispersion)
        up = [_polygamma_rise(k, a, r) for k in range(3)]
        down = [_polygamma_rise(k, b, w - r) for k in range(3)]
        inner = tuple(dispersion ** (k + 1) * (up[k] + (-1) ** (k + 1) * down[k]) for k in range(3))
        return through(inner, self.link.mu_derivatives(eta))

    def dispersion_derivatives(self, y, eta, weights=1.0, dispersion=1.0):
        kappa = dispersion
        w = np.asarray(weights, dtype=float)
        r = np.round(w * y)
        a, b = self._shapes(eta, kappa)
        up = [_polygamma_rise(k, a, r) for k in range(3)]
        down = [_polygamma_rise(k, b, w - r) for k in range(3)]
        value = a * up[0] + b * down[0] - kappa * _polygamma_rise(0, np.asarray(kappa), w)
        # a and b are proportional to kappa, so d/d log kappa of psi_k(a) is a psi_{k+1}(a)
        first = kappa * (up[0] - down[0] + a * up[1] - b * down[1])
        second = kappa**2 * (2 * (up[1] + down[1]) + a * up[2] + b * down[2])
        s = self.link.mu_derivatives(eta)
        return value, first * s[0], second * s[0] ** 2 + first * s[1]

    def draw(self, rng, mu, weights=1.0, dispersion=1.0):
        trials = np.broadcast_to(np.asarray(weights), np.shape(mu))
        p = rng.beta(np.maximum(dispersion * mu, 1e-300), np.maximum(dispersion * (1 - mu), 1e-300))
        return rng.binomial(np.round(trials).astype(np.int64), p) / trials


def _log_rise(a: ArrayLike, r: Array) -> Array:
    """log Gamma(a + r) - log Gamma(a), by Stirling's series where a is large."""  # noqa: D403
    from scipy.special import gammaln

    a = np.asarray(a, dtype=float)
    large = np.maximum(a, 1e5)
    up = large + r
    stirling = r * np.log(large) + (up - 0.5) * np.log1p(r / large) - r + (1 / up - 1 / large) / 12
    small = np.minimum(a, 1e5)
    return np.where(r == 0, 0.0, np.where(a > 1e5, stirling, gammaln(small + r) - gammaln(small)))


def _psi_rise_less_log(a: float, r: Array) -> Array:
    """psi(a + r) - psi(a) - log(1 + r/a), by its asymptotic series where a is large."""
    from scipy.special import psi

    if a < 1e4:
        return psi(a + r) - psi(a) - np.log1p(r / a)
    up = a + r
    return r / (2 * a * up) + (1 / a**2 - 1 / up**2) / 12


def _polygamma_rise(order: int, a: Array, r: Array) -> Array:
    """psi_order(a + r) - psi_order(a), which is 0 for r = 0 however small a is."""
    from scipy.special import polygamma

    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(r == 0, 0.0, polygamma(order, a + r) - polygamma(order, a))
