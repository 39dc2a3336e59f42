r"""Covariance within clusters, and the root of it that makes the rows independent.

Rows of one cluster are correlated, rows of different clusters are not. A structure says how: its
parameters give the covariance R of all rows, up to a factor. For one root L of R, R = L L', it
multiplies the rows of a matrix M by

    whiten:  L^-1 M   (correlated rows become independent ones of unit variance),
    colour:  L M      (the other way round),

and knows log|R|. A Gaussian model with residual covariance R is the usual one on whitened rows,
and its -2 log-likelihood grows by log|R|; a sum over clusters of A' R^-1 B is the cross-product of
two whitened matrices. Both linear models and estimating equations use nothing else of R.

The parameters come from a search over an unbounded vector, zero for R = I (``parameters``), or from
moments of residuals e (``by_moments``): a pair (j, k) of one cluster has z = e_j e_k / scale of
expectation R_jk(alpha), and alpha solves the least-squares equation

    sum (z - R_jk) dR_jk / d alpha = 0    over all pairs of all clusters

(Prentice 1988, Biometrics 44:1033, with an identity weight).

R itself is never built, and there is no loop over clusters: each root is taken in closed form, or
at once for all clusters that have the same number of rows. Rows may stand in any order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mixedlab.errors import DataError

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# How near an estimate by moments may come to a value at which R is singular.
_MARGIN = 1e-6


@dataclass(frozen=True, eq=False)
class Clusters:
    """Which rows belong together, and where along their cluster they stand.

    Attributes
    ----------
    index : ndarray of int, shape (n,)
        Cluster of each row, 0 to J - 1; each cluster has a row.
    place : ndarray, shape (n,), or None
        Where along its cluster each row stands: a time, the number of a visit or of a role.
    """

    index: Index
    place: Array | None = None

    @cached_property
    def sizes(self) -> Index:
        """Rows of each cluster, shape (J,)."""
        return np.bincount(self.index)

    @cached_property
    def starts(self) -> Index:
        """Where each cluster starts among the rows sorted by cluster, shape (J,)."""
        return np.cumsum(self.sizes) - self.sizes

    @cached_property
    def order(self) -> Index:
        """The rows sorted by cluster, and within a cluster by place."""
        return np.lexsort((self.index,) if self.place is None else (self.place, self.index))

    @cached_property
    def _is_sorted(self) -> bool:
        return bool((np.diff(self.index) >= 0).all())

    def sums(self, rows: Array) -> Array:
        """Sum of the rows of each cluster, shape (J, ...)."""
        by_cluster = rows if self._is_sorted else rows[self.order]
        return np.add.reduceat(by_cluster, self.starts, axis=0)

    def of_size(self, k: int) -> Index:
        """Rows of the clusters with k rows, in the order of their places; shape (m, k)."""
        return self.order[self.starts[self.sizes == k][:, None] + np.arange(k)]

    @cached_property
    def neighbours(self) -> tuple[Index, Index]:
        """Each row that has one before it in its cluster, and that row before; by place."""
        later = np.flatnonzero(np.diff(self.index[self.order]) == 0) + 1
        return self.order[later], self.order[later - 1]

    @property
    def tied_row(self) -> int | None:
        """A row that stands where another row of its cluster does; None where there is none."""
        later, before = self.neighbours
        return next(iter(later[self.place[later] == self.place[before]].tolist()), None)


class Structure(ABC):
    """A covariance R of rows, as a function of a few parameters."""

    name: ClassVar[str]
    n_free: int
    """Length of the unbounded vector that `parameters` takes."""

    @abstractmethod
    def parameters(self, free: Array) -> Any:
        """Parameters from an unbounded vector; R = I at zero."""

    @abstractmethod
    def whiten(self, rows: Array, parameters: Any) -> Array:
        """``L^-1 rows``, shape (n, c)."""

    @abstractmethod
    def colour(self, rows: Array, parameters: Any) -> Array:
        """``L rows``, shape (n, c)."""

    @abstractmethod
    def logdet(self, parameters: Any) -> float:
        """``log|R|``."""


class Correlation(Structure):
    """A structure with variances of 1, which moments of residuals can estimate."""

    needs_place: ClassVar[bool] = False
    """Whether it depends on where rows stand along their cluster."""

    def __init__(self, clusters: Clusters):
        self.clusters = clusters

    @abstractmethod
    def by_moments(self, e: Array, scale: float) -> tuple[Any, bool]:
        """Alpha from residuals ``e`` (n,), and whether it was moved to where R is a correlation."""


class Independence(Correlation):
    """R = I; there are no parameters (None)."""

    name, n_free = "independence", 0

    def parameters(self, free: Array) -> None:
        """There are none."""

    def whiten(self, rows: Array, parameters: None) -> Array:
        """Leave the rows as they are."""
        return rows

    colour = whiten

    def logdet(self, parameters: None) -> float:
        """Zero."""
        return 0.0

    def by_moments(self, e: Array, scale: float) -> tuple[None, bool]:
        """There is nothing to estimate."""
        return None, False


class Exchangeable(Correlation):
    """Every pair of rows of a cluster has correlation alpha.

    R = (1 - alpha) I + alpha 11' has the eigenvalue 1 + (k - 1) alpha for the mean of k rows and
    1 - alpha for every contrast, so its symmetric root rescales these two parts. In a cluster of
    k rows alpha is at least -1 / (k - 1): the sum of k rows has a variance.
    """

    name, n_free = "exchangeable", 1

    def __init__(self, clusters: Clusters):
        super().__init__(clusters)
        self.lowest = -1.0 / max(int(clusters.sizes.max()) - 1, 1)

    def parameters(self, free: Array) -> float:
        """Alpha between its lowest value and 1: a logit of where it lies."""
        grown = np.exp(free[0])
        return float((grown - 1.0) / (grown - 1.0 / self.lowest))

    def _rescale(self, rows: Array, of_mean: Array, of_contrast: float) -> Array:
        share = (1 - of_mean / of_contrast) / self.clusters.sizes
        moved = self.clusters.sums(rows) * share[:, None]
        return (rows - moved[self.clusters.index]) * of_contrast

    def _roots(self, alpha: float) -> tuple[Array, float]:
        return np.sqrt(1 + (self.clusters.sizes - 1) * alpha), float(np.sqrt(1 - alpha))

    def whiten(self, rows: Array, parameters: float) -> Array:
        """Divide each cluster's mean and its deviations from it by their roots."""
        of_mean, of_contrast = self._roots(parameters)
        return self._rescale(rows, 1 / of_mean, 1 / of_contrast)

    def colour(self, rows: Array, parameters: float) -> Array:
        """Multiply each cluster's mean and its deviations from it by their roots."""
        return self._rescale(rows, *self._roots(parameters))

    def logdet(self, parameters: float) -> float:
        """One mean and k - 1 contrasts a cluster."""
        of_mean, of_contrast = self._roots(parameters)
        n_contrasts = self.clusters.index.size - of_mean.size
        return 2.0 * float(np.log(of_mean).sum() + n_contrasts * np.log(of_contrast))

    def by_moments(self, e: Array, scale: float) -> tuple[float, bool]:
        """Mean of z over all pairs."""
        sums, sizes = self.clusters.sums(e), self.clusters.sizes
        mean = float(sums @ sums - e @ e) / (scale * float((sizes * (sizes - 1)).sum()))
        alpha = float(np.clip(mean, self.lowest + _MARGIN, 1.0 - _MARGIN))
        return alpha, alpha != mean


class AutoRegressive(Correlation):
    """Correlation alpha^d of rows at distance d along their cluster: a Markov chain.

    Each row is predicted from the one before it with coefficient rho = alpha^d; the error of
    that prediction has variance 1 - rho^2. Alpha is negative only where distances are whole.
    """

    name, n_free, needs_place = "ar1", 1, True

    def __init__(self, clusters: Clusters):
        super().__init__(clusters)
        later, before = clusters.neighbours
        # Distances that differ by rounding only are one distance.
        self.lags = np.round(clusters.place[later] - clusters.place[before], 9)

    def parameters(self, free: Array) -> float:
        """Alpha from Fisher's z."""
        return float(np.tanh(free[0]))

    def whiten(self, rows: Array, parameters: float) -> Array:
        """Replace each row by the scaled error of its prediction from the row before."""
        later, before = self.clusters.neighbours
        rho = np.power(parameters, self.lags)[:, None]
        out = rows.copy()
        out[later] = (rows[later] - rho * rows[before]) / np.sqrt(1.0 - rho**2)
        return out

    def colour(self, rows: Array, parameters: float) -> Array:
        """Make each row of the row before and an innovation of its own, one place at a time."""
        c, later = self.clusters, self.clusters.neighbours[0]
        rho = np.zeros((len(rows), 1))
        rho[later, 0] = np.power(parameters, self.lags)
        out = rows.copy()
        for k in range(1, int(c.sizes.max())):
            at = c.starts[c.sizes > k] + k
            row, before = c.order[at], c.order[at - 1]
            out[row] = rho[row] * out[before] + np.sqrt(1.0 - rho[row] ** 2) * rows[row]
        return out

    def logdet(self, parameters: float) -> float:
        """Sum of the log variances of the innovations."""
        return float(np.sum(np.log1p(-np.power(parameters, 2 * self.lags))))

    @cached_property
    def _pairs(self) -> tuple[Index, Index, Array, Index]:
        """Both rows of every pair, the distances that occur, and which of them each pair has."""
        c, pairs = self.clusters, []
        for k in np.unique(c.sizes):
            pairs.append(c.of_size(int(k))[:, np.array(np.triu_indices(int(k), 1))])
        first, second = np.concatenate([p.swapaxes(0, 1).reshape(2, -1) for p in pairs], axis=1)
        distance = np.round(c.place[second] - c.place[first], 9)
        return first, second, *np.unique(distance, return_inverse=True)

    def by_moments(self, e: Array, scale: float) -> tuple[float, bool]:
        """Solve sum over distances d of d alpha^(d-1) (S_d - N_d alpha^d) = 0."""
        from scipy.optimize import brentq

        first, second, d, which = self._pairs
        S, N = np.bincount(which, weights=e[first] * e[second] / scale), np.bincount(which)

        def loss(alpha: Array) -> Array:
            power = np.power.outer(alpha, d)
            return ((N * power - 2 * S) * power).sum(axis=-1)

        def slope(alpha: float) -> float:
            return float((d * alpha ** (d - 1) * (N * alpha**d - S)).sum())

        # Without whole distances a negative correlation has no meaning.
        grid = np.linspace(_MARGIN - np.all(d == np.round(d)), 1 - _MARGIN, 81)
        best = int(loss(grid).argmin())
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)]
        if slope(low) < 0 < slope(high):
            return brentq(slope, low, high, xtol=1e-13), False
        return float(grid[best]), True


class Unstructured(Correlation):
    """A covariance of its own for every pair of places; the same in every cluster.

    The parameters are the matrix over the places, shape (m, m). A cluster that lacks some places
    uses the rows and columns of those it has.
    """

    name, needs_place = "unstructured", True

    def __init__(self, clusters: Clusters):
        super().__init__(clusters)
        self.places, self.place = np.unique(clusters.place, return_inverse=True)
        self.n_pairs = self.places.size * (self.places.size - 1) // 2
        self.n_free = self.n_pairs + self.places.size - 1
        self._batches: list[tuple[Index, Index, Index]] = []  # rows, sets of places, set of each
        for k in np.unique(clusters.sizes):
            rows = clusters.of_size(int(k))
            sets, which = np.unique(self.place[rows], axis=0, return_inverse=True)
            self._batches.append((rows, sets, which.ravel()))

    def by_place(self, values: Array) -> Array:
        """A value for each row as a table of clusters by places, shape (J, m); 0 where no row."""
        J, m = self.clusters.sizes.size, self.places.size
        cell = self.clusters.index * m + self.place
        return np.bincount(cell, weights=values, minlength=J * m).reshape(J, m)

    @cached_property
    def n_together(self) -> Array:
        """Number of clusters that have both places, shape (m, m)."""
        there = self.by_place(np.ones(self.place.size))
        return there.T @ there

    @property
    def never_together(self) -> tuple[int, int] | None:
        """Two places of which no cluster has both, so that their covariance is unknown."""
        return next(map(tuple, np.argwhere(self.n_together == 0).tolist()), None)

    def parameters(self, free: Array) -> Array:
        """C C' for a lower triangular C with a positive diagonal that begins with 1.

        First the logs of the rest of the diagonal, then what is below it, row by row.
        """
        m = self.places.size
        C = np.zeros((m, m))
        C[np.diag_indices(m)] = np.exp(np.append(0.0, free[: m - 1]))
        C[np.tril_indices(m, -1)] = free[m - 1 :]
        return C @ C.T

    def whiten(self, rows: Array, parameters: Array) -> Array:
        """Multiply by the inverse Cholesky factor of each cluster's part of R."""
        return self._times(rows, parameters, np.linalg.inv)

    def colour(self, rows: Array, parameters: Array) -> Array:
        """Multiply by the Cholesky factor of each cluster's part of R."""
        return self._times(rows, parameters, np.asarray)

    def _times(self, rows: Array, R: Array, of_root: Any) -> Array:
        out = np.empty_like(rows)
        for at, which, parts in self._parts(R):
            out[at] = of_root(np.linalg.cholesky(parts))[which] @ rows[at]
        return out

    def _parts(self, R: Array) -> list[tuple[Index, Index, Array]]:
        """Rows of the clusters with k rows, which part of R each has, and these parts."""
        return [(at, which, R[s[:, :, None], s[:, None, :]]) for at, s, which in self._batches]

    def logdet(self, parameters: Array) -> float:
        """Sum over clusters."""
        parts = self._parts(parameters)
        return sum(float(np.bincount(which) @ np.linalg.slogdet(R)[1]) for _, which, R in parts)

    def by_moments(self, e: Array, scale: float) -> tuple[Array, bool]:
        """Mean of z over the clusters that have both places, 1 on the diagonal."""
        table = self.by_place(e)
        R = table.T @ table / (scale * self.n_together)
        np.fill_diagonal(R, 1.0)
        if np.linalg.eigvalsh(R)[0] < _MARGIN:
            raise DataError(
                "The unstructured correlations, each from its own pairs, form no correlation "
                "matrix (an eigenvalue is not positive): use correlation='exchangeable' or 'ar1'."
            )
        return R, False


class VarianceByLevel(Structure):
    """Independent rows whose standard deviation depends on a level; parameters: one sd each.

    Parameters
    ----------
    level : ndarray of int, shape (n,)
        Level of each row, 0 to m - 1.
    """

    def __init__(self, level: Index):
        self.level = level
        self.n_free = int(level.max())

    def parameters(self, free: Array) -> Array:
        """Standard deviations relative to the first level's, from the logs of these ratios."""
        return np.exp(np.append(0.0, free))

    def whiten(self, rows: Array, parameters: Array) -> Array:
        """Rows over their level's standard deviation."""
        return rows / parameters[self.level][:, None]

    def colour(self, rows: Array, parameters: Array) -> Array:
        """Rows times their level's standard deviation."""
        return rows * parameters[self.level][:, None]

    def logdet(self, parameters: Array) -> float:
        """Twice the sum of the log standard deviations."""
        return 2.0 * float(np.bincount(self.level) @ np.log(parameters))
