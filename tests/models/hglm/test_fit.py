"""ml.hglm against reference fits, against itself by other ways, and on input it must refuse."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import mixedlab as ml
from mixedlab.errors import DataError, MixedlabError
from mixedlab.models.hglm.estimates import predictor
from mixedlab.models.hglm.fit import fit_hierarchical
from tests import paths

REFERENCE = paths.REFERENCE
CASES = {case["id"]: case for case in json.loads((REFERENCE / "hglm.json").read_text())}
FAMILIES = {c["id"]: c for c in json.loads((REFERENCE / "glmm_families.json").read_text())}


def seeds():
    table = ml.load("seeds")
    return table.assign(O73=(table["seed"] == "O73").astype(int))


def pump():
    table = ml.load("pump")
    return table.assign(log_time=np.log(table["time"]))


SEMI = "y ~ x1 + x3 + x5 + x6 + (1 | Device)"
SEEDS = "cbind(r, n - r) ~ extract * O73 + (1 | plate)"
BY_H = {
    "semiconductor-gamma-normal": (
        SEMI, lambda: ml.load("semiconductor"),
        {"family": "gamma", "random_family": "gaussian", "dispersion": "~ x2 + x3"},
    ),
    "semiconductor-gamma-normal-constant-dispersion": (
        SEMI, lambda: ml.load("semiconductor"), {"family": "gamma", "random_family": "gaussian"},
    ),
    "seeds-binomial-normal": (SEEDS, seeds, {"family": "binomial", "random_family": "gaussian"}),
    "seeds-binomial-beta": (SEEDS, seeds, {"family": "binomial", "random_family": "beta"}),
    "pump-poisson-gamma": (
        "failures ~ C(group) + offset(log_time) + (1 | pump)", pump,
        {"family": "poisson", "random_family": "gamma"},
    ),
    "epil-poisson-gamma": (
        "y ~ lbase * C(trt, contr.treatment('placebo')) + lage + V4 + (1 | subject)",
        lambda: ml.load("epil"), {"family": "poisson", "random_family": "gamma"},
    ),
    "sleepstudy-normal-normal": (
        "Reaction ~ Days + (1 | Subject)", lambda: ml.load("sleepstudy"), {},
    ),
}  # fmt: skip


def in_reference_order(fit, reference):
    """Reference values in the order of the fit's coefficients (interactions come last in both)."""
    values = np.array(list(reference.values()))
    assert len(values) == len(fit.names)
    return values


@pytest.mark.parametrize("name", BY_H)
def test_h_likelihood_reference(name):
    formula, table, options = BY_H[name]
    fit = ml.hglm(formula, table(), method="h-likelihood", **options)
    case = CASES[name]
    beta, se = (in_reference_order(fit, case[key]) for key in ("fixef", "se"))
    # The other program stops its alternation earlier: its dispersion is off by up to 2e-4.
    assert fit.converged
    assert np.abs((fit.beta - beta) / se).max() < 2e-4
    assert fit.se.to_numpy() == pytest.approx(se, rel=2e-4)
    assert fit.dispersion_random.iloc[0] == pytest.approx(case["dispersion_random"], rel=3e-4)
    if case["dispersion_mean"] is not None:
        assert fit.dispersion == pytest.approx(case["dispersion_mean"], rel=1e-4)
    effects = fit.ranef[fit.terms[0].group].to_numpy()[:6, 0]
    assert effects == pytest.approx(case["ranef_head"], rel=1e-4, abs=1e-4)


def test_poisson_gamma_exact_reference():
    formula, table, options = BY_H["epil-poisson-gamma"]
    fit = ml.hglm(formula, table(), **options)
    case = CASES["epil-poisson-gamma-exact"]
    beta, se = (in_reference_order(fit, case[key]) for key in ("fixef", "se"))
    # Ours is higher by 4e-8: -665.903521889.
    assert -1e-6 < fit.loglik - case["loglik"] < 1e-6
    assert np.abs((fit.beta - beta) / se).max() < 1e-3
    assert fit.se.to_numpy() == pytest.approx(se, rel=1e-4)
    assert 1 / fit.dispersion_random["subject"] == pytest.approx(case["gamma_shape"], rel=1e-4)


def test_gamma_inverse_gamma_exact_reference():
    fit = ml.hglm(SEMI, ml.load("semiconductor"), family="gamma", random_family="inverse_gamma")
    case = CASES["semiconductor-gamma-inversegamma-exact"]
    assert fit.loglik == pytest.approx(case["loglik"], abs=1e-6)
    assert fit.beta == pytest.approx(list(case["fixef"].values()), abs=1e-6)
    assert fit.se.to_numpy() == pytest.approx(list(case["se"].values()), rel=1e-5)
    assert 1 / fit.dispersion == pytest.approx(case["gamma_shape_nu"], rel=1e-5)
    assert 1 / fit.dispersion_random["Device"] == pytest.approx(case["a"], rel=1e-4)


def test_beta_binomial_reference():
    fit = ml.hglm(
        "cbind(r, n - r) ~ seed * extract + (1 | plate)", seeds(),
        family="binomial", random_family="beta",
    )  # fmt: skip
    case = FAMILIES["seeds-betabinomial"]
    assert fit.is_beta_binomial
    assert fit.loglik == pytest.approx(case["loglik"], abs=1e-6)
    assert fit.beta == pytest.approx(list(case["fixef"].values()), abs=1e-3)
    assert 1 / fit.dispersion_random["plate"] == pytest.approx(case["dispersion"], rel=1e-2)


def test_normal_normal_is_the_linear_mixed_model():
    table = ml.load("sleepstudy")
    formula = "Reaction ~ Days + (Days || Subject)"
    exact, by_h = (ml.hglm(formula, table, method=m) for m in ("exact", "h-likelihood"))
    ml_fit, reml = (ml.lmm(formula, table, reml=r) for r in (False, True))
    assert exact.loglik == pytest.approx(ml_fit.loglik, abs=1e-8)
    assert exact.beta == pytest.approx(ml_fit.beta)
    assert by_h.beta == pytest.approx(reml.beta, rel=1e-6)
    assert by_h.sigma == pytest.approx(reml.sigma, rel=1e-5)
    assert by_h.se.to_numpy() == pytest.approx(reml.se.to_numpy(), rel=1e-5)
    assert by_h.varcorr["vcov"].to_numpy() == pytest.approx(
        reml.varcorr["vcov"].to_numpy(), rel=1e-4
    )
    assert by_h.ranef["Subject"].to_numpy() == pytest.approx(
        reml.ranef["Subject"].to_numpy(), abs=1e-3
    )


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


def simulated(kind, effects, lam, *, J=400, n=5, seed=3):
    """Data from the model itself: slope 0.5, intercept 0.3."""
    from mixedlab.engine.random_families import random_family

    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(J), n)
    x = rng.normal(size=J * n)
    v = random_family(effects).quantile(rng.uniform(1e-9, 1, J), lam)
    eta = 0.3 + 0.5 * x + v[g]
    y = {
        "poisson": lambda: rng.poisson(np.exp(eta)),
        "gamma": lambda: rng.gamma(5.0, np.exp(eta) / 5.0),
        "binomial": lambda: rng.binomial(6, 1 / (1 + np.exp(-eta))),
        "gaussian": lambda: rng.normal(eta, np.sqrt(0.2)),
    }[kind]()
    return pd.DataFrame({"y": y, "n": 6 - y if kind == "binomial" else 0, "x": x, "g": g})


@pytest.mark.parametrize(
    ("kind", "effects", "lam"),
    [
        ("poisson", "gamma", 0.4), ("gamma", "inverse_gamma", 0.3), ("binomial", "beta", 0.3),
        ("gaussian", "gaussian", 0.5), ("binomial", "gaussian", 0.8), ("poisson", "gaussian", 0.4),
        ("gamma", "gaussian", 0.4), ("poisson", "inverse_gamma", 0.3),
    ],
)  # fmt: skip
def test_truth_is_recovered(kind, effects, lam):
    table = simulated(kind, effects, lam)
    left = "cbind(y, n)" if kind == "binomial" else "y"
    fit = ml.hglm(f"{left} ~ x + (1 | g)", table, family=kind, random_family=effects)
    assert np.abs((fit.beta - [0.3, 0.5]) / fit.se.to_numpy()).max() < 3.5
    error = fit.dispersion_coefs["se"].iloc[-1]
    assert abs(np.log(fit.dispersion_random["g"] / lam)) < 3.5 * error
    if kind in ("gamma", "gaussian"):
        assert fit.dispersion == pytest.approx(0.2, rel=0.15)
    at_truth = fit.both.loc["loglik", "apart"]
    assert at_truth < 1e-6  # nothing beats the maximum
    low, high = fit.confint().loc["x"]
    assert low < fit.beta[1] < high


def test_no_variance_between_groups_ends_on_the_boundary():
    rng = np.random.default_rng(3)
    table = pd.DataFrame(
        {"y": rng.poisson(3, 300), "g": np.repeat(np.arange(30), 10), "x": rng.normal(size=300)}
    )
    for method in ("exact", "quadrature", "h-likelihood"):
        fit = ml.hglm("y ~ x + (1 | g)", table, family="poisson", random_family="gamma",
                      method=method)  # fmt: skip
        assert fit.singular
        assert fit.converged
        assert fit.dispersion_random["g"] < 1e-8
        assert fit.loglik == pytest.approx(-573.0918578640, abs=1e-5)
        assert fit.predict(kind="marginal") == pytest.approx(fit.fitted, rel=1e-6)
        assert "Singular" in str(fit)


def test_random_dispersion_model():
    rng = np.random.default_rng(5)
    J, n = 300, 8
    g = np.repeat(np.arange(J), n)
    z = np.repeat([0.0, 1.0], J // 2)
    u = rng.gamma(1 / np.exp(-2 + 1.5 * z), np.exp(-2 + 1.5 * z))
    table = pd.DataFrame({"y": rng.poisson(8 * u[g]), "g": g, "z": z[g]})
    fit = ml.hglm(
        "y ~ 1 + (1 | g)", table, family="poisson", random_family="gamma", method="h-likelihood",
        random_dispersion="~ z",
    )  # fmt: skip
    coefs = fit.dispersion_coefs.loc["lambda g"]
    assert abs(coefs.loc["z", "estimate"] - 1.5) < 3.5 * coefs.loc["z", "se"]
    assert len(np.unique(np.round(fit.estimates.lam[0], 10))) == 2
    with pytest.raises(MixedlabError, match="h-likelihood only"):
        ml.hglm("y ~ 1 + (1 | g)", table, family="poisson", random_family="gamma",
                random_dispersion="~ z")  # fmt: skip


def test_quasi_dispersion_of_counts():
    formula, table, options = BY_H["epil-poisson-gamma"]
    fit = ml.hglm(formula, table(), method="h-likelihood", dispersion="~ 1", **options)
    assert fit.dispersion > 1.3
    plain = ml.hglm(formula, table(), method="h-likelihood", **options)
    assert fit.se["V4"] > plain.se["V4"]
    with pytest.raises(MixedlabError, match="quasi-family"):
        ml.hglm(formula, table(), dispersion="~ 1", **options)


def test_several_terms_of_different_families():
    table = ml.load("salamander_mating")
    formula = "Mate ~ TypeF * TypeM + (1 | Female) + (1 | Male)"
    options = {"family": "binomial", "method": "h-likelihood"}
    named = ml.hglm(formula, table, random_family={"Female": "gaussian", "Male": "beta"}, **options)
    listed = ml.hglm(formula, table, random_family=["gaussian", "beta"], **options)
    assert named.beta == pytest.approx(listed.beta)
    assert named.random_families == {"Female": "gaussian", "Male": "beta"}
    turned = ml.hglm(
        "Mate ~ TypeF * TypeM + (1 | Male) + (1 | Female)", table,
        random_family=["beta", "gaussian"], **options,
    )  # fmt: skip
    assert turned.beta == pytest.approx(named.beta, abs=1e-6)
    assert turned.dispersion_random["Male"] == pytest.approx(named.dispersion_random["Male"])
    with pytest.raises(MixedlabError, match="one group at a time"):
        ml.hglm(formula, table, family="binomial", random_family="beta")


def test_eliminating_a_factor_changes_nothing():
    """The dense augmented regression, written out, gives the same step and hat values."""
    from mixedlab.models.hglm.h_likelihood import AugmentedSystem, fit_h_likelihood

    fit = ml.hglm(
        "Mate ~ TypeF * TypeM + (1 | Female) + (1 | Male)", ml.load("salamander_mating"),
        family="binomial", random_family=["gaussian", "beta"], method="h-likelihood",
    )  # fmt: skip
    data, by_h = fit.data, fit_h_likelihood(fit.data)
    Z = [t.index[:, None] == np.arange(t.n_levels) for t in data.terms]
    K = sum(z.shape[1] for z in Z)
    p = data.X.shape[1]
    T = np.block([[data.X, *Z], [np.zeros((K, p)), np.eye(K)]])
    w2 = [k.augmented_curvature(v) / k.scale(l)
          for k, v, l in zip(data.random, by_h.b, by_h.lam, strict=True)]  # fmt: skip
    eta = predictor(data, by_h.beta, by_h.b)
    w = np.concatenate([data.family.fisher_weights(eta, data.weights), *w2])
    inverse = np.linalg.inv(T.T @ (T * w[:, None]))
    hat = w * np.einsum("ij,jk,ik->i", T, inverse, T)
    rows, effects, vcov, sd = AugmentedSystem(data).leverage(
        eta, by_h.b, by_h.phi, by_h.lam
    )
    assert rows == pytest.approx(hat[: rows.size])
    assert np.concatenate(effects) == pytest.approx(hat[rows.size :])
    assert vcov == pytest.approx(inverse[:p, :p])
    assert np.concatenate(sd) == pytest.approx(np.sqrt(np.diag(inverse))[p:])


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


def test_multiplicative_effects_leave_the_mean_alone():
    formula, table, options = BY_H["epil-poisson-gamma"]
    fit = ml.hglm(formula, table(), **options)
    marginal, population = (fit.predict(kind=k) for k in ("marginal", "population"))
    assert marginal.to_numpy() == pytest.approx(population.to_numpy(), rel=1e-14)
    normal = ml.hglm(formula, table(), family="poisson", random_family="gaussian")
    ratio = normal.predict(kind="marginal") / normal.predict(kind="population")
    assert ratio == pytest.approx(np.exp(normal.dispersion_random["subject"] / 2))


def test_conditional_mean_is_bayes_rule():
    """Poisson-gamma: E(u | y) = (S + 1/lambda) / (M + 1/lambda), the textbook's weighted mean."""
    formula, table, options = BY_H["pump-poisson-gamma"]
    fit = ml.hglm(formula, table(), **options)
    a = 1 / fit.dispersion_random["pump"]
    mu = fit.predict(kind="population")
    by_hand = (fit.y + a) / (mu + a)
    assert fit.ranef["pump"].to_numpy()[fit.terms[0].index, 0] == pytest.approx(by_hand)
    assert fit.fitted_values == pytest.approx(mu * by_hand)


# No shrinking: each example is a fit, and a smaller seed is no simpler.
@settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(seed=st.integers(0, 10_000), factor=st.sampled_from([1e-6, 1e-3, 1e4]))
def test_shuffling_relabelling_and_scaling(seed, factor):
    table = simulated("gamma", "inverse_gamma", 0.3, J=25, n=4, seed=8)
    options = {"family": "gamma", "random_family": "inverse_gamma"}
    plain = ml.hglm("y ~ x + (1 | g)", table, **options)
    rng = np.random.default_rng(seed)
    names = rng.permutation(25)
    moved = table.sample(frac=1, random_state=seed).assign(
        g=lambda t: names[t["g"]], y=lambda t: t["y"] * factor, x=lambda t: t["x"] / factor
    )
    for method in ("exact", "h-likelihood"):
        first = (
            plain
            if method == "exact"
            else ml.hglm("y ~ x + (1 | g)", table, method=method, **options)
        )
        fit = ml.hglm("y ~ x + (1 | g)", moved, method=method, **options)
        assert fit.beta * [1, 1 / factor] - [np.log(factor), 0] == pytest.approx(
            first.beta, rel=1e-5, abs=1e-6
        )
        assert fit.loglik == pytest.approx(first.loglik - 100 * np.log(factor), abs=1e-5)
        assert fit.dispersion_random["g"] == pytest.approx(first.dispersion_random["g"], rel=1e-4)


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


def test_variance_on_the_link_of_a_beta_binomial():
    """The variance of logit p, by drawing p from its beta."""
    table = simulated("binomial", "beta", 0.3, J=60).assign(x=0.0)
    fit = ml.hglm("cbind(y, n) ~ 1 + (1 | g)", table, family="binomial", random_family="beta")
    lam, mu = fit.dispersion_random["g"], fit.predict(kind="population")[0]
    p = np.random.default_rng(1).beta(mu / lam, (1 - mu) / lam, 400_000)
    assert fit.varcorr["vcov"][0] == pytest.approx(np.var(np.log(p / (1 - p))), rel=0.02)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"family": "negative_binomial"}, "poisson' with gamma"),
        ({"random_family": "cauchy"}, "no family of random effects"),
        ({"random_family": "beta"}, "family='binomial'"),
        ({"random_family": ["gamma", "gamma"]}, "2 families for 1"),
        ({"random_family": {"pumps": "gamma"}}, "grouping factors are pump"),
        ({"link": "identity"}, "needs link='log'"),
        ({"link": "loglog"}, "no link"),
        ({"method": "laplace"}, "exact, h-likelihood, quadrature"),
        ({"dispersion": "group"}, "write it as '~ x'"),
        ({"formula": "failures ~ 1 + (log_time | pump)"}, "correlated"),
        ({"formula": "failures ~ 1 + (0 + log_time | pump)"}, r"\(1 \| pump\)"),
        ({"formula": "failures ~ 1"}, "no random term"),
        ({"formula": "failures ~ tiem + (1 | pump)"}, "time"),
        ({"formula": "time ~ 1 + (1 | pump)"}, "counts"),
    ],
)  # fmt: skip
def test_bad_input(changes, words):
    formula = changes.get("formula", "failures ~ 1 + (1 | pump)")
    options = {"family": "poisson", "random_family": "gamma"} | {
        k: v for k, v in changes.items() if k != "formula"
    }
    with pytest.raises(ValueError, match=words):
        ml.hglm(formula, pump(), **options)


def test_one_zero_or_one_a_group_is_refused():
    table = pd.DataFrame({"y": [0, 1, 1, 0, 1, 0], "g": range(6)})
    with pytest.raises(DataError, match="one response of 0 or 1"):
        ml.hglm("y ~ 1 + (1 | g)", table, family="binomial", random_family="beta")


@pytest.mark.parametrize("method", ["exact", "h-likelihood"])
def test_separation_is_said(method):
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"g": np.repeat(np.arange(30), 6), "x": rng.normal(size=180)})
    table["y"] = (table["x"] > 0).astype(int)
    with pytest.raises(DataError, match=r"Separation.*'x'.*ml\.glmm"):
        ml.hglm("y ~ x + (1 | g)", table, family="binomial", method=method)


def hard_case(name):
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(30), 6)
    u = rng.gamma(4, 0.25, 30)[g]
    table = pd.DataFrame({"g": g, "x": rng.normal(size=180), "off": rng.uniform(-7, 7, 180)})
    counts = {"family": "poisson", "random_family": "gamma"}
    binary = {"family": "binomial", "random_family": "beta"}
    y, formula, options = {
        "groups of zeros": (rng.poisson(np.where(g < 10, 0, 3.0)), "", counts),
        "counts of a million": (rng.poisson(1e6 * u), "", counts),
        "offsets over six decades": (
            rng.poisson(np.exp(table["off"]) * u), " + offset(off)", counts),
        "groups all 0 or all 1": (
            np.where(g < 10, 0, np.where(g > 20, 1, rng.binomial(1, 0.5, 180))), "", binary),
        "rare events": (rng.binomial(1, 0.01, 180), "", {"family": "binomial"}),
        "tiny responses": (
            1e-12 * u * rng.gamma(4, 0.25, 180), "",
            {"family": "gamma", "random_family": "inverse_gamma"}),
        "inverse link": (
            u * rng.gamma(4, 0.25, 180), "", {"family": "gamma", "link": "inverse"}),
        "normal with a log link": (np.exp(rng.normal(u, 0.3)), "", {"link": "log"}),
        "probit": (rng.binomial(1, 0.4, 180), "", {"family": "binomial", "link": "probit"}),
    }[name]  # fmt: skip
    return table.assign(y=y), f"y ~ x{formula} + (1 | g)", options


@pytest.mark.parametrize(
    "name",
    ["groups of zeros", "counts of a million", "offsets over six decades", "groups all 0 or all 1",
     "rare events", "tiny responses", "inverse link", "normal with a log link", "probit"],
)  # fmt: skip
def test_hard_cases_converge_to_the_top(name):
    table, formula, options = hard_case(name)
    exact, by_h = (ml.hglm(formula, table, method=m, **options) for m in ("exact", "h-likelihood"))
    assert exact.converged
    assert by_h.converged
    assert np.all(np.isfinite(exact.se))
    # quadrature at the other method's estimates is no higher
    assert exact.both.loc["loglik", "apart"] < 1e-6


def test_toenail_is_the_generalised_mixed_models_quadrature():
    case = json.loads((REFERENCE / "toenail.json").read_text())["agq50"]
    fit = ml.hglm("y ~ treatment * time + (1 | patient)", ml.load("toenail"), family="binomial")
    assert fit.beta == pytest.approx(list(case["fixef"].values()), abs=2e-3)
    assert np.sqrt(fit.dispersion_random["patient"]) == pytest.approx(case["sd_patient"], abs=5e-3)


def test_scaling_loses_nothing_for_normal_responses():
    table = simulated("gaussian", "gaussian", 0.5, J=30)
    plain = ml.hglm("y ~ x + (1 | g)", table, method="h-likelihood")
    scaled = ml.hglm(
        "y ~ x + (1 | g)", table.assign(y=table["y"] * 1e6, x=table["x"] * 1e-6),
        method="h-likelihood",
    )  # fmt: skip
    assert scaled.beta * [1e-6, 1e-12] == pytest.approx(plain.beta, rel=1e-8)
    assert scaled.se.to_numpy() * [1e-6, 1e-12] == pytest.approx(plain.se.to_numpy(), rel=1e-6)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
@pytest.mark.parametrize(
    ("kind", "effects", "link"),
    [("gaussian", "gaussian", "log"), ("gamma", "gaussian", "inverse")],
)
def test_units_of_the_response_do_not_matter(kind, effects, link, factor):
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(30), 6)
    table = pd.DataFrame({"g": g, "y": rng.gamma(4, 0.25, 30)[g] * rng.gamma(9, 1 / 9, 180)})
    scaled = table.assign(y=table["y"] * factor)
    options = {"family": kind, "random_family": effects, "link": link}
    for method in ("exact", "h-likelihood"):
        plain, moved = (
            ml.hglm("y ~ 1 + (1 | g)", t, method=method, **options) for t in (table, scaled)
        )
        assert moved.converged
        assert moved.loglik == pytest.approx(plain.loglik - 180 * np.log(factor), abs=1e-4)
        unit = 1.0 if link == "log" else factor**-2
        assert moved.dispersion_random["g"] / unit == pytest.approx(
            plain.dispersion_random["g"], rel=1e-3
        )


def test_random_dispersion_must_be_constant_in_groups():
    table = simulated("poisson", "gamma", 0.3, J=20)
    with pytest.raises(DataError, match="varies within levels of 'g'"):
        ml.hglm("y ~ 1 + (1 | g)", table, family="poisson", random_family="gamma",
                method="h-likelihood", random_dispersion="~ x")  # fmt: skip
