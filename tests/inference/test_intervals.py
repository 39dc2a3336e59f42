"""Intervals by the three roads: published figures, definitions, and hard cases."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedlab as ml
from mixedlab.errors import MixedlabError
from mixedlab.inference.explained import standardised_residuals
from mixedlab.inference.intervals import bootstrap
from mixedlab.inference.profiles import profile
from mixedlab.inference.replication import ReplicationWarning
from mixedlab.models.linear_held import VarianceHeld
from tests import paths

REFERENCE = json.loads((paths.REFERENCE / "inference.json").read_text(encoding="utf-8"))
Z = stats.norm.ppf(0.975)


@pytest.fixture(scope="module")
def sleep():
    return ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"), reml=False)


@pytest.mark.parametrize("data", ["sleepstudy", "dyestuff"])
def test_reference_profile_intervals(data):
    """The reference interpolates between its points; ours are solved for."""
    case = REFERENCE[f"{data}_profile_ci_ml"]
    fit = ml.lmm(case["formula"], ml.load(data), reml=False)
    found = fit.confint(method="profile")
    width = np.diff(case["ci"], axis=1)
    assert np.all(np.abs(found.to_numpy() - case["ci"]) < 1e-4 * width)


def test_names_and_order_of_rows(sleep):
    names = [
        "sd (Intercept) | Subject",
        "cor (Intercept), Days | Subject",
        "sd Days | Subject",
        "sigma",
        "(Intercept)",
        "Days",
    ]
    for method in ("wald", "profile"):
        assert list(sleep.confint(method=method).index) == names
    some = sleep.confint(method="profile", parameters=["Days", "sigma"])
    pd.testing.assert_frame_equal(some, sleep.confint(method="profile").loc[["Days", "sigma"]])


@pytest.mark.parametrize(
    "formula",
    [
        "Reaction ~ Days + (Days | Subject)",
        "Reaction ~ Days + (Days || Subject)",
        "Reaction ~ Days + (Days + I(Days**2) | Subject)",
    ],
)
def test_gradient_of_the_deviance_with_a_parameter_held(formula):
    fit = ml.lmm(formula, ml.load("sleepstudy"), reml=False)
    rng = np.random.default_rng(0)
    for parameter in fit.named_parameters:
        if parameter.kind == "beta":
            continue
        deviance = VarianceHeld(fit, fit.problem, parameter).deviance
        free = VarianceHeld(fit, fit.problem, parameter).start()
        free = free + 0.1 * rng.normal(size=free.size)
        value = 0.8 * parameter.estimate
        _, gradient = deviance(value, free)
        step = 1e-5 * np.eye(free.size)
        expected = [
            (deviance(value, free + e)[0] - deviance(value, free - e)[0]) / 2e-5 for e in step
        ]
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("k", [0, 1])
def test_a_coefficient_held_is_an_offset(sleep, k):
    """The deviance with beta_k held is that of the model with its column moved to the offset."""
    parameter = sleep.named_parameters[-2 + k]
    value = sleep.beta[k] + 1.3 * sleep.se.iloc[k]
    deviance = sleep.hold(parameter).minimum(value, sleep.hold(parameter).start())[0]
    table = ml.load("sleepstudy")
    offset = value * sleep.X[:, k]
    rest = "0 + Days" if k == 0 else "1"
    refit = ml.lmm(f"Reaction ~ {rest} + (Days | Subject)", table, reml=False, offset=offset)
    assert deviance == pytest.approx(refit.criterion, rel=1e-9)


def test_an_sd_held_at_zero_is_the_model_without_it(sleep):
    parameter = sleep.named_parameters[2]
    start = sleep.hold(parameter).start()
    deviance = sleep.hold(parameter).minimum(0.0, start)[0]
    without = ml.lmm("Reaction ~ Days + (1 | Subject)", ml.load("sleepstudy"), reml=False)
    assert deviance == pytest.approx(without.criterion, rel=1e-9)


def test_a_correlation_held_at_zero_is_the_uncorrelated_model(sleep):
    parameter = sleep.named_parameters[1]
    deviance = sleep.hold(parameter).minimum(0.0, sleep.hold(parameter).start())[0]
    without = ml.lmm("Reaction ~ Days + (Days || Subject)", ml.load("sleepstudy"), reml=False)
    assert deviance == pytest.approx(without.criterion, rel=1e-9)


def test_zeta_at_the_ends_is_the_quantile_and_rises(sleep):
    curves = profile(sleep).curves
    ends = profile(sleep).confint()
    for name, curve in curves.items():
        assert np.all(np.diff(curve.value) > 0), name
        assert np.all(np.diff(curve.zeta) > -1e-9), name
        at = dict(zip(curve.value, curve.zeta, strict=True))
        for end, z in zip(ends.loc[name], (-Z, Z), strict=True):
            nearest = min(at, key=lambda v: abs(v - end))
            assert at[nearest] == pytest.approx(z, abs=1e-6)


def test_profile_and_wald_agree_for_many_groups():
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(400), 6)
    x = rng.normal(size=2400)
    b = rng.multivariate_normal([0, 0], [[1, 0.3], [0.3, 0.5]], 400)
    table = pd.DataFrame({"x": x, "g": g, "y": x + b[g, 0] + b[g, 1] * x + rng.normal(size=2400)})
    fit = ml.lmm("y ~ x + (x | g)", table, reml=False)
    wald, profiled = (fit.confint(method=m) for m in ("wald", "profile"))
    width = (wald.upper - wald.lower).to_numpy()[:, None]
    assert np.all(np.abs(wald - profiled) < 0.03 * width)


def test_variance_at_zero_has_an_upper_end_only():
    fit = ml.lmm("Yield ~ 1 + (1 | Batch)", ml.load("dyestuff2"), reml=False)
    ends = fit.confint(method="profile")
    assert ends.loc["sd (Intercept) | Batch", "lower"] == 0.0
    assert 0 < ends.loc["sd (Intercept) | Batch", "upper"] < 5
    assert fit.confint().loc["sd (Intercept) | Batch"].isna().all()
    assert np.isfinite(ends.drop("sd (Intercept) | Batch")).all().all()


def test_undefined_correlation_has_no_interval():
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(10), 6)
    x = np.tile(np.arange(6.0), 10)
    y = x + rng.normal(size=60)
    y -= pd.Series(y).groupby(g).transform("mean") - 0.1 * rng.normal(size=10)[g]
    fit = ml.lmm("y ~ x + (x | g)", pd.DataFrame({"y": y, "x": x, "g": g}), reml=False)
    assert fit.singular
    ends = fit.confint(method="profile")
    assert np.isfinite(ends.loc[["(Intercept)", "x", "sigma"]]).all().all()
    assert np.isfinite(ends.filter(like="sd ", axis=0)).all().all()


def test_units_scale_the_profile():
    table = ml.load("sleepstudy")
    plain = ml.lmm("Reaction ~ Days + (Days | Subject)", table).confint(method="profile")
    scaled = table.assign(Reaction=table.Reaction * 1e6, Days=table.Days * 1e-6)
    found = ml.lmm("Reaction ~ Days + (Days | Subject)", scaled).confint(method="profile")
    factor = np.array([1e6, 1, 1e12, 1e6, 1e6, 1e12])[:, None]
    np.testing.assert_allclose(found / factor, plain, rtol=1e-5)


def test_profile_of_a_crossed_model_and_of_weights():
    fit = ml.lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", ml.load("penicillin"), reml=False)
    ends = fit.confint(method="profile")
    # Bates et al. (2015) print these of the same model and data: sds of plate, sample, sigma.
    for name, estimate in zip(ends.index, [0.8456, 1.7706, 0.5499], strict=False):
        assert ends.loc[name, "lower"] < estimate < ends.loc[name, "upper"]
    table = ml.load("sleepstudy")
    one, four = (
        ml.lmm("Reaction ~ Days + (1 | Subject)", table, weights=np.full(180, w)).confint(
            method="profile"
        )
        for w in (1.0, 4.0)
    )
    np.testing.assert_allclose(four.loc["sigma"] / 2, one.loc["sigma"], rtol=1e-6)
    np.testing.assert_allclose(four.drop("sigma"), one.drop("sigma"), rtol=1e-6)


def test_reml_fits_are_profiled_by_maximum_likelihood(sleep):
    reml = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    assert reml.by_maximum_likelihood().criterion == pytest.approx(sleep.criterion, rel=1e-9)
    pd.testing.assert_frame_equal(
        reml.confint(method="profile"), sleep.confint(method="profile"), rtol=1e-5
    )


def test_wald_by_satterthwaite_is_wider(sleep):
    wald, wider = sleep.confint(), sleep.confint(df="satterthwaite")
    t = stats.t.ppf(0.975, sleep.tests("satterthwaite")["df"])
    half = (wider.upper - wider.lower).loc[["(Intercept)", "Days"]] / 2
    np.testing.assert_allclose(half, t * sleep.se)
    pd.testing.assert_frame_equal(wald.iloc[:4], wider.iloc[:4])


def test_wald_interval_of_sigma_without_groups_is_known():
    """Where groups explain nothing, log sigma has variance 1 / (2 nu)."""
    fit = ml.lmm("Yield ~ 1 + (1 | Batch)", ml.load("dyestuff2"))
    half = Z / np.sqrt(2 * 29)
    np.testing.assert_allclose(
        fit.confint().loc["sigma"], fit.sigma * np.exp([-half, half]), rtol=1e-4
    )


def test_bootstrap(sleep):
    found = bootstrap(sleep, 150, seed=3, progress=False)
    assert found.n_failed == 0
    table = found.table
    assert list(table.columns) == list(sleep.confint().index)
    error = table["Days"].std() / np.sqrt(150)
    assert abs(table["Days"].mean() - sleep.beta[1]) < 4 * error
    assert table["Days"].std() == pytest.approx(sleep.se["Days"], rel=0.2)
    ends = sleep.confint(method="bootstrap", n=150, seed=3)
    np.testing.assert_allclose(ends["lower"], table.quantile(0.025))
    kept = bootstrap(sleep, 3, 1, statistic=lambda fit: fit.criterion, progress=False)
    assert len(kept.values) == 3


def test_intervals_of_a_generalised_fit():
    fit = ml.glmm("incidence / size ~ period + (1 | herd)", ml.load("cbpp"), weights="size")
    wald = fit.confint()
    np.testing.assert_allclose(wald.loc[list(fit.names), "lower"], fit.fixef - Z * fit.se)
    profiled = fit.confint(method="profile", parameters=["sd (Intercept) | herd", "(Intercept)"])
    # lme4's documentation prints 0.3460 to 1.0999 for the sd.
    np.testing.assert_allclose(profiled.iloc[0], [0.3460, 1.0999], rtol=5e-3)
    assert profiled.loc["(Intercept)", "lower"] < wald.loc["(Intercept)", "lower"] + 0.1


def test_bad_requests(sleep):
    with pytest.raises(MixedlabError, match="Did you mean 'Days'"):
        sleep.confint(method="profile", parameters=["days"])
    with pytest.raises(MixedlabError, match="no parameter"):
        sleep.confint(parameters=["x"])
    with pytest.raises(MixedlabError, match="'wald', 'profile' or 'bootstrap'"):
        sleep.confint(method="exact")
    with pytest.raises(MixedlabError, match="between 0 and 1"):
        sleep.confint(level=95)


def test_bootstrap_keeps_quiet_about_simulated_responses_but_tells_of_failures(sleep):
    def warns(fit):
        warnings.warn("about a simulated response", stacklevel=2)
        return 1.0

    def fails_once(fit):
        if fit.criterion > sleep.criterion:
            raise ValueError("too large")
        return 1.0

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bootstrap(sleep, 3, 1, statistic=warns, progress=False)
    with pytest.warns(ReplicationWarning, match="ValueError: too large"):
        found = bootstrap(sleep, 12, 1, statistic=fails_once, progress=False)
    assert 0 < found.n_failed < 12


def test_residual_structures():
    fit = ml.lmm(
        "adherence ~ quality + partner_quality", ml.load("dyads"), residual="us(role | couple)"
    )
    assert not ml.diagnose(fit)
    assert list(fit.confint().index) == ["sigma", "(Intercept)", "quality", "partner_quality"]
    rows = fit.confint(method="bootstrap", n=4).index
    assert any(row.startswith("residual cor[") for row in rows)
    residual = standardised_residuals(fit)
    assert residual.std() == pytest.approx(1, abs=0.05)
    lag = ml.load("dyads").couple.astype("category").cat.codes.to_numpy()
    pairs = np.array([residual[lag == k] for k in np.unique(lag)])
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 3 / np.sqrt(len(pairs))
