"""A linear model before its fit, and its fit asked about other parameters and fitted again."""

from dataclasses import replace

import numpy as np
import pytest

import mixedlab as ml
from tests import models_cache


def test_criterion_at_other_parameters():
    fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    assert fit.deviance(fit.theta) == pytest.approx(fit.criterion, abs=1e-8)
    assert fit.deviance(fit.theta, fit.sigma) == pytest.approx(fit.criterion, abs=1e-8)
    assert fit.deviance(fit.theta, 1.1 * fit.sigma) > fit.criterion + 0.1
    for times in (1.0, 2.0):
        vcov = fit.problem.vcov_of(fit.evaluate(fit.theta, times * fit.sigma))
        np.testing.assert_allclose(vcov, times**2 * fit.vcov_beta, rtol=1e-8)


def test_refit_is_a_new_fit_of_the_response():
    data = ml.load("sleepstudy")
    fit = ml.lmm("Reaction ~ Days + (Days | Subject)", data)
    y = fit.y[::-1].copy()
    again = fit.refit(y)
    fresh = ml.lmm("Reaction ~ Days + (Days | Subject)", data.assign(Reaction=y))
    assert again.criterion == pytest.approx(fresh.criterion, abs=1e-8)
    np.testing.assert_allclose(again.theta, fresh.theta, rtol=1e-3)
    assert again.formula == fit.formula
    assert again.reml == fit.reml


def test_curvature_in_theta_is_that_of_the_criterion():
    fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    h = 1e-4 * np.diag(np.maximum(np.abs(fit.theta), 0.1))
    found = fit.curvature_in_theta()
    for a in range(3):
        for b in range(3):
            ends = [
                fit.deviance(fit.theta + s * h[a] + t * h[b]) * s * t
                for s in (1, -1)
                for t in (1, -1)
            ]
            expected = sum(ends) / (4 * h[a, a] * h[b, b])
            assert found[a, b] == pytest.approx(expected, rel=1e-3, abs=1e-2)


def test_maximum_likelihood_of_a_reml_fit_keeps_its_table():
    fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    other = fit.by_maximum_likelihood()
    assert not other.reml
    assert other.by_maximum_likelihood() is other
    assert other.formula == fit.formula
    np.testing.assert_allclose(other.predict(ml.load("sleepstudy")), other.fitted)


def test_the_optimum_is_the_fit_s():
    fit = models_cache.fit("slopes")
    optimum = fit.specification.minimise()
    assert optimum.found.at.value == pytest.approx(fit.criterion, abs=1e-8)
    np.testing.assert_array_equal(optimum.found.x, fit.optimum)
    near = fit.specification.minimise(fit.theta)
    assert near.found.n_evaluations <= optimum.found.n_evaluations
    assert near.found.at.value == pytest.approx(fit.criterion, abs=1e-8)


def test_another_response_shares_what_does_not_depend_on_it():
    fit = models_cache.fit("slopes")
    other = replace(fit.specification, y=2.0 * fit.y)
    again = other.minimise_from(fit.problem, fit.optimum)
    np.testing.assert_allclose(again.found.x, fit.optimum, atol=1e-6)
    assert again.problem.y_scale == pytest.approx(2.0 * fit.problem.y_scale)


def test_parameters_of_a_residual_structure_are_at_their_best():
    fit = ml.lmm("Reaction ~ Days + (1 | Subject)", ml.load("sleepstudy"), residual="ar1(Days)")
    model, phi = fit.specification, fit.residual_phi
    here = model.problem(phi).minimise().at.value
    for step in (-0.05, 0.05):
        assert model.problem(phi + step).minimise().at.value > here
