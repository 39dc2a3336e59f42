"""Generalised mixed models against the reference values of other programs."""

import json
import re
import warnings

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.errors import DataError
from mixedlab.models.generalized import LaplaceWarning
from tests import paths

REFERENCE = paths.REFERENCE
FAMILY = {"nbinom2": "negative_binomial", "Gamma": "gamma", "betabinomial": "beta_binomial"}
CONTRACEPTION = {"livch": ["0", "1", "2", "3+"]}


def cases(name):
    return json.loads((REFERENCE / f"{name}.json").read_text())


def params(name):
    return [pytest.param(case, id=case["id"]) for case in cases(name)]


def table(name, formula, levels):
    """The data with factors in the reference's order of levels."""
    df = ml.load(name)
    groups = set(re.findall(r"\|\s*(\w+)", formula))
    for column, known in levels.items():
        if column in df.columns and column not in groups:
            df[column] = pd.Categorical(df[column].astype(str), categories=known)
    return df


def fit_case(formula, data, levels, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LaplaceWarning)
        return ml.glmm(formula, table(data, formula, levels), **options)


def assert_coefs(fit, fixef, se=None, tolerance=1e-2):
    se = np.array(list(se.values())) if se else fit.se.to_numpy()
    assert np.max(np.abs(fit.beta - list(fixef.values())) / se) < tolerance
    assert np.max(np.abs(fit.se / se - 1)) < 0.02


@pytest.mark.parametrize("case", params("glmm"))
def test_lme4s_laplace_and_quadrature(case):
    fit = fit_case(
        case["formula"], case["data"], case["levels"], family=case["family"], link=case["link"],
        nagq=case["nagq"], weights=case["weights"],
    )  # fmt: skip
    assert fit.converged
    assert fit.singular is case["singular"]
    if case["link"] in ("probit", "cloglog"):
        # The other program takes the expected curvature in Laplace's formula, we the actual one,
        # which is nearer to the integral: see the test below.
        assert_coefs(fit, case["fixef"], case["se"], tolerance=0.05)
        return
    assert_coefs(fit, case["fixef"], case["se"])
    np.testing.assert_allclose(fit.theta, case["theta"], atol=2e-3)
    if case["nagq"] == 1:
        assert abs(fit.loglik - case["loglik"]) < 1e-3
    for group, blup in case["ranef"].items():
        ours, sd = (
            t[group].set_axis(t[group].index.astype(str)) for t in (fit.ranef, fit.ranef_sd)
        )
        np.testing.assert_allclose(ours.loc[blup["levels"]], blup["blup"], atol=2e-3)
        if "condsd" in blup:
            theirs = np.array(blup["condsd"])
            theirs = theirs.T if ours.shape[1] == 1 else theirs
            np.testing.assert_allclose(sd.loc[blup["levels"]], theirs, rtol=5e-3)
    np.testing.assert_allclose(fit.fitted[:5], case["fitted5"], atol=1e-3)


@pytest.mark.parametrize(("link", "theirs"), [("probit", -1186.08224), ("cloglog", -1188.86667)])
def test_laplace_with_actual_curvature_is_nearer_to_the_integral(link, theirs):
    formula = "use ~ age + age2 + urban + livch + (1 | district)"
    laplace, exact = (
        fit_case(formula, "contraception", CONTRACEPTION, link=link, nagq=k) for k in (1, 25)
    )
    assert laplace.loglik > theirs + 0.05  # 0.152 for probit, 0.078 for cloglog
    assert abs(laplace.loglik - exact.loglik) < 0.04
    assert abs(theirs - exact.loglik) > 0.05
    assert np.max(np.abs(laplace.beta - exact.beta) / exact.se) < 0.02


@pytest.mark.parametrize("case", params("glmm_families"))
def test_other_families(case):
    fit = fit_case(
        case["formula"], case["data"], case["levels"], family=FAMILY.get(case["family"],
        case["family"]), link=case["link"],
    )  # fmt: skip
    assert abs(fit.loglik - case["loglik"]) < 1e-3
    assert_coefs(fit, case["fixef"], case["se"])
    for group, sd in dict(case["sd"]).items():
        assert abs(fit.ranef[group].shape[1] - 1) == 0
        ours = fit.varcorr.query("group == @group")["sdcor"].item()
        assert abs(ours / sd - 1) < 2e-3
    dispersion = case["dispersion"] ** 2 if case["family"] == "Gamma" else case["dispersion"]
    assert abs(fit.dispersion / dispersion - 1) < 5e-3


@pytest.mark.parametrize("case", params("glmm_agq"))
def test_quadrature_with_full_loglikelihood_and_marginal_coefficients(case):
    formula = case["fixed"].replace("y01", "use") + f" + ({case['random'][1:]})"
    levels = CONTRACEPTION | {"period": list("1234"), "trt": ["placebo", "progabide"]}
    fit = fit_case(formula, case["data"], levels, family=case["family"], nagq=case["nagq"])
    assert abs(fit.loglik - case["loglik"]) < 1e-3
    assert_coefs(fit, case["fixef"], case.get("se"))
    np.testing.assert_allclose(fit.covariances[0], case["D"], rtol=0.01, atol=1e-4)
    if "marginal_coefs" in case:
        marginal = ml.marginal_coefs(fit)
        reference = np.array(list(case["marginal_coefs"].values()))
        # the reference is Monte Carlo, good to about 0.01 (0.02 for the epilepsy intercepts)
        assert np.max(np.abs(marginal.beta - reference)) < 0.02


@pytest.mark.parametrize("nagq", [1, 5, 10, 20, 50])
def test_toenail_at_every_number_of_nodes(nagq):
    case = cases("toenail")[f"agq{nagq}"]
    fit = fit_case(cases("toenail")["formula"], "toenail", {}, nagq=nagq)
    assert_coefs(fit, case["fixef"], case["se"])
    assert abs(fit.theta[0] / case["sd_patient"] - 1) < 1e-3


def test_toenail_likelihood_and_marginal_coefficients():
    case = cases("toenail")["glmmadaptive_agq50"]
    fit = fit_case(cases("toenail")["formula"], "toenail", {}, nagq=50)
    assert abs(fit.loglik - case["loglik"]) < 1e-3
    marginal = ml.marginal_coefs(fit)
    reference = list(case["marginal_coefs_monte_carlo"].values())
    np.testing.assert_allclose(marginal.beta, reference, atol=0.01)
    assert marginal["time"] == pytest.approx(-0.160, abs=5e-4)


def test_laplace_warns_on_toenail_and_not_on_ordinary_data():
    with pytest.warns(LaplaceWarning, match=r"nagq=15"):
        ml.glmm("y ~ treatment * time + (1 | patient)", ml.load("toenail"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ml.glmm("cbind(r, n - r) ~ seed * extract + (1 | plate)", ml.load("seeds"))


def test_loglikelihoods_of_all_nagq_are_on_one_scale():
    fits = [
        ml.glmm("cbind(incidence, size - incidence) ~ period + (1 | herd)", ml.load("cbpp"), nagq=k)
        for k in (1, 7, 25)
    ]
    assert abs(fits[0].loglik - fits[1].loglik) < 0.1
    assert abs(fits[1].loglik - fits[2].loglik) < 1e-4
    assert fits[2].loglik == pytest.approx(-91.98337, abs=1e-4)


def test_every_form_of_a_binomial_response_gives_the_same_fit():
    df = ml.load("cbpp")
    df["prop"] = df["incidence"] / df["size"]
    pair = ml.glmm("cbind(incidence, size - incidence) ~ period + (1 | herd)", df)
    share = ml.glmm("prop ~ period + (1 | herd)", df, weights="size")
    assert pair.loglik == pytest.approx(share.loglik, abs=1e-9)
    one_by_one = df.loc[df.index.repeat(df["size"]), ["herd", "period"]].reset_index(drop=True)
    ill = np.concatenate(
        [np.repeat([1, 0], [r, s - r]) for r, s in zip(df["incidence"], df["size"], strict=True)]
    )
    one_by_one["ill"] = ill
    single = ml.glmm("ill ~ period + (1 | herd)", one_by_one)
    np.testing.assert_allclose(single.beta, pair.beta, atol=1e-5)
    one_by_one["state"] = pd.Categorical(np.where(ill == 1, "ill", "well"), ["well", "ill"])
    factor = ml.glmm("state ~ period + (1 | herd)", one_by_one)
    assert factor.loglik == pytest.approx(single.loglik, abs=1e-9)


def test_observation_effect_as_argument_and_as_term():
    df = ml.load("grouseticks")
    by_argument = ml.glmm(
        "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | LOCATION)", df, family="poisson",
        observation_effect=True,
    )  # fmt: skip
    by_term = ml.glmm(
        "TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | LOCATION) + (1 | INDEX)", df, family="poisson"
    )
    assert by_argument.loglik == pytest.approx(by_term.loglik, abs=1e-6)
    assert by_argument.n_groups["observation"] == len(df)
    rate = by_argument.predict(df.head(3), kind="conditional")
    assert np.all(np.isfinite(rate))


def test_refit_and_simulate_return_to_the_estimates():
    df = ml.load("contraception")
    fit = ml.glmm("use ~ age + urban + (1 | district)", df)
    assert fit.refit(fit.y).loglik == pytest.approx(fit.loglik, abs=1e-8)
    again = [fit.refit(y).beta for y in fit.simulate(40, seed=4)]
    z = (np.mean(again, axis=0) - fit.beta) / (np.std(again, axis=0) / np.sqrt(40))
    assert np.max(np.abs(z)) < 4


def test_summary_names_family_link_and_method():
    fit = ml.glmm("cbind(r, n - r) ~ seed + (1 | plate)", ml.load("seeds"), nagq=5)
    text = str(fit.summary())
    assert "binomial with logit link; adaptive quadrature, 5 nodes" in text
    assert "<table" in fit._repr_html_()


def test_an_offset_that_no_mean_stands_is_refused_in_words():
    df = ml.load("sleepstudy")  # under the inverse link Days from 0 to 9 leaves no mean in range
    with pytest.raises(DataError, match="no start value"):
        ml.glmm("Reaction ~ 1 + (1 | Subject)", df, family="gamma", offset="Days")
