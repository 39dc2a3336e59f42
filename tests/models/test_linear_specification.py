"""A model before its fit: where its criterion is least."""

from dataclasses import replace

import numpy as np
import pytest

import mixedlab as ml
from tests import models_cache


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
