"""The deviance of a generalised fit with a parameter held."""

import numpy as np
import pytest

import mixedlab as ml
from mixedlab.models.generalized_held import coefficients_first


def test_a_parameter_held_at_its_estimate_costs_nothing():
    fit = ml.glmm("use ~ age + urban + (urban | district)", ml.load("contraception"))
    for parameter in fit.named_parameters:
        if parameter.can_be_held:
            held = fit.hold(parameter)
            assert held.lowest == pytest.approx(fit.criterion, abs=1e-4)
            assert held.first_step > 0
            away = parameter.estimate + held.first_step
            assert held.minimum(away, held.start())[0] > held.lowest


def test_a_coefficient_can_be_put_first():
    table = ml.load("contraception")
    slopes = ml.glmm("use ~ age + (age | district)", table)
    problem, parameters = coefficients_first(slopes, 0, [1])
    assert problem.at(parameters).loglik == pytest.approx(slopes.loglik, abs=1e-6)
    sd = np.sqrt(slopes.covariances[0][1, 1])
    assert parameters[0] == pytest.approx(sd)
