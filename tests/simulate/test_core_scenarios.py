"""Hospitals, cells, diary and fibre against their own theory."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize_scalar

import mixedlab as ml
from mixedlab.simulate import slope_covariance


def by_group(sim, column, size):
    return sim[column].reshape(-1, size)


@pytest.mark.parametrize(
    ("outcome", "column"), [("continuous", "stay"), ("binary", "infected"), ("count", "attacks")]
)
def test_hospitals_marginal_mean(outcome, column):
    sim = ml.simulate.hospitals(40_000, 2, slope=0.0, outcome=outcome, seed=3)
    means = by_group(sim, column, 2).mean(axis=1)
    error = means.std() / np.sqrt(means.size)
    assert abs(means.mean() - sim.truth["marginal_mean"]) < 4 * error


def test_hospitals_marginal_mean_of_a_logit_agrees_with_integration():
    truth = ml.simulate.hospitals(intercept=-2.0, sd_hospital=1.5).truth
    exact = stats.norm(-2.0, 1.5).expect(lambda e: 1 / (1 + np.exp(-e)))
    assert truth["marginal_mean"] == pytest.approx(exact, abs=1e-8)


def test_hospitals_are_wired_as_stated():
    sim = ml.simulate.hospitals(5, [1, 2, 3, 4, 5], outcome="continuous", sd_patient=0.0)
    assert np.bincount(sim["hospital"]).tolist() == [1, 2, 3, 4, 5]
    b = sim.truth["b"][sim["hospital"]]
    assert sim["stay"] == pytest.approx(-1.0 + 0.7 * sim["severity"] + b)
    assert ml.simulate.hospitals(outcome="binary", sd_hospital=1.0).truth["icc"] == pytest.approx(
        1 / (1 + np.pi**2 / 3)
    )


@pytest.mark.parametrize("icc", [0.0, 0.1, 0.6, 1.0])
def test_cells_variance_correlation_and_design_effect(icc):
    n, J = 5, 20_000
    sim = ml.simulate.cells(J, n, icc=icc, sd=2.0, seed=2)
    y = by_group(sim, "expression", n) - 5.0
    assert y.var() == pytest.approx(4.0, rel=0.05)
    pairs = np.mean(y[:, 0] * y[:, 1]) / 4.0
    assert pairs == pytest.approx(icc, abs=4 / np.sqrt(J))
    # Var of a mean of J n cells is sd^2 / (J n) times the design effect.
    inflation = y.mean(axis=1).var() * n / 4.0
    assert inflation == pytest.approx(sim.truth["design_effect"], rel=0.05)
    assert sim.truth["n_effective"] * sim.truth["design_effect"] == pytest.approx(J * n)


def test_cells_design_effect_of_the_text():
    assert ml.simulate.cells(10, 50, icc=0.1).truth["design_effect"] == pytest.approx(5.9)


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


def test_fibre_covariance_formula():
    sim = ml.simulate.fibre(30_000, 5, rho=-0.7, seed=3)
    y = by_group(sim, "glucose", 5)
    grams = np.linspace(0, 20, 5)
    expected = slope_covariance(sim.truth["cov"], grams, sim.truth["sd_error"])
    # The sd of a sample covariance is at most sqrt(2) times the product of the two sds.
    sd = np.sqrt(np.diag(expected))
    assert np.abs(np.cov(y.T) - expected).max() < 4 * np.sqrt(2 / 30_000) * sd.max() ** 2
    assert y.mean(axis=0) == pytest.approx(8.0 - 0.08 * grams, abs=0.05)


def test_fibre_moving_the_origin_changes_the_correlation_and_not_the_data():
    at_zero = ml.simulate.fibre(rho=-0.5)
    narrowest = at_zero.truth["narrowest"]
    moved = ml.simulate.fibre(rho=-0.5, origin=narrowest)
    assert narrowest == pytest.approx(0.5 * 0.8 / 0.08)
    assert np.array_equal(at_zero["glucose"], moved["glucose"])
    assert moved.truth["rho"] == pytest.approx(0.0, abs=1e-12)
    both = [
        slope_covariance(s.truth["cov"], s["x"][:8], s.truth["sd_error"]) for s in (at_zero, moved)
    ]
    assert both[0] == pytest.approx(both[1])
    assert moved["x"] + narrowest == pytest.approx(at_zero["x"])
