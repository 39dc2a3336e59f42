import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import mixedlab as ml
from tests import paths

REFERENCE = json.loads((paths.REFERENCE / "two_stage.json").read_text())
STAGE1 = pd.DataFrame(REFERENCE["stage1"]).set_index("Subject")
SCHOOLS = np.array([28.0, 8, -3, 7, -1, 1, 18, 12]), np.array([15.0, 10, 16, 11, 9, 11, 10, 18])


@pytest.mark.parametrize("method", ["FE", "DL", "REML", "ML"])
def test_every_figure_of_the_reference(method):
    fit = ml.two_stage(STAGE1["slope"], STAGE1["se"], method)
    for name, value in REFERENCE[method].items():
        # metafor stops its iterations for tau2 at 1e-5.
        assert getattr(fit, name) == pytest.approx(value, rel=1e-7, abs=1e-12), name


def test_knapp_hartung_blups_and_first_stage():
    fit = ml.two_stage(STAGE1["slope"], STAGE1["se"], knapp_hartung=True)
    known = REFERENCE["REML_knha"]
    assert fit.estimate == pytest.approx(known["estimate"], rel=1e-8)
    assert fit.se == pytest.approx(known["se"], rel=1e-8)
    assert fit.confint() == pytest.approx(known["ci"], rel=1e-8)
    blup = ml.two_stage(STAGE1["slope"], STAGE1["se"]).blup
    np.testing.assert_allclose(blup, pd.DataFrame(REFERENCE["blup_REML"]), rtol=1e-6)
    assert blup.index.tolist() == STAGE1.index.tolist()
    # The first stage itself: a line for each subject.
    sleep = ml.load("sleepstudy")
    for subject, rows in sleep.groupby(sleep["Subject"].astype(str)):
        slope = np.polyfit(rows["Days"], rows["Reaction"], 1)[0]
        assert slope == pytest.approx(STAGE1["slope"][subject], rel=1e-9)


def test_three_analyses_of_the_same_subjects():
    table = ml.compare_group_analyses(STAGE1["slope"], STAGE1["se"])
    t = REFERENCE["one_sample_t"]
    random = table.loc["random"]
    known = [t["estimate"], t["se"], t["t"], t["df"], t["p"]]
    assert list(random[["estimate", "se", "statistic", "df", "p"]]) == pytest.approx(known)
    assert table.loc["fixed", "estimate"] == pytest.approx(REFERENCE["FE"]["estimate"])
    assert table.loc["mixed", "se"] == pytest.approx(REFERENCE["REML_knha"]["se"])
    # One analysis is about these subjects and is far too sure about people in general.
    assert table.loc["fixed", "se"] < 0.3 * table.loc["mixed", "se"]
    weights = table["largest_weight"]
    assert weights["fixed"] > weights["mixed"] > weights["random"]


def test_eight_schools():
    """Gelman et al., Bayesian Data Analysis, ch. 5: pooled mean 7.7 with standard error 4.1."""
    fit = ml.two_stage(*SCHOOLS)
    assert fit.tau2 == 0.0
    assert fit.estimate == pytest.approx(7.69, abs=0.005)
    assert fit.se == pytest.approx(4.07, abs=0.005)
    np.testing.assert_allclose(fit.blup["pred"], fit.estimate)
    assert fit.I2 == 0.0


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), tau=st.floats(0, 5), reml=st.booleans())
def test_likelihood_is_highest_at_the_estimate(seed, tau, reml):
    rng = np.random.default_rng(seed)
    J = rng.integers(3, 12)
    s = rng.uniform(0.2, 3, J)
    y = rng.normal(0, np.sqrt(s**2 + tau**2))

    def minus_loglik(p):
        v = s**2 + np.exp(p[1])
        value = np.sum(np.log(2 * np.pi * v) + (y - p[0]) ** 2 / v) / 2
        return value + (0.5 * np.log(np.sum(1 / v) / (2 * np.pi * J)) if reml else 0.0)

    fit = ml.two_stage(y, s, "REML" if reml else "ML")
    best = min(
        (minimize(minus_loglik, [np.mean(y), t], method="BFGS") for t in (-6, 0, 3)),
        key=lambda result: result.fun,
    )
    assert fit.loglik >= -best.fun - 1e-7
    at_fit = -minus_loglik([fit.estimate, np.log(max(fit.tau2, 1e-300))])
    assert fit.loglik == pytest.approx(at_fit, abs=1e-9)


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(1e-9, 1e9), shift=st.floats(-50, 50), method=st.sampled_from(["DL", "REML"]))
def test_units_and_origin_only_rescale(scale, shift, method):
    y, s = STAGE1["slope"].to_numpy(), STAGE1["se"].to_numpy()
    first = ml.two_stage(y, s, method)
    other = ml.two_stage(scale * (y + shift), scale * s, method)
    assert other.tau2 == pytest.approx(scale**2 * first.tau2, rel=1e-7)
    assert other.estimate == pytest.approx(scale * (first.estimate + shift), rel=1e-8)
    np.testing.assert_allclose(other.I2, first.I2, rtol=1e-7)


def test_equal_errors_make_mixed_and_random_analysis_one():
    rng = np.random.default_rng(3)
    table = ml.compare_group_analyses(rng.normal(1, 3, 20), np.full(20, 0.5))
    mixed, random = table.loc["mixed"], table.loc["random"]
    assert mixed["estimate"] == pytest.approx(random["estimate"], rel=1e-10)
    assert mixed["se"] == pytest.approx(random["se"], rel=1e-6)


def test_reports():
    fit = ml.two_stage(STAGE1["slope"], STAGE1["se"], knapp_hartung=True)
    text = str(fit)
    assert "18 subjects; method REML, Knapp-Hartung" in text
    assert "Q = 226.36 on 17 df" in text
    assert fit.weights.sum() == pytest.approx(1)
    assert fit.Q_p < 1e-30
    assert fit.p == pytest.approx(3.8e-6, rel=0.3)
    assert fit.tau == pytest.approx(np.sqrt(fit.tau2))


@pytest.mark.parametrize(
    ("y", "s", "options", "message"),
    [
        ([1, 2], [1, 0], {}, "se of subject 2 is not positive"),
        ([1, np.nan], [1, 1], {}, "estimate of subject 2 is missing"),
        ([1, 2], [1, np.inf], {"labels": ["a", "b"]}, "se of subject 'b'"),
        ([1, 2, 3], [1, 1], {}, "one of each a subject"),
        ([1], [1], {}, "at least two"),
        (["a", "b"], [1, 1], {}, "must hold numbers"),
        ([1, 2], [1, 1], {"method": "PM"}, "FE, DL, ML, REML"),
        ([1, 2], [1, 1], {"labels": ["a"]}, "1 labels for 2"),
    ],
)
def test_bad_input_is_named(y, s, options, message):
    with pytest.raises(ValueError, match=message):
        ml.two_stage(y, s, **options)
