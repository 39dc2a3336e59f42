"""Overdispersion and zeros: calibrated on right models, sure of wrong ones."""

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.diagnosis import variation
from mixedlab.diagnosis.finding import NotChecked
from tests.diagnosis.tables import HARD, ordinary


def counts(seed, J, n, mean):
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(J), n)
    y = rng.poisson(mean * np.exp(rng.normal(0, 0.7, J)[g]))
    return ml.glmm("y ~ 1 + (1 | g)", pd.DataFrame({"g": g, "y": y}), family="poisson")


@pytest.mark.parametrize(("J", "n", "mean"), [(40, 8, 5.0), (150, 2, 1.0), (60, 5, 0.3)])
def test_the_discrepancy_has_mean_n(J, n, mean):
    """Few rows a group: residuals about shrunken means alone would be too small."""
    ratios = []
    for seed in range(12):
        fit = counts(seed, J, n, mean)
        eta, share = variation._likely_predictors(fit)
        mu = np.exp(eta)
        ratios.append(np.sum(share * (fit.y[:, None] - mu) ** 2 / mu) / fit.n_obs)
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.1)


def test_the_ratio_of_a_gamma_mixture_is_told():
    (finding,) = variation.overdispersion(HARD["counts vary too much"][1]())
    assert "times as much as the poisson family allows" in finding.text
    assert "family='negative_binomial'" in finding.remedy


def test_what_has_a_dispersion_is_not_asked():
    fit = HARD["counts vary too much"][1]()
    table = {"n": fit.y, "x": fit.X[:, 1], "g": fit.terms[0].index}
    wider = ml.glmm("n ~ x + (1 | g)", table, family="negative_binomial")
    with pytest.raises(NotChecked):
        variation.overdispersion(wider)
    assert variation.zeros(wider) == []
    with pytest.raises(NotChecked):
        variation.overdispersion(ordinary(1))  # single 0/1 responses


def test_zeros_are_counted():
    fit = HARD["zeros besides the counts"][1]()
    (finding,) = variation.zeros(fit)
    assert finding.text.startswith(f"{int(np.sum(fit.y == 0))} of {fit.n_obs} counts are 0")
