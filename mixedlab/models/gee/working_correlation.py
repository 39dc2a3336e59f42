r"""Working correlations of generalised estimating equations.

A structure says how residuals e of one cluster are correlated, R(alpha), and does two things
with rows that are sorted by cluster:

- ``estimate(e, scale)``: alpha from the pairs of Pearson residuals of a cluster. For a pair
  (j, k), z = e_j e_k / scale has expectation R_jk(alpha); alpha solves the least-squares
  equation sum (z - R_jk) dR_jk / d alpha = 0 over all pairs of all clusters (Prentice 1988,
  Biometrics 44:1033, with an identity weight).
- ``whiten(A)``: multiply the rows of each cluster by some root W with W' W = R^-1. Then
  every sum over clusters of A' R^-1 B is the cross-product of two whitened matrices.

Each root is taken in closed form or for all clusters of a kind at once; no loop over clusters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedlab.errors import DataError, nearest

Array = NDArray[np.float64]

# How near a correlation may come to a value at which R is singular.
_MARGIN = 1e-6


@dataclass(frozen=True)
class Clusters:
    """Rows sorted by cluster, and within a cluster by ``position``.

    Attributes
    ----------
    labels : tuple, length J
        Names of the clusters.
    starts, sizes : ndarray of int, shape (J,)
        First row of each cluster, and its number of rows.
    position : ndarray, shape (n,), or None
        Where along the cluster each row stands (time, visit).
    """

    labels: tuple
    starts: NDArray[np.intp]
    sizes: NDArray[np.intp]
    position: Array | None

    @property
    def index(self) -> NDArray[np.intp]:
        """Cluster of each row."""
        return np.repeat(np.arange(self.sizes.size), self.sizes)

    def sums(self, rows: Array) -> Array:
        """Sum of the rows of each cluster."""
        return np.add.reduceat(rows, self.starts, axis=0)

    def of_size(self, k: int) -> NDArray[np.intp]:
        """Rows of the clusters with k rows, shape (m, k)."""
        return self.starts[self.sizes == k][:, None] + np.arange(k)


class WorkingCorrelation(ABC):
    """A correlation structure within clusters; ``alpha`` holds its current estimate."""

    name: str
    needs_order = False

    def __init__(self, clusters: Clusters):
        self.clusters = clusters
        self.alpha: Any = 0.0
        self.limited = False  # whether alpha was moved back to where R is a correlation matrix

    @abstractmethod
    def estimate(self, e: Array, scale: float) -> None:
        """Set ``alpha`` from Pearson residuals ``e``, shape (n,)."""

    @abstractmethod
    def whiten(self, A: Array) -> Array:
        """Rows of each cluster times a root of R^-1; ``A`` has shape (n, k)."""

    def _within(self, alpha: float, low: float, high: float) -> float:
        self.limited = not low + _MARGIN <= alpha <= high - _MARGIN
        return float(np.clip(alpha, low + _MARGIN, high - _MARGIN))


class Independence(WorkingCorrelation):
    """R = I."""

    name = "independence"

    def estimate(self, e: Array, scale: float) -> None:
        """There is nothing to estimate."""
        self.alpha = None

    def whiten(self, A: Array) -> Array:
        """Leave the rows as they are."""
        return A


class Exchangeable(WorkingCorrelation):
    """Every pair of a cluster has correlation alpha.

    R = (1 - alpha) I + alpha 11' has the eigenvalue 1 + (k - 1) alpha for the mean of k rows
    and 1 - alpha for every contrast, so its inverse root rescales the two parts.
    """

    name = "exchangeable"

    def __init__(self, clusters: Clusters):
        super().__init__(clusters)
        self._n_pairs = float((clusters.sizes * (clusters.sizes - 1)).sum()) / 2
        if self._n_pairs == 0:
            raise DataError(
                "Every cluster has one row, so there is no pair to take a correlation from: "
                "use correlation='independence'."
            )

    def estimate(self, e: Array, scale: float) -> None:
        """Mean of z over all pairs."""
        sums = self.clusters.sums(e)
        alpha = 0.5 * (sums @ sums - e @ e) / (scale * self._n_pairs)
        self.alpha = self._within(alpha, -1.0 / (int(self.clusters.sizes.max()) - 1), 1.0)

    def whiten(self, A: Array) -> Array:
        """Rescale each cluster's mean and its deviations from it."""
        k = self.clusters.sizes
        mean = self.clusters.sums(A) / k[:, None]
        shrink = 1.0 - np.sqrt((1 - self.alpha) / (1 + (k - 1) * self.alpha))
        return (A - np.repeat(mean * shrink[:, None], k, axis=0)) / np.sqrt(1 - self.alpha)


class AutoRegressive(WorkingCorrelation):
    """Correlation alpha^d at distance d along the order: a Markov chain.

    Each row is predicted from the one before it with coefficient alpha^gap; the errors of
    these predictions, scaled, are the whitened rows.
    """

    name = "ar1"
    needs_order = True

    def __init__(self, clusters: Clusters):
        super().__init__(clusters)
        position = clusters.position
        gap = np.diff(position, prepend=0.0)
        gap[clusters.starts] = np.inf  # nothing comes before the first row of a cluster
        if (gap <= 0).any():
            row = int(np.flatnonzero(gap <= 0)[0])
            raise DataError(
                f"Cluster {clusters.labels[clusters.index[row]]!r} has two rows at the same "
                f"place {position[row]:g} of the order: each row of a cluster needs its own."
            )
        # Distances that differ by rounding only are one distance.
        self._gap = np.round(np.where(np.isinf(gap), 1.0, gap), 9)[:, None]
        self._lag, self._lag_of_pair, self._pairs = _pairs_by_lag(clusters)
        if self._lag.size == 0:
            raise DataError(
                "Every cluster has one row, so there is no pair to take a correlation from: "
                "use correlation='independence'."
            )
        self._whole = bool(np.all(self._lag == np.round(self._lag)))

    def estimate(self, e: Array, scale: float) -> None:
        """Solve sum over lags of d alpha^(d-1) (S_d - N_d alpha^d) = 0 for the least squares."""
        from scipy.optimize import brentq

        products = np.concatenate([(e[a] * e[b]).ravel() for a, b in self._pairs]) / scale
        S = np.bincount(self._lag_of_pair, weights=products)
        N = np.bincount(self._lag_of_pair)
        d = self._lag

        def loss(alpha: Array) -> Array:
            power = np.power.outer(alpha, d)
            return ((N * power - 2 * S) * power).sum(axis=-1)

        def slope(alpha: float) -> float:
            return float((d * alpha ** (d - 1) * (N * alpha**d - S)).sum())

        # Without whole distances a negative correlation has no meaning.
        grid = np.linspace(-1 + _MARGIN if self._whole else _MARGIN, 1 - _MARGIN, 81)
        best = int(loss(grid).argmin())
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)]
        inside = slope(low) < 0 < slope(high)
        self.limited = not inside
        self.alpha = brentq(slope, low, high, xtol=1e-13) if inside else float(grid[best])

    def whiten(self, A: Array) -> Array:
        """Replace each row by its scaled error of prediction from the row before."""
        rho = np.power(self.alpha, self._gap)
        rho[self.clusters.starts] = 0.0
        before = np.vstack([np.zeros((1, A.shape[1])), A[:-1]])
        return (A - rho * before) / np.sqrt(1 - rho**2)


def _pairs_by_lag(
    clusters: Clusters,
) -> tuple[Array, NDArray[np.intp], list[tuple[NDArray[np.intp], NDArray[np.intp]]]]:
    """Distances that occur, the place of each pair's distance among them, and the pairs' rows."""
    pairs, lags = [], []
    for k in np.unique(clusters.sizes[clusters.sizes > 1]):
        rows = clusters.of_size(int(k))
        first, second = np.triu_indices(int(k), 1)
        pairs.append((rows[:, first], rows[:, second]))
        lags.append(
            (clusters.position[rows[:, second]] - clusters.position[rows[:, first]]).ravel()
        )
    if not pairs:
        return np.empty(0), np.empty(0, dtype=np.intp), []
    lag, lag_of_pair = np.unique(np.round(np.concatenate(lags), 9), return_inverse=True)
    return lag, lag_of_pair, pairs


class Unstructured(WorkingCorrelation):
    """A correlation of its own for every pair of places along the order.

    ``alpha`` is the matrix over the places that occur; a cluster that lacks some of them uses
    the rows and columns of those it has.
    """

    name = "unstructured"
    needs_order = True

    def __init__(self, clusters: Clusters):
        super().__init__(clusters)
        self.places, self._place = np.unique(clusters.position, return_inverse=True)
        n_places, n_clusters = self.places.size, clusters.sizes.size
        if n_places * (n_places - 1) / 2 > clusters.position.size:
            raise DataError(
                f"The order has {n_places} places, so {n_places * (n_places - 1) // 2} "
                f"correlations for {clusters.position.size} rows: use correlation='ar1' or "
                "'exchangeable', or an order with fewer places."
            )
        self._cell = clusters.index * n_places + self._place
        filled = np.bincount(self._cell, minlength=n_clusters * n_places)
        if filled.max() > 1:
            cluster, place = np.divmod(int(filled.argmax()), n_places)
            raise DataError(
                f"Cluster {clusters.labels[cluster]!r} has {filled.max()} rows at place "
                f"{self.places[place]:g} of the order: each row of a cluster needs its own."
            )
        filled = filled.reshape(n_clusters, n_places).astype(float)
        self._together = filled.T @ filled
        if (self._together == 0).any():
            a, b = np.argwhere(self._together == 0)[0]
            raise DataError(
                f"No cluster has rows at both {self.places[a]:g} and {self.places[b]:g} of the "
                "order, so their correlation is unknown: use correlation='ar1' or 'exchangeable'."
            )
        self._batches = [self._batch(int(k)) for k in np.unique(clusters.sizes)]

    def _batch(self, k: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """Rows of the clusters with k rows, their sets of places, and the set of each cluster."""
        rows = self.clusters.of_size(k)
        patterns, which = np.unique(self._place[rows], axis=0, return_inverse=True)
        return rows, patterns, which.ravel()

    def estimate(self, e: Array, scale: float) -> None:
        """Mean of z over the clusters that have both places."""
        shape = (self.clusters.sizes.size, self.places.size)
        table = np.bincount(self._cell, weights=e, minlength=shape[0] * shape[1]).reshape(shape)
        R = table.T @ table / (scale * self._together)
        np.fill_diagonal(R, 1.0)
        if np.linalg.eigvalsh(R)[0] < _MARGIN:
            raise DataError(
                "The unstructured correlations, each from its own pairs, form no correlation "
                "matrix (an eigenvalue is not positive): use correlation='exchangeable' or 'ar1'."
            )
        self.alpha = R

    def whiten(self, A: Array) -> Array:
        """Multiply by the inverse Cholesky factor of each cluster's part of R."""
        out = np.empty_like(A)
        for rows, patterns, which in self._batches:
            R = self.alpha[patterns[:, :, None], patterns[:, None, :]]
            root = np.linalg.inv(np.linalg.cholesky(R))
            out[rows] = root[which] @ A[rows]
        return out


_STRUCTURES = {s.name: s for s in (Independence, Exchangeable, AutoRegressive, Unstructured)}


def structure(name: str) -> type[WorkingCorrelation]:
    """Look a structure up by its name; ``"AR(1)"`` and ``"ar1"`` are the same."""
    key = "".join(c for c in str(name).lower() if c.isalnum())
    if key not in _STRUCTURES:
        raise DataError(f"Unknown correlation {name!r}.{nearest(name, _STRUCTURES)}")
    return _STRUCTURES[key]
