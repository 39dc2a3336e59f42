"""Log densities of many data sets' responses as functions of the linear predictor, and group sums.

Arrays of rows are (n, m), of groups (J, m). Under their own links, 0/1 responses, binomial and
Poisson counts need one exponential a row and no special function. With ``t = 1 + exp(-eta)`` the
logistic model has

    mu = 1 / t,    sum_i l_i = sum_i (y_i - 1) eta_i - log prod_i t_i,

so that a group of 0/1 responses takes one logarithm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.families import Family

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

_LONGEST_PRODUCT = 600.0  # of exponents that a product of doubles can hold


class Groups:
    """Rows in the order of their groups: sums over groups, and back."""

    def __init__(self, counts: Indices) -> None:
        self.counts, self.largest = counts, int(counts.max())
        self.starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        self.equal = bool((counts == counts[0]).all())

    def sum(self, x: Array) -> Array:
        """Sums (J, m) of rows (n, m)."""
        if self.equal:
            return x.reshape(self.counts.size, -1, x.shape[1]).sum(1)
        return np.add.reduceat(x, self.starts, axis=0)

    def product(self, x: Array) -> Array:
        """Products (J, m) of rows (n, m)."""
        if self.equal:
            return x.reshape(self.counts.size, -1, x.shape[1]).prod(1)
        return np.multiply.reduceat(x, self.starts, axis=0)

    def spread(self, b: Array) -> Array:
        """Rows (n, m) from groups (J, m)."""
        return np.repeat(b, self.counts, axis=0)


@dataclass(frozen=True)
class Merged:
    """Responses in which groups that are alike stand once.

    Attributes
    ----------
    y : ndarray (n, m)
        The responses of K groups each, in the order of the rows of any group.
    rows : ndarray of int (n,)
        Rows of the design that go with them.
    counts : ndarray (K, m)
        How many groups of a data set each one stands for; 0 where it has fewer than K kinds.
    """

    y: Array
    rows: Indices
    counts: Array


def merge_groups(y: Array, design: Array, groups: Groups) -> Merged | None:
    """Merge the groups of a data set whose responses are the same; None where that saves little.

    Only where all groups have the same rows of the ``design`` (n, c), as in a trial with planned
    visits: 100 patients with seven 0/1 responses have some 30 patterns, and equal groups have
    equal likelihoods.
    """
    J, m = groups.counts.size, y.shape[1]
    if not groups.equal or J < 4:
        return None
    per = groups.largest
    blocks = design.reshape(J, per, -1)
    if not (blocks == blocks[0]).all():
        return None
    by_group = y.reshape(J, per, m)
    # A key of each pattern: a combination with weights that no two patterns will share.
    key = np.einsum("r,jrm->jm", np.random.default_rng(0).uniform(1, 2, per), by_group)
    order = np.argsort(key, axis=0, kind="stable")
    key = np.take_along_axis(key, order, axis=0)
    kind = np.concatenate([np.zeros((1, m), dtype=int), (np.diff(key, axis=0) != 0).cumsum(0)])
    K = int(kind[-1].max()) + 1
    if K > 0.75 * J:
        return None
    column = np.arange(m)
    counts = np.zeros((K, m))
    np.add.at(counts, (kind, column), 1.0)
    first = np.zeros((K, m), dtype=np.intp)
    first[kind[::-1], column] = order[::-1]
    merged = by_group.transpose(1, 0, 2)[:, first, column].transpose(1, 0, 2)
    # Nothing is merged that is not the same.
    again = np.empty_like(by_group)
    again[order.ravel(), :, np.tile(column, J)] = merged[kind.ravel(), :, np.tile(column, J)]
    if not np.array_equal(again, by_group):
        return None
    return Merged(merged.reshape(K * per, m), np.arange(K * per), counts)


class Responses(Protocol):
    """The responses of m data sets as functions of eta (n, m)."""

    def constant(self) -> Array:
        """What of the log-likelihoods (m,) does not depend on eta."""

    def derivatives(self, eta: Array) -> tuple[Array, Array, Array]:
        """First, second and third derivative of each row's log density in eta."""

    def value_and_score(self, eta: Array, groups: Groups) -> tuple[Array, Array]:
        """Sums (J, m) of the log density over groups, and its first derivative by row."""

    def start_eta(self) -> Array:
        """A linear predictor (n, m) near the data."""


def responses(family: Family, y: Array, weights: Array | float) -> Responses:
    """The responses y (n, m) with ``weights`` (n, 1) or 1, as functions of eta."""
    kind = (family.name, family.link.name)
    if kind == ("binomial", "logit"):
        return _Logistic(y, weights)
    if kind == ("binomial", "probit") and np.ndim(weights) == 0:
        return _BinaryProbit(y)
    if kind == ("poisson", "log"):
        return _LogPoisson(y, weights)
    return _AnyFamily(y, weights, family)


class _Logistic:
    """Proportions of ``trials``, under the logit link; ``weights`` (n, 1), or 1 for 0/1 data."""

    def __init__(self, y: Array, weights: Array | float) -> None:
        self.y, self.w = y, weights
        self.binary = np.ndim(weights) == 0

    def constant(self) -> Array:
        if self.binary:
            return np.zeros(self.y.shape[1])
        success, w = self.w * self.y, self.w
        f = _log_factorials(float(np.max(w)))
        return (f(w) - f(success) - f(w - success)).sum(0)

    def derivatives(self, eta: Array) -> tuple[Array, Array, Array]:
        mu = _inverse_of_one_plus(np.exp(-eta))
        W = self.w * (mu * (1 - mu))
        return self.w * (self.y - mu), -W, W * (2 * mu - 1)

    def value_and_score(self, eta: Array, groups: Groups) -> tuple[Array, Array]:
        t = 1 + np.exp(-eta)
        mu = 1 / t
        if self.binary and -eta.min(initial=0.0) * groups.largest < _LONGEST_PRODUCT:
            value = groups.sum((self.y - 1) * eta) - np.log(groups.product(t))
            return value, self.y - mu
        # log(1 + exp(-eta)), which is -eta itself where the exponential is infinite
        log_t = np.where(eta < -700, -eta, np.log(t))
        return groups.sum(self.w * ((self.y - 1) * eta - log_t)), self.w * (self.y - mu)

    def start_eta(self) -> Array:
        mu = (self.w * self.y + 0.5) / (self.w + 1)
        return np.log(mu / (1 - mu))


class _BinaryProbit:
    """0/1 responses under the probit link.

    With ``x = (2 y - 1) eta`` and the inverse Mills ratio ``r = phi(x) / Phi(x)``, which one
    scaled error function gives, ``l = log phi(x) - log r``, ``l' = +-r`` and ``r' = -r (x + r)``.
    """

    def __init__(self, y: Array) -> None:
        self.y, self.sign = y, 2 * y - 1

    def constant(self) -> Array:
        return np.zeros(self.y.shape[1])

    def _ratio(self, eta: Array) -> tuple[Array, Array]:
        from scipy.special import erfcx

        # Beyond, Phi is 1 to the last digit.
        x = np.minimum(self.sign * eta, 37.0)
        return x, np.sqrt(2 / np.pi) / erfcx(x / -np.sqrt(2.0))

    def derivatives(self, eta: Array) -> tuple[Array, Array, Array]:
        x, r = self._ratio(eta)
        dr = -r * (x + r)
        return self.sign * r, dr, -self.sign * (dr * (x + 2 * r) + r)

    def value_and_score(self, eta: Array, groups: Groups) -> tuple[Array, Array]:
        x, r = self._ratio(eta)
        l = -0.5 * x**2 - np.log(r) - 0.5 * np.log(2 * np.pi)
        return groups.sum(l), self.sign * r

    def start_eta(self) -> Array:
        return 0.6 * self.sign


class _LogPoisson:
    """Counts under the log link; prior ``weights`` multiply the log density."""

    def __init__(self, y: Array, weights: Array | float) -> None:
        self.y, self.w = y, weights

    def constant(self) -> Array:
        f = _log_factorials(float(self.y.max(initial=0.0)))
        return -(self.w * f(self.y)).sum(0)

    def derivatives(self, eta: Array) -> tuple[Array, Array, Array]:
        mu = self.w * np.exp(eta)
        return self.w * self.y - mu, -mu, -mu

    def value_and_score(self, eta: Array, groups: Groups) -> tuple[Array, Array]:
        mu = self.w * np.exp(eta)
        wy = self.w * self.y
        return groups.sum(wy * eta - mu), wy - mu

    def start_eta(self) -> Array:
        return np.log(self.y + 0.1)


class _AnyFamily:
    """Any family without a dispersion, by the formulas of ``mixedlab.engine.families``."""

    def __init__(self, y: Array, weights: Array | float, family: Family) -> None:
        self.y, self.w, self.family = y, weights, family

    def constant(self) -> Array:
        return np.zeros(self.y.shape[1])

    def derivatives(self, eta: Array) -> tuple[Array, Array, Array]:
        return self.family.derivatives(self.y, eta, self.w, 1.0)

    def value_and_score(self, eta: Array, groups: Groups) -> tuple[Array, Array]:
        value, score = self.family.value_and_score(self.y, eta, self.w, 1.0)
        return groups.sum(value), score

    def start_eta(self) -> Array:
        w = np.broadcast_to(self.w, self.y.shape)
        return self.family.link.eta(self.family.start_mu(self.y, w))


def _inverse_of_one_plus(x: Array) -> Array:
    x += 1.0
    return np.reciprocal(x, out=x)


def _log_factorials(largest: float) -> Callable[[Array], Array]:
    """Log k! for whole numbers up to ``largest``, as a function of arrays."""
    table = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1.0, np.round(largest) + 1)))])
    return lambda k: table[np.round(k).astype(np.intp)]
