"""Residuals are normal where the model is right, whatever its family."""

import numpy as np
import pytest
from scipy import stats

import mixedlab as ml
from mixedlab.inference.explained import pearson_residuals, standardised_residuals
from mixedlab.inference.normal_residuals import normal_residuals, quantile_residuals

FAMILIES = ("poisson", "binary", "trials", "gamma", "negative_binomial")


def right_model(family, seed):
    """A model of the family that drew the data: 40 groups of 8 rows."""
    rng = np.random.default_rng(seed)
    g, x = np.repeat(np.arange(40), 8), rng.normal(size=320)
    eta = 0.3 + 0.5 * x + rng.normal(0, 0.7, 40)[g]
    mean, chance = np.exp(eta), 1 / (1 + np.exp(-eta))
    table = {"g": g, "x": x, "n": np.full(320, 6)}
    drawn = {
        "poisson": lambda: rng.poisson(mean),
        "binary": lambda: rng.random(320) < chance,
        "trials": lambda: rng.binomial(6, chance) / 6,
        "gamma": lambda: rng.gamma(3.0, mean / 3),
        "negative_binomial": lambda: rng.negative_binomial(2, 2 / (2 + mean)),
    }[family]()
    kind = {"binary": "binomial", "trials": "binomial"}.get(family, family)
    return ml.glmm(
        "y ~ x + (1 | g)",
        table | {"y": drawn},
        family=kind,
        link="log" if family == "gamma" else None,
        weights="n" if family == "trials" else None,
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_quantile_residuals_of_a_right_model_are_normal(family):
    residual = np.concatenate([quantile_residuals(right_model(family, s)) for s in range(4)])
    assert stats.kstest(residual, "norm").pvalue > 0.005
    assert residual.std() == pytest.approx(1.0, abs=0.06)


def test_quantile_residuals_show_what_is_wrong():
    rng = np.random.default_rng(1)
    g, x = np.repeat(np.arange(40), 8), rng.normal(size=320)
    y = rng.poisson(np.exp(1 + 0.3 * x) * rng.gamma(0.5, 2.0, 320))
    fit = ml.glmm("y ~ x + (1 | g)", {"y": y, "x": x, "g": g}, family="poisson")
    assert quantile_residuals(fit).std() > 1.5


def test_a_seed_gives_the_same_residuals():
    fit = right_model("poisson", 0)
    np.testing.assert_array_equal(quantile_residuals(fit, 3), quantile_residuals(fit, 3))
    assert np.abs(quantile_residuals(fit, 3) - quantile_residuals(fit, 4)).max() > 0.1


def test_each_model_has_its_own_kind():
    sleep = ml.load("sleepstudy")
    linear = ml.lmm("Reaction ~ Days + (Days | Subject)", sleep)
    residual, what = normal_residuals(linear)
    assert what == "Standardised residual"
    np.testing.assert_array_equal(residual, standardised_residuals(linear))
    hierarchical = ml.hglm("Reaction ~ Days + (1 | Subject)", sleep, family="gaussian")
    residual, what = normal_residuals(hierarchical)
    assert what == "Pearson residual"
    np.testing.assert_array_equal(residual, pearson_residuals(hierarchical))


def test_of_many_rows_some_are_drawn():
    fit = right_model("poisson", 0)
    some = quantile_residuals(fit, at_most=50)
    assert np.isfinite(some).sum() == 50
    assert np.isfinite(some[[0, -1]]).all()
