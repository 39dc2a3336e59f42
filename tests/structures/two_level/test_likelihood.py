import numpy as np
import pytest
from scipy.stats import multivariate_normal

from mixedlab.structures.two_level.likelihood import ClusterSums, Moments


def problem(seed=0, p=3, k=2, m=1, J=9):
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(J), rng.integers(1, 5, J))
    rng.shuffle(cluster)
    y, x = rng.normal(size=(cluster.size, p)), rng.normal(size=(cluster.size, k))
    w = rng.normal(size=(J, m))

    def covariance():
        root = rng.normal(size=(p, p))
        return root @ root.T + np.eye(p)

    moments = Moments(
        covariance(),
        0.5 * covariance(),
        rng.normal(size=p),
        rng.normal(size=(p, k)),
        rng.normal(size=(p, m)),
    )
    return y, cluster, x, w, moments


def test_value_is_the_density_of_each_cluster_written_out():
    y, cluster, x, w, m = problem()
    loglik = 0.0
    for j in np.unique(cluster):
        rows = cluster == j
        n = rows.sum()
        mean = m.nu + x[rows] @ m.A.T + m.C @ w[j]
        V = np.kron(np.eye(n), m.within) + np.kron(np.ones((n, n)), m.between)
        loglik += multivariate_normal(mean.ravel(), V).logpdf(y[rows].ravel())
    value, _ = ClusterSums(y, cluster, x, w).minus_two_loglik(m)
    assert value == pytest.approx(-2 * loglik, rel=1e-12)


@pytest.mark.parametrize("name", ["within", "between", "nu", "A", "C"])
def test_derivatives(name):
    y, cluster, x, w, m = problem(1)
    sums = ClusterSums(y, cluster, x, w)
    derivative = getattr(sums.minus_two_loglik(m)[1], name)
    parts = {n: getattr(m, n) for n in ("within", "between", "nu", "A", "C")}
    for where in np.ndindex(derivative.shape):
        step = np.zeros(derivative.shape)
        step[where] = 1e-5
        if name in ("within", "between"):  # keep the matrix symmetric
            step = 0.5 * (step + step.T)
        ahead, behind = (
            sums.minus_two_loglik(Moments(**(parts | {name: parts[name] + s * step})))[0]
            for s in (1, -1)
        )
        assert derivative[where] == pytest.approx((ahead - behind) / 2e-5, rel=1e-5, abs=1e-4)


def test_a_matrix_that_is_no_covariance_costs_infinitely_much():
    y, cluster, x, w, m = problem()
    bad = Moments(-m.within, m.between, m.nu, m.A, m.C)
    assert ClusterSums(y, cluster, x, w).minus_two_loglik(bad)[0] == np.inf


def test_saturated_balanced_model_is_the_analysis_of_variance():
    rng = np.random.default_rng(3)
    J, n, p = 40, 6, 2
    cluster = np.repeat(np.arange(J), n)
    y = rng.normal(size=(J, p))[cluster] + rng.normal(size=(J * n, p))
    none = np.empty((J * n, 0)), np.empty((J, 0))
    m = ClusterSums(y, cluster, *none).saturated().moments
    means = y.reshape(J, n, p).mean(axis=1)
    deviations = y - means[cluster]
    within = deviations.T @ deviations / (J * (n - 1))
    between = np.cov(means.T, bias=True) - within / n
    np.testing.assert_allclose(m.within, within, rtol=1e-5)
    np.testing.assert_allclose(m.between, between, atol=1e-5)
    np.testing.assert_allclose(m.nu, y.mean(axis=0), atol=1e-6)
