"""Solutions against Fisher scoring written out, and what has none."""

import numpy as np
import pytest

from mixedlab.engine.correlation import Clusters, Exchangeable, Independence
from mixedlab.engine.families import family
from mixedlab.errors import DataError
from mixedlab.models.gee.solver import Equations, solve, under_independence


def equations(kind="poisson", link=None, seed=0):
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(30), 4)
    x = rng.normal(size=120)
    mu = np.exp(0.5 + 0.4 * x + 0.3 * rng.normal(size=30)[g])
    X = np.linalg.qr(np.column_stack([np.ones(120), x]))[0] * np.sqrt(120)
    y = rng.poisson(mu).astype(float)
    return Equations(family(kind, link), Clusters(g), X, y, np.ones(120), np.zeros(120))


def test_an_evaluation_is_what_the_equations_say():
    e = equations()
    beta = np.array([0.6, 0.2])
    at = e.at(beta)
    np.testing.assert_allclose(at.mu, np.exp(e.X @ beta))
    np.testing.assert_allclose(at.e, (e.y - at.mu) / np.sqrt(at.mu))
    np.testing.assert_allclose(at.D, e.X * np.sqrt(at.mu)[:, None])
    assert e.at(np.array([1e6, 0.0])) is None


def test_the_independence_solution_is_the_generalised_linear_model():
    e, solution = under_independence(equations(), 100)
    assert solution.converged
    beta = np.array([1.0, 0.0])
    for _ in range(50):
        mu = np.exp(e.X @ beta)
        beta = beta + np.linalg.solve(e.X.T @ (mu[:, None] * e.X), e.X.T @ (e.y - mu))
    np.testing.assert_allclose(solution.beta, beta, rtol=1e-9)


def test_a_solution_makes_the_equations_zero():
    e, first = under_independence(equations(), 100)
    working = Exchangeable(e.clusters)
    solution = solve(e, working, e.at(first.beta), 100)
    at = e.at(solution.beta)
    D, r = at.whitened(working, solution.moments.alpha)
    np.testing.assert_allclose(D.T @ r, 0, atol=1e-7)
    assert solution.moments.scale == pytest.approx(np.mean(at.e**2))
    pairs = [
        at.e[4 * j + a] * at.e[4 * j + b] for j in range(30) for a in range(4) for b in range(a)
    ]
    assert solution.moments.alpha == pytest.approx(np.mean(pairs) / np.mean(at.e**2))


def test_what_cannot_be_solved_is_refused():
    e = equations()
    with pytest.raises(DataError, match="choose another link"):
        solve(e, Independence(e.clusters), None, 10)
    exact = equations("gaussian")
    exact = Equations(
        exact.family, exact.clusters, exact.X, exact.X @ [1.0, 2.0], exact.weights, exact.offset
    )
    with pytest.raises(DataError, match="fit every response exactly"):
        under_independence(exact, 10)
