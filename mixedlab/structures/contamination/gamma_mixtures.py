r"""Many finite mixtures of gamma distributions at once, and their shortest credible intervals.

Row i of the batch has the density

.. math:: f_i(x) = \sum_k w_{ik} \, \text{Gamma}(x; \text{shape } s_{ik}, \text{rate } d_i),
          \qquad x \ge 0,

with its own number of components. They lie one after the other in flat arrays, so that a sum over
the components of each row is one ``np.add.reduceat``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc, gammaincinv, gammaln

Array = NDArray[np.float64]

NEGLIGIBLE = 1e-13  # components of less weight are dropped
STEPS = 60


@dataclass(frozen=True)
class GammaMixtures:
    """A batch of mixtures.

    Attributes
    ----------
    weight, shape : ndarray, shape (total number of components,)
        Weights sum to 1 in each row; shapes are at least 1.
    start : ndarray of int, shape (n,)
        Where each row's components begin.
    rate : ndarray, shape (n,)
    """

    weight: Array
    shape: Array
    start: NDArray[np.intp]
    rate: Array

    @classmethod
    def from_log_weights(
        cls, log_weight: Array, shape: Array, row: NDArray[np.intp], rate: Array
    ) -> GammaMixtures:
        """Make a batch from unnormalised log weights; ``row`` (sorted) owns each component."""
        start = np.searchsorted(row, np.arange(rate.size))
        top = np.maximum.reduceat(log_weight, start)
        weight = np.exp(log_weight - top[row])
        kept = weight > NEGLIGIBLE
        weight, shape, row = weight[kept], shape[kept], row[kept]
        start = np.searchsorted(row, np.arange(rate.size))
        weight = weight / np.add.reduceat(weight, start)[row]
        return cls(weight, shape, start, rate)

    @property
    def row(self) -> NDArray[np.intp]:
        """Row of each component."""
        return np.repeat(np.arange(self.rate.size), np.diff([*self.start, self.weight.size]))

    def take(self, rows: NDArray[np.intp]) -> GammaMixtures:
        """Return the batch of these rows alone."""
        ends = np.append(self.start[1:], self.weight.size)
        sizes = (ends - self.start)[rows]
        start = np.cumsum(sizes) - sizes
        at = np.repeat(self.start[rows] - start, sizes) + np.arange(sizes.sum())
        return GammaMixtures(self.weight[at], self.shape[at], start, self.rate[rows])

    def sum(self, values: Array) -> Array:
        """Weighted sum over the components of each row."""
        return np.add.reduceat(self.weight * values, self.start)

    def mean(self) -> Array:
        """Mean of each row."""
        return self.sum(self.shape) / self.rate

    def sd(self) -> Array:
        """Standard deviation of each row."""
        second = self.sum(self.shape * (self.shape + 1)) / self.rate**2
        return np.sqrt(np.maximum(second - self.mean() ** 2, 0))

    def cdf(self, x: Array) -> Array:
        """Distribution function of each row at its own x."""
        return self.sum(gammainc(self.shape, (self.rate * x)[self.row]))

    def pdf(self, x: Array) -> tuple[Array, Array]:
        """Density of each row at its own x, and its derivative."""
        row = self.row
        t = np.maximum(self.rate * x, 1e-300)[row]
        f = np.exp((self.shape - 1) * np.log(t) - t - gammaln(self.shape))
        slope = f * ((self.shape - 1) / t - 1)
        return self.sum(f) * self.rate, self.sum(slope) * self.rate**2

    def quantile(self, p: Array) -> Array:
        """Quantile of each row at its own p: Newton's method inside a shrinking bracket."""
        p = np.broadcast_to(p, self.rate.shape)
        least = np.minimum.reduceat(self.shape, self.start)
        most = np.maximum.reduceat(self.shape, self.start)
        low, high = gammaincinv(least, p) / self.rate, gammaincinv(most, p) / self.rate
        x = gammaincinv(self.sum(self.shape), p) / self.rate
        for _ in range(STEPS):
            excess = self.cdf(x) - p
            low, high = np.where(excess < 0, x, low), np.where(excess > 0, x, high)
            f = self.pdf(x)[0]
            with np.errstate(divide="ignore", invalid="ignore"):
                new = x - excess / f
            new = np.where((new > low) & (new < high), new, (low + high) / 2)
            done = np.abs(new - x) <= 1e-12 * np.abs(new)
            x = new
            if done.all():
                break
        return x

    def shortest_interval(self, level: float) -> tuple[Array, Array]:
        """Shortest interval of each row that holds ``level`` of it (the density is unimodal).

        It starts at 0 where the density falls from there on; elsewhere both ends have the same
        density, and Newton's method solves ``F(hi) - F(lo) = level``, ``f(hi) = f(lo)``.
        """
        n = self.rate.size
        low, high = np.zeros(n), self.quantile(np.full(n, level))
        at_zero = self.pdf(np.zeros(n))[0]
        inside = np.flatnonzero(at_zero < self.pdf(high)[0])
        if inside.size:
            low[inside], high[inside] = self.take(inside)._equal_density(level)
        return low, high

    def _equal_density(self, level: float) -> tuple[Array, Array]:
        tail = (1 - level) / 2
        low, high = (
            self.quantile(np.full(self.rate.size, tail)),
            self.quantile(np.full(self.rate.size, 1 - tail)),
        )
        for _ in range(STEPS):
            (f_low, s_low), (f_high, s_high) = self.pdf(low), self.pdf(high)
            mass = self.cdf(high) - self.cdf(low) - level
            gap = np.log(f_high) - np.log(f_low)
            # Jacobian of (mass, gap) in (low, high)
            d_low, d_high = -s_low / f_low, s_high / f_high
            det = -f_low * d_high - f_high * d_low
            step_low = (mass * d_high - f_high * gap) / det
            step_high = (-f_low * gap - d_low * mass) / det
            new_low = np.clip(low - step_low, low / 4, None)
            new_high = np.clip(high - step_high, (low + high) / 2, 4 * high)
            new_low = np.where(new_low < new_high, new_low, (low + new_high) / 2)
            done = np.abs(new_low - low) + np.abs(new_high - high) <= 1e-10 * new_high
            low, high = new_low, new_high
            if done.all():
                return low, high
        return self._by_bisection(level, low, high, ~done)

    def _by_bisection(
        self, level: float, low: Array, high: Array, rows: NDArray[np.bool_]
    ) -> tuple[Array, Array]:
        """Find the lower tail's share by bisection, for rows where Newton's method went astray."""
        rows = np.flatnonzero(rows)
        some = self.take(rows)
        least, most = np.zeros(rows.size), np.full(rows.size, 1 - level)
        for _ in range(45):
            share = (least + most) / 2
            a, b = some.quantile(share), some.quantile(share + level)
            rising = some.pdf(a)[0] < some.pdf(b)[0]
            least, most = np.where(rising, share, least), np.where(rising, most, share)
        low, high = low.copy(), high.copy()
        low[rows], high[rows] = a, b
        return low, high
