"""The models that take overdispersion up."""

import numpy as np
import pytest

import mixedlab as ml
from mixedlab.errors import DataError

TICKS = "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | LOCATION)"


def test_counts_by_three_models():
    models = ml.overdispersion_models(TICKS, ml.load("grouseticks"))
    assert list(models.index) == ["poisson", "poisson + observation effect", "negative_binomial"]
    plain = models.attrs["fits"]["poisson"]
    over = ml.overdispersion(plain)
    assert over == plain.overdispersion()
    assert over.df == 403 - 6
    assert over.statistic == pytest.approx(np.sum((plain.y - plain.fitted) ** 2 / plain.fitted))
    assert over.ratio > 1.5
    assert over.p_value < 1e-10
    # lme4's log-likelihood of the model with an effect for every row
    assert models.loc["poisson + observation effect", "loglik"] == pytest.approx(-890.271, abs=2e-3)
    assert models.loc["poisson + observation effect", "extra"] == pytest.approx(0.5415, abs=1e-3)
    assert models["aic"].idxmin() == "negative_binomial"
    # the coefficients move little, their standard errors grow
    assert models.loc["negative_binomial", "se:cHEIGHT"] > models.loc["poisson", "se:cHEIGHT"]


def test_proportions_by_three_models():
    models = ml.overdispersion_models(
        "cbind(r, n - r) ~ seed * extract", ml.load("seeds"), family="binomial"
    )
    assert list(models.index) == ["binomial", "binomial + observation effect", "beta_binomial"]
    # glmmTMB's beta-binomial and normal-binomial fits of the same data
    assert models.loc["beta_binomial", "loglik"] == pytest.approx(-53.76677, abs=1e-4)
    assert models.loc["beta_binomial", "extra"] == pytest.approx(79.9, abs=0.1)
    effect = models.loc["binomial + observation effect"]
    assert effect["loglik"] == pytest.approx(-53.76957, abs=1e-4)
    assert effect["extra"] == pytest.approx(0.23458, abs=1e-4)


def test_families_without_a_wider_one_are_refused():
    with pytest.raises(DataError, match="'poisson' or 'binomial'"):
        ml.overdispersion_models(TICKS, ml.load("grouseticks"), family="gamma")
