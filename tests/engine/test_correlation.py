"""Each structure against its covariance matrix written out, cluster by cluster."""

from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from mixedlab.engine.correlation import (
    AutoRegressive,
    Clusters,
    Exchangeable,
    Independence,
    Unstructured,
    VarianceByLevel,
)

RNG = np.random.default_rng(0)
KEEP = RNG.permutation(24)[:20]  # unequal clusters, rows in no order
INDEX = np.repeat(np.arange(6), 4)[KEEP]
PLACE = np.tile([0.0, 1.0, 2.0, 4.0], 6)[KEEP]
LEVEL = np.tile([2, 0, 1, 3], 6)[KEEP]
CLUSTERS = Clusters(INDEX, PLACE)


def dense(of_pair):
    """R by a function of two places, zero between clusters."""
    R = np.array([[of_pair(a, b) for b in PLACE] for a in PLACE])
    return np.where(INDEX[:, None] == INDEX, R, 0.0)


def any_covariance(free):
    structure = Unstructured(CLUSTERS)
    R, at = structure.parameters(free), {p: k for k, p in enumerate(structure.places)}
    return structure, free, dense(lambda a, b: R[at[a], at[b]])


def cases():
    yield Independence(CLUSTERS), np.zeros(0), np.eye(20)
    for free in (0.8, -0.9):
        structure = Exchangeable(CLUSTERS)
        alpha = structure.parameters(np.array([free]))
        assert np.sign(alpha) == np.sign(free)
        yield structure, np.array([free]), dense(lambda a, b, r=alpha: 1.0 if a == b else r)
    for alpha in (0.6, -0.4):
        R = dense(lambda a, b, r=alpha: r ** abs(a - b))
        yield AutoRegressive(CLUSTERS), np.arctanh(np.array([alpha])), R
    yield any_covariance(RNG.normal(size=9) / 3)
    free = np.array([0.3, -0.5, 0.1])
    yield VarianceByLevel(LEVEL), free, np.diag(np.exp(2 * np.append(0.0, free))[LEVEL])


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: type(case[0]).__name__)
def test_whitening_colouring_and_determinant_are_those_of_the_matrix(case):
    structure, free, R = case
    assert free.size == structure.n_free
    parameters = structure.parameters(free)
    L = structure.colour(np.eye(20), parameters)
    np.testing.assert_allclose(L @ L.T, R, atol=1e-12)
    np.testing.assert_allclose(structure.whiten(L, parameters), np.eye(20), atol=1e-12)
    assert structure.logdet(parameters) == pytest.approx(np.linalg.slogdet(R)[1], abs=1e-12)


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: type(case[0]).__name__)
def test_zero_on_the_free_scale_is_independence(case):
    structure, free, _ = case
    parameters = structure.parameters(0 * free)
    rows = RNG.normal(size=(20, 3))
    np.testing.assert_allclose(structure.whiten(rows, parameters), rows, atol=1e-14)
    assert structure.logdet(parameters) == pytest.approx(0, abs=1e-14)


def test_the_free_scale_ends_where_the_correlation_does():
    structure = Exchangeable(CLUSTERS)
    far = [structure.parameters(np.array([z])) for z in (-30.0, 30.0)]
    np.testing.assert_allclose(far, [-1 / 3, 1.0], atol=1e-9)


def test_clusters_know_their_rows():
    for k in np.unique(CLUSTERS.sizes):
        for rows in CLUSTERS.of_size(int(k)):
            assert len(set(INDEX[rows])) == 1
            assert (np.diff(PLACE[rows]) > 0).all()
    rows = RNG.normal(size=(20, 2))
    expected = [rows[j == INDEX].sum(axis=0) for j in range(6)]
    np.testing.assert_allclose(CLUSTERS.sums(rows), expected)
    in_order = np.argsort(INDEX, kind="stable")
    np.testing.assert_allclose(Clusters(INDEX[in_order]).sums(rows[in_order]), expected)
    assert CLUSTERS.tied_row is None
    assert Clusters(np.array([0, 1, 0]), np.array([2.0, 2.0, 2.0])).tied_row in (0, 2)


def test_places_never_together():
    index, place = np.array([0, 0, 1, 1]), np.array([0.0, 1.0, 1.0, 2.0])
    assert Unstructured(Clusters(index, place)).never_together == (0, 2)
    assert Unstructured(CLUSTERS).never_together is None


# --- parameters by moments, against the least-squares equation over all pairs ---


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
    alpha, moved = Exchangeable(clusters).by_moments(e, np.mean(e**2))
    assert alpha == pytest.approx(z.mean())
    assert not moved


def test_autoregression_has_the_least_squares():
    clusters, e, z, distance = residuals()
    alpha, moved = AutoRegressive(clusters).by_moments(e, np.mean(e**2))
    best = minimize_scalar(
        lambda r: np.sum((z - r**distance) ** 2), bounds=(0.01, 0.99), options={"xatol": 1e-9}
    )
    assert alpha == pytest.approx(best.x, abs=1e-6)
    assert not moved


def test_unstructured_is_the_mean_of_each_pair_of_places():
    clusters, e, z, distance = residuals()
    R, _ = Unstructured(clusters).by_moments(e, np.mean(e**2))
    assert R[0, 5] == R[5, 0] == pytest.approx(z[distance == 5].mean())


def test_a_correlation_out_of_range_is_moved_to_its_end():
    clusters = Clusters(np.repeat(np.arange(5), 3))
    e = np.tile([1.0, -1.0, 0.0], 5)  # sums of zero: below -1/2 by the least squares
    alpha, moved = Exchangeable(clusters).by_moments(e, 0.5)
    assert alpha == pytest.approx(-0.5, abs=1e-5)
    assert moved
