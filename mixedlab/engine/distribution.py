# ruff: noqa: D102  (methods of a distribution are documented in Family)
"""What a distribution of a response given its mean must say: the base class of the families."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.links import Array, Derivatives, Link


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

    def constant(self, y: Array, weights: ArrayLike = 1.0) -> Array | float:
        """What of each log density depends neither on eta nor on the dispersion."""
        return 0.0

    def kernel(
        self, y: Array, eta: Array, weights: ArrayLike = 1.0, dispersion: float = 1.0
    ) -> Array:
        """Log density of each response less ``constant``; minus infinity out of eta's range."""
        raise NotImplementedError

    def derivatives(
        self, y: Array, eta: Array, weights: ArrayLike = 1.0, dispersion: float = 1.0
    ) -> Derivatives:
        """First, second and third derivative of ``kernel`` in eta."""
        raise NotImplementedError

    def value_and_score(
        self, y: Array, eta: Array, weights: ArrayLike = 1.0, dispersion: float = 1.0
    ) -> tuple[Array, Array]:
        """``kernel`` and its first derivative in eta; together where that is cheaper."""
        l1, _, _ = self.derivatives(y, eta, weights, dispersion)
        return self.kernel(y, eta, weights, dispersion), l1

    def dispersion_derivatives(
        self, y: Array, eta: Array, weights: ArrayLike = 1.0, dispersion: float = 1.0
    ) -> Derivatives:
        """Derivatives in log dispersion of ``kernel`` and of its first two derivatives in eta."""
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

    def loglik(
        self, y: Array, eta: Array, weights: ArrayLike = 1.0, dispersion: float = 1.0
    ) -> Array:
        """Full log density of each response; minus infinity where eta is not allowed."""
        return self.kernel(y, eta, weights, dispersion) + self.constant(y, weights)

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


def through(inner: Derivatives, s: Derivatives) -> Derivatives:
    """Chain rule: derivatives in eta from those in s and those of s."""
    (l1, l2, l3), (s1, s2, s3) = inner, s
    return l1 * s1, l2 * s1**2 + l1 * s2, l3 * s1**3 + 3 * l2 * s1 * s2 + l1 * s3


@dataclass(frozen=True)
class OfTrials(Family):
    """What the binomial and the beta-binomial share: a proportion of known trials."""

    counts_trials = True

    def constant(self, y, weights=1.0):
        if np.ndim(weights) == 0 and weights == 1:
            return 0.0
        from scipy.special import gammaln

        w = np.asarray(weights, dtype=float)
        return gammaln(w + 1) - gammaln(w * y + 1) - gammaln(w - w * y + 1)

    def allowed(self, eta: Array) -> NDArray[np.bool_] | bool:
        """Whether the mean is a probability."""
        if self.link.name in ("logit", "probit", "cloglog"):
            return True
        with np.errstate(invalid="ignore"):
            mu = self.link.mu(eta)
            return (mu >= 0) & (mu <= 1)

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


def times(count: Array, value: Array) -> Array:
    """Product in which a count of 0 gives 0 whatever the value."""
    with np.errstate(invalid="ignore"):
        return np.where(count == 0, 0.0, count * value)


def log_factorials(y: Array, weights: ArrayLike) -> Array:
    """``-weights log y!``, the constant of a density of counts."""
    from scipy.special import gammaln

    return -weights * gammaln(y + 1)


def not_a_count(y: Array) -> NDArray[np.bool_]:
    """Where y is not a whole number from 0 up."""
    return (y < 0) | (y != np.round(y))


def positive_start(y: Array) -> Array:
    """Means near counts y, off 0."""
    return y + 0.1 * (1 + (y == 0)) * max(1.0, float(np.mean(y))) ** 0.5
