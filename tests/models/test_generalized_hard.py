"""Generalised mixed models where numbers, groups or formulas are difficult; and bad input."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mixedlab as ml
from mixedlab.engine.families import family
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import MixedlabError, SeparationError
from mixedlab.models.generalized import LaplaceWarning, fit_generalized


def draw(J, m, eta, kind="binomial", sd=0.7, seed=1):
    """Responses of J groups of m rows, X with an intercept and one covariate, and the term."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(J), m)
    x = rng.normal(size=J * m)
    fam = family(kind)
    mu = fam.link.mu(eta(x) + sd * rng.normal(size=J)[g])
    return fam.draw(rng, mu), np.column_stack([np.ones(J * m), x]), [RandomTerm.from_arrays(g)]


def standard_errors(fit):
    return np.sqrt(np.diag(fit.vcov_beta))


@pytest.fixture(scope="module")
def ordinary():
    return draw(40, 8, lambda x: 0.3 + 0.6 * x)


# --- hard data


def test_groups_of_all_0_and_all_1_are_shrunk_not_infinite():
    y, X, terms = draw(60, 4, lambda x: 0.2 * x, sd=1.5)
    share = np.bincount(terms[0].index, y) / 4
    assert (share == 0).any()
    assert (share == 1).any()
    fit = fit_generalized(y, X, terms, nagq=15)
    assert fit.converged
    assert np.abs(fit.b[0]).max() < 3 * fit.theta[0]


def test_means_saturated_by_a_covariate_beyond_eta_700():
    y, X, terms = draw(60, 10, lambda x: x, seed=3)
    X[5, 1] = 3000.0 if y[5] == 1 else -3000.0
    for nagq in (1, 9):
        fit = fit_generalized(y, X, terms, nagq=nagq)
        assert fit.converged
        assert np.abs(X @ fit.beta).max() > 700
        assert np.isfinite(standard_errors(fit)).all()


def test_prevalence_of_a_tenth_of_a_percent():
    y, X, terms = draw(400, 50, lambda x: -7 + 0.5 * x, sd=0.5, seed=5)
    assert 0.0005 < y.mean() < 0.003
    fit = fit_generalized(y, X, terms, nagq=9)
    assert fit.converged
    assert abs(fit.beta[0] + 7) < 4 * standard_errors(fit)[0]


@pytest.mark.parametrize("kind", ["poisson", "negative_binomial"])
@pytest.mark.parametrize("nagq", [1, 11])
def test_counts_of_a_million(kind, nagq):
    y, X, terms = draw(50, 6, lambda x: 13.8 + 0.1 * x, "poisson")
    fit = fit_generalized(y, X, terms, family=kind, nagq=nagq)
    assert y.max() > 1e6
    assert fit.converged
    assert abs(fit.beta[1] - 0.1) < 5 * standard_errors(fit)[1]
    poisson = fit_generalized(y, X, terms, family="poisson")
    assert fit.loglik == pytest.approx(poisson.loglik, abs=1e-2)
    if kind == "negative_binomial":
        assert "no variation beyond" in str(fit.summary())


def test_offsets_from_a_thousandth_to_a_thousand():
    rng = np.random.default_rng(2)
    exposure = rng.permutation(np.geomspace(1e-3, 1e3, 1000))
    g, x = np.repeat(np.arange(100), 10), rng.normal(size=1000)
    y = rng.poisson(exposure * np.exp(0.3 + 0.5 * x + 0.6 * rng.normal(size=100)[g])).astype(float)
    fit = fit_generalized(
        y, np.column_stack([np.ones(1000), x]), [RandomTerm.from_arrays(g)], family="poisson",
        offset=np.log(exposure),
    )  # fmt: skip
    assert np.abs((fit.beta - [0.3, 0.5]) / standard_errors(fit)).max() < 4
    assert 0.4 < fit.theta[0] < 0.8


@pytest.mark.parametrize("nagq", [1, 7])
def test_variance_at_the_boundary_is_zero_and_the_fit_that_without_groups(nagq):
    rng = np.random.default_rng(8)
    y = np.tile([0.0, 1, 0, 1, 1, 0], 50)  # every group alike: less spread than chance gives
    X = np.column_stack([np.ones(300), rng.normal(size=300)])
    terms = [RandomTerm.from_arrays(np.repeat(np.arange(50), 6))]
    fit = fit_generalized(y, X, terms, nagq=nagq)
    plain = fit_generalized(y, X, [])
    assert fit.singular
    assert fit.theta[0] == 0.0
    assert fit.converged
    assert fit.loglik == pytest.approx(plain.loglik, abs=1e-7)
    np.testing.assert_allclose(standard_errors(fit), standard_errors(plain), rtol=1e-3)


@pytest.mark.parametrize(
    "start", [[0.01, 0, 0, 0, 0], [30, 0, 0, 0, 0], [1, 5, 5, -1, 1], [0, 0, 0, 0, 0]]
)
def test_toenail_from_a_bad_start(start):
    df = ml.load("toenail")
    X = np.column_stack(
        [np.ones(len(df)), df["treatment"], df["time"], df["treatment"] * df["time"]]
    )
    fit = fit_generalized(df["y"], X, [RandomTerm.from_arrays(df["patient"])], nagq=20, start=start)
    assert fit.theta[0] == pytest.approx(4.0037, abs=1e-3)
    np.testing.assert_allclose(fit.beta, [-1.61822, -0.16076, -0.39084, -0.13673], atol=1e-3)


def test_scale_of_a_covariate_costs_no_digit(ordinary):
    y, X, terms = ordinary
    plain = fit_generalized(y, X, terms)
    for factor in (1e-6, 1e6):
        fit = fit_generalized(y, X * [1, factor], terms)
        assert fit.loglik == pytest.approx(plain.loglik, abs=1e-8)
        assert fit.beta[1] * factor == pytest.approx(plain.beta[1], rel=1e-6)
        assert fit.vcov_beta[1, 1] * factor**2 == pytest.approx(plain.vcov_beta[1, 1], rel=1e-4)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_rows_may_be_shuffled_and_groups_renamed(seed):
    y, X, terms = draw(20, 6, lambda x: 0.3 + 0.6 * x, seed=seed)
    g = terms[0].index
    if np.all((np.bincount(g, y) % 6) == 0):
        return
    rng = np.random.default_rng(seed)
    order, names = rng.permutation(120), rng.permutation(1000)[:20]
    one = fit_generalized(y, X, terms, nagq=5)
    two = fit_generalized(y[order], X[order], [RandomTerm.from_arrays(names[g[order]])], nagq=5)
    assert two.loglik == pytest.approx(one.loglik, abs=1e-6)
    np.testing.assert_allclose(two.beta, one.beta, atol=1e-4)


@settings(max_examples=8, deadline=None)
@given(shift=st.floats(-50, 50), seed=st.integers(0, 50))
def test_origin_of_a_covariate_moves_the_intercept_only(shift, seed):
    y, X, terms = draw(20, 8, lambda x: 0.3 + 0.6 * x, "poisson", seed=seed)
    one = fit_generalized(y, X, terms, family="poisson")
    two = fit_generalized(y, X + np.array([0, shift]), terms, family="poisson")
    assert two.loglik == pytest.approx(one.loglik, abs=1e-6)
    assert two.beta[1] == pytest.approx(one.beta[1], abs=1e-5)
    assert two.beta[0] + shift * two.beta[1] == pytest.approx(one.beta[0], abs=1e-4)


def test_quadrature_converges_to_direct_integration():
    from scipy.integrate import quad

    y, X, terms = draw(8, 4, lambda x: 0.5 * x, sd=1.5, seed=4)
    fit = fit_generalized(y, X, terms, nagq=25)
    fam, g = family("binomial"), terms[0].index
    total = 0.0
    for j in range(8):
        rows = g == j

        def integrand(b, rows=rows):
            l = fam.loglik(y[rows], X[rows] @ fit.beta + b).sum()
            return np.exp(l - 0.5 * (b / fit.theta[0]) ** 2) / (fit.theta[0] * np.sqrt(2 * np.pi))

        total += np.log(quad(integrand, -30, 30, epsabs=1e-14, points=[-3, 0, 3])[0])
    assert fit.loglik == pytest.approx(total, abs=1e-6)


def test_laplace_is_exact_for_normal_responses():
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(30), 5)
    x = rng.normal(size=150)
    y = 1 + x + rng.normal(size=30)[g] + 0.5 * rng.normal(size=150)
    df = pd.DataFrame({"y": y, "x": x, "g": g})
    linear = ml.lmm("y ~ x + (1 | g)", df, reml=False)
    fit = ml.glmm("y ~ x + (1 | g)", df, family="gaussian")
    assert fit.loglik == pytest.approx(linear.loglik, abs=1e-6)
    np.testing.assert_allclose(fit.beta, linear.beta, atol=1e-5)
    np.testing.assert_allclose(fit.theta, linear.theta, rtol=1e-3)
    assert fit.sigma == pytest.approx(linear.sigma, rel=1e-4)
    np.testing.assert_allclose(fit.varcorr["vcov"], linear.varcorr["vcov"], rtol=2e-3)


@pytest.mark.parametrize("nagq", [1, 9])
def test_a_fit_without_standard_errors_has_the_same_estimates(ordinary, nagq):
    y, X, terms = ordinary
    full = fit_generalized(y, X, terms, nagq=nagq)
    quick = fit_generalized(y, X, terms, nagq=nagq, standard_errors=False)
    assert quick.loglik == pytest.approx(full.loglik, abs=1e-7)
    np.testing.assert_allclose(quick.beta, full.beta, atol=1e-4)
    np.testing.assert_allclose(quick.theta, full.theta, atol=1e-4)
    assert quick.converged
    assert np.isnan(quick.vcov_beta).any()


def test_more_random_coefficients_than_one(ordinary):
    y, X, _ = ordinary
    g = np.repeat(np.arange(40), 8)
    slopes = fit_generalized(y, X, [RandomTerm.from_arrays(g, X)])
    apart = fit_generalized(
        y, X, [RandomTerm.from_arrays(g), RandomTerm.from_arrays(g, X[:, [1]])], nagq=5
    )
    assert slopes.converged
    assert apart.converged
    assert slopes.theta.shape == (3,)
    assert apart.theta.shape == (2,)


def test_penalties_keep_a_separated_coefficient_finite(ordinary):
    y, X, terms = ordinary
    y, cell = y.copy(), (np.arange(320) < 20).astype(float)
    y[:20] = 0
    X = np.column_stack([X, cell])
    with pytest.raises(SeparationError, match=r"Separation.*x3 \(to -infinity\).*prior_sd.*firth"):
        fit_generalized(y, X, terms)
    prior = fit_generalized(y, X, terms, prior_sd=2.5)
    firth = fit_generalized(y, X, terms, penalty="firth")
    for fit in (prior, firth):
        assert fit.converged
        assert -8 < fit.beta[2] < -1
        assert standard_errors(fit)[2] < 4
    assert "sd 2.5" in str(prior.summary())


def test_firths_penalty_is_jeffreys_prior():
    # One proportion without random effects: Firth's estimate is (r + 1/2) / (n + 1).
    y = np.repeat([1.0, 0.0], [3, 17])
    fit = fit_generalized(y, np.ones((20, 1)), [], penalty="firth", names=["(Intercept)"])
    assert 1 / (1 + np.exp(-fit.beta[0])) == pytest.approx(3.5 / 21, abs=1e-6)


# --- bad input


@pytest.fixture
def df():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "y": rng.integers(0, 2, 60),
            "count": rng.poisson(3, 60),
            "x": rng.normal(size=60),
            "g": np.repeat(np.arange(12), 5),
            "h": np.tile(np.arange(6), 10),
            "row": np.arange(60),
        }
    )


def test_unknown_family_and_link_list_what_there_is(df):
    with pytest.raises(ValueError, match="'poisson'"):
        ml.glmm("y ~ x + (1 | g)", df, family="possion")
    with pytest.raises(ValueError, match="'cloglog'"):
        ml.glmm("y ~ x + (1 | g)", df, link="loglog")


@pytest.mark.parametrize(
    ("family_name", "column", "value"),
    [("binomial", "y", 2), ("poisson", "count", -1), ("poisson", "count", 1.5),
     ("gamma", "x", -1.0), ("negative_binomial", "count", -3)],
)  # fmt: skip
def test_response_out_of_range_names_rows(df, family_name, column, value):
    df[column] = np.abs(df[column].astype(float)) + (0.1 if column == "x" else 0)
    df.loc[7, column] = value
    with pytest.raises(MixedlabError, match=r"\b7\b"):
        ml.glmm(f"{column} ~ h + (1 | g)", df, family=family_name)


def test_trials_missing_or_smaller_than_successes(df):
    df["share"] = df["y"] * 0.4 + 0.2
    with pytest.raises(MixedlabError, match="weights="):
        ml.glmm("share ~ x + (1 | g)", df)
    df["lost"] = 2 - df["count"]
    with pytest.raises(MixedlabError, match="more successes than trials"):
        ml.glmm("cbind(count, lost) ~ x + (1 | g)", df)


def test_quadrature_with_crossed_factors_explains(df):
    with pytest.raises(MixedlabError, match=r"one grouping factor, but there are 2: g, h.*nagq=1"):
        ml.glmm("y ~ x + (1 | g) + (1 | h)", df, nagq=5)
    with pytest.raises(MixedlabError, match="whole number"):
        ml.glmm("y ~ x + (1 | g)", df, nagq=0)


def test_one_binary_row_a_group_is_not_identified(df):
    with pytest.raises(MixedlabError, match=r"'row' has one 0/1 response"):
        ml.glmm("y ~ x + (1 | row)", df)
    with pytest.raises(MixedlabError, match=r"'observation' has one 0/1 response"):
        ml.glmm("y ~ x + (1 | g)", df, observation_effect=True)


def test_groups_that_never_vary_inside_are_refused(df):
    df["y"] = df["g"] % 2
    with pytest.raises(MixedlabError, match="all 0 or all 1"):
        ml.glmm("y ~ x + (1 | g)", df)


def test_arrays_that_do_not_fit_are_named(ordinary):
    y, X, terms = ordinary
    with pytest.raises(MixedlabError, match="linearly dependent"):
        fit_generalized(y, np.column_stack([X, 2 * X[:, 1]]), terms)
    with pytest.raises(MixedlabError, match=r"'x2' of X has missing"):
        fit_generalized(y, np.where(np.arange(2) == 1, np.nan, X), terms)
    with pytest.raises(MixedlabError, match="offset"):
        fit_generalized(y, X, terms, offset=np.zeros(3))
    with pytest.raises(MixedlabError, match="1 names for the 2 columns"):
        fit_generalized(y, X, terms, names=["a"])
    empty = RandomTerm("g", terms[0].index, (*terms[0].levels, "nobody"), terms[0].Z, ("1",))
    with pytest.raises(MixedlabError, match=r"'nobody' of 'g' has no rows"):
        fit_generalized(y, X, [empty])
    with pytest.raises(MixedlabError, match="prior_sd is a positive"):
        fit_generalized(y, X, terms, prior_sd=-1)
    with pytest.raises(MixedlabError, match="no penalty 'ridge'"):
        fit_generalized(y, X, terms, penalty="ridge")


def test_inverse_link_has_no_marginal_mean(df):
    df["time"] = np.exp(0.3 * df["x"]) + 1
    fit = ml.glmm("time ~ h + (1 | g)", df, family="gamma")
    if fit.theta[0] > 0:
        with pytest.raises(MixedlabError, match="does not exist"):
            fit.predict(kind="marginal")


def test_ordinary_data_never_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(20):
            y, X, terms = draw(30, 10, lambda x: 0.3 + 0.5 * x, seed=seed)
            assert fit_generalized(y, X, terms).converged
            y, X, terms = draw(30, 10, lambda x: 0.3 + 0.5 * x, "poisson", seed=seed)
            assert fit_generalized(y, X, terms, family="poisson").converged


def test_laplace_warning_speaks_of_standard_errors():
    y, X, terms = draw(300, 3, lambda x: -1 + 0.5 * x, sd=4, seed=2)
    with pytest.warns(LaplaceWarning, match="standard errors"):
        fit_generalized(y, X, terms)
