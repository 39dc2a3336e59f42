r"""Distributions of the random effect u in a hierarchical generalised linear model.

The mean of y given u is ``g^-1(X beta + v(u))``. The effect enters on the scale ``v``, and each
family here is written by the log density of ``v``, with the Jacobian of ``u(v)`` in it:

================ ============== ================== ==================== ======================
family           u(v)           distribution of u  log density of v     constraint
================ ============== ================== ==================== ======================
gaussian         v              N(0, lambda)       -v^2 / (2 lambda)    E v = 0
gamma            exp v          shape a, rate a    a v - a exp(v)       E u = 1
inverse_gamma    exp v          shape a+1, scale a -(a+1) v - a exp(-v) E u = 1
 on the inverse  1/(1 + v)      shape a+1, scale a a log(1+v) - a v     E u = 1
 link
beta             1/(1+exp(-v))  Beta(a, a)         a log u + a log(1-u) E u = 1/2 and E v = 0
================ ============== ================== ==================== ======================

up to constants, with ``lambda = 1/a`` for gamma and inverse gamma, ``lambda = 1/(2a)`` for beta.
The constraint is needed: without it the mean of v and the intercept could trade places.

**Inverse-gamma effects on the inverse link** are conjugate to gamma responses: there both 1/mu and
v are canonical. The reciprocal ``t = 1/u`` is gamma with shape a+1 and rate a, and is *added*:

    1/mu = x'beta + v,     v = 1/u - 1.

v is measured from u = 1, so that x'beta is 1/mu of a group with u = 1; the intercept takes up the
1, which is no restriction. E u = 1 fixes the location of t, whose mean is 1 + lambda and whose
variance is lambda (1 + lambda): here, unlike with a log link, u is no factor of the mean, E mu is
not ``1/x'beta``, and since u is in the response's own units the model depends on them (small
lambda: nearly normal effects; large lambda: nearly exponential ones).

**Augmented response.** Each density has the form of a generalised linear model for one made-up
response psi with mean u, variance function V and dispersion ``scale``:

    score = (psi - u) u'(v) / (V(u) scale),   information = u'(v)^2 / (V(u) scale)

with psi = 0, 1, 1/(1 + lambda), 1/2; V = 1, u, u^2, u(1 - u); and scale = lambda, save for the
inverse gamma lambda / (1 + lambda). On the inverse link its psi = 1 and its scale = lambda. So the
random effects can be estimated as if they were coefficients, with one more row of data for each.

**Mean deviance.** The deviance of psi against u has mean ``scale``, nearly, when lambda is small;
lambda is estimated by that (extended quasi-likelihood). Inverse-gamma effects need the exact mean
``2 (log nu - digamma(nu))`` with nu = 1/scale: under a log link v has a variance of at most
pi^2/6 however large lambda is, so that the approximation soon asks for more than there can be.

The families are one file because each is a row of that table, read beside the others.

Source: Lee and Nelder (1996), "Hierarchical generalized linear models", JRSS B 58:619; Lee,
Nelder and Pawitan, *Generalized Linear Models with Random Effects* (2017), chapter 6. The
inverse gamma's psi and scale of the table belong to v = log u; the book's belong to v = -1/u.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import (
    betaincinv,
    expit,
    gammainccinv,
    gammaincinv,
    ndtri,
    polygamma,
    psi,
)

from mixedlab.engine.special_functions import log_constant, log_cosh, shape_of_mean_deviance
from mixedlab.errors import MixedlabError, nearest

Array = NDArray[np.float64]

LARGEST_LAMBDA = 1e4  # of inverse-gamma effects by h-likelihood: there it counts as infinite


@dataclass(frozen=True)
class RandomFamily(ABC):
    """A distribution of u; the module's table says what v, lambda and psi are.

    A family states its augmented row and the constant of its density. The density itself follows,
    ``log p(v) = constant - deviance / (2 lambda)``, where psi does not depend on lambda.
    """

    name: str
    scale_name: str  # what v is
    constraint: str
    centre: float  # u at v = 0

    lower: ClassVar[float] = -np.inf
    """Least value of v."""

    # --- what each family says

    @abstractmethod
    def u(self, v: Array) -> Array:
        """Effect u at v."""

    @abstractmethod
    def v(self, u: Array) -> Array:
        """Scale v at an effect u."""

    @abstractmethod
    def slope(self, v: Array) -> Array:
        """Derivative of u in v."""

    @abstractmethod
    def deviance(self, v: Array, lam: Array) -> Array:
        """Deviance of psi against u, without the dispersion."""

    @abstractmethod
    def augmented_score(self, v: Array, lam: Array) -> Array:
        """(psi - u) u'(v) / V(u): the score of an augmented row at dispersion 1."""

    @abstractmethod
    def augmented_curvature(self, v: Array) -> Array:
        """u'(v)^2 / V(u): the information of an augmented row at dispersion 1."""

    @abstractmethod
    def constant(self, lam: float) -> tuple[float, float]:
        """Log density at v = 0, and its derivative in log lambda."""

    @abstractmethod
    def quantile(self, p: Array, lam: float) -> Array:
        """Quantile of v at p."""

    @abstractmethod
    def variance_of_v(self, lam: float) -> float:
        """Variance of v."""

    # --- what follows, but for inverse-gamma effects

    def logpdf(self, v: Array, lam: float) -> Array:
        """Log density of v."""
        return self.constant(lam)[0] - 0.5 * self.deviance(v, lam) / lam

    def score(self, v: Array, lam: float) -> Array:
        """Derivative of ``logpdf`` in v."""
        return self.augmented_score(v, lam) / lam

    def curvature(self, v: Array, lam: float) -> Array:
        """Minus the second derivative of ``logpdf`` in v; positive, as all are log-concave."""
        return self.augmented_curvature(v) / lam

    def score_log_lambda(self, v: Array, lam: float) -> Array:
        """Derivative of ``logpdf`` in log lambda."""
        return self.constant(lam)[1] + 0.5 * self.deviance(v, lam) / lam

    def psi(self, lam: Array) -> Array:
        """Made-up response of the augmented model."""
        return np.full_like(lam, self.centre)

    def scale(self, lam: Array) -> Array:
        """Dispersion of the augmented model."""
        return lam

    def lambda_of_scale(self, scale: Array) -> Array:
        """Inverse of ``scale``."""
        return scale

    def mean_deviance(self, lam: Array) -> tuple[Array, Array]:
        """Mean of ``deviance`` that estimates lambda, and the slope of its log in log lambda."""
        return lam, np.ones_like(lam)

    def lambda_of_mean_deviance(self, mean: Array) -> Array:
        """Inverse of ``mean_deviance``; at most ``LARGEST_LAMBDA``."""
        return mean


class _Gaussian(RandomFamily):
    def u(self, v):
        return v

    v = u

    def slope(self, v):
        return np.ones_like(v)

    augmented_curvature = slope

    def augmented_score(self, v, lam):
        return -v

    def deviance(self, v, lam):
        return v**2

    def constant(self, lam):
        return -0.5 * np.log(2 * np.pi * lam), -0.5

    def quantile(self, p, lam):
        return np.sqrt(lam) * ndtri(p)

    def variance_of_v(self, lam):
        return lam


class _Positive(RandomFamily):
    """v = log u."""

    def u(self, v):
        return np.exp(v)

    slope = u

    def v(self, u):
        return np.log(u)


class _Gamma(_Positive):
    augmented_curvature = _Positive.u

    # expm1 keeps exp(v) - 1 - v exact for effects near 0, where 1/lambda multiplies it

    def augmented_score(self, v, lam):
        return -np.expm1(v)

    def deviance(self, v, lam):
        return 2 * (np.expm1(v) - v)

    def constant(self, lam):
        a = 1 / lam
        return log_constant(a), a * (psi(a) - np.log(a))

    def quantile(self, p, lam):
        return np.log(np.maximum(gammaincinv(1 / lam, p) * lam, np.finfo(float).tiny))

    def variance_of_v(self, lam):
        return _trigamma(1 / lam)


class _OfInverseGamma(RandomFamily):
    """u inverse gamma: shape a + 1, scale a."""

    def mean_deviance(self, lam):
        nu = 1 / self.scale(lam)
        mean = 2 * (np.log(nu) - psi(nu))
        # log scale rises with log lambda by scale / lambda in either form
        return mean, (2 * nu * polygamma(1, nu) - 2) / mean / (nu * lam)

    def lambda_of_mean_deviance(self, mean):
        scale = 1 / shape_of_mean_deviance(mean)
        most = self.scale(np.array(LARGEST_LAMBDA))
        return np.where(scale < most, self.lambda_of_scale(np.minimum(scale, most)), LARGEST_LAMBDA)


class _InverseGamma(_OfInverseGamma, _Positive):
    def psi(self, lam):
        return 1 / (1 + lam)

    def scale(self, lam):
        return lam / (1 + lam)

    def lambda_of_scale(self, scale):
        return scale / (1 - scale)

    def deviance(self, v, lam):
        ratio = self.psi(lam) * np.exp(-v)
        return 2 * (ratio - 1 - np.log(ratio))

    def augmented_curvature(self, v):
        return np.ones_like(v)

    def augmented_score(self, v, lam):
        return self.psi(lam) * np.exp(-v) - 1

    # psi moves with lambda, so the density is written out

    def logpdf(self, v, lam):
        return self.constant(lam)[0] - v - (np.expm1(-v) + v) / lam

    def score(self, v, lam):
        return -1 + np.expm1(-v) / lam

    def curvature(self, v, lam):
        return np.exp(-v) / lam

    def score_log_lambda(self, v, lam):
        return self.constant(lam)[1] + (np.expm1(-v) + v) / lam

    def constant(self, lam):
        a = 1 / lam
        return log_constant(a), a * (psi(a + 1) - np.log(a)) - 1

    def quantile(self, p, lam):
        return -np.log(lam * gammainccinv(1 / lam + 1, p))

    def variance_of_v(self, lam):
        return _trigamma(1 / lam + 1)


class _ReciprocalInverseGamma(_OfInverseGamma):
    """v = 1/u - 1, for the inverse link."""

    lower = -1.0

    def u(self, v):
        return 1 / (1 + v)

    def v(self, u):
        return 1 / u - 1

    def slope(self, v):
        return -1 / (1 + v) ** 2

    def augmented_curvature(self, v):
        return 1 / (1 + v) ** 2

    def augmented_score(self, v, lam):
        return -v / (1 + v)

    def deviance(self, v, lam):
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(v > self.lower, 2 * (v - np.log1p(v)), np.inf)

    constant = _Gamma.constant

    def quantile(self, p, lam):
        return lam * gammaincinv(1 / lam + 1, p) - 1

    def variance_of_v(self, lam):
        return lam * (1 + lam)


class _Beta(RandomFamily):
    def u(self, v):
        return expit(v)

    def v(self, u):
        return np.log(u) - np.log1p(-u)

    def slope(self, v):
        return expit(v) * expit(-v)

    augmented_curvature = slope

    def augmented_score(self, v, lam):
        return -0.5 * np.tanh(v / 2)

    def deviance(self, v, lam):
        return 2 * log_cosh(v / 2)

    def constant(self, lam):
        a = 0.5 / lam
        value = 2 * log_constant(a) - log_constant(2 * a)
        return value, 2 * a * (psi(a) - psi(2 * a) + np.log(2))

    def quantile(self, p, lam):
        a = 0.5 / lam
        lower = np.log(np.maximum(betaincinv(a, a, np.minimum(p, 1 - p)), np.finfo(float).tiny))
        # symmetric: take the lower tail, where u keeps its digits, and turn it round
        return np.copysign(lower - np.log1p(-np.exp(lower)), p - 0.5)

    def variance_of_v(self, lam):
        return 2 * _trigamma(0.5 / lam)


def _trigamma(x: float) -> float:
    return float(polygamma(1, x))


RANDOM_FAMILIES: dict[str, RandomFamily] = {
    family.name: family
    for family in (
        _Gaussian("gaussian", "v = u", "E v = 0", 0.0),
        _Gamma("gamma", "v = log u", "E u = 1", 1.0),
        _InverseGamma("inverse_gamma", "v = log u", "E u = 1", 1.0),
        _Beta("beta", "v = logit u", "E v = 0 (E u = 1/2)", 0.5),
    )
}


RECIPROCAL = _ReciprocalInverseGamma("inverse_gamma", "v = 1/u - 1", "E u = 1", 1.0)


def random_family(name: str | RandomFamily, link: str = "log") -> RandomFamily:
    """Look a family of random effects up by name, in its form for the response's link."""
    if isinstance(name, RandomFamily):
        return name
    key = str(name).lower().replace("-", "_").replace(" ", "_")
    key = {"normal": "gaussian", "inversegamma": "inverse_gamma"}.get(key, key)
    if key not in RANDOM_FAMILIES:
        raise MixedlabError(
            f"There is no family of random effects {name!r}.{nearest(key, RANDOM_FAMILIES)}"
        )
    if key == "inverse_gamma" and link == "inverse":
        return RECIPROCAL
    return RANDOM_FAMILIES[key]
