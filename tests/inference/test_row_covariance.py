"""V factored against V written out, and what is asked of it against brute force."""

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.engine import traces
from mixedlab.errors import DataError
from mixedlab.inference.explained import leverage, standardised_residuals
from mixedlab.inference.row_covariance import RowCovariance

FORMULAS = [
    "y ~ x + (x | g)",
    "y ~ x + (x || g)",
    "y ~ x + (1 | g) + (0 + x | g)",
    "y ~ x + (1 | g) + (1 | h)",
    "y ~ x + (x | g) + (1 | h)",
    "y ~ x + (1 | g/h)",
    "y ~ x + (x | g/h)",
]


def table(seed=0, n=60):
    rng = np.random.default_rng(seed)
    g, h = rng.integers(0, 7, n), rng.integers(0, 4, n)
    x = rng.normal(size=n)
    effects = rng.normal(size=(7, 2))
    y = 1 + x + effects[g, 0] + effects[g, 1] * x + rng.normal(size=4)[h] + rng.normal(size=n)
    return pd.DataFrame({"y": y, "x": x, "g": g, "h": h, "w": rng.uniform(0.5, 2, n)})


def dense(fit):
    """Weighted V over sigma^2, Z and X written out."""
    root = np.ones(fit.n_obs) if fit.weights is None else np.sqrt(fit.weights)
    V = np.eye(fit.n_obs)
    for term, cov in zip(fit.terms, fit.covariances, strict=True):
        Z = np.zeros((fit.n_obs, term.n_levels, term.n_coefs))
        Z[np.arange(fit.n_obs), term.index] = term.Z * root[:, None]
        V += np.einsum("iak,kl,jal->ij", Z, cov, Z) / fit.sigma**2
    X = fit.X * root[:, None]
    inverse = np.linalg.inv(V)
    phi = np.linalg.inv(X.T @ inverse @ X)
    return V, inverse, inverse - inverse @ X @ phi @ X.T @ inverse, root


@pytest.fixture(params=[(f, w) for f in FORMULAS for w in (None, "w")], ids=str)
def fit(request):
    formula, weights = request.param
    return ml.lmm(formula, table(), weights=weights)


def test_leverage_and_variances_of_rows(fit):
    V = RowCovariance(fit)
    _, inverse, P, root = dense(fit)
    np.testing.assert_allclose(V.leverage, 1 - np.diag(P), atol=1e-9)
    # Rows of unit weight: z'Cz is 1 - (V^-1)_ii for a weighted row of the fit.
    own = V.variance_of_rows(fit.terms) * root**2
    np.testing.assert_allclose(own, 1 - np.diag(inverse), atol=1e-9)
    X = fit.X * root[:, None]
    moved = V.moved_by_beta(fit.terms) * root[:, None]
    np.testing.assert_allclose(X - moved, inverse @ X, atol=1e-9)


def test_rows_that_pair_levels_no_old_row_pairs():
    data = table()
    data = data[~((data["g"] == 0) & (data["h"] == 0))]
    fit = ml.lmm("y ~ x + (x | g) + (1 | h)", data)
    new = pd.DataFrame({"x": [0.3, 0.3, 0.3], "g": [0, 0, 99], "h": [0, 1, 0]})
    V = RowCovariance(fit)
    found = V.variance_of_rows(fit.rows(new, new_levels="population").terms)
    Z = np.hstack([
        (np.eye(t.n_levels)[t.index][:, :, None] * t.Z[:, None, :]).reshape(fit.n_obs, -1)
        for t in fit.terms
    ])  # fmt: skip
    blocks = [
        np.kron(np.eye(t.n_levels), L @ L.T) for t, L in zip(fit.terms, fit.factors, strict=True)
    ]
    T = np.zeros((Z.shape[1],) * 2)
    T[: len(blocks[0]), : len(blocks[0])] = blocks[0]
    T[len(blocks[0]) :, len(blocks[0]) :] = blocks[1]
    C = T - T @ Z.T @ np.linalg.inv(np.eye(fit.n_obs) + Z @ T @ Z.T) @ Z @ T
    rows = np.zeros((3, len(T)))
    rows[:2, :2] = [1.0, 0.3]
    rows[[0, 1, 2], len(blocks[0]) + np.array([0, 1, 0])] = 1.0
    np.testing.assert_allclose(found, np.einsum("im,mk,ik->i", rows, C, rows), rtol=1e-8)


def test_fitted_values_move_with_theta(fit):
    """``P V_k P y`` by differences of V written out."""
    V, _, P, root = dense(fit)
    y = fit.y * root
    found, with_y = RowCovariance(fit).moved_by_theta()
    for k in range(fit.theta.size):
        step = np.zeros(fit.theta.size)
        step[k] = 1e-6

        def covariance(theta):
            out = np.zeros_like(V)
            for term, L in zip(fit.terms, fit.layout.unpack(theta), strict=True):
                Z = term.Z * root[:, None]
                same = term.index[:, None] == term.index
                out += same * (Z @ L @ L.T @ Z.T)
            return out

        slope = (covariance(fit.theta + step) - covariance(fit.theta - step)) / 2e-6
        expected = P @ slope @ P @ y
        np.testing.assert_allclose(found[k], expected, atol=1e-6 * (1 + np.abs(expected).max()))
        assert with_y[k] == pytest.approx(expected @ y, rel=1e-5, abs=1e-5)


def test_hat_matrix_maps_y_to_fitted_values(fit):
    _, _, P, root = dense(fit)
    fitted = fit.y - P @ (fit.y * root) / root
    np.testing.assert_allclose(fitted, fit.fitted, atol=1e-8)


def test_standardised_residuals(fit):
    _, _, P, root = dense(fit)
    covariance = fit.sigma**2 * P / np.outer(root, root)
    expected = fit.resid / np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(standardised_residuals(fit), expected, rtol=1e-7)
    assert leverage(fit).sum() == pytest.approx(fit.n_obs - np.trace(P))


def test_too_many_crossed_effects_are_refused_in_words(monkeypatch):
    monkeypatch.setattr(traces, "_LARGEST", 3)
    fit = ml.lmm("y ~ x + (1 | g) + (1 | h)", table())
    with pytest.raises(DataError, match="4 random effects"):
        fit.tests(df="kenward-roger")
    assert fit.caic().df > 2


@pytest.mark.parametrize("kind", ["crossed", "nested"])
def test_more_than_four_thousand_effects(kind):
    """No matrix of all effects is made: two numbers a group are known in closed form."""
    J, K = 4_200, 4
    g, h = np.divmod(np.arange(J * K), K)
    rng = np.random.default_rng(3)
    if kind == "nested":
        h = g // 42
    e = rng.normal(size=J * K)
    frame = pd.DataFrame({"g": g, "h": h, "y": rng.normal(size=J)[g] + rng.normal(size=200)[h] + e})
    fit = ml.lmm("y ~ 1 + (1 | g) + (1 | h)", frame)
    found = fit.tests(df="kenward-roger")
    # Balanced: the mean square between the h is all that the mean's variance is estimated by.
    if kind == "nested":
        means = frame.groupby("h")["y"].mean()
        assert found.loc["(Intercept)", "df"] == pytest.approx(len(means) - 1, rel=1e-3)
        assert found.loc["(Intercept)", "se"] == pytest.approx(means.sem(), rel=1e-5)
    else:
        assert found.loc["(Intercept)", "df"] == pytest.approx(K - 1, rel=0.02)
    assert J / 3 < fit.caic().df < J + K
