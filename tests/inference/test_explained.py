"""ICC, R squared and conditional AIC: published figures and what they must equal."""

import json

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.errors import MixedlabError
from mixedlab.inference.explained import variance_parts
from mixedlab.models.linear import fit_linear
from tests import paths

REFERENCE = json.loads((paths.REFERENCE / "inference.json").read_text(encoding="utf-8"))


def sleep(key):
    return ml.lmm(REFERENCE[key]["formula"], ml.load("sleepstudy"))


def test_reference_icc_and_r2_of_a_random_intercept():
    case, fit = REFERENCE["sleepstudy_icc"], sleep("sleepstudy_icc")
    assert fit.icc().adjusted == pytest.approx(case["icc_adjusted"], rel=1e-6)
    assert fit.icc().unadjusted == pytest.approx(case["icc_unadjusted"], rel=1e-6)
    assert fit.r2().marginal == pytest.approx(case["r2_marginal"], rel=1e-6)
    assert fit.r2().conditional == pytest.approx(case["r2_conditional"], rel=1e-6)


def test_reference_r2_of_random_slopes():
    case, fit = REFERENCE["sleepstudy_slope_r2"], sleep("sleepstudy_slope_r2")
    assert fit.r2().marginal == pytest.approx(case["r2_marginal"], rel=1e-6)
    assert fit.r2().conditional == pytest.approx(case["r2_conditional"], rel=1e-6)


def test_reference_of_a_binary_response_on_the_latent_scale():
    case = REFERENCE["contraception_r2_theoretical"]
    fit = ml.glmm(case["formula"], ml.load("contraception"), family="binomial")
    # The reference fit stops its optimiser a little earlier.
    assert fit.r2().marginal == pytest.approx(case["r2_marginal"], rel=1e-4)
    assert fit.r2().conditional == pytest.approx(case["r2_conditional"], rel=1e-4)
    assert fit.icc().adjusted == pytest.approx(case["icc_adjusted"], rel=1e-4)


def test_icc_is_the_correlation_of_two_rows_of_a_group():
    fit = ml.lmm("Yield ~ 1 + (1 | Batch)", ml.load("dyestuff"))
    between, within = fit.varcorr["vcov"]
    assert fit.icc().adjusted == pytest.approx(between / (between + within))
    draws = fit.simulate(6000, seed=1)
    correlation = np.corrcoef(draws[:, 0], draws[:, 1])[0, 1]
    assert correlation == pytest.approx(fit.icc().adjusted, abs=4 / np.sqrt(6000))


def test_parts_of_several_factors_add_up():
    fit = ml.lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", ml.load("penicillin"))
    icc = fit.icc()
    assert set(icc.by_group) == {"plate", "sample"}
    assert sum(icc.by_group.values()) == pytest.approx(icc.adjusted)
    assert fit.r2().marginal == 0.0
    assert sum(variance_parts(fit).values()) == pytest.approx(fit.varcorr["vcov"].sum())


CONDITIONAL = ["sleepstudy_conditional_aic", "sleepstudy_conditional_aic_intercept"]


@pytest.mark.parametrize("key", CONDITIONAL)
def test_reference_conditional_aic(key):
    """cAIC4 evaluates the correction for the estimated variances differently after REML: it is
    0.05 and 0.007 degrees of freedom above the derivative that the next test makes by refitting.
    """
    case, found = REFERENCE[key], sleep(key).caic()
    assert found.loglik == pytest.approx(case["conditional_loglik"], rel=1e-7)
    assert found.df == pytest.approx(case["df"], abs=0.06)
    assert found.caic == pytest.approx(case["caic"], abs=0.12)
    assert found.caic == pytest.approx(-2 * found.loglik + 2 * found.df)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize(
    ("data", "formula"),
    [
        ("sleepstudy", "Reaction ~ Days + (Days | Subject)"),
        ("sleepstudy", "Reaction ~ Days + (1 | Subject)"),
        ("pastes", "strength ~ 1 + (1 | batch / cask)"),
        ("dyestuff2", "Yield ~ 1 + (1 | Batch)"),
    ],
)
def test_degrees_of_freedom_are_how_fitted_values_follow_y(data, formula, reml):
    """Move each response a little, fit again, see how far its own fitted value moves."""
    fit = ml.lmm(formula, ml.load(data), reml=reml)
    step = 1e-3 * fit.sigma

    def fitted(y):  # from afresh: a refit stops once it is near enough to where it started
        return fit_linear(y, fit.X, fit.terms, reml=reml).fitted_values

    followed = 0.0
    for i in range(fit.n_obs):
        move = np.zeros(fit.n_obs)
        move[i] = step
        followed += (fitted(fit.y + move) - fitted(fit.y - move))[i] / (2 * step)
    assert fit.caic().df - 1 == pytest.approx(followed, abs=2e-4)


def test_marginal_aic():
    case = REFERENCE["sleepstudy_conditional_aic"]
    fit = ml.lmm(case["formula"], ml.load("sleepstudy"), reml=False)
    assert fit.aic == pytest.approx(case["marginal_aic_ml"], rel=1e-8)


def test_conditional_aic_with_weights_does_not_depend_on_their_scale():
    table = ml.load("sleepstudy")
    w = np.linspace(1, 3, len(table))
    one, ten = (ml.lmm("Reaction ~ Days + (1 | Subject)", table, weights=k * w) for k in (1, 10))
    assert one.caic().caic == pytest.approx(ten.caic().caic, rel=1e-6)
    assert one.caic().df == pytest.approx(ten.caic().df, rel=1e-6)


def test_conditional_aic_is_for_linear_models():
    fit = ml.glmm("incidence / size ~ period + (1 | herd)", ml.load("cbpp"), weights="size")
    with pytest.raises(MixedlabError, match="linear"):
        fit.caic()


def test_r2_lies_between_zero_and_one_and_grows_with_the_groups():
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(20), 5)
    x = rng.normal(size=100)
    for sd in (0.1, 1.0, 4.0):
        y = x + sd * rng.normal(size=20)[g] + rng.normal(size=100)
        r2 = ml.lmm("y ~ x + (1 | g)", pd.DataFrame({"y": y, "x": x, "g": g})).r2()
        assert 0 <= r2.marginal <= r2.conditional <= 1


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
