"""Likelihood profiles: published intervals, the ends where zeta is the quantile, hard cases."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedlab as ml
from mixedlab.errors import MixedlabError
from mixedlab.inference.profiles import profile
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


def test_profile_intervals_of_an_intercept_and_a_slope():
    # lme4's profile intervals of the same fit
    fit = ml.glmm("use ~ age + urban + (urban | district)", ml.load("contraception"))
    sds = ["sd (Intercept) | district", "sd urban[T.Y] | district"]
    profile = fit.confint(method="profile", parameters=sds)
    np.testing.assert_allclose(profile, [[0.4213296, 0.8202776], [0.4668123, 1.2450743]], atol=1e-4)


def test_a_correlation_of_a_binary_response_has_a_profile():
    fit = ml.glmm("use ~ age + urban + (urban | district)", ml.load("contraception"))
    name = "cor (Intercept), urban[T.Y] | district"
    lower, upper = fit.confint(method="profile", parameters=[name]).loc[name]
    assert -1 <= lower < fit.varcorr["sdcor"].iloc[2] < upper < 0


@pytest.fixture(scope="module")
def slopes():
    """Responses of three kinds over groups with two random slopes."""
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(40), 12)
    x, z = rng.normal(size=(2, 480))
    cov = [[0.5, 0.15, 0.1], [0.15, 0.3, -0.1], [0.1, -0.1, 0.3]]
    b = rng.multivariate_normal(np.zeros(3), cov, 40)[g]
    eta = 0.5 + 0.4 * x + b[:, 0] + b[:, 1] * x + b[:, 2] * z
    return pd.DataFrame(
        {
            "g": g,
            "x": x,
            "z": z,
            "y": eta + rng.normal(size=480),
            "n": rng.poisson(np.exp(eta) * rng.gamma(2, 0.5, 480)),
        }
    )


def test_correlations_and_sigma_of_a_generalised_fit_are_profiled(slopes):
    """A normal response by the general road: the profile of the linear one, every row of it."""
    formula = "y ~ x + z + (x + z | g)"
    general = ml.glmm(formula, slopes, family="gaussian").confint(method="profile")
    linear = ml.lmm(formula, slopes, reml=False).confint(method="profile")
    assert list(general.index) == list(linear.index)
    assert sum(name.startswith("cor") for name in general.index) == 3
    np.testing.assert_allclose(general, linear, atol=1e-5)


def test_a_dispersion_is_profiled(slopes):
    fit = ml.glmm("n ~ x + (1 | g)", slopes, family="negative_binomial")
    found = profile(fit, ["dispersion"])
    lower, upper = found.confint().loc["dispersion"]
    assert lower < fit.dispersion < upper
    at = fit.parameters.copy()
    for end in (lower, upper):  # the deviance with the dispersion held there, by brute force
        at[-1] = np.log(end)

        def deviance(rest, at=at):
            return -2 * fit.loglik_at(np.append(rest, at[-1]))

        from scipy.optimize import minimize

        least = minimize(deviance, fit.parameters[:-1], method="BFGS").fun
        assert least - fit.criterion == pytest.approx(Z**2, abs=1e-3)


def test_a_dispersion_at_its_limit_has_no_profile(slopes):
    even = slopes.assign(n=lambda d: 5 + (d["x"] > 0))
    fit = ml.glmm("n ~ x + (1 | g)", even, family="negative_binomial")
    assert "dispersion" not in profile(fit).curves
    with pytest.raises(MixedlabError, match="has no profile here"):
        profile(fit, ["dispersion"])


def test_a_dispersion_whose_likelihood_ends_before_its_bound():
    """Poisson counts in a negative binomial: at theta near 0 there is no likelihood."""
    rng = np.random.default_rng(3)
    g, x, hours = np.repeat(np.arange(24), 10), rng.normal(size=240), rng.uniform(1, 50, 240)
    y = rng.poisson(hours * np.exp(-1 + 0.3 * x + rng.normal(0, 0.8, 24)[g]))
    fit = ml.glmm(
        "y ~ x + offset(log(hours)) + (x | g)",
        {"y": y, "x": x, "g": g, "hours": hours},
        family="negative_binomial",
    )
    table = fit.confint(parameters=["dispersion"], method="profile")
    assert 1 < table.loc["dispersion", "lower"] < fit.dispersion
    # What Wald's interval would have from nothing to everything is not known.
    wald = fit.confint()
    ratio = wald["upper"] / wald["lower"]
    assert not (ratio.drop(["(Intercept)", "x", "cor (Intercept), x | g"]) > np.exp(20)).any()
