"""Conditional, population and marginal: theorems, simulation, and predictions of each kind."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

import mixedlab as ml
from mixedlab.engine.families import family
from mixedlab.engine.links import LINKS
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError, MixedlabError
from mixedlab.inference.population_averaged import marginal_derivatives, marginal_mean
from mixedlab.models.generalized import fit_generalized
from tests import paths

LINKS_WITH_MEAN = ["logit", "probit", "cloglog", "log", "identity"]


def grouped(kind, link, J=30, m=8, seed=1, slope=False):
    """A fit to J groups with a random intercept, or an intercept and a slope."""
    rng = np.random.default_rng(seed)
    g, x = np.repeat(np.arange(J), m), rng.normal(size=J * m)
    fam = family(kind, link)
    b = rng.normal(size=(J, 2)) * [0.6, 0.3 * slope]
    eta = 0.4 + 0.3 * x + b[g, 0] + b[g, 1] * x
    y = fam.draw(rng, fam.link.mu(eta), 1.0, 0.2)
    X = np.column_stack([np.ones(J * m), x])
    return fit_generalized(
        y, X, [RandomTerm.from_arrays(g, X if slope else None)], family=kind, link=link,
        names=["(Intercept)", "x"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def contraception():
    return ml.glmm("use ~ age + urban + (urban | district)", ml.load("contraception"), nagq=7)


# --- the marginal mean


@pytest.mark.parametrize("name", LINKS_WITH_MEAN)
@pytest.mark.parametrize("sd", [0.0, 0.5, 2.0, 5.0, 12.0])
def test_marginal_mean_is_the_integral(name, sd):
    link = LINKS[name]
    for eta in (-2.0, 0.3, 1.5):
        got = marginal_mean(link, np.array([eta]), np.array([sd**2]))[0]
        if sd == 0:
            assert got == pytest.approx(link.mu(np.array([eta]))[0])
            continue

        def integrand(z, eta=eta):
            density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
            return float(link.mu(np.array(eta + sd * z))) * density

        parts = [quad(integrand, a, a + 1, epsabs=1e-14)[0] for a in range(-14, 24)]
        wanted = sum(parts)
        assert got == pytest.approx(wanted, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("name", LINKS_WITH_MEAN)
def test_derivatives_of_the_marginal_mean(name):
    link, h = LINKS[name], 1e-5
    eta, v = np.linspace(-1.5, 1.0, 7), np.linspace(0.1, 2, 7)
    d_eta, d_v = marginal_derivatives(link, eta, v)
    up, down = marginal_mean(link, eta + h, v), marginal_mean(link, eta - h, v)
    np.testing.assert_allclose(d_eta, (up - down) / (2 * h), rtol=1e-5, atol=1e-7)
    up, down = marginal_mean(link, eta, v + h), marginal_mean(link, eta, v - h)
    np.testing.assert_allclose(d_v, (up - down) / (2 * h), rtol=1e-4, atol=1e-7)


# --- marginal coefficients


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1000))
def test_under_the_identity_link_both_meanings_agree(seed):
    fit = grouped("gaussian", "identity", seed=seed)
    marginal = ml.marginal_coefs(fit)
    np.testing.assert_allclose(marginal.beta, fit.beta, rtol=1e-9)
    np.testing.assert_allclose(marginal.vcov_beta, fit.vcov_beta, rtol=1e-6, atol=1e-12)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1000))
def test_under_the_log_link_only_the_intercept_moves_by_half_the_variance(seed):
    fit = grouped("poisson", "log", seed=seed)
    marginal = ml.marginal_coefs(fit)
    assert marginal.beta[0] - fit.beta[0] == pytest.approx(fit.theta[0] ** 2 / 2, abs=1e-9)
    assert marginal.beta[1] == pytest.approx(fit.beta[1], abs=1e-9)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1000))
def test_under_probit_all_coefficients_shrink_by_one_factor(seed):
    fit = grouped("binomial", "probit", seed=seed)
    factor = 1 / np.sqrt(1 + fit.theta[0] ** 2)
    np.testing.assert_allclose(ml.marginal_coefs(fit).beta, fit.beta * factor, rtol=1e-8)


def test_under_logit_marginal_effects_are_nearer_to_zero():
    fit = ml.glmm("y ~ treatment * time + (1 | patient)", ml.load("toenail"), nagq=20)
    marginal = ml.marginal_coefs(fit)
    assert np.all(np.abs(marginal.beta) < np.abs(fit.beta))
    table = marginal.table
    assert list(table.columns) == ["marginal", "se", "z", "conditional", "ratio"]
    assert "Population-averaged" in str(marginal)


def test_marginal_means_are_those_of_a_million_simulated_subjects(contraception):
    fit = contraception
    rng = np.random.default_rng(3)
    rows = pd.DataFrame({"age": [-5.0, 0, 5, 10], "urban": ["N", "Y", "N", "Y"]})
    expected = fit.predict(rows, kind="marginal")
    b = rng.standard_normal((1_000_000, 2)) @ fit.factors[0].T
    for k in range(4):
        town = float(rows.loc[k, "urban"] == "Y")
        eta = fit.beta @ [1, rows.loc[k, "age"], town] + b[:, 0] + b[:, 1] * town
        p = 1 / (1 + np.exp(-eta))
        assert abs(p.mean() - expected[k]) < 5 * p.std() / 1000


def test_marginal_coefficients_are_those_of_a_million_simulated_subjects():
    df = ml.load("cbpp")
    df["period"] = df["period"].astype(str)
    fit = ml.glmm("cbind(incidence, size - incidence) ~ period + (1 | herd)", df, nagq=15)
    b = fit.theta[0] * np.random.default_rng(1).standard_normal(1_000_000)
    p = np.array([np.mean(1 / (1 + np.exp(-(x @ fit.beta) - b))) for x in np.unique(fit.X, axis=0)])
    of_row = np.unique(fit.X, axis=0, return_inverse=True)[1].reshape(-1)
    simulated = np.linalg.lstsq(fit.X, np.log(p / (1 - p))[of_row], rcond=None)[0]
    assert p.size == 4
    np.testing.assert_allclose(ml.marginal_coefs(fit).beta, simulated, atol=2e-3)


def test_marginal_standard_errors_by_parametric_bootstrap():
    fit = grouped("binomial", "logit", J=80, m=10)
    se = np.sqrt(np.diag(ml.marginal_coefs(fit).vcov_beta))
    again = [ml.marginal_coefs(fit.refit(y)).beta for y in fit.simulate(80, seed=2)]
    np.testing.assert_allclose(np.std(again, axis=0), se, rtol=0.3)


def test_marginal_coefs_are_for_generalised_fits_with_a_mean():
    linear = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    with pytest.raises(MixedlabError, match="linear mixed model"):
        ml.marginal_coefs(linear)
    fit = grouped("gamma", "log")
    inverse = fit_generalized(fit.y, fit.X, fit.terms, family="gamma", link="inverse")
    assert inverse.theta[0] > 0
    with pytest.raises(MixedlabError, match="does not exist"):
        ml.marginal_coefs(inverse)


# --- predictions


def test_three_kinds_of_prediction_are_three_things(contraception):
    fit = contraception
    df = ml.load("contraception").head(6)
    conditional, population, marginal = (
        fit.predict(df, kind=kind) for kind in ("conditional", "population", "marginal")
    )
    np.testing.assert_allclose(conditional, fit.fitted[:6])
    np.testing.assert_allclose(population, 1 / (1 + np.exp(-fit.X[:6] @ fit.beta)))
    assert np.all(np.abs(marginal - 0.5) < np.abs(population - 0.5))
    for kind in ("conditional", "population", "marginal"):
        link = fit.predict(df, kind=kind, scale="link")
        np.testing.assert_allclose(1 / (1 + np.exp(-link)), fit.predict(df, kind=kind))


def test_population_and_marginal_predictions_need_no_grouping_column(contraception):
    df = ml.load("contraception").head(6)
    for kind in ("population", "marginal"):
        without = contraception.predict(df.drop(columns="district"), kind=kind)
        np.testing.assert_allclose(without, contraception.predict(df, kind=kind))


def test_new_levels_are_an_error_or_the_population(contraception):
    df = ml.load("contraception").head(3).assign(district=999)
    with pytest.raises(DataError, match=r"district.*new_levels='population'"):
        contraception.predict(df)
    np.testing.assert_allclose(
        contraception.predict(df, new_levels="population"),
        contraception.predict(df, kind="population"),
    )


def test_confidence_interval_of_a_new_level_holds_the_whole_spread(contraception):
    df = ml.load("contraception").head(1)
    old = contraception.predict(df, scale="link", interval="confidence")["se"].iloc[0]
    new = contraception.predict(
        df.assign(district=999), scale="link", interval="confidence", new_levels="population"
    )["se"].iloc[0]
    spread = contraception.covariances[0]
    z = np.array([1.0, float(df["urban"].iloc[0] == "Y")])
    variance = new**2 - z @ spread @ z
    x = contraception.X[0]
    assert variance == pytest.approx(x @ contraception.vcov_beta @ x, rel=1e-6)
    assert old < new


def test_conditional_variance_is_the_inverse_of_the_joint_information():
    df = ml.load("salamander_mating")
    fit = ml.glmm("Mate ~ TypeF + (1 | Female) + (1 | Male)", df)
    eta = fit.linear_predictor
    W = np.exp(eta) / (1 + np.exp(eta)) ** 2
    Z = np.hstack([np.eye(t.n_levels)[t.index] for t in fit.terms])
    precision = np.concatenate(
        [np.full(t.n_levels, 1 / C[0, 0]) for t, C in zip(fit.terms, fit.covariances, strict=True)]
    )
    H = Z.T @ (W[:, None] * Z) + np.diag(precision)
    moved = fit.X - Z @ np.linalg.solve(H, Z.T @ (W[:, None] * fit.X))
    variance = np.einsum("ij,jk,ik->i", Z, np.linalg.inv(H), Z)
    variance += np.einsum("ij,jk,ik->i", moved, fit.vcov_beta, moved)
    ours = fit.predict(scale="link", interval="confidence")["se"]
    np.testing.assert_allclose(ours, np.sqrt(variance), rtol=1e-6)


def test_intervals_hold_what_they_say():
    fit = grouped("poisson", "log", J=60, m=10)
    table = fit.predict(interval="prediction")
    inside = (fit.y >= table["lower"]) & (fit.y <= table["upper"])
    assert 0.93 < inside.mean() <= 1.0
    marginal = fit.predict(kind="marginal", interval="prediction")
    assert 0.93 < ((fit.y >= marginal["lower"]) & (fit.y <= marginal["upper"])).mean() <= 1.0
    confidence = fit.predict(kind="marginal", interval="confidence")
    assert np.all(confidence["lower"] < confidence["prediction"])
    assert np.all(confidence["prediction"] < confidence["upper"])
    with pytest.raises(MixedlabError, match="response's scale"):
        fit.predict(interval="prediction", scale="link")


# --- variances on the link's scale


def test_icc_and_r2_on_the_latent_scale():
    import json

    folder = paths.REFERENCE
    case = json.loads((folder / "inference.json").read_text())["contraception_r2_theoretical"]
    df = ml.load("contraception")
    df["livch"] = pd.Categorical(df["livch"].astype(str), ["0", "1", "2", "3+"])
    fit = ml.glmm(case["formula"], df)
    assert fit.icc().adjusted == pytest.approx(case["icc_adjusted"], abs=1e-4)
    assert fit.r2().marginal == pytest.approx(case["r2_marginal"], abs=1e-4)
    assert fit.r2().conditional == pytest.approx(case["r2_conditional"], abs=1e-4)


def test_latent_residual_variance_of_log_links():
    poisson = grouped("poisson", "log")
    parts = poisson.icc()
    noise = np.log1p(1 / poisson.y.mean())
    assert parts.adjusted == pytest.approx(poisson.theta[0] ** 2 / (poisson.theta[0] ** 2 + noise))


# --- intervals of the variances


def test_profile_and_wald_intervals():
    # lme4's profile intervals of the same fit
    df = ml.load("cbpp")
    df["period"] = df["period"].astype(str)
    fit = ml.glmm("cbind(incidence, size - incidence) ~ period + (1 | herd)", df)
    profile = fit.confint(method="profile", parameters=["sd (Intercept) | herd", "period[T.4]"])
    np.testing.assert_allclose(
        profile, [[0.3460732, 1.0999746], [-2.5007506, -0.8007553]], atol=2e-4
    )
    wald = fit.confint()
    low, high = wald.loc["sd (Intercept) | herd"]
    assert low < 0.642 < high
    assert np.sqrt(low * high) == pytest.approx(fit.theta[0], rel=1e-6)
    singular = grouped("binomial", "logit", J=4, m=3, seed=5)
    if singular.theta[0] == 0:
        assert singular.confint().iloc[0].isna().all()


def test_an_effect_for_every_row_is_residual_not_group():
    df = ml.load("grouseticks")
    formula = "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | LOCATION)"
    fit = ml.glmm(formula, df, family="poisson", observation_effect=True)
    sd = {t.group: c[0, 0] for t, c in zip(fit.terms, fit.covariances, strict=True)}
    between = sd["BROOD"] + sd["LOCATION"]
    noise = sd["observation"] + np.log1p(1 / fit.y.mean())
    assert fit.icc().adjusted == pytest.approx(between / (between + noise), rel=1e-9)


def test_bootstrap_intervals_of_a_generalised_fit():
    from concurrent.futures import ThreadPoolExecutor

    fit = grouped("poisson", "log", J=20, m=5)
    with ThreadPoolExecutor(2) as pool:
        table = fit.confint(method="bootstrap", n=40, seed=3, executor=pool)
    assert list(table.index) == ["sd (Intercept) | group", "(Intercept)", "x"]
    assert np.all(table["lower"] < table["upper"])
    assert table.loc["x", "lower"] < fit.beta[1] < table.loc["x", "upper"]
