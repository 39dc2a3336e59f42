"""What a hierarchical fit shows and answers."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.errors import DataError, MixedlabError
from mixedlab.models.hglm.fit import fit_hierarchical
from tests.models.hglm.cases import BY_H, SEMI, simulated


def test_both_says_how_far_apart_the_methods_are():
    formula, table, options = BY_H["epil-poisson-gamma"]
    exact, by_h = (
        ml.hglm(formula, table(), method=m, **options) for m in ("exact", "h-likelihood")
    )
    for fit in (exact, by_h):
        both = fit.both
        assert both.loc["lage", "h_likelihood"] == pytest.approx(0.501368, abs=1e-5)
        assert both.loc["lage", "exact"] == pytest.approx(0.505800, abs=1e-4)
        apart = both.loc["lage", "apart"]
        assert apart == pytest.approx(both.loc["lage", "h_likelihood"] - both.loc["lage", "exact"])
        assert both.loc["lage", "in_se"] == pytest.approx(apart / exact.se["lage"], rel=1e-3)
        assert both.loc["loglik", "apart"] < 0
        assert "log lambda: subject" in both.index


def test_predictions():
    table = simulated("binomial", "beta", 0.3)
    fit = ml.hglm("cbind(y, n) ~ x + (1 | g)", table, family="binomial", random_family="beta")
    new = pd.DataFrame({"x": [0.0, 1.0], "g": [3, 3]})
    population = fit.predict(new, kind="population")
    marginal = fit.predict(new, kind="marginal")
    by_hand = 1 / (1 + np.exp(-(fit.beta[0] + fit.beta[1] * new["x"].to_numpy())))
    assert population.to_numpy() == pytest.approx(by_hand)
    # averaging over a logit pulls towards one half
    assert np.all(np.abs(marginal - 0.5) < np.abs(population - 0.5))
    draws = fit.simulate(400, seed=2).mean(axis=0)
    assert draws.mean() == pytest.approx(fit.predict(kind="marginal").mean(), abs=0.005)
    conditional = fit.predict(new).to_numpy()
    eta = fit.beta[0] + fit.beta[1] * new["x"].to_numpy() + fit.b[0][3, 0]
    assert conditional == pytest.approx(1 / (1 + np.exp(-eta)))
    with pytest.raises(DataError, match="has not seen"):
        fit.predict(new.assign(g=9999))
    unseen = fit.predict(new.assign(g=9999), new_levels="population")
    assert unseen.to_numpy() == pytest.approx(population.to_numpy())
    for kind, value in (("population", population), ("marginal", marginal)):
        band = fit.predict(new.set_index(new.index + 7), kind=kind, interval="confidence")
        assert list(band.columns) == ["prediction", "se", "lower", "upper"]
        assert list(band.index) == [7, 8]
        assert band["prediction"].to_numpy() == pytest.approx(value.to_numpy())
        assert np.all((band["lower"] < band["prediction"]) & (band["prediction"] < band["upper"]))
    link = fit.predict(new, kind="population", scale="link")
    assert link.to_numpy() == pytest.approx(np.log(population / (1 - population)).to_numpy())
    with pytest.raises(MixedlabError, match="no interval"):
        fit.predict(new, interval="confidence")
    with pytest.raises(DataError, match=r"fit\.simulate"):
        fit.predict(new, kind="population", interval="prediction")


def test_conditional_mean_is_bayes_rule():
    """Poisson-gamma: E(u | y) = (S + 1/lambda) / (M + 1/lambda), the textbook's weighted mean."""
    formula, table, options = BY_H["pump-poisson-gamma"]
    fit = ml.hglm(formula, table(), **options)
    a = 1 / fit.dispersion_random["pump"]
    mu = fit.predict(kind="population")
    by_hand = (fit.y + a) / (mu + a)
    assert fit.ranef["pump"].to_numpy()[fit.terms[0].index, 0] == pytest.approx(by_hand)
    assert fit.fitted_values == pytest.approx(mu * by_hand)


def test_refit_and_arrays_give_the_same():
    formula, table, options = BY_H["pump-poisson-gamma"]
    fit = ml.hglm(formula, table(), **options)
    again = fit.refit(fit.y)
    assert again.loglik == pytest.approx(fit.loglik, abs=1e-9)
    assert fit_hierarchical(fit.data).beta == pytest.approx(fit.beta)
    assert fit.refit(fit.simulate(1, seed=4)[0]).converged
    with pytest.raises(DataError, match="10 finite"):
        fit.refit(fit.y[1:])
    with pytest.raises(ValueError, match="poisson family"):
        fit.refit(fit.y - 100)


def test_summary_names_the_model():
    formula, table, options = BY_H["pump-poisson-gamma"]
    text = str(ml.hglm(formula, table(), **options))
    for words in ("gamma on pump", "E u = 1", "negative multinomial", "lambda pump"):
        assert words in text
    by_h = ml.hglm(formula, table(), method="h-likelihood", **options)
    assert "by h-likelihood" in by_h.summary().title
    assert "<table" in by_h._repr_html_()


def test_questions_to_a_fit():
    formula, table, options = BY_H["epil-poisson-gamma"]
    fit = ml.hglm(formula, table(), **options)
    smaller = ml.hglm(formula.replace(" + V4", ""), table(), **options)
    test = ml.compare(smaller, fit)
    assert test.chisq == pytest.approx(2 * (fit.loglik - smaller.loglik))
    assert test.df == 1
    by_h = ml.hglm(formula, table(), method="h-likelihood", **options)
    with pytest.raises(MixedlabError, match="one method"):
        ml.compare(smaller, by_h)
    normal = ml.hglm(formula, table(), family="poisson", random_family="gaussian")
    with pytest.raises(MixedlabError, match="Compare their aic"):
        ml.compare(smaller, normal)
    assert fit.aic == pytest.approx(-2 * fit.loglik + 2 * 7)
    assert fit.tests().loc["V4", "z"] == pytest.approx(fit.beta[4] / fit.se["V4"])
    assert 0 < fit.icc().adjusted < 1
    assert 0 < fit.r2().marginal < fit.r2().conditional < 1


def test_icc_of_normal_normal_is_the_linear_mixed_models():
    table = ml.load("sleepstudy")
    formula = "Reaction ~ Days + (1 | Subject)"
    ours, theirs = ml.hglm(formula, table), ml.lmm(formula, table, reml=False)
    assert ours.icc().adjusted == pytest.approx(theirs.icc().adjusted, rel=1e-6)
    assert ours.r2().marginal == pytest.approx(theirs.r2().marginal, rel=1e-6)


def test_bootstrap_intervals_are_reproducible_and_near_walds():
    formula, table, options = BY_H["pump-poisson-gamma"]
    fit = ml.hglm(formula, table(), **options)
    with ThreadPoolExecutor(1) as executor:
        first, again = (
            fit.confint(method="bootstrap", n=60, seed=2, executor=executor, progress=False)
            for _ in "ab"
        )
    assert first.equals(again)
    wald = fit.confint()
    assert list(first.index) == list(wald.index)
    width = (first["upper"] - first["lower"]) / (wald["upper"] - wald["lower"])
    assert width.iloc[:2].between(0.5, 1.6).all()
    with pytest.raises(MixedlabError, match="method='bootstrap'"):
        fit.confint(method="profile")


def test_normal_normal_with_its_own_standard_errors_agrees_with_quadrature():
    table = ml.load("sleepstudy")
    formula = "Reaction ~ Days + (1 | Subject)"
    closed, numeric = (ml.hglm(formula, table, method=m) for m in ("exact", "quadrature"))
    assert closed.loglik == pytest.approx(numeric.loglik, abs=1e-7)
    assert closed.se.to_numpy() == pytest.approx(numeric.se.to_numpy(), rel=1e-5)
    assert closed.dispersion_coefs["se"].to_numpy() == pytest.approx(
        numeric.dispersion_coefs["se"].to_numpy(), rel=1e-4
    )


@pytest.mark.parametrize(
    ("name", "family", "effects"),
    [("epil-poisson-gamma", "poisson", "gamma"), ("seeds-binomial-normal", "binomial", "gaussian")],
)
def test_quadrature_and_exact_agree(name, family, effects):
    formula, table, _ = BY_H[name]
    fits = [
        ml.hglm(formula, table(), family=family, random_family=effects, method=m)
        for m in ("exact", "quadrature")
    ]
    assert fits[0].loglik == pytest.approx(fits[1].loglik, abs=1e-7)
    assert fits[0].beta == pytest.approx(fits[1].beta, abs=1e-6)
    assert fits[0].ranef_sd[fits[0].terms[0].group].to_numpy() == pytest.approx(
        fits[1].ranef_sd[fits[0].terms[0].group].to_numpy(), rel=1e-4
    )


def test_exact_with_a_dispersion_model_beats_the_constant_one():
    table = ml.load("semiconductor")
    options = {"family": "gamma", "random_family": "inverse_gamma"}
    constant, modelled = (
        ml.hglm(SEMI, table, dispersion=d, **options) for d in (None, "~ x2 + x3")
    )
    by_quadrature = ml.hglm(SEMI, table, dispersion="~ x2 + x3", method="quadrature", **options)
    assert modelled.loglik > constant.loglik + 3
    assert modelled.loglik == pytest.approx(by_quadrature.loglik, abs=1e-7)
    assert modelled.n_params == constant.n_params + 2
    assert list(modelled.dispersion_coefs.loc["phi"].index) == ["(Intercept)", "x2", "x3"]
