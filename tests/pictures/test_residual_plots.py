"""Residuals are normal where the model is right, whatever its family."""

import numpy as np
import pytest
from scipy import stats

import mixedlab as ml
from mixedlab.errors import MixedlabError
from mixedlab.inference.explained import standardised_residuals
from mixedlab.inference.normal_residuals import quantile_residuals


def test_residual_panels(sleep):
    trend, normal, spread = ml.pictures.residual_panels(sleep)

    residual = standardised_residuals(sleep)
    np.testing.assert_allclose(trend.collections[0].get_offsets()[:, 1], residual)
    np.testing.assert_allclose(normal.collections[0].get_offsets()[:, 1], np.sort(residual))
    np.testing.assert_allclose(spread.collections[0].get_offsets()[:, 1], np.sqrt(np.abs(residual)))
    with pytest.raises(MixedlabError, match="three Axes"):
        ml.pictures.residual_panels(sleep, ax=[trend])


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


def test_panels_of_0_and_1_have_binned_residuals_within_their_bounds():
    fit = right_model("binary", 2)
    trend, normal, _ = ml.pictures.residual_panels(fit)
    assert trend.get_ylabel() == "Mean of y - fitted"
    assert normal.get_ylabel() == "Quantile residual"
    middle, mean = trend.collections[0].get_offsets().T
    order = np.argsort(fit.fitted_values, kind="stable")
    parts = np.array_split(order, len(middle))
    np.testing.assert_allclose(mean, [fit.residuals[p].mean() for p in parts])
    upper = trend.lines[0].get_ydata()
    assert np.mean(np.abs(mean) < upper) >= 0.8


def test_residuals_against_a_covariate():
    fit = right_model("poisson", 1)
    ax = ml.pictures.residuals(fit, fit.X[:, 1], label="x")
    np.testing.assert_array_equal(ax.collections[0].get_offsets()[:, 0], fit.X[:, 1])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x", "Quantile residual")
    with pytest.raises(MixedlabError, match="give a value for each of 320 rows"):
        ml.pictures.residuals(fit, [1.0, 2.0])


def test_hierarchical_fits_show_quantile_residuals():
    fit = ml.hglm(
        "y ~ base + (1 | subject)", ml.load("epil"), family="poisson", random_family="gamma"
    )
    panels = ml.pictures.residual_panels(fit)
    x, y = panels[0].collections[0].get_offsets().T
    np.testing.assert_allclose(x, fit.fitted)
    np.testing.assert_allclose(y, quantile_residuals(fit))
    assert panels[0].get_ylabel() == "Quantile residual"
