"""Values that fits hand to inference."""

import numpy as np
import pytest

from mixedlab.engine.terms import RandomTerm
from mixedlab.inference.values import Combination, Parameter, Rows


@pytest.mark.parametrize(
    ("scale", "estimate", "free"),
    [("identity", -2.0, -2.0), ("log", 3.0, np.log(3.0)), ("fisher-z", 0.5, np.arctanh(0.5))],
)
def test_free_scales_lead_there_and_back(scale, estimate, free):
    parameter = Parameter("sd", "name", estimate, scale)
    assert parameter.free == pytest.approx(free)
    assert parameter.back(parameter.free) == pytest.approx(estimate)
    low, high = parameter.bounds
    assert low < estimate < high
    assert low <= parameter.back(-50.0) < parameter.back(50.0) <= high


def test_an_estimate_at_its_bound_is_infinitely_far():
    assert Parameter("sd", "name", 0.0, "log").free == -np.inf
    assert Parameter("cor", "name", 1.0, "fisher-z").free == np.inf


@pytest.fixture
def rows():
    Z = np.array([[1.0, 2.0], [1.0, -1.0], [1.0, 0.0]])
    term = RandomTerm("g", np.array([0, -1, 1]), ("a", "b"), Z, ("(Intercept)", "x"))
    return Rows(X=Z, offset=np.array([0.0, 10.0, 0.0]), terms=(term,))


def test_parts_of_the_linear_predictor(rows):
    np.testing.assert_allclose(rows.fixed_part(np.array([1.0, 3.0])), [7.0, 8.0, 1.0])
    b = [np.array([[0.5, 0.25], [2.0, 100.0]])]
    np.testing.assert_allclose(rows.random_part(b), [1.0, 0.0, 2.0])  # an unseen group adds none


def test_variance_between_new_groups(rows):
    cov = [np.array([[4.0, 1.0], [1.0, 9.0]])]
    every = [4 + 2 * 2 + 4 * 9, 4 - 2 + 9, 4.0]
    np.testing.assert_allclose(rows.between(cov), every)
    np.testing.assert_allclose(rows.between(cov, unseen_only=True), [0.0, every[1], 0.0])


def test_variance_of_a_combination_is_by_the_delta_method():
    J = np.array([[1.0, 2.0], [0.0, -1.0]])
    C = np.array([[2.0, 0.5], [0.5, 1.0]])
    np.testing.assert_allclose(Combination(np.zeros(2), J, C).variance, np.diag(J @ C @ J.T))
