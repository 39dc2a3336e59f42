"""The deviance with a parameter held: exact gradients, and limits that are other models."""

import numpy as np
import pytest

import mixedlab as ml
from mixedlab.models.linear_held import VarianceHeld


@pytest.fixture(scope="module")
def sleep():
    return ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"), reml=False)


@pytest.mark.parametrize(
    "formula",
    [
        "Reaction ~ Days + (Days | Subject)",
        "Reaction ~ Days + (Days || Subject)",
        "Reaction ~ Days + (Days + I(Days**2) | Subject)",
    ],
)
def test_gradient_of_the_deviance_with_a_parameter_held(formula):
    fit = ml.lmm(formula, ml.load("sleepstudy"), reml=False)
    rng = np.random.default_rng(0)
    for parameter in fit.named_parameters:
        if parameter.kind == "beta":
            continue
        deviance = VarianceHeld(fit, fit.problem, parameter).deviance
        free = VarianceHeld(fit, fit.problem, parameter).start()
        free = free + 0.1 * rng.normal(size=free.size)
        value = 0.8 * parameter.estimate
        _, gradient = deviance(value, free)
        step = 1e-5 * np.eye(free.size)
        expected = [
            (deviance(value, free + e)[0] - deviance(value, free - e)[0]) / 2e-5 for e in step
        ]
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("k", [0, 1])
def test_a_coefficient_held_is_an_offset(sleep, k):
    """The deviance with beta_k held is that of the model with its column moved to the offset."""
    parameter = sleep.named_parameters[-2 + k]
    value = sleep.beta[k] + 1.3 * sleep.se.iloc[k]
    deviance = sleep.hold(parameter).minimum(value, sleep.hold(parameter).start())[0]
    table = ml.load("sleepstudy")
    offset = value * sleep.X[:, k]
    rest = "0 + Days" if k == 0 else "1"
    refit = ml.lmm(f"Reaction ~ {rest} + (Days | Subject)", table, reml=False, offset=offset)
    assert deviance == pytest.approx(refit.criterion, rel=1e-9)


def test_an_sd_held_at_zero_is_the_model_without_it(sleep):
    parameter = sleep.named_parameters[2]
    start = sleep.hold(parameter).start()
    deviance = sleep.hold(parameter).minimum(0.0, start)[0]
    without = ml.lmm("Reaction ~ Days + (1 | Subject)", ml.load("sleepstudy"), reml=False)
    assert deviance == pytest.approx(without.criterion, rel=1e-9)


def test_a_correlation_held_at_zero_is_the_uncorrelated_model(sleep):
    parameter = sleep.named_parameters[1]
    deviance = sleep.hold(parameter).minimum(0.0, sleep.hold(parameter).start())[0]
    without = ml.lmm("Reaction ~ Days + (Days || Subject)", ml.load("sleepstudy"), reml=False)
    assert deviance == pytest.approx(without.criterion, rel=1e-9)


def test_a_coefficient_held_at_its_estimate_costs_nothing():
    fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"), reml=False)
    held = fit.hold(fit.named_parameters[-1])
    deviance, theta = held.minimum(fit.beta[1], held.start())
    assert deviance == pytest.approx(fit.criterion, abs=1e-8)
    np.testing.assert_allclose(theta, fit.optimum, atol=1e-4)
    without = ml.lmm("Reaction ~ 1 + (Days | Subject)", ml.load("sleepstudy"), reml=False)
    assert held.minimum(0.0, held.start())[0] == pytest.approx(without.criterion, abs=1e-7)
