"""Pictures of residuals: the right kind for each family."""

import numpy as np
import pytest

import mixedlab as ml
from mixedlab.errors import MixedlabError
from mixedlab.inference.explained import standardised_residuals
from mixedlab.inference.normal_residuals import quantile_residuals
from tests.inference.test_normal_residuals import right_model


def test_residual_panels(sleep):
    trend, normal, spread = ml.pictures.residual_panels(sleep)

    residual = standardised_residuals(sleep)
    np.testing.assert_allclose(trend.collections[0].get_offsets()[:, 1], residual)
    np.testing.assert_allclose(normal.collections[0].get_offsets()[:, 1], np.sort(residual))
    np.testing.assert_allclose(spread.collections[0].get_offsets()[:, 1], np.sqrt(np.abs(residual)))
    with pytest.raises(MixedlabError, match="three Axes"):
        ml.pictures.residual_panels(sleep, ax=[trend])


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


def test_medians_stand_at_each_value_of_a_covariate_with_few():
    fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    ax = ml.pictures.residuals(fit, fit.X[:, 1], label="Days")
    (line,) = [line for line in ax.lines if line.get_label() == "median at each value"]
    np.testing.assert_array_equal(line.get_xdata(), np.arange(10))
    first = standardised_residuals(fit)[fit.X[:, 1] == 0]
    assert line.get_ydata()[0] == np.median(first)


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
