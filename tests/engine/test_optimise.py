"""Damped Newton steps on functions with known minima."""

from dataclasses import dataclass

import numpy as np
import pytest

from mixedlab.engine.optimise import framed, lower_factor, minimise


@dataclass
class At:
    value: float
    gradient: np.ndarray
    hessian: np.ndarray


def rosenbrock(x):
    a, b = x
    gradient = np.array([-2 * (1 - a) - 400 * a * (b - a * a), 200 * (b - a * a)])
    hessian = np.array([[2 - 400 * (b - 3 * a * a), -400 * a], [-400 * a, 200.0]])
    return At((1 - a) ** 2 + 100 * (b - a * a) ** 2, gradient, hessian)


def test_bent_valley():
    found = minimise(rosenbrock, np.array([-1.2, 1.0]))
    assert found.converged
    np.testing.assert_allclose(found.x, 1.0, atol=1e-5)


def test_saddle_repels():
    def saddle(x):
        a, b = x
        gradient = np.array([4 * a**3 - 4 * a, 2 * b])
        return At(a**4 - 2 * a * a + b * b, gradient, np.diag([12 * a * a - 4, 2.0]))

    found = minimise(saddle, np.array([1e-3, 1.0]))
    np.testing.assert_allclose(found.x, [1, 0], atol=1e-5)


def test_step_out_of_bounds_is_shortened():
    def log_barrier(x):
        if x[0] <= 0:
            return At(np.inf, np.full(1, np.nan), np.eye(1))
        return At(x[0] - np.log(x[0]), 1 - 1 / x, np.array([[1 / x[0] ** 2]]))

    found = minimise(log_barrier, np.array([10.0]))
    assert found.x[0] == pytest.approx(1.0, abs=1e-5)


def test_budget_spent_is_reported():
    found = minimise(rosenbrock, np.array([-1.2, 1.0]), max_evaluations=4)
    assert not found.converged
    assert found.n_evaluations == 4


def test_nothing_to_choose():
    found = minimise(lambda x: At(3.0, np.empty(0), np.empty((0, 0))), np.empty(0))
    assert found.converged
    assert found.at.value == 3.0


def test_a_point_may_choose_its_own_coordinates():
    def turned(point):
        """The valley in coordinates turned by the point's own frame."""
        x, frame = point
        at = rosenbrock(x)
        return At(at.value, frame.T @ at.gradient, frame.T @ at.hessian @ frame)

    def move(point, step):
        x, frame = point
        turn = np.array([[0.8, -0.6], [0.6, 0.8]])
        return x + frame @ step, frame @ turn

    found = minimise(turned, (np.array([-1.2, 1.0]), np.eye(2)), move)
    np.testing.assert_allclose(found.x[0], 1.0, atol=1e-5)


def test_lower_factor_keeps_the_covariance():
    half = np.random.default_rng(0).normal(size=(3, 3))
    L = lower_factor(half)
    np.testing.assert_allclose(L @ L.T, half @ half.T)
    assert (np.triu(L, 1) == 0).all()
    assert (np.diag(L) >= 0).all()


def test_a_frame_is_of_eigenvectors_largest_first():
    half = np.random.default_rng(1).normal(size=(3, 3))
    F, L = framed(half)
    np.testing.assert_allclose(F @ L @ L.T @ F.T, half @ half.T)
    np.testing.assert_allclose(F.T @ F, np.eye(3), atol=1e-12)
    sd = np.diag(L)
    assert (np.diff(sd) <= 0).all()
    again, same = framed(L, F)
    np.testing.assert_allclose(again @ same @ same.T @ again.T, half @ half.T)
