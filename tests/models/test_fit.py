"""The tables and texts that every mixed fit has."""

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from tests import models_cache


@pytest.fixture(scope="module")
def fit():
    return ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))


def test_tables_hold_the_arrays(fit):
    assert fit.fixef.index.tolist() == ["(Intercept)", "Days"]
    np.testing.assert_array_equal(fit.fixef, fit.beta)
    np.testing.assert_array_equal(fit.vcov, fit.vcov_beta)
    np.testing.assert_allclose(fit.se**2, np.diag(fit.vcov_beta))
    assert fit.ranef["Subject"].shape == (18, 2)
    np.testing.assert_array_equal(fit.ranef["Subject"], fit.b[0])
    assert fit.ranef["Subject"].index.name == "Subject"
    assert fit.n_groups == {"Subject": 18}
    assert fit.dispersion == pytest.approx(fit.sigma**2)


def test_varcorr_says_what_covariances_say(fit):
    table = fit.varcorr
    assert table["group"].tolist() == ["Subject"] * 3 + ["Residual"]
    assert table["var1"].tolist() == ["(Intercept)", "Days", "(Intercept)", None]
    cov = fit.covariances[0]
    np.testing.assert_allclose(table["vcov"][:3], [cov[0, 0], cov[1, 1], cov[0, 1]])
    assert table["sdcor"][2] == pytest.approx(cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1]))
    assert table["sdcor"][3] == fit.sigma


def test_fitted_values_are_fixed_plus_random(fit):
    b = fit.b[0][fit.terms[0].index]
    by_hand = fit.X @ fit.beta + np.sum(fit.terms[0].Z * b, axis=1)
    np.testing.assert_allclose(fit.fitted, by_hand)
    np.testing.assert_allclose(fit.fitted + fit.resid, fit.y)


def test_information_criteria(fit):
    assert fit.aic == pytest.approx(fit.criterion + 12)
    assert fit.bic == pytest.approx(fit.criterion + 6 * np.log(180))
    assert fit.loglik == pytest.approx(-fit.criterion / 2)


def test_uncorrelated_terms_share_a_table():
    fit = ml.lmm("Reaction ~ Days + (Days || Subject)", ml.load("sleepstudy"))
    assert list(fit.ranef["Subject"].columns) == ["(Intercept)", "Days"]
    assert fit.varcorr["var2"].isna().all()


def test_a_zero_variance_has_no_correlation():
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(8), 6)
    frame = pd.DataFrame({"g": g, "x": np.tile(np.arange(6.0), 8)})
    noise = rng.normal(size=(8, 6))
    noise -= noise.mean(axis=1, keepdims=True)
    frame["y"] = frame["x"] + noise.ravel()
    fit = ml.lmm("y ~ x + (1 | g)", frame)
    assert fit.singular
    assert fit.varcorr["vcov"][0] == 0
    assert "Singular" in str(fit)


def test_summary_prints_and_shows(fit):
    text = str(fit)
    for part in ("Linear mixed model by REML", "Subject", "Days", "25.5", "1743.6"):
        assert part in text
    assert repr(fit) == text
    html = fit._repr_html_()
    assert "<table" in html
    assert "Linear mixed model" in html


def test_how_a_model_was_fitted_stands_first():
    printed = str(models_cache.fit("slopes ML").summary())
    assert printed.startswith("Linear mixed model by maximum likelihood\nFormula: Reaction ~ Days")
    assert "Rows: 180; groups: Subject 18, Subject 18" not in printed
    assert "-2 log-likelihood: " in printed


def test_what_is_wrong_stands_in_the_summary():
    assert "Singular: some combination" in str(models_cache.fit("singular").summary())
    assert "Singular" not in str(models_cache.fit("intercept").summary())


def test_the_random_part_is_varcorr():
    fit = models_cache.fit("nested")
    shown = fit.summary().tables["Random effects"]
    assert list(shown["variance"]) == list(fit.varcorr["vcov"])
    assert list(shown.index) == ["batch:cask", "batch", "Residual"]


def test_an_ar1_residual_is_noted():
    assert "Residual structure: phi" in str(models_cache.fit("ar1").summary())
    assert "Residual structure" not in str(
        ml.lmm("distance ~ age + (1 | Subject)", ml.load("orthodont")).summary()
    )
