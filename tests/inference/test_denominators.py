import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.errors import MixedlabError
from mixedlab.inference.denominators import reference


@pytest.fixture(scope="module")
def fit():
    return ml.lmm("score ~ Machine + (1 | Worker)", ml.load("machines"))


@pytest.mark.parametrize("method", ["wald", "satterthwaite", "kenward-roger"])
def test_f_does_not_depend_on_how_the_contrasts_are_written(fit, method):
    used, L = reference(fit, method), np.eye(3)[1:]
    mixed = np.array([[2.0, 1.0], [-1.0, 3.0]]) @ L
    np.testing.assert_allclose(used.F(fit.beta, mixed), used.F(fit.beta, L), rtol=1e-8)


def test_known_variances_have_no_end_of_degrees_of_freedom(fit):
    used = reference(fit, "wald")
    assert np.isinf(used.df).all()
    np.testing.assert_allclose(used.se, fit.se)


def test_an_unknown_method_is_refused(fit):
    with pytest.raises(MixedlabError, match="'wald', 'satterthwaite' or 'kenward-roger'"):
        reference(fit, "exact")


def kenward_roger_written_out(fit, L):
    """F and its degrees of freedom from n x n matrices, in the notation of the paper."""
    X, n = fit.X, fit.n_obs
    V, slopes = fit.sigma**2 * np.eye(n), [np.eye(n)]
    for term, C in zip(fit.terms, fit.covariances, strict=True):
        same = term.index[:, None] == term.index
        V += same * (term.Z @ C @ term.Z.T)
        for i, j in zip(*np.tril_indices(len(C)), strict=True):
            E = np.zeros_like(C)
            E[i, j] = E[j, i] = 1.0
            slopes.append(same * (term.Z @ E @ term.Z.T))
    S = np.linalg.inv(V)
    phi = np.linalg.inv(X.T @ S @ X)
    P = np.array([-X.T @ S @ G @ S @ X for G in slopes])
    Q = np.array([[X.T @ S @ G @ S @ H @ S @ X for H in slopes] for G in slopes])
    traces = np.array([[np.trace(S @ G @ S @ H) for H in slopes] for G in slopes])
    squares = np.einsum("apq,qr,brs->abps", P, phi, P)
    both = np.einsum("pq,abqp->ab", phi, squares - 2.0 * Q)
    W = np.linalg.inv((traces + both) / 2.0)
    adjusted = phi + 2.0 * phi @ np.einsum("ab,abpq->pq", W, Q - squares) @ phi
    k, theta = len(L), L.T @ np.linalg.inv(L @ phi @ L.T) @ L
    parts = [theta @ phi @ G @ phi for G in P]
    A1 = sum(w * np.trace(parts[i]) * np.trace(parts[j]) for (i, j), w in np.ndenumerate(W))
    A2 = sum(w * np.trace(parts[i] @ parts[j]) for (i, j), w in np.ndenumerate(W))
    B = (A1 + 6 * A2) / (2 * k)
    g = ((k + 1) * A1 - (k + 4) * A2) / ((k + 2) * A2)
    c1, c2, c3 = (c / (3 * k + 2 * (1 - g)) for c in (g, k - g, k + 2 - g))
    mean = 1 / (1 - A2 / k)
    variance = 2 / k * (1 + c1 * B) / ((1 - c2 * B) ** 2 * (1 - c3 * B))
    m = 4 + (k + 2) / (k * variance / (2 * mean**2) - 1)
    estimate = L @ fit.beta
    F = estimate @ np.linalg.solve(L @ adjusted @ L.T, estimate) / k
    return m / (mean * (m - 2)) * F, m


@pytest.mark.parametrize("rows", [[1], [1, 2], [3, 4, 5], [1, 3, 6, 7]])
def test_kenward_roger_of_several_contrasts_is_the_paper_s(rows):
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(9), 8)[rng.random(72) < 0.8]
    x = rng.normal(size=g.size)
    table = pd.DataFrame({
        "g": g, "x": x, "arm": np.array(["u", "v", "w"])[g % 3],
        "a": np.array(["p", "q", "r"])[rng.integers(0, 3, g.size)],
        "y": rng.normal(size=9)[g] + 0.7 * rng.normal(size=9)[g] * x + rng.normal(size=g.size),
    })  # fmt: skip
    fit = ml.lmm("y ~ arm * x + a + (x | g)", table)
    assert not fit.singular
    L = np.eye(len(fit.beta))[rows]
    found = reference(fit, "kenward-roger").F(fit.beta, L)
    np.testing.assert_allclose(found, kenward_roger_written_out(fit, L), rtol=1e-6)
