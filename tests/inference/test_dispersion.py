"""Overdispersion: Pearson's statistic."""

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml


def test_statistic_is_the_sum_of_squared_pearson_residuals():
    fit = ml.glmm("TICKS ~ cHEIGHT + (1 | BROOD)", ml.load("grouseticks"), family="poisson")
    over = ml.overdispersion(fit)
    assert over == fit.overdispersion()
    assert over.statistic == pytest.approx(np.sum((fit.y - fit.fitted) ** 2 / fit.fitted))
    assert over.ratio == over.statistic / over.df


def test_data_without_overdispersion_show_none():
    rng = np.random.default_rng(5)
    df = pd.DataFrame({"g": np.repeat(np.arange(30), 20), "x": rng.normal(size=600)})
    df["y"] = rng.poisson(np.exp(2 + 0.2 * df["x"] + 0.3 * rng.normal(size=30)[df["g"]]))
    over = ml.overdispersion(ml.glmm("y ~ x + (1 | g)", df, family="poisson"))
    assert 0.8 < over.ratio < 1.2
    assert over.p_value > 0.01
