# ruff: noqa: D102  (methods of the links are documented in Link)
r"""Link functions g(mu) = eta, with the derivatives that likelihoods need.

Three curves are wanted of every link, each with three derivatives in eta:

* ``mu(eta)``, for variances, predictions and Gaussian errors;
* ``log mu(eta)``, in which Poisson, gamma and negative binomial likelihoods are written;
* ``log(1 - mu(eta))``, in which the binomial likelihood is written beside ``log mu``.

The logarithms have formulas of their own, because ``log(1 - mu)`` computed from a ``mu`` that has
rounded to 1 is minus infinity, while the likelihood there is finite. With
``r(eta) = d log mu / d eta`` the higher derivatives follow from a differential equation of r:
logit ``r = 1 - mu, r' = -mu r``; probit ``r' = -r (eta + r)``; complementary log-log
``r' = r (1 - exp(eta) - r)``.

Source: McCullagh and Nelder, *Generalized Linear Models* (1989), sections 2.2 and 4.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Derivatives = tuple[Array, Array, Array]

_LOG_SQRT_2PI = 0.5 * np.log(2 * np.pi)


@dataclass(frozen=True)
class Link:
    """A link: ``eta`` is the link itself, ``mu`` its inverse; arrays in, arrays out."""

    name: str
    is_symmetric: ClassVar[bool] = False
    """Whether ``1 - mu(eta) = mu(-eta)``."""

    def eta(self, mu: ArrayLike) -> Array:
        """The link g(mu)."""
        raise NotImplementedError

    def mu(self, eta: ArrayLike) -> Array:
        """The mean, the inverse link."""
        raise NotImplementedError

    def mu_derivatives(self, eta: Array) -> Derivatives:
        """First, second and third derivative of mu in eta."""
        raise NotImplementedError

    def dmu(self, eta: ArrayLike) -> Array:
        """First derivative of mu in eta."""
        return self.mu_derivatives(np.asarray(eta, dtype=float))[0]

    def log_mu(self, eta: Array) -> Array:
        """Log mu(eta); minus infinity or nan where mu is not positive."""
        return np.log(self.mu(eta))

    def log_mu_derivatives(self, eta: Array) -> Derivatives:
        """First, second and third derivative of log mu in eta."""
        return _of_logarithm(self.mu(eta), *self.mu_derivatives(eta))

    def log_mu_and_slope(self, eta: Array) -> tuple[Array, Array]:
        """Log mu and its first derivative; together where that is cheaper."""
        return self.log_mu(eta), self.log_mu_derivatives(eta)[0]

    def log1m_mu(self, eta: Array) -> Array:
        """log(1 - mu(eta)); minus infinity or nan where mu is not below 1."""
        return self.log_mu(-eta) if self.is_symmetric else np.log1p(-self.mu(eta))

    def log1m_mu_derivatives(self, eta: Array) -> Derivatives:
        """First, second and third derivative of log(1 - mu) in eta."""
        if self.is_symmetric:
            d1, d2, d3 = self.log_mu_derivatives(-eta)
            return -d1, d2, -d3
        d1, d2, d3 = self.mu_derivatives(eta)
        return _of_logarithm(1 - self.mu(eta), -d1, -d2, -d3)

    def valid(self, eta: Array) -> NDArray[np.bool_]:
        """Whether the link's inverse is defined at eta."""
        return np.isfinite(eta)


def _of_logarithm(f: Array, d1: Array, d2: Array, d3: Array) -> Derivatives:
    """Derivatives of log f from those of f."""
    r1, r2, r3 = d1 / f, d2 / f, d3 / f
    return r1, r2 - r1**2, r3 - 3 * r1 * r2 + 2 * r1**3


@dataclass(frozen=True)
class Logit(Link):
    """eta = log(mu / (1 - mu))."""

    name: str = "logit"
    is_symmetric = True

    def eta(self, mu: ArrayLike) -> Array:
        mu = np.asarray(mu, dtype=float)
        return np.log(mu) - np.log1p(-mu)

    def mu(self, eta: ArrayLike) -> Array:
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(-np.asarray(eta, dtype=float)))

    def mu_derivatives(self, eta: Array) -> Derivatives:
        mu, not_mu = self.mu(eta), self.mu(-eta)
        d1 = mu * not_mu
        return d1, d1 * (not_mu - mu), d1 * (1 - 6 * d1)

    def log_mu(self, eta: Array) -> Array:
        return np.minimum(eta, 0) - np.log1p(np.exp(-np.abs(eta)))

    def log_mu_and_slope(self, eta: Array) -> tuple[Array, Array]:
        e = np.exp(-np.abs(eta))
        return np.minimum(eta, 0) - np.log1p(e), np.where(eta < 0, 1.0, e) / (1 + e)

    def log_mu_derivatives(self, eta: Array) -> Derivatives:
        d1, d2, _ = self.mu_derivatives(eta)
        return self.mu(-eta), -d1, -d2


@dataclass(frozen=True)
class Probit(Link):
    """Eta is the standard normal quantile of mu."""

    name: str = "probit"
    is_symmetric = True

    def eta(self, mu: ArrayLike) -> Array:
        from scipy.special import ndtri

        return ndtri(np.asarray(mu, dtype=float))

    def mu(self, eta: ArrayLike) -> Array:
        from scipy.special import ndtr

        return ndtr(eta)

    def mu_derivatives(self, eta: Array) -> Derivatives:
        d1 = np.exp(-0.5 * eta**2 - _LOG_SQRT_2PI)
        return d1, -eta * d1, (eta**2 - 1) * d1

    def log_mu(self, eta: Array) -> Array:
        from scipy.special import log_ndtr

        return log_ndtr(eta)

    def log_mu_derivatives(self, eta: Array) -> Derivatives:
        from scipy.special import erfcx

        # the inverse Mills ratio phi/Phi, without the cancellation of two large exponents
        r = np.sqrt(2 / np.pi) / erfcx(-eta / np.sqrt(2))
        dr = -r * (eta + r)
        return r, dr, -dr * (eta + 2 * r) - r

    def log_mu_and_slope(self, eta: Array) -> tuple[Array, Array]:
        from scipy.special import erfcx

        # beyond, mu is 1 to the last digit
        eta = np.minimum(eta, 37.0)
        r = np.sqrt(2 / np.pi) / erfcx(eta / -np.sqrt(2))
        return -0.5 * eta**2 - np.log(r) - _LOG_SQRT_2PI, r


@dataclass(frozen=True)
class CLogLog(Link):
    """eta = log(-log(1 - mu)): the grouped form of proportional hazards."""

    name: str = "cloglog"

    def eta(self, mu: ArrayLike) -> Array:
        return np.log(-np.log1p(-np.asarray(mu, dtype=float)))

    def mu(self, eta: ArrayLike) -> Array:
        with np.errstate(over="ignore"):
            return -np.expm1(-np.exp(eta))

    def mu_derivatives(self, eta: Array) -> Derivatives:
        t = np.exp(np.minimum(eta, 300.0))
        d1 = np.exp(np.minimum(eta, 300.0) - t)
        return d1, d1 * (1 - t), d1 * (1 - 3 * t + t**2)

    def log_mu(self, eta: Array) -> Array:
        with np.errstate(over="ignore"):
            t = np.exp(eta)
        small = t < 1e-8  # there -expm1(-t) is t itself, and t may have underflowed
        return np.where(small, eta, np.log(np.where(small, 1.0, -np.expm1(-t))))

    def log_mu_derivatives(self, eta: Array) -> Derivatives:
        t = np.exp(np.minimum(eta, 300.0))
        small = t < 1e-8
        with np.errstate(over="ignore"):
            r = np.where(small, 1 - t / 2, t / np.where(small, 1.0, np.expm1(t)))
        # r = 1 - t/2 + t^2/12 - ...: the differences below cancel for small t
        dr = np.where(t < 1e-5, -t / 2 + t**2 / 6, r * (1 - t - r))
        ddr = np.where(t < 1e-5, -t / 2 + t**2 / 3, dr * (1 - t - r) - r * (t + dr))
        return r, dr, ddr

    def log1m_mu(self, eta: Array) -> Array:
        with np.errstate(over="ignore"):
            return -np.exp(eta)

    def log1m_mu_derivatives(self, eta: Array) -> Derivatives:
        with np.errstate(over="ignore"):
            d = -np.exp(eta)
        return d, d, d


@dataclass(frozen=True)
class Log(Link):
    """eta = log mu."""

    name: str = "log"

    def eta(self, mu: ArrayLike) -> Array:
        return np.log(np.asarray(mu, dtype=float))

    def mu(self, eta: ArrayLike) -> Array:
        with np.errstate(over="ignore"):
            return np.exp(eta)

    def mu_derivatives(self, eta: Array) -> Derivatives:
        mu = self.mu(eta)
        return mu, mu, mu

    def log_mu(self, eta: Array) -> Array:
        return np.asarray(eta, dtype=float)

    def log_mu_derivatives(self, eta: Array) -> Derivatives:
        zero = np.zeros_like(eta)
        return np.ones_like(eta), zero, zero

    def log1m_mu(self, eta: Array) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log(-np.expm1(eta))


@dataclass(frozen=True)
class Identity(Link):
    """eta = mu."""

    name: str = "identity"

    def eta(self, mu: ArrayLike) -> Array:
        return np.asarray(mu, dtype=float)

    def mu(self, eta: ArrayLike) -> Array:
        return np.asarray(eta, dtype=float)

    def mu_derivatives(self, eta: Array) -> Derivatives:
        zero = np.zeros_like(eta)
        return np.ones_like(eta), zero, zero


@dataclass(frozen=True)
class Inverse(Link):
    """eta = 1 / mu."""

    name: str = "inverse"

    def eta(self, mu: ArrayLike) -> Array:
        return 1 / np.asarray(mu, dtype=float)

    def mu(self, eta: ArrayLike) -> Array:
        with np.errstate(divide="ignore"):
            return 1 / np.asarray(eta, dtype=float)

    def mu_derivatives(self, eta: Array) -> Derivatives:
        mu = self.mu(eta)
        return -(mu**2), 2 * mu**3, -6 * mu**4

    def valid(self, eta: Array) -> NDArray[np.bool_]:
        return np.isfinite(eta) & (eta != 0)


LINKS: dict[str, Link] = {
    link.name: link for link in (Logit(), Probit(), CLogLog(), Log(), Identity(), Inverse())
}
