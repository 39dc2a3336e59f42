"""The observed curvature of the deviance, against differences of the deviance itself."""

import numpy as np

import mixedlab as ml
from mixedlab.inference.curvature import invert_curved


def test_curvature_against_differences_of_the_deviance():
    fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    at = np.append(fit.optimum, np.log(fit.sigma**2))

    def deviance(v):
        return fit.problem(v[:-1], np.exp(v[-1])).value

    k, h = at.size, 1e-3
    E = np.eye(k) * h
    expected = np.array(
        [
            [
                deviance(at + a + b)
                - deviance(at + a - b)
                - deviance(at - a + b)
                + deviance(at - a - b)
                for b in E
            ]
            for a in E
        ]
    ) / (4 * h * h)
    np.testing.assert_allclose(
        fit.curvature().hessian, expected, atol=2e-4 * np.abs(expected).max()
    )


def test_flat_directions_are_left_out_of_an_inverse():
    only_the_sum = np.array([[1.0, 1.0], [1.0, 1.0 + 1e-12]])
    np.testing.assert_allclose(invert_curved(only_the_sum), np.full((2, 2), 0.25), rtol=1e-6)
    full = np.array([[2.0, 0.3], [0.3, 1e6]])
    np.testing.assert_allclose(invert_curved(full), np.linalg.inv(full))
