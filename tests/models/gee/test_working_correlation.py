"""Moment estimates of alpha against their least-squares equation over all pairs."""

from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from mixedlab.engine.correlation import Clusters
from mixedlab.errors import DataError
from mixedlab.models.gee.working_correlation import working_correlation


def residuals(seed=4):
    """Residuals of unequal clusters in no order; product and distance of each pair."""
    rng = np.random.default_rng(seed)
    cells = rng.permutation(600)[:400]
    index, place = cells // 6, (cells % 6).astype(float)
    e = rng.normal(size=400) + 0.8 * rng.normal(size=100)[index]
    index = np.unique(index, return_inverse=True)[1]
    rows = [np.flatnonzero(index == j) for j in range(index.max() + 1)]
    pairs = np.array([pair for cluster in rows for pair in combinations(cluster, 2)]).T
    z = e[pairs[0]] * e[pairs[1]] / np.mean(e**2)
    return Clusters(index, place), e, z, np.abs(place[pairs[0]] - place[pairs[1]])


def test_exchangeable_is_the_mean_over_pairs():
    clusters, e, z, _ = residuals()
    alpha, moved = working_correlation("exchangeable")(clusters).by_moments(e, np.mean(e**2))
    assert alpha == pytest.approx(z.mean())
    assert not moved


def test_autoregression_has_the_least_squares():
    clusters, e, z, distance = residuals()
    alpha, moved = working_correlation("AR(1)")(clusters).by_moments(e, np.mean(e**2))
    best = minimize_scalar(
        lambda r: np.sum((z - r**distance) ** 2), bounds=(0.01, 0.99), options={"xatol": 1e-9}
    )
    assert alpha == pytest.approx(best.x, abs=1e-6)
    assert not moved


def test_unstructured_is_the_mean_of_each_pair_of_places():
    clusters, e, z, distance = residuals()
    R, _ = working_correlation("unstructured")(clusters).by_moments(e, np.mean(e**2))
    assert R[0, 5] == R[5, 0] == pytest.approx(z[distance == 5].mean())


def test_a_correlation_out_of_range_is_moved_to_its_end():
    clusters = Clusters(np.repeat(np.arange(5), 3))
    e = np.tile([1.0, -1.0, 0.0], 5)  # sums of zero: below -1/2 by the least squares
    alpha, moved = working_correlation("exchangeable")(clusters).by_moments(e, 0.5)
    assert alpha == pytest.approx(-0.5, abs=1e-5)
    assert moved


def test_unknown_names_and_single_rows_are_refused():
    with pytest.raises(DataError, match="Did you mean 'unstructured'"):
        working_correlation("unstructred")
    with pytest.raises(DataError, match="one row"):
        working_correlation("exchangeable")(Clusters(np.arange(4)))
