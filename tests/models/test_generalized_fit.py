"""A generalised fit is a value: no question changes what a later one gets."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from tests import models_cache


def conditional(fit):
    return fit.predict(kind="conditional", interval="confidence")


@pytest.fixture
def fit():
    """Contraception by quadrature, asked nothing yet."""
    return models_cache.fresh("quadrature")


def test_predictions_are_the_same_after_a_profile_and_a_far_likelihood(fit):
    before = conditional(fit)
    fit.confint(method="profile", parameters=["age"])
    pd.testing.assert_frame_equal(conditional(fit), before, check_exact=True)
    fit.loglik_at(3 * fit.parameters + 1)
    pd.testing.assert_frame_equal(conditional(fit), before, check_exact=True)
    other = models_cache.fresh("quadrature")
    other.loglik_at(3 * other.parameters + 1)
    other.confint(method="profile", parameters=["age"])
    pd.testing.assert_frame_equal(conditional(other), before, check_exact=True)


def test_a_likelihood_does_not_depend_on_what_was_asked_before(fit):
    points = [fit.parameters + step for step in (0.0, 0.05, 1.0, -0.3)]
    forward = [fit.loglik_at(point) for point in points]
    backward = [fit.loglik_at(point) for point in reversed(points)]
    assert forward == backward[::-1]
    assert fit.loglik_at(fit.parameters) == pytest.approx(fit.loglik, abs=1e-8)


def test_two_threads_ask_one_fit(fit):
    alone = models_cache.fresh("quadrature")
    far = alone.parameters + 0.5
    expected = [conditional(alone), alone.loglik_at(far)]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(5):
            asked = pool.submit(conditional, fit), pool.submit(fit.loglik_at, far)
            answers = [one.result() for one in asked]
            pd.testing.assert_frame_equal(answers[0], expected[0], check_exact=True)
            assert answers[1] == expected[1]


def test_a_coefficient_can_be_put_first():
    table = ml.load("contraception")
    slopes = ml.glmm("use ~ age + (age | district)", table)
    problem, parameters = slopes.coefficients_first(0, [1])
    assert problem.at(parameters).loglik == pytest.approx(slopes.loglik, abs=1e-6)
    sd = np.sqrt(slopes.covariances[0][1, 1])
    assert parameters[0] == pytest.approx(sd)
