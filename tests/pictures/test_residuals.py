"""Residual panels show standardised residuals."""

import matplotlib
import numpy as np
import pytest

import mixedlab as ml
from mixedlab.errors import MixedlabError
from mixedlab.inference.explained import standardised_residuals

matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def sleep():
    return ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))


def test_residual_panels(sleep):
    trend, normal, spread = ml.pictures.residual_panels(sleep)

    residual = standardised_residuals(sleep)
    np.testing.assert_allclose(trend.collections[0].get_offsets()[:, 1], residual)
    np.testing.assert_allclose(normal.collections[0].get_offsets()[:, 1], np.sort(residual))
    np.testing.assert_allclose(spread.collections[0].get_offsets()[:, 1], np.sqrt(np.abs(residual)))
    glmm = ml.glmm("incidence / size ~ period + (1 | herd)", ml.load("cbpp"), weights="size")
    assert "Pearson" in ml.pictures.residual_panels(glmm)[0].get_ylabel()
    with pytest.raises(MixedlabError, match="three Axes"):
        ml.pictures.residual_panels(sleep, ax=[trend])


def test_hierarchical_fits_show_pearson_residuals():
    fit = ml.hglm(
        "y ~ base + (1 | subject)", ml.load("epil"), family="poisson", random_family="gamma"
    )
    panels = ml.pictures.residual_panels(fit)
    x, y = panels[0].collections[0].get_offsets().T
    np.testing.assert_allclose(x, fit.fitted)
    np.testing.assert_allclose(y, (fit.y - fit.fitted) / np.sqrt(fit.fitted))
    assert panels[0].get_ylabel() == "Pearson residual"
