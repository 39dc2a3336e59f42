import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from mixedlab.structures.kinship.spectral import (
    CENTRES,
    HALF_WIDTH,
    UNIT_NODES,
    Nodes,
    Profile,
    interpolate,
    maximise,
    spectrum,
)


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(5)
    n = 60
    half = rng.normal(size=(n, 40))
    K = half @ half.T
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    y = X @ [1.0, 0.5] + 0.2 * half @ rng.normal(size=40) + rng.normal(size=n)
    return K, X, y, rng.normal(size=(7, n))


def dense_loglik(K, X, y, ratio, reml):
    """The definition, with V written out."""
    n, p = X.shape
    V = ratio * K + np.eye(n)
    Vi = np.linalg.inv(V)
    XVX = X.T @ Vi @ X
    P = Vi - Vi @ X @ np.linalg.solve(XVX, X.T @ Vi)
    log_det_V = np.linalg.slogdet(V)[1]
    if not reml:
        return -0.5 * (n * np.log(y @ P @ y) + log_det_V)
    return -0.5 * ((n - p) * np.log(y @ P @ y) + log_det_V + np.linalg.slogdet(XVX)[1])


def test_spectrum_rebuilds_the_matrix(problem):
    K = problem[0]
    s = spectrum(K)
    np.testing.assert_allclose((s.U * s.d) @ s.U.T * s.scale, K, atol=1e-9)
    assert s.d.mean() == pytest.approx(1.0)
    assert (s.d >= 0).all()


@pytest.mark.parametrize("reml", [True, False])
def test_likelihood_with_and_without_a_snp_is_the_dense_one(problem, reml):
    K, X, y, G = problem
    s = spectrum(K)
    ratios = np.array([0.0, 0.3, 20.0])
    nodes = Nodes(s.d, s.U.T @ X, s.U.T @ y, ratios)
    a, b, _ = nodes.of_snps(G @ s.U)
    for j, ratio in enumerate(ratios):
        expected = dense_loglik(K, X, y, ratio / s.scale, reml)
        assert nodes.loglik(reml)[j] == pytest.approx(expected, rel=1e-10)
        for i, g in enumerate(G):
            expected = dense_loglik(K, np.column_stack([X, g]), y, ratio / s.scale, reml)
            assert nodes.loglik(reml, a, b)[i, j] == pytest.approx(expected, rel=1e-10)


def test_interpolation_in_a_window_keeps_ten_digits(problem):
    K, X, y, G = problem
    s = spectrum(K)
    profile = Profile(s.d, s.U.T @ X, s.U.T @ y)
    x = np.linspace(-1, 1, len(G))
    for k in (0, 8, 17):
        nodes = profile.window(k)
        a, b, total = nodes.of_snps(G @ s.U)
        np.testing.assert_allclose(total, np.square(G @ s.U) @ nodes.w.T)
        centre = CENTRES[k]
        exact_a, exact_b, _ = profile.at(np.exp(centre + HALF_WIDTH * x)).of_snps(G @ s.U)
        np.testing.assert_allclose(interpolate(a, x), np.diag(exact_a), rtol=1e-10)
        np.testing.assert_allclose(interpolate(b, x), np.diag(exact_b), rtol=1e-9, atol=1e-10)


def test_maximise_finds_interior_peaks_and_ends():
    peaks = np.array([-0.83, -0.2, 0.0, 0.61])
    values = -np.cosh(2 * (UNIT_NODES - peaks[:, None]))
    x, curvature = maximise(np.vstack([values, 3 * UNIT_NODES, -UNIT_NODES]))
    np.testing.assert_allclose(x[:4], peaks, atol=1e-6)
    np.testing.assert_allclose(curvature[:4], -4.0, rtol=1e-4)
    np.testing.assert_allclose(x[4:], [1.0, -1.0], atol=1e-10)


@pytest.mark.parametrize("reml", [True, False])
def test_peak_is_the_one_that_brent_finds(problem, reml):
    K, X, y, _ = problem
    s = spectrum(K)
    ratio, information = Profile(s.d, s.U.T @ X, s.U.T @ y).peak(reml)

    def objective(t):
        return -dense_loglik(K, X, y, np.exp(t) / s.scale, reml)

    best = minimize_scalar(objective, bounds=(-9, 9), method="bounded", options={"xatol": 1e-9})
    assert np.log(ratio) == pytest.approx(best.x, abs=1e-6)
    t, step = np.log(ratio), 1e-3
    numeric = (objective(t + step) - 2 * objective(t) + objective(t - step)) / step**2
    assert information == pytest.approx(numeric, rel=1e-4)


@pytest.mark.parametrize(
    ("K", "message"),
    [
        (np.ones((2, 3)), "square"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "not finite"),
        (np.array([[1.0, 0.2], [0.5, 1.0]]), "symmetric"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "positive semi-definite"),
        (-np.eye(2), "diagonal"),
    ],
)
def test_a_matrix_that_is_no_covariance_is_refused(K, message):
    with pytest.raises(ValueError, match=message):
        spectrum(K)
