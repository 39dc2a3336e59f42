"""The minimiser and the Hessian by differences, on functions whose answers are known."""

from dataclasses import dataclass

import numpy as np
import pytest

from mixedlab.engine.quasi_newton import (
    covariance,
    descend,
    hessian_by_differences,
    minimise,
    plain,
)


def test_it_leaves_saddles_and_reports_flat_directions():
    def saddle(x):  # minima at (+-1, 0), a saddle at the start
        return (x[0] ** 2 - 1) ** 2 + x[1] ** 2, np.array([4 * x[0] * (x[0] ** 2 - 1), 2 * x[1]])

    found = minimise(plain(saddle), np.zeros(2), np.eye(2))
    assert found.converged
    assert abs(found.x[0]) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(found.hessian, [[8, 0], [0, 2]], rtol=2e-3, atol=1e-6)

    def flat(x):
        return 0.5 * x[0] ** 2, np.array([x[0], 0.0])

    found = minimise(plain(flat), np.array([3.0, 1.0]), np.eye(2))
    spread = covariance(found.hessian)
    assert spread[0, 0] == pytest.approx(1, rel=1e-6)
    assert np.isnan(spread[1, 1])


def test_it_steps_back_from_where_nothing_can_be_evaluated():
    def objective(x):
        if x[0] <= 0:
            return np.inf, np.zeros(1)
        return x[0] - 3 * np.log(x[0]), np.array([1 - 3 / x[0]])

    found = minimise(plain(objective), np.array([40.0]), np.array([[1e-3]]))
    assert found.converged
    assert found.x[0] == pytest.approx(3, abs=1e-5)


def rosenbrock(x):
    a, b = x
    slope = [-400 * a * (b - a**2) - 2 * (1 - a), 200 * (b - a**2)]
    return 100 * (b - a**2) ** 2 + (1 - a) ** 2, np.array(slope)


@pytest.mark.parametrize("start", [[-1.2, 1.0], [3.0, -2.0]])
def test_it_follows_a_curved_valley(start):
    found = minimise(plain(rosenbrock), np.array(start), np.eye(2))
    assert found.converged
    np.testing.assert_allclose(found.x, [1, 1], atol=2e-4)  # of standard errors, 1 and 2 here
    np.testing.assert_allclose(found.hessian, [[802, -400], [-400, 200]], rtol=1e-2)
    x, at = descend(plain(rosenbrock), np.array(start), np.eye(2))
    np.testing.assert_allclose(x, found.x, atol=1e-3)
    assert at.value < 1e-8


def test_a_bound_that_is_in_the_way_is_kept_and_one_that_is_not_is_left():
    centre = np.array([-2.0, 1.0, 0.5])
    H = np.array([[2.0, 0.6, 0.0], [0.6, 1.0, 0.3], [0.0, 0.3, 1.0]])

    def bowl(x):
        return 0.5 * (x - centre) @ H @ (x - centre), H @ (x - centre)

    lower = np.array([0.0, -np.inf, 0.0])
    found = minimise(plain(bowl), np.array([1.0, 5.0, 0.0]), np.eye(3), lower=lower)
    assert found.converged
    assert found.x[0] == 0
    rest = np.linalg.solve(H[1:, 1:], H[1:, 1:] @ centre[1:] + H[1:, 0] * centre[0])
    np.testing.assert_allclose(found.x[1:], rest, atol=1e-7)
    np.testing.assert_allclose(found.hessian, H, atol=1e-8)


def test_each_evaluation_is_given_the_one_it_starts_from():
    @dataclass(frozen=True)
    class At:
        value: float
        gradient: np.ndarray
        x: np.ndarray

    far = []

    def evaluate(x, near):
        far.append(np.nan if near is None else np.abs(near.x - x).max())
        return At(float(x @ x), 2 * x, x)

    found = minimise(evaluate, np.array([0.3, -0.2]), 2 * np.eye(2))
    assert np.isnan(far[0])
    assert max(far[1:]) <= 0.3
    assert found.at.x is not None
    assert found.n_evaluations == len(far)


def test_a_start_that_cannot_be_evaluated_is_no_minimum():
    found = minimise(plain(lambda x: (np.inf, np.zeros(1))), np.zeros(1), np.eye(1))
    assert not found.converged
    assert found.n_evaluations == 1


def test_hessian_by_differences_with_and_without_directions():
    exact = np.array([[802.0, -400.0], [-400.0, 200.0]])

    def gradient(x):
        return rosenbrock(x)[1]

    root = np.linalg.cholesky(np.linalg.inv(exact))
    np.testing.assert_allclose(hessian_by_differences(gradient, np.ones(2), root), exact, rtol=1e-3)
    np.testing.assert_allclose(hessian_by_differences(gradient, np.ones(2)), exact, rtol=1e-5)
    nowhere = hessian_by_differences(lambda x: np.full(2, np.nan), np.ones(2))
    assert np.isnan(nowhere).all()
    assert hessian_by_differences(lambda x: x, np.zeros(0)).shape == (0, 0)
