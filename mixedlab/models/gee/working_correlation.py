r"""Working correlations of generalised estimating equations, estimated by moments.

`mixedlab.engine.correlation` says what each correlation is and whitens by it. Here its parameter
alpha is estimated: for a pair (j, k) of Pearson residuals of one cluster, z = e_j e_k / scale has
expectation R_jk(alpha); alpha solves the least-squares equation

    sum (z - R_jk) dR_jk / d alpha = 0    over all pairs of all clusters

(Prentice 1988, Biometrics 44:1033, with an identity weight).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine import correlation
from mixedlab.engine.correlation import Clusters, Structure
from mixedlab.errors import DataError, nearest

Array = NDArray[np.float64]

# How near a correlation may come to a value at which R is singular.
_MARGIN = 1e-6


class WorkingCorrelation(Structure):
    """A correlation structure that estimates its parameter from residuals."""

    name: str
    needs_order = False

    @abstractmethod
    def by_moments(self, e: Array, scale: float) -> tuple[Any, bool]:
        """Alpha from Pearson residuals ``e``, shape (n,).

        The second value says whether it had to be moved to where R is a correlation matrix.
        """

    def refuse_single_rows(self) -> None:
        """Raise where no cluster has two rows."""
        if self.clusters.sizes.max() < 2:
            raise DataError(
                "Every cluster has one row, so there is no pair to take a correlation from: "
                "use correlation='independence'."
            )


class Independence(WorkingCorrelation, correlation.Independence):
    """R = I."""

    name = "independence"

    def by_moments(self, e: Array, scale: float) -> tuple[None, bool]:
        """There is nothing to estimate."""
        return None, False


class Exchangeable(WorkingCorrelation, correlation.Exchangeable):
    """Every pair of a cluster has correlation alpha."""

    name = "exchangeable"

    def __init__(self, clusters: Clusters):
        super().__init__(clusters)
        self.refuse_single_rows()
        self._n_pairs = float((clusters.sizes * (clusters.sizes - 1)).sum()) / 2

    def by_moments(self, e: Array, scale: float) -> tuple[float, bool]:
        """Mean of z over all pairs."""
        sums = self.clusters.sums(e)
        mean = 0.5 * float(sums @ sums - e @ e) / (scale * self._n_pairs)
        alpha = float(np.clip(mean, self.lowest + _MARGIN, 1.0 - _MARGIN))
        return alpha, alpha != mean


class AutoRegressive(WorkingCorrelation, correlation.AutoRegressive):
    """Correlation alpha^d at distance d along the order."""

    name = "ar1"
    needs_order = True

    def __init__(self, clusters: Clusters):
        super().__init__(clusters)
        self.refuse_single_rows()
        self._distance, self._distance_of_pair, self._pairs = _pairs_by_distance(clusters)
        self._whole = bool(np.all(self._distance == np.round(self._distance)))

    def by_moments(self, e: Array, scale: float) -> tuple[float, bool]:
        """Solve sum over d of d alpha^(d-1) (S_d - N_d alpha^d) = 0 for the least squares."""
        from scipy.optimize import brentq

        products = np.concatenate([(e[a] * e[b]).ravel() for a, b in self._pairs]) / scale
        S = np.bincount(self._distance_of_pair, weights=products)
        N = np.bincount(self._distance_of_pair)
        d = self._distance

        def loss(alpha: Array) -> Array:
            power = np.power.outer(alpha, d)
            return ((N * power - 2 * S) * power).sum(axis=-1)

        def slope(alpha: float) -> float:
            return float((d * alpha ** (d - 1) * (N * alpha**d - S)).sum())

        # Without whole distances a negative correlation has no meaning.
        grid = np.linspace(-1 + _MARGIN if self._whole else _MARGIN, 1 - _MARGIN, 81)
        best = int(loss(grid).argmin())
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)]
        if slope(low) < 0 < slope(high):
            return brentq(slope, low, high, xtol=1e-13), False
        return float(grid[best]), True


def _pairs_by_distance(
    clusters: Clusters,
) -> tuple[Array, NDArray[np.intp], list[tuple[NDArray[np.intp], NDArray[np.intp]]]]:
    """Distances that occur, which of them each pair of a cluster has, and the pairs' rows."""
    pairs, distances = [], []
    for k in np.unique(clusters.sizes[clusters.sizes > 1]):
        rows = clusters.of_size(int(k))
        first, second = (rows[:, at] for at in np.triu_indices(int(k), 1))
        pairs.append((first, second))
        distances.append((clusters.place[second] - clusters.place[first]).ravel())
    rounded = np.round(np.concatenate(distances), 9)
    return *np.unique(rounded, return_inverse=True), pairs


class Unstructured(WorkingCorrelation, correlation.Unstructured):
    """A correlation of its own for every pair of places; alpha is the matrix of them."""

    name = "unstructured"
    needs_order = True

    def __init__(self, clusters: Clusters):
        super().__init__(clusters)
        if self.n_pairs > self.place.size:
            raise DataError(
                f"The order has {self.places.size} places, so {self.n_pairs} correlations for "
                f"{self.place.size} rows: use correlation='ar1' or 'exchangeable', or an order "
                "with fewer places."
            )
        if self.never_together is not None:
            a, b = (self.places[k] for k in self.never_together)
            raise DataError(
                f"No cluster has rows at both {a:g} and {b:g} of the order, so their correlation "
                "is unknown: use correlation='ar1' or 'exchangeable'."
            )

    def by_moments(self, e: Array, scale: float) -> tuple[Array, bool]:
        """Mean of z over the clusters that have both places."""
        table = self.by_place(e)
        R = table.T @ table / (scale * self.n_together)
        np.fill_diagonal(R, 1.0)
        if np.linalg.eigvalsh(R)[0] < _MARGIN:
            raise DataError(
                "The unstructured correlations, each from its own pairs, form no correlation "
                "matrix (an eigenvalue is not positive): use correlation='exchangeable' or 'ar1'."
            )
        return R, False


_STRUCTURES = {s.name: s for s in (Independence, Exchangeable, AutoRegressive, Unstructured)}


def working_correlation(name: str) -> type[WorkingCorrelation]:
    """Look a structure up by its name; ``"AR(1)"`` and ``"ar1"`` are the same."""
    key = "".join(c for c in str(name).lower() if c.isalnum())
    if key not in _STRUCTURES:
        raise DataError(f"Unknown correlation {name!r}.{nearest(name, _STRUCTURES)}")
    return _STRUCTURES[key]
