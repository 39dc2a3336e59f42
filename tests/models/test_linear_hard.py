"""Data on which a fit of a linear mixed model may go wrong, one a test."""

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError
from mixedlab.models.linear import fit_linear


def simulated(group, x=None, sd=(1.0,), sigma=1.0, seed=0):
    """Response with an intercept (and a slope) that vary over one or several factors."""
    rng = np.random.default_rng(seed)
    groups = group if isinstance(group, list) else [group]
    n = groups[0].size
    x = rng.normal(size=n) if x is None else x
    y = 1 + 0.5 * x + sigma * rng.normal(size=n)
    for g in groups:
        for k, s in enumerate(sd):
            y += s * rng.normal(size=g.max() + 1)[g] * (x if k else 1)
    return y, np.column_stack([np.ones(n), x])


def test_a_variance_estimated_as_zero():
    fit = ml.lmm("Yield ~ 1 + (1 | Batch)", ml.load("dyestuff2"))
    assert fit.singular
    assert fit.theta[0] == 0
    assert fit.covariances[0][0, 0] == 0
    np.testing.assert_array_equal(fit.b[0], 0)
    np.testing.assert_array_equal(fit.ranef_sd["Batch"], 0)
    assert fit.sigma == pytest.approx(fit.y.std(ddof=1))


def test_correlation_of_one():
    """A true correlation of 1 is estimated as exactly 1 in about half of the samples."""
    singular = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        g = np.repeat(np.arange(10), 8)
        x = np.tile(np.arange(8.0), 10)
        b = rng.normal(size=10)[g]
        y = 1 + x + 3 * b + 2 * b * x + rng.normal(size=80)
        X = np.column_stack([np.ones(80), x])
        fit = fit_linear(y, X, [RandomTerm.from_arrays(g, X)])
        correlation = fit.varcorr["sdcor"][2]
        assert fit.converged
        assert fit.singular == (abs(correlation - 1) < 1e-9)
        assert correlation > 0.9
        singular += fit.singular
    assert 2 <= singular <= 10


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize(
    ("y_unit", "x_unit", "x_origin"), [(1e6, 1e-6, 0), (1e-9, 1e7, 0), (1, 1, 2000), (1e4, 1e-3, 7)]
)
def test_units_and_origins_lose_nothing(reml, y_unit, x_unit, x_origin):
    data = ml.load("sleepstudy")
    plain = ml.lmm("Reaction ~ Days + (Days | Subject)", data, reml=reml)
    moved = data.assign(Reaction=data["Reaction"] * y_unit, Days=(data["Days"] + x_origin) * x_unit)
    fit = ml.lmm("Reaction ~ Days + (Days | Subject)", moved, reml=reml)
    nu = 180 - 2 * reml
    logdet = 2 * np.log(x_unit) if reml else 0.0  # of X'V^-1 X
    expected = plain.criterion + 2 * nu * np.log(y_unit) + logdet
    assert fit.criterion == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(fit.sigma, plain.sigma * y_unit, rtol=1e-6)
    np.testing.assert_allclose(fit.fitted, plain.fitted * y_unit, rtol=1e-6)
    slope = plain.beta[1] * y_unit / x_unit
    assert fit.beta[1] == pytest.approx(slope, rel=1e-8)
    assert fit.beta[0] == pytest.approx(plain.beta[0] * y_unit - slope * x_origin * x_unit)
    sd = plain.varcorr["sdcor"][1] * y_unit / x_unit
    assert fit.varcorr["sdcor"][1] == pytest.approx(sd, rel=1e-4)


@pytest.mark.parametrize("start", [0.0, 1e-12, 1e-6, 1e3])
def test_a_start_near_the_saddle_or_far_away(start):
    data = ml.load("sleepstudy")
    X = np.column_stack([np.ones(180), data["Days"]])
    term = RandomTerm.from_arrays(data["Subject"].astype(str), X)
    fit = fit_linear(data["Reaction"], X, [term], start=[start, 0.0, start])
    assert fit.criterion == pytest.approx(1743.62827195849, abs=1e-7)


def test_two_groups():
    g = np.repeat([0, 1], 20)
    y, X = simulated(g, sd=(2.0,), seed=1)
    fit = fit_linear(y, X, [RandomTerm.from_arrays(g)])
    assert fit.converged
    ml_fit = fit_linear(y, X, [RandomTerm.from_arrays(g)], reml=False)
    # With two groups maximum likelihood halves the between-group sum of squares, REML does not.
    assert ml_fit.covariances[0][0, 0] < 0.6 * fit.covariances[0][0, 0]


def test_one_row_in_most_groups():
    g = np.concatenate([np.arange(150), np.repeat(np.arange(5), 4)])
    y, X = simulated(g, sd=(1.5,), seed=3)
    fit = fit_linear(y, X, [RandomTerm.from_arrays(g)])
    assert fit.converged
    for theta in (0.5 * fit.theta, 2 * fit.theta):
        assert fit.deviance(theta) > fit.criterion


@pytest.mark.parametrize("noise", [1e-3, 1e-6, 1e-9])
def test_residual_standard_deviation_close_to_zero(noise):
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(12), 6)
    y, X = simulated(g, sd=(1.0,), sigma=0.0, seed=2)
    e = rng.normal(size=72)
    fit = fit_linear(y + noise * e, X, [RandomTerm.from_arrays(g)])
    assert fit.converged
    assert fit.sigma == pytest.approx(noise, rel=0.3)
    # The within-group regression has the noise to itself.
    within = e - np.bincount(g, e)[g] / 6
    x = X[:, 1] - np.bincount(g, X[:, 1])[g] / 6
    within -= x * (x @ within) / (x @ x)
    assert fit.sigma == pytest.approx(noise * np.sqrt(within @ within / (72 - 12 - 1)), rel=1e-4)


def test_crossed_fit_with_little_noise():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 10, 200), rng.integers(0, 8, 200)
    y, X = simulated([a, b], sigma=0.0, seed=2)
    terms = [RandomTerm.from_arrays(a, group="a"), RandomTerm.from_arrays(b, group="b")]
    fit = fit_linear(y + 1e-3 * rng.normal(size=200), X, terms)
    assert fit.sigma == pytest.approx(1e-3, rel=0.2)


def test_no_noise_at_all_is_refused():
    g = np.repeat(np.arange(12), 6)
    y, X = simulated(g, sigma=0.0)
    with pytest.raises(DataError, match="residual variance is zero"):
        fit_linear(y, X, [RandomTerm.from_arrays(g)])


def test_aliased_columns_do_not_count():
    data = ml.load("sleepstudy").assign(Hours=lambda d: 24 * d["Days"], One=7.0)
    plain = ml.lmm("Reaction ~ Days + (Days | Subject)", data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = ml.lmm("Reaction ~ Days + Hours + One + (Days | Subject)", data)
    assert set(fit.design.aliased) == {"Hours", "One"}
    assert list(fit.fixef.index) == ["(Intercept)", "Days"]
    assert fit.criterion == pytest.approx(plain.criterion)
    assert fit.n_params == plain.n_params
    assert fit.sigma == pytest.approx(plain.sigma)


def test_ten_thousand_levels_with_one_or_two_rows():
    rng = np.random.default_rng(0)
    g = np.concatenate([np.arange(10_000), rng.choice(10_000, 5_000, replace=False)])
    y, X = simulated(g, sd=(0.8,), seed=4)
    fit = fit_linear(y, X, [RandomTerm.from_arrays(g)])
    assert fit.converged
    assert np.sqrt(fit.covariances[0][0, 0]) == pytest.approx(0.8, abs=0.05)
    assert fit.sigma == pytest.approx(1.0, abs=0.05)


def test_slopes_where_most_groups_have_one_or_two_rows():
    rng = np.random.default_rng(0)
    g = np.concatenate([np.arange(600), rng.choice(600, 500), np.repeat(np.arange(20), 5)])
    y, X = simulated(g, sd=(0.8, 0.6), seed=4)
    fit = fit_linear(y, X, [RandomTerm.from_arrays(g, X)])
    assert fit.converged
    gradient = fit.evaluation.gradient
    assert np.abs(gradient).max() < 1e-2


def test_strongly_unbalanced_crossing():
    rng = np.random.default_rng(1)
    a = np.minimum(rng.geometric(0.05, 3_000) - 1, 79)
    b = np.minimum(rng.geometric(0.02, 3_000) - 1, 199)
    a, b = (np.unique(x, return_inverse=True)[1] for x in (a, b))
    y, X = simulated([a, b], sd=(1.0,), seed=5)
    terms = [RandomTerm.from_arrays(a, group="a"), RandomTerm.from_arrays(b, group="b")]
    fit = fit_linear(y, X, terms)
    assert fit.converged
    assert np.abs(fit.evaluation.gradient).max() < 1e-2
    for cov in fit.covariances:
        assert np.sqrt(cov[0, 0]) == pytest.approx(1.0, abs=0.3)


def test_disconnected_crossing():
    """Two parts without a common level: the likelihood is that of both, the variances shared."""
    rng = np.random.default_rng(2)
    part = np.repeat(np.arange(6), 60)
    a = part * 8 + rng.integers(0, 8, part.size)
    b = part * 5 + rng.integers(0, 5, part.size)
    y, X = simulated([a, b], seed=6)
    terms = [RandomTerm.from_arrays(a, group="a"), RandomTerm.from_arrays(b, group="b")]
    fit = fit_linear(y, X, terms, reml=False)
    assert fit.converged
    loglik = 0.0
    for k in range(6):
        here = part == k
        own = [
            RandomTerm.from_arrays(a[here], group="a"),
            RandomTerm.from_arrays(b[here], group="b"),
        ]
        # At the common estimates, each part by itself with its mean held there.
        r = y[here] - X[here] @ fit.beta
        one = fit_linear(r + 0.0, X[here], own, reml=False)
        order = np.argsort([-t.n_levels for t in own], kind="stable")
        V = np.eye(here.sum())
        for t in order:
            Z = np.eye(own[t].n_levels)[own[t].index]
            V += fit.factors[t][0, 0] ** 2 * Z @ Z.T
        V *= fit.sigma**2
        loglik -= 0.5 * (
            here.sum() * np.log(2 * np.pi) + np.linalg.slogdet(V)[1] + r @ np.linalg.solve(V, r)
        )
        assert one.converged
    assert fit.loglik == pytest.approx(loglik, rel=1e-9)


def test_a_million_cells_of_crossing_take_matrices_not_pairs(monkeypatch):
    """Every level of one factor meets every level of the other."""
    from mixedlab.engine import entries

    monkeypatch.setattr(entries, "_MAX_PAIRS", 10_000)
    a, b = (v.ravel() for v in np.meshgrid(np.arange(150), np.arange(120), indexing="ij"))
    y, X = simulated([a, b], seed=7)
    terms = [RandomTerm.from_arrays(a, group="a"), RandomTerm.from_arrays(b, group="b")]
    fit = fit_linear(y, X, terms)
    assert fit.problem.system.plan.stages[0].entries.dense
    assert fit.converged
    assert fit.sigma == pytest.approx(1.0, abs=0.03)


def test_unused_levels_and_empty_cells():
    data = ml.load("sleepstudy")
    data = data[(data["Subject"] != "308") & ~((data["Subject"] == "309") & (data["Days"] > 5))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = ml.lmm("Reaction ~ C(Days) + (1 | Subject)", data)
    assert fit.n_groups == {"Subject": 17}
    assert fit.n_obs == 166


def test_transforms_and_splines_inside_a_bar():
    data = ml.load("sleepstudy")
    fit = ml.lmm("Reaction ~ Days + (bs(Days, df=3) | Subject)", data, reml=False)
    assert fit.b[0].shape == (18, 4)
    plain = ml.lmm("Reaction ~ Days + (Days | Subject)", data, reml=False)
    assert fit.criterion < plain.criterion
    log = ml.lmm("np.log(Reaction) ~ Days + (Days | Subject)", data)
    assert log.converged


def test_ordinary_data_raise_no_warning():
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(20):
            g = rng.integers(0, 15, 120)
            y, X = simulated(g, sd=(1.0, 0.5), seed=seed)
            frame = pd.DataFrame({"y": y, "x": X[:, 1], "g": g})
            assert ml.lmm("y ~ x + (x | g)", frame).converged
