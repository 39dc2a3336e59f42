"""The stress diary against their own theory."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import mixedlab as ml
from tests.simulate.pairs import by_group


def test_diary_regressions_end_where_the_truth_says():
    n = 6
    sim = ml.simulate.diary(20_000, n, sd_means=1.3, sd_moments=0.8, seed=7)
    x, y = by_group(sim, "support", n), by_group(sim, "stress", n)
    mx, my = x.mean(axis=1), y.mean(axis=1)
    within = np.sum((x - mx[:, None]) * (y - my[:, None])) / np.sum((x - mx[:, None]) ** 2)
    aggregated = np.cov(mx, my)[0, 1] / mx.var(ddof=1)
    pooled = np.cov(x.ravel(), y.ravel())[0, 1] / x.var(ddof=1)
    assert within == pytest.approx(sim.truth["within"], abs=0.02)
    assert aggregated == pytest.approx(sim.truth["slope_aggregated"], abs=0.02)
    assert pooled == pytest.approx(sim.truth["slope_pooled"], abs=0.02)


def test_diary_slope_of_the_random_intercept_model():
    n = 6
    sim = ml.simulate.diary(4_000, n, sd_means=1.3, sd_moments=0.8, seed=7)
    x, y = by_group(sim, "support", n), by_group(sim, "stress", n)
    dev = [v - v.mean(axis=1, keepdims=True) for v in (x, y)]
    mean = [v.mean(axis=1) - v.mean() for v in (x, y)]

    def slope_and_deviance(ratio):  # of the persons' variance to the residual one
        w = 1 / (1 + n * ratio)
        cross = [np.sum(dev[i] * dev[j]) + n * w * np.sum(mean[i] * mean[j])
                 for i, j in ((0, 0), (0, 1), (1, 1))]  # fmt: skip
        slope = cross[1] / cross[0]
        rss = cross[2] - slope * cross[1]
        return slope, x.size * np.log(rss) + len(x) * np.log(1 + n * ratio)

    best = minimize_scalar(lambda t: slope_and_deviance(np.exp(t))[1], bounds=(-5, 5)).x
    slope = slope_and_deviance(np.exp(best))[0]
    assert slope == pytest.approx(sim.truth["slope_random_intercept"], abs=0.02)
    assert sim.truth["within"] < slope < sim.truth["between"]


def test_diary_slopes_agree_where_there_is_no_difference():
    truth = ml.simulate.diary(within=0.3, between=0.3).truth
    for name in ("slope_pooled", "slope_aggregated", "slope_random_intercept"):
        assert truth[name] == pytest.approx(0.3)
