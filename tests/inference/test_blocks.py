"""V by blocks against V written out, and what is asked of it against brute force."""

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.errors import DataError
from mixedlab.inference import blocks as blocks_module
from mixedlab.inference.blocks import RandomBlocks
from mixedlab.inference.explained import leverage, standardised_residuals

FORMULAS = [
    "y ~ x + (x | g)",
    "y ~ x + (x || g)",
    "y ~ x + (1 | g) + (0 + x | g)",
    "y ~ x + (1 | g) + (1 | h)",
    "y ~ x + (x | g) + (1 | h)",
    "y ~ x + (1 | g/h)",
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


def test_solve_project_and_leverage(fit):
    blocks = RandomBlocks(fit)
    _, inverse, P, _ = dense(fit)
    M = np.random.default_rng(1).normal(size=(fit.n_obs, 3))
    np.testing.assert_allclose(blocks.solve(M), inverse @ M, atol=1e-9)
    np.testing.assert_allclose(blocks.project(M), P @ M, atol=1e-9)
    np.testing.assert_allclose(blocks.leverage, 1 - np.diag(P), atol=1e-9)


def test_theta_directions_are_derivatives_of_the_covariance(fit):
    blocks = RandomBlocks(fit)
    for k in range(fit.theta.size):
        step = np.zeros(fit.theta.size)
        step[k] = 1e-6
        ahead, behind = (
            blocks.block_diagonal([L @ L.T for L in fit.layout.unpack(fit.theta + s * step)])
            for s in (1, -1)
        )
        np.testing.assert_allclose(
            blocks.theta_direction(k), (ahead - behind) / 2e-6, atol=1e-7 * (1 + fit.theta.max())
        )


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
    monkeypatch.setattr(blocks_module, "_LARGEST_BLOCK", 5)
    fit = ml.lmm("y ~ x + (1 | g) + (1 | h)", table())
    with pytest.raises(DataError, match="11 random effects"):
        RandomBlocks(fit)
