"""What a generalised fit answers: moments, curvature in its parameters, deviances held."""

import numpy as np
import pytest

import mixedlab as ml
from tests import models_cache


@pytest.fixture(scope="module")
def fit():
    return ml.glmm("use ~ age + urban + (urban | district)", ml.load("contraception"))


def test_slopes_of_the_marginal_predictor_are_differences(fit):
    """In theta and beta, one at a time, with the others where they are."""
    from dataclasses import replace

    rows = fit.rows(ml.load("contraception").iloc[[0, 700, 1500]])
    found = fit.marginal_predictor(rows)
    m = fit.theta.size
    for k in range(fit.parameters.size):
        h = 1e-5
        ends = []
        for sign in (1, -1):
            moved = fit.parameters.copy()
            moved[k] += sign * h
            other = replace(fit, parameters=moved, theta=moved[:m], beta=moved[m:])
            ends.append(other.marginal_predictor(rows).value)
        slope = (ends[0] - ends[1]) / (2 * h)
        np.testing.assert_allclose(found.jacobian[:, k], slope, rtol=1e-5, atol=1e-8)


def test_marginal_moments_are_one_with_and_without_variance(fit):
    rows = fit.rows()
    with_variance = fit.mean_and_variance(rows, "marginal")
    without = fit.mean_and_variance(rows, "marginal", variance=False)
    np.testing.assert_array_equal(with_variance.eta, without.eta)
    assert without.variance is None


def test_a_parameter_held_at_its_estimate_costs_nothing(fit):
    for parameter in fit.named_parameters:
        if parameter.can_be_held:
            held = fit.hold(parameter)
            assert held.lowest == pytest.approx(fit.criterion, abs=1e-4)
            assert held.first_step > 0
            away = parameter.estimate + held.first_step
            assert held.minimum(away, held.start())[0] > held.lowest


def test_dispersions_are_parameters():
    fit = models_cache.fit("negative binomial")
    (dispersion,) = [p for p in fit.named_parameters if p.kind == "dispersion"]
    assert dispersion.estimate == fit.dispersion
    low, high = fit.confint().loc["dispersion"]
    assert low < fit.dispersion < high


def test_integrals_that_compare():
    assert models_cache.fit("no random term").likelihood_kind.integral == "exact"
    assert models_cache.fit("quadrature").likelihood_kind.integral.startswith("nagq=")
