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


@pytest.fixture(scope="module")
def slopes():
    return ml.glmm("use ~ age + urban + (urban | district)", ml.load("contraception"))


def test_slopes_of_the_marginal_predictor_are_differences(slopes):
    """In theta and beta, one at a time, with the others where they are."""
    from dataclasses import replace

    rows = slopes.rows(ml.load("contraception").iloc[[0, 700, 1500]])
    found = slopes.marginal_predictor(rows)
    m = slopes.theta.size
    for k in range(slopes.parameters.size):
        h = 1e-5
        ends = []
        for sign in (1, -1):
            moved = slopes.parameters.copy()
            moved[k] += sign * h
            other = replace(slopes, parameters=moved, theta=moved[:m], beta=moved[m:])
            ends.append(other.marginal_predictor(rows).value)
        slope = (ends[0] - ends[1]) / (2 * h)
        np.testing.assert_allclose(found.jacobian[:, k], slope, rtol=1e-5, atol=1e-8)


def test_marginal_moments_are_one_with_and_without_variance(slopes):
    rows = slopes.rows()
    with_variance = slopes.mean_and_variance(rows, "marginal")
    without = slopes.mean_and_variance(rows, "marginal", variance=False)
    np.testing.assert_array_equal(with_variance.eta, without.eta)
    assert without.variance is None


def test_dispersions_are_parameters():
    fit = models_cache.fit("negative binomial")
    (dispersion,) = [p for p in fit.named_parameters if p.kind == "dispersion"]
    assert dispersion.estimate == fit.dispersion
    low, high = fit.confint().loc["dispersion"]
    assert low < fit.dispersion < high


def test_integrals_that_compare():
    assert models_cache.fit("no random term").likelihood_kind.integral == "exact"
    assert models_cache.fit("quadrature").likelihood_kind.integral.startswith("nagq=")
