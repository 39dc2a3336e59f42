# ruff: noqa: D102  (methods of the distributions are documented in Family)
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
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.links import LINKS, Array, Derivatives, Link


@dataclass(frozen=True)
class Family:
    """A distribution and its link; the module's table says what y, weights, dispersion are."""

    link: Link
    name: ClassVar[str]
    default_link: ClassVar[str]
    has_dispersion: ClassVar[bool] = False
    counts_trials: ClassVar[bool] = False  # weights are numbers of trials, y is a proportion

    # --- what each distribution says -----------------------------------------------------------

    def variance(self, mu: Array, weights: ArrayLike = 1.0, dispersion: float = 1.0) -> Array:
        """Var(y | mu), dispersion and weights included."""
        raise NotImplementedError

    def unit_variance(self, mu: Array) -> Array:
        """The variance function V(mu) of a generalised linear model at dispersion 1, weight 1."""
        return self.variance(mu)

    def loglik(
        self, y: Array, eta: Array, weights: ArrayLike = 1.0, dispersion: float = 1.0
    ) -> Array:
        """Full log density of each response; minus infinity where eta is not allowed."""
        raise NotImplementedError

    def derivatives(
        self, y: Array, eta: Array, weights: ArrayLike = 1.0, dispersion: float = 1.0
    ) -> Derivatives:
        """First, second and third derivative of ``loglik`` in eta."""
        raise NotImplementedError

    def value_and_score(
        self, y: Array, eta: Array, weights: ArrayLike = 1.0, dispersion: float = 1.0
    ) -> tuple[Array, Array]:
        """``loglik`` and its first derivative in eta; together where that is cheaper."""
        l1, _, _ = self.derivatives(y, eta, weights, dispersion)
        return self.loglik(y, eta, weights, dispersion), l1

    def dispersion_derivatives(
        self, y: Array, eta: Array, weights: ArrayLike = 1.0, dispersion: float = 1.0
    ) -> Derivatives:
        """Derivatives in log dispersion of ``loglik`` and of its first two derivatives in eta."""
        raise NotImplementedError

    def deviance(self, y: Array, mu: Array, weights: ArrayLike = 1.0) -> Array:
        """Deviance of each response: twice the log density lost against ``mu = y``."""
        raise NotImplementedError

    def draw(
        self,
        rng: np.random.Generator,
        mu: Array,
        weights: ArrayLike = 1.0,
        dispersion: float = 1.0,
    ) -> Array:
        """Draw one response for each mean."""
        raise NotImplementedError

    def out_of_range(self, y: Array, weights: Array) -> tuple[NDArray[np.bool_], str]:
        """Which responses the distribution cannot give, and what it takes instead."""
        raise NotImplementedError

    def start_mu(self, y: Array, weights: Array) -> Array:
        """A mean near each response, strictly inside the mean's range."""
        raise NotImplementedError

    # --- what follows ----------------------------------------------------------------------------

    def logpdf(
        self, y: ArrayLike, mu: ArrayLike, weights: ArrayLike = 1.0, dispersion: float = 1.0
    ) -> Array:
        """Full log density of each response given its mean."""
        y, mu = np.asarray(y, dtype=float), np.asarray(mu, dtype=float)
        return self.loglik(y, self.link.eta(mu), weights, dispersion)

    def fisher_weights(
        self, eta: Array, weights: ArrayLike = 1.0, dispersion: float = 1.0
    ) -> Array:
        """Expected information for eta: (d mu / d eta)^2 / Var(y)."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            mu = self.link.mu(eta)
            information = self.link.dmu(eta) ** 2 / self.variance(mu, weights, dispersion)
        return np.where(np.isnan(information), 0.0, information)  # 0/0: a saturated probability

    def check_response(self, y: Array, weights: Array, rows: NDArray | None = None) -> None:
        """Raise ``ValueError``, naming the first rows, where y is outside the family's range."""
        bad, wanted = self.out_of_range(y, weights)
        bad = bad | ~np.isfinite(y)
        if bad.any():
            where = np.flatnonzero(bad)
            shown = where if rows is None else np.asarray(rows)[where]
            listed = ", ".join(
                f"row {r}: {v:.6g}" for r, v in zip(shown[:5], y[where[:5]], strict=True)
            )
            more = f" and {where.size - 5} more" if where.size > 5 else ""
            raise ValueError(
                f"The {self.name} family takes {wanted}, but the response has {listed}{more}. "
                "Correct these rows or choose another family."
            )


def _through(inner: Derivatives, s: Derivatives) -> Derivatives:
    """Chain rule: derivatives in eta from those in s and those of s."""
    (l1, l2, l3), (s1, s2, s3) = inner, s
    return l1 * s1, l2 * s1**2 + l1 * s2, l3 * s1**3 + 3 * l2 * s1 * s2 + l1 * s3


@dataclass(frozen=True)
class Gaussian(Family):
    """Normal errors with variance dispersion / weights."""

    name = "gaussian"
    default_link = "identity"
    has_dispersion = True

    def variance(self, mu, weights=1.0, dispersion=1.0):
        return np.broadcast_to(dispersion / np.asarray(weights, dtype=float), np.shape(mu)) * 1.0

    def loglik(self, y, eta, weights=1.0, dispersion=1.0):
        precision = np.asarray(weights) / dispersion
        return 0.5 * (np.log(precision / (2 * np.pi)) - precision * (y - self.link.mu(eta)) ** 2)

    def derivatives(self, y, eta, weights=1.0, dispersion=1.0):
        precision = np.asarray(weights) / dispersion
        mu = self.link.mu(eta)
        inner = precision * (y - mu), -precision * np.ones_like(mu), np.zeros_like(mu)
        return _through(inner, self.link.mu_derivatives(eta))

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
class _OfTrials(Family):
    """What the binomial and the beta-binomial share: a proportion of known trials."""

    counts_trials = True

    def deviance(self, y, mu, weights=1.0):
        from scipy.special import xlogy

        with np.errstate(divide="ignore", invalid="ignore"):
            success = xlogy(y, y) - xlogy(y, mu)
            failure = xlogy(1 - y, 1 - y) - xlogy(1 - y, 1 - mu)
        return 2 * np.asarray(weights) * (success + failure)

    def out_of_range(self, y, weights):
        successes = y * weights
        bad = (y < 0) | (y > 1) | (np.abs(successes - np.round(successes)) > 1e-6 * (1 + successes))
        return bad, (
            "0 or 1, or a proportion whose product with its trials (weights=) is a whole number, "
            "or cbind(successes, failures)"
        )

    def start_mu(self, y, weights):
        return (weights * y + 0.5) / (weights + 1)


@dataclass(frozen=True)
class Binomial(_OfTrials):
    """Proportion of successes among ``weights`` independent trials."""

    name = "binomial"
    default_link = "logit"

    def variance(self, mu, weights=1.0, dispersion=1.0):
        return mu * (1 - mu) / weights

    def loglik(self, y, eta, weights=1.0, dispersion=1.0):
        if np.ndim(weights) == 0 and weights == 1 and self.link.name == "logit":
            against = (1 - 2 * y) * eta
            return -np.maximum(against, 0) - np.log1p(np.exp(-np.abs(against)))
        from scipy.special import gammaln

        w = np.asarray(weights, dtype=float)
        r = w * y
        constant = gammaln(w + 1) - gammaln(r + 1) - gammaln(w - r + 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            l = constant + _times(r, self.link.log_mu(eta)) + _times(w - r, self.link.log1m_mu(eta))
        return np.where(np.isnan(l), -np.inf, l)

    def derivatives(self, y, eta, weights=1.0, dispersion=1.0):
        if self.link.name == "logit":
            mu = self.link.mu(eta)
            d1 = mu * (1 - mu)
            return weights * (y - mu), -(weights * d1), weights * (d1 * (2 * mu - 1))
        r = weights * y
        success = self.link.log_mu_derivatives(eta)
        failure = self.link.log1m_mu_derivatives(eta)
        return tuple(
            _times(r, a) + _times(weights - r, b) for a, b in zip(success, failure, strict=True)
        )

    def fisher_weights(self, eta, weights=1.0, dispersion=1.0):
        if self.link.name != "logit":
            return super().fisher_weights(eta, weights, dispersion)
        mu = self.link.mu(eta)
        return weights * mu * (1 - mu)

    def value_and_score(self, y, eta, weights=1.0, dispersion=1.0):
        if self.link.name != "logit" or np.ndim(weights):
            return super().value_and_score(y, eta, weights, dispersion)
        # 0/1 responses: one exponential gives both
        against = (1 - 2 * y) * eta
        e = np.exp(-np.abs(against))
        missed = np.where(against > 0, 1.0, e) / (1 + e)  # probability of the other outcome
        return -np.maximum(against, 0) - np.log1p(e), (2 * y - 1) * missed

    def draw(self, rng, mu, weights=1.0, dispersion=1.0):
        trials = np.broadcast_to(np.asarray(weights), np.shape(mu))
        return rng.binomial(np.round(trials).astype(np.int64), np.clip(mu, 0, 1)) / trials


def _times(count: Array, value: Array) -> Array:
    """Product in which a count of 0 gives 0 whatever the value."""
    with np.errstate(invalid="ignore"):
        return np.where(count == 0, 0.0, count * value)


@dataclass(frozen=True)
class Poisson(Family):
    """Counts with variance mu."""

    name = "poisson"
    default_link = "log"

    def variance(self, mu, weights=1.0, dispersion=1.0):
        return mu / weights

    def loglik(self, y, eta, weights=1.0, dispersion=1.0):
        from scipy.special import gammaln

        with np.errstate(divide="ignore", invalid="ignore"):
            l = weights * (_times(y, self.link.log_mu(eta)) - self.link.mu(eta) - gammaln(y + 1))
        return np.where(np.isnan(l) | (self.link.mu(eta) < 0), -np.inf, l)

    def derivatives(self, y, eta, weights=1.0, dispersion=1.0):
        mu = self.link.mu(eta)
        inner = weights * (y - mu), -(weights * mu), -(weights * mu)
        if self.link.name == "log":
            return inner
        return _through(inner, self.link.log_mu_derivatives(eta))

    def deviance(self, y, mu, weights=1.0):
        from scipy.special import xlogy

        return 2 * np.asarray(weights) * (xlogy(y, y) - xlogy(y, mu) - (y - mu))

    def draw(self, rng, mu, weights=1.0, dispersion=1.0):
        return rng.poisson(mu).astype(float)

    def out_of_range(self, y, weights):
        return (y < 0) | (y != np.round(y)), "whole numbers from 0 up"

    def start_mu(self, y, weights):
        return y + 0.1 * (1 + (y == 0)) * max(1.0, float(np.mean(y))) ** 0.5


@dataclass(frozen=True)
class Gamma(Family):
    """Positive responses with constant coefficient of variation sqrt(dispersion)."""

    name = "gamma"
    default_link = "inverse"
    has_dispersion = True

    def variance(self, mu, weights=1.0, dispersion=1.0):
        return dispersion * mu**2 / weights

    def loglik(self, y, eta, weights=1.0, dispersion=1.0):
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
        return _through(inner, self.link.log_mu_derivatives(eta))

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

    def loglik(self, y, eta, weights=1.0, dispersion=1.0):
        from scipy.special import gammaln

        theta = dispersion
        with np.errstate(divide="ignore", invalid="ignore"):
            log_odds = self.link.log_mu(eta) - np.log(theta)  # of a success: mu / theta
            l = _log_rise(theta, y) - gammaln(y + 1) - theta * np.logaddexp(0, log_odds)
            l = l - _times(y, np.logaddexp(0, -log_odds))
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
        return _through(inner, self.link.log_mu_derivatives(eta))

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

    out_of_range = Poisson.out_of_range
    start_mu = Poisson.start_mu


@dataclass(frozen=True)
class BetaBinomial(_OfTrials):
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

    def loglik(self, y, eta, weights=1.0, dispersion=1.0):
        from scipy.special import gammaln

        w = np.asarray(weights, dtype=float)
        r = np.round(w * y)
        a, b = self._shapes(eta, dispersion)
        l = gammaln(w + 1) - gammaln(r + 1) - gammaln(w - r + 1)
        l = l + _log_rise(a, r) + _log_rise(b, w - r) - _log_rise(dispersion, w)
        return np.where(self._allowed(eta), l, -np.inf)

    def _allowed(self, eta: Array) -> NDArray[np.bool_]:
        with np.errstate(invalid="ignore"):
            mu = self.link.mu(eta)
            return (mu >= 0) & (mu <= 1)

    def derivatives(self, y, eta, weights=1.0, dispersion=1.0):
        w = np.asarray(weights, dtype=float)
        r = np.round(w * y)
        a, b = self._shapes(eta, dispersion)
        up = [_polygamma_rise(k, a, r) for k in range(3)]
        down = [_polygamma_rise(k, b, w - r) for k in range(3)]
        inner = tuple(dispersion ** (k + 1) * (up[k] + (-1) ** (k + 1) * down[k]) for k in range(3))
        return _through(inner, self.link.mu_derivatives(eta))

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
