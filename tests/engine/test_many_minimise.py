"""Many functions are minimised at once, each by its own steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from mixedlab.engine.many_minimise import damping, eigen, minimise_many, put, rows


@dataclass
class Points:
    x: np.ndarray


@dataclass
class Values:
    value: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray


def valleys(steepness):
    """Rosenbrock's curved valleys, of a steepness for each function; lowest at (1, 1)."""
    calls = []

    def evaluate(points, which):
        calls.append(which.size)
        x, y = points.x.T
        c = steepness[which]
        value = (1 - x) ** 2 + c * (y - x**2) ** 2
        gradient = np.stack([-2 * (1 - x) - 4 * c * x * (y - x**2), 2 * c * (y - x**2)], axis=1)
        hessian = np.empty((which.size, 2, 2))
        hessian[:, 0, 0] = 2 - 4 * c * (y - 3 * x**2)
        hessian[:, 0, 1] = hessian[:, 1, 0] = -4 * c * x
        hessian[:, 1, 1] = 2 * c
        return Values(value, gradient, hessian)

    return evaluate, calls


def move(points, step):
    return Points(points.x + step)


def test_curved_valleys_are_followed_each_to_its_end():
    steepness = 10.0 ** np.arange(-1, 4)
    evaluate, calls = valleys(steepness)
    start = Points(np.tile([-1.2, 1.0], (5, 1)))
    found = minimise_many(evaluate, start, move, tol=1e-16)
    assert found.converged.all()
    np.testing.assert_allclose(found.x.x, 1.0, atol=1e-6)
    # The easy ones leave early.
    assert calls[0] == 5
    assert calls[-1] < 5


def test_a_saddle_repels():
    """x^4 - x^2 + y^2 has a saddle at 0, where the curvature in x is negative."""

    def evaluate(points, which):
        x, y = points.x.T
        hessian = np.zeros((which.size, 2, 2))
        hessian[:, 0, 0], hessian[:, 1, 1] = 12 * x**2 - 2, 2.0
        return Values(
            x**4 - x**2 + y**2, np.stack([4 * x**3 - 2 * x, 2 * y], axis=1), hessian
        )  # fmt: skip

    found = minimise_many(
        evaluate, Points(np.array([[0.01, 1.0], [-0.01, 2.0]])), move, tol=1e-14
    )  # fmt: skip
    np.testing.assert_allclose(np.abs(found.x.x), [[np.sqrt(0.5), 0]] * 2, atol=1e-5)


def test_a_start_out_of_bounds_stays_and_has_not_converged():
    evaluate, _ = valleys(np.array([1.0, 1.0]))

    def walled(points, which):
        at = evaluate(points, which)
        at.value[which == 1] = np.inf
        return at

    start = np.array([[0.0, 0.0], [0.0, 0.0]])
    found = minimise_many(walled, Points(start.copy()), move, tol=1e-14)
    np.testing.assert_array_equal(found.converged, [True, False])
    np.testing.assert_array_equal(found.x.x[1], start[1])


def test_damping_is_the_least_that_keeps_the_step_within_the_radius():
    rng = np.random.default_rng(0)
    slope, scale = rng.normal(size=(20, 3)), rng.uniform(0.1, 5, (20, 3))
    radius = rng.uniform(0.05, 3, 20)
    mu = damping(slope, scale, radius)
    length = np.sqrt(((slope / (scale + mu[:, None])) ** 2).sum(1))
    assert (length <= 1.011 * radius).all()
    free = np.sqrt(((slope / scale) ** 2).sum(1)) <= 1.01 * radius
    np.testing.assert_array_equal(mu == 0, free)
    np.testing.assert_allclose(length[~free], radius[~free], rtol=0.011)


@pytest.mark.parametrize("k", [1, 3])
def test_eigenvalues_of_one_by_one_matrices_are_their_entries(k):
    A = np.random.default_rng(1).normal(size=(6, k, k))
    A = A + A.transpose(0, 2, 1)
    values, vectors = eigen(A)
    np.testing.assert_allclose(vectors @ (values[:, :, None] * vectors.transpose(0, 2, 1)), A)


def test_rows_are_taken_and_put_in_all_arrays():
    points = Points(np.arange(6.0).reshape(3, 2))
    some = rows(points, np.array([2, 0]))
    np.testing.assert_array_equal(some.x, [[4, 5], [0, 1]])
    put(points, np.array([1]), Points(np.array([[9.0, 9.0]])))
    np.testing.assert_array_equal(points.x, [[0, 1], [9, 9], [4, 5]])
