r"""Distributions of a response given its mean, joined to a link.

A `Family` is a frozen pair of a distribution and a `Link`. Response ``y`` stands on the mean's
scale: for the binomial kinds it is the *proportion* of successes and ``weights`` are the trials;
for all others ``weights`` are prior weights. The dispersion is one number a family:

================== ===================== ========================================
family             variance              dispersion
================== ===================== ========================================
gaussian           phi / w               phi, the residual variance
binomial           mu (1 - mu) / w       none (1)
poisson            mu                    none (1)
gamma              phi mu^2 / w          phi, one over the shape
negative_binomial  mu + mu^2 / theta     theta, one over the variance of the mixing gamma
beta_binomial      binomial variance     kappa, the sum of the beta's two shapes
                   x (kappa + w)/(kappa + 1)
================== ===================== ========================================

`Family.loglik` is the full log density, constants included, so that log-likelihoods of different
approximations, families and programs stand on one scale. Models work with its derivatives in the
linear predictor eta. Each distribution gives derivatives in a convenient inner variable s (``mu``,
``log mu``, or for the binomial the pair ``log mu, log(1 - mu)``), the link gives those of s in eta,
and the chain rule joins them:

    l1 = l_s s1,    l2 = l_ss s1^2 + l_s s2,    l3 = l_sss s1^3 + 3 l_ss s1 s2 + l_s s3.

Prior weights multiply a log density (Poisson, negative binomial) or the precision (gaussian,
gamma).

Source: McCullagh and Nelder, *Generalized Linear Models* (1989), chapters 2, 4, 6 and 8; for the
beta-binomial and the negative binomial, chapters 4.5 and 6.2.3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mixedlab.engine.distribution import (
    Family,
    OfTrials,
    log_factorials,
    not_a_count,
    positive_start,
    through,
    times,
)
from mixedlab.engine.links import LINKS, Link
from mixedlab.engine.overdispersed import BetaBinomial, NegativeBinomial

__all__ = ["Family", "family"]


@dataclass(frozen=True)
class Gaussian(Family):
    """Normal errors with variance dispersion / weights."""

    name = "gaussian"
    default_link = "identity"
    has_dispersion = True

    def variance(self, mu, weights=1.0, dispersion=1.0):
        return np.broadcast_to(dispersion / np.asarray(weights, dtype=float), np.shape(mu)) * 1.0

    def kernel(self, y, eta, weights=1.0, dispersion=1.0):
        precision = np.asarray(weights) / dispersion
        return 0.5 * (np.log(precision / (2 * np.pi)) - precision * (y - self.link.mu(eta)) ** 2)

    def derivatives(self, y, eta, weights=1.0, dispersion=1.0):
        precision = np.asarray(weights) / dispersion
        mu = self.link.mu(eta)
        inner = precision * (y - mu), -precision * np.ones_like(mu), np.zeros_like(mu)
        return through(inner, self.link.mu_derivatives(eta))

    def dispersion_derivatives(self, y, eta, weights=1.0, dispersion=1.0):
        l1, l2, _ = self.derivatives(y, eta, weights, dispersion)
        residual = y - self.link.mu(eta)
        return 0.5 * (np.asarray(weights) / dispersion * residual**2 - 1), -l1, -l2

    def deviance(self, y, mu, weights=1.0):
        return np.asarray(weights) * (y - mu) ** 2

    def draw(self, rng, mu, weights=1.0, dispersion=1.0):
        return rng.normal(mu, np.sqrt(self.variance(mu, weights, dispersion)))

    def out_of_range(self, y, weights):
        return np.zeros(y.shape, dtype=bool), "finite numbers"

    def start_mu(self, y, weights):
        if self.link.name == "identity":
            return y
        floor = 0.1 * max(float(np.mean(np.abs(y))), 1e-8)
        return np.maximum(y, floor)


@dataclass(frozen=True)
class Binomial(OfTrials):
    """Proportion of successes among ``weights`` independent trials."""

    name = "binomial"
    default_link = "logit"

    def variance(self, mu, weights=1.0, dispersion=1.0):
        return mu * (1 - mu) / weights

    def _is_turned(self, weights) -> bool:
        """Whether a response of 0 is one of 1 at -eta."""
        return self.link.is_symmetric and np.ndim(weights) == 0 and weights == 1

    def kernel(self, y, eta, weights=1.0, dispersion=1.0):
        if self._is_turned(weights):
            return self.link.log_mu((2 * y - 1) * eta)
        r = weights * y
        with np.errstate(divide="ignore", invalid="ignore"):
            l = times(r, self.link.log_mu(eta)) + times(weights - r, self.link.log1m_mu(eta))
        return np.where(np.isnan(l) | ~np.asarray(self.allowed(eta)), -np.inf, l)

    def derivatives(self, y, eta, weights=1.0, dispersion=1.0):
        if self.link.name == "logit":
            mu = self.link.mu(eta)
            d1 = mu * (1 - mu)
            return weights * (y - mu), -(weights * d1), weights * (d1 * (2 * mu - 1))
        if self._is_turned(weights):
            sign = 2 * y - 1
            d1, d2, d3 = self.link.log_mu_derivatives(sign * eta)
            return sign * d1, d2, sign * d3
        r = weights * y
        success = self.link.log_mu_derivatives(eta)
        failure = self.link.log1m_mu_derivatives(eta)
        return tuple(
            times(r, a) + times(weights - r, b) for a, b in zip(success, failure, strict=True)
        )

    def fisher_weights(self, eta, weights=1.0, dispersion=1.0):
        if self.link.name != "logit":
            return super().fisher_weights(eta, weights, dispersion)
        mu = self.link.mu(eta)
        return weights * mu * (1 - mu)

    def value_and_score(self, y, eta, weights=1.0, dispersion=1.0):
        if not self._is_turned(weights):
            return super().value_and_score(y, eta, weights, dispersion)
        sign = 2 * y - 1
        value, slope = self.link.log_mu_and_slope(sign * eta)
        return value, sign * slope

    def draw(self, rng, mu, weights=1.0, dispersion=1.0):
        trials = np.broadcast_to(np.asarray(weights), np.shape(mu))
        return rng.binomial(np.round(trials).astype(np.int64), np.clip(mu, 0, 1)) / trials


@dataclass(frozen=True)
class Poisson(Family):
    """Counts with variance mu."""

    name = "poisson"
    default_link = "log"

    def variance(self, mu, weights=1.0, dispersion=1.0):
        return mu / weights

    def constant(self, y, weights=1.0):
        return log_factorials(y, weights)

    def kernel(self, y, eta, weights=1.0, dispersion=1.0):
        if self.link.name == "log" and np.isfinite(eta).all():
            return self.value_and_score(y, eta, weights)[0]
        mu = self.link.mu(eta)
        with np.errstate(divide="ignore", invalid="ignore"):
            l = weights * (times(y, self.link.log_mu(eta)) - mu)
        return np.where(np.isnan(l) | (mu < 0), -np.inf, l)

    def derivatives(self, y, eta, weights=1.0, dispersion=1.0):
        mu = weights * self.link.mu(eta)
        inner = weights * y - mu, -mu, -mu
        if self.link.name == "log":
            return inner
        return through(inner, self.link.log_mu_derivatives(eta))

    def value_and_score(self, y, eta, weights=1.0, dispersion=1.0):
        if self.link.name != "log":
            return super().value_and_score(y, eta, weights, dispersion)
        mu, y = weights * self.link.mu(eta), weights * y
        return y * eta - mu, y - mu

    def deviance(self, y, mu, weights=1.0):
        from scipy.special import xlogy

        return 2 * np.asarray(weights) * (xlogy(y, y) - xlogy(y, mu) - (y - mu))

    def draw(self, rng, mu, weights=1.0, dispersion=1.0):
        return rng.poisson(mu).astype(float)

    def out_of_range(self, y, weights):
        return not_a_count(y), "whole numbers from 0 up"

    def start_mu(self, y, weights):
        return positive_start(y)


@dataclass(frozen=True)
class Gamma(Family):
    """Positive responses with constant coefficient of variation sqrt(dispersion)."""

    name = "gamma"
    default_link = "inverse"
    has_dispersion = True

    def variance(self, mu, weights=1.0, dispersion=1.0):
        return dispersion * mu**2 / weights

    def kernel(self, y, eta, weights=1.0, dispersion=1.0):
        from scipy.special import gammaln

        nu = np.asarray(weights) / dispersion
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            s = self.link.log_mu(eta)
            l = nu * (np.log(nu * y) - s - y * np.exp(-s)) - np.log(y) - gammaln(nu)
        return np.where(np.isnan(l), -np.inf, l)

    def derivatives(self, y, eta, weights=1.0, dispersion=1.0):
        nu = np.asarray(weights) / dispersion
        with np.errstate(over="ignore"):
            ratio = y * np.exp(-self.link.log_mu(eta))
        inner = nu * (ratio - 1), -(nu * ratio), nu * ratio
        return through(inner, self.link.log_mu_derivatives(eta))

    def dispersion_derivatives(self, y, eta, weights=1.0, dispersion=1.0):
        from scipy.special import psi

        nu = np.asarray(weights) / dispersion
        l1, l2, _ = self.derivatives(y, eta, weights, dispersion)
        s = self.link.log_mu(eta)
        d_nu = np.log(nu * y) + 1 - s - y * np.exp(-s) - psi(nu)
        return -nu * d_nu, -l1, -l2

    def deviance(self, y, mu, weights=1.0):
        return 2 * np.asarray(weights) * ((y - mu) / mu - np.log(y / mu))

    def draw(self, rng, mu, weights=1.0, dispersion=1.0):
        nu = np.broadcast_to(np.asarray(weights) / dispersion, np.shape(mu))
        return rng.gamma(nu, mu / nu)

    def out_of_range(self, y, weights):
        return y <= 0, "numbers above 0"

    def start_mu(self, y, weights):
        return y


_FAMILIES = {
    kind.name: kind for kind in (Gaussian, Binomial, Poisson, Gamma, NegativeBinomial, BetaBinomial)
}


def family(name: str | Family, link: str | None = None) -> Family:
    """Look a family up by name and join it to a link (its usual one where none is named).

    Raises ``ValueError``, listing what there is, for an unknown family or link.
    """
    if isinstance(name, Family):
        return name if link is None else replace(name, link=_link(link))
    kind = _FAMILIES.get(str(name).lower())
    if kind is None:
        raise ValueError(
            f"There is no family {name!r}. Choose one of {', '.join(map(repr, _FAMILIES))}."
        )
    return kind(_link(link or kind.default_link))


def _link(name: str) -> Link:
    link = LINKS.get(str(name).lower())
    if link is None:
        raise ValueError(f"There is no link {name!r}. Choose one of {', '.join(map(repr, LINKS))}.")
    return link
