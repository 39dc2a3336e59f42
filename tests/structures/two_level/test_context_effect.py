import json

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

import mixedlab as ml
from mixedlab.structures.two_level.likelihood import ClusterSums, Moments
from tests import paths

REFERENCE = json.loads((paths.REFERENCE / "twolevel_sem.json").read_text())


@pytest.fixture(scope="module")
def fit():
    return ml.latent_context("y", "x", "class", ml.load("classrooms"))


def test_slopes_of_the_reference_at_a_higher_likelihood(fit):
    known = REFERENCE["latent_context"]
    by_label = {row["label"]: row for row in known["estimates"] if row["label"]}
    for mine, label in ((fit.within, "bw"), (fit.between, "bb"), (fit.context, "context")):
        assert mine == pytest.approx(by_label[label]["est"], abs=1e-2 * by_label[label]["se"])
    assert fit.se["within"] == pytest.approx(by_label["bw"]["se"], rel=1e-3)
    # The reference holds mean and variances of x at a first estimate; here they are estimated
    # with the rest: the likelihood is 0.0026 higher, and the errors count their uncertainty.
    assert fit.loglik == pytest.approx(known["loglik"], abs=0.005)
    assert fit.loglik > known["loglik"] + 0.002
    assert fit.se["between"] == pytest.approx(0.1268, abs=1e-3)
    assert fit.se["between"] > by_label["bb"]["se"]


def test_manifest_means_are_the_random_intercept_model(fit):
    known = REFERENCE["latent_context"]["manifest_mean_lmm_ml"]
    assert fit.manifest["within"] == pytest.approx(known["xd"], rel=1e-6)
    assert fit.manifest["between"] == pytest.approx(known["xm"], rel=1e-6)
    # The manifest slope between is pulled towards the one within, about as the theory says.
    pulled = fit.within + fit.context * fit.reliability
    assert pulled == pytest.approx(fit.manifest["between"], abs=0.05)


def simulate(rng, J=120, low=4, high=8, within=0.3, between=1.1):
    size = rng.integers(low, high + 1, J)
    g = np.repeat(np.arange(J), size)
    mean = rng.normal(0, 0.6, J)[g]
    deviation = rng.normal(size=g.size)
    y = 1 + within * deviation + between * mean + rng.normal(0, 0.4, J)[g] + rng.normal(size=g.size)
    return pd.DataFrame({"x": mean + deviation, "y": y, "g": g})


def test_errors_are_those_of_repeated_samples():
    rng = np.random.default_rng(0)
    fits = [ml.latent_context("y", "x", "g", simulate(rng)) for _ in range(60)]
    slopes = np.array([f.coef for f in fits])
    sds, errors = slopes.std(axis=0, ddof=1), np.median([f.se for f in fits], axis=0)
    np.testing.assert_allclose(errors / sds, 1.0, atol=0.35)  # an sd of 60 is known to 9 %
    z = (slopes.mean(axis=0) - [0.3, 1.1, 0.8]) / (sds / np.sqrt(60))
    assert (np.abs(z) < 4).all()
    manifest = np.mean([f.manifest["between"] for f in fits])
    assert manifest < 0.95


def test_large_groups_make_latent_and_manifest_one():
    data = simulate(np.random.default_rng(1), J=60, low=200, high=200)
    fit = ml.latent_context("y", "x", "g", data)
    assert fit.reliability > 0.98
    assert fit.between == pytest.approx(fit.manifest["between"], abs=0.03)


def test_units_only_rescale(fit):
    data = ml.load("classrooms")
    other = ml.latent_context("y", "x", "class", data.assign(x=1e3 * data["x"], y=data["y"] + 1e4))
    np.testing.assert_allclose(1e3 * other.coef, fit.coef, rtol=1e-4)
    np.testing.assert_allclose(1e3 * other.se, fit.se, rtol=1e-3)


def test_means_that_differ_no_more_than_chance_have_no_slope():
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(30), 6)
    x = rng.normal(size=180)
    x = x - 0.95 * (np.bincount(g, x) / 6)[g]
    data = pd.DataFrame({"x": x, "y": 0.5 * x + rng.normal(size=180), "g": g})
    fit = ml.latent_context("y", "x", "g", data)
    assert np.isnan(fit.between)
    assert np.isnan(fit.context)
    assert fit.within == pytest.approx(0.5, abs=0.3)
    assert np.isfinite(fit.se["within"])
    assert fit.singular
    assert "differ no more than chance" in str(fit)


def test_reports(fit):
    text = str(fit)
    assert "715 rows in 120 groups" in text
    assert "manifest" in text
    half = fit.confint().diff(axis=1)["upper"] / 2
    np.testing.assert_allclose(half, 1.959963984540054 * fit.se)
    with pytest.raises(ValueError, match="no column 'z'"):
        ml.latent_context("y", "z", "class", ml.load("classrooms"))


@pytest.mark.parametrize("seed", range(6))
def test_no_other_start_leads_higher_where_group_means_hardly_differ(seed):
    """A variance of 0 between groups is a false peak for some slopes."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(40), rng.integers(2, 9, 40))
    x = 0.1 * rng.normal(size=40)[g] + rng.normal(size=g.size)
    y = 0.3 * x + 0.4 * rng.normal(size=40)[g] + rng.normal(size=g.size)
    fit = ml.latent_context("y", "x", "g", pd.DataFrame({"x": x, "y": y, "g": g}))
    sums = ClusterSums(np.column_stack([x, y]), g, np.empty((g.size, 0)), np.empty((40, 0)))

    def minus_loglik(free):
        W, B = np.zeros((2, 2, 2))
        W[np.tril_indices(2)], B[np.tril_indices(2)] = free[:3], free[3:6]
        none = np.empty((2, 0))
        moments = Moments(W @ W.T, B @ B.T, free[6:], none, none)
        return min(0.5 * sums.minus_two_loglik(moments)[0], 1e10)

    between = ([0.3, 0.3, 0.3], [1, -1, 0.1], [0.01, 0.4, 0.4])
    starts = [np.array([1, 0.3, 1, *root, 0, 0]) for root in between]
    best = min(minimize(minus_loglik, start, method="BFGS").fun for start in starts)
    assert fit.loglik >= -best - 1e-3
