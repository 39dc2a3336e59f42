"""Likelihood-ratio tests: published figures, the boundary, and what must not be compared."""

import json

import numpy as np
import pytest
from scipy import stats

import mixedlab as ml
from mixedlab.errors import MixedlabError
from tests import paths

REFERENCE = json.loads((paths.REFERENCE / "inference.json").read_text(encoding="utf-8"))


def fits(*formulas, data="sleepstudy", **kw):
    table = ml.load(data)
    return [ml.lmm(formula, table, **{"reml": False, **kw}) for formula in formulas]


def test_reference_of_a_fixed_effect():
    case = REFERENCE["sleepstudy_lrt_days"]
    found = ml.compare(*fits(case["null"], case["full"]))
    assert found.chisq == pytest.approx(case["chisq"], rel=1e-7)
    assert found.df == case["df"]
    assert found.p == found.p_naive == pytest.approx(case["p"], rel=1e-6)
    assert found.mixture == ((1.0, 1),)


def test_reference_of_a_variance_at_the_boundary():
    case = REFERENCE["sleepstudy_lrt_slope"]
    found = ml.compare(*fits(case["null"], case["full"]))
    assert found.chisq == pytest.approx(case["chisq"], rel=1e-7)
    assert found.df == case["df"]
    assert found.p_naive == pytest.approx(case["p_naive"], rel=1e-6)
    assert found.p == pytest.approx(case["p_mixture_chi1_chi2"], rel=1e-6)


def test_order_does_not_matter_and_it_prints():
    a, b = fits("Reaction ~ Days + (1 | Subject)", "Reaction ~ Days + (Days | Subject)")
    assert ml.compare(a, b).p == ml.compare(b, a).p
    text = str(ml.compare(a, b))
    assert "half chi-squared with 1, half with 2" in text
    assert "Likelihood ratio 42.1393" in text
    assert "<table" in ml.compare(a, b)._repr_html_()


def test_covariance_alone_is_inside_the_range():
    found = ml.compare(
        *fits("Reaction ~ Days + (Days || Subject)", "Reaction ~ Days + (Days | Subject)")
    )
    assert found.mixture == ((1.0, 1),)


def test_one_variance_alone():
    one, two = fits("strength ~ 1 + (1 | batch)", "strength ~ 1 + (1 | batch/cask)", data="pastes")
    found = ml.compare(one, two)
    assert found.mixture == ((0.5, 0), (0.5, 1))
    assert found.p == pytest.approx(stats.chi2.sf(found.chisq, 1) / 2)


def test_no_gain_means_p_of_one():
    """The means of h are equal: its variance is zero and the ratio with it."""
    rng = np.random.default_rng(0)
    g, h = np.repeat(np.arange(6), 5), np.tile(np.arange(5), 6)
    y = rng.normal(size=6)[g] + rng.normal(size=30)
    y -= np.array([y[h == k].mean() for k in range(5)])[h]
    table = {"y": y, "g": g, "h": h}
    found = ml.compare(ml.lmm("y ~ 1 + (1 | g)", table), ml.lmm("y ~ 1 + (1 | g) + (1 | h)", table))
    assert found.chisq == 0.0
    assert found.p == 1.0


def test_same_fixed_effects_compare_under_reml():
    a, b = fits("Reaction ~ Days + (1 | Subject)", "Reaction ~ Days + (Days | Subject)", reml=True)
    assert ml.compare(a, b).chisq == pytest.approx(a.criterion - b.criterion)


def test_several_variances_at_once_are_told_and_simulated():
    a, b = fits(
        "Reaction ~ Days + (1 | Subject)", "Reaction ~ Days + (Days + I(Days**2) | Subject)"
    )
    found = ml.compare(a, b)
    assert "too large a p" in found.note
    assert found.p == found.p_naive
    simulated = ml.compare(a, b, bootstrap=60, seed=1)
    assert simulated.p == pytest.approx(1 / 61)


def test_bootstrap_agrees_with_the_mixture():
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(12), 6)
    table = {"g": g, "x": np.tile(np.arange(6.0), 12)}
    table["y"] = (
        0.8 * rng.normal(size=12)[g]
        + rng.normal(size=72)
        + 0.12 * rng.normal(size=12)[g] * table["x"]
    )
    a = ml.lmm("y ~ x + (1 | g)", table, reml=False)
    b = ml.lmm("y ~ x + (x | g)", table, reml=False)
    exact, simulated = ml.compare(a, b), ml.compare(a, b, bootstrap=200, seed=2)
    assert simulated.p == pytest.approx(exact.p, abs=4 * np.sqrt(0.25 / 200))


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (
            ("Reaction ~ 1 + (1 | Subject)", {}),
            ("Reaction ~ Days + (1 | Subject)", {}),
            "reml=False",
        ),
        (
            ("Reaction ~ Days + (1 | Subject)", {"reml": False}),
            ("Reaction ~ Days + (Days | Subject)", {}),
            "REML, the other by ML",
        ),
        (
            ("Reaction ~ Days + (1 | Subject)", {}),
            ("Reaction ~ Days + (0 + Days | Subject)", {}),
            "same number of parameters",
        ),
        (
            ("Reaction ~ I(Days**3) + (1 | Subject)", {"reml": False}),
            ("Reaction ~ Days + (Days | Subject)", {"reml": False}),
            "not nested: the smaller one has fixed effects",
        ),
        (
            ("Reaction ~ Days + (0 + I(Days**3) | Subject)", {}),
            ("Reaction ~ Days + (Days | Subject)", {}),
            r"not nested: the larger one lacks \(I\(Days",
        ),
        (
            ("Reaction ~ Days + (1 | Subject)", {"weights": np.arange(1.0, 181)}),
            ("Reaction ~ Days + (Days | Subject)", {}),
            "different weights",
        ),
        (
            ("log(Reaction) ~ Days + (1 | Subject)", {}),
            ("Reaction ~ Days + (Days | Subject)", {}),
            "different rows or responses",
        ),
    ],
)
def test_what_does_not_compare(first, second, says):
    table = ml.load("sleepstudy")
    a, b = (ml.lmm(formula, table, **kw) for formula, kw in (first, second))
    with pytest.raises(MixedlabError, match=says):
        ml.compare(a, b)


def test_generalised_fits():
    table = ml.load("cbpp")
    a = ml.glmm("incidence / size ~ 1 + (1 | herd)", table, weights="size")
    b = ml.glmm("incidence / size ~ period + (1 | herd)", table, weights="size")
    found = ml.compare(a, b)
    assert found.df == 3
    assert found.p < 1e-4
    c = ml.glmm("incidence / size ~ period + (1 | herd)", table, weights="size", nagq=5)
    with pytest.raises(MixedlabError, match="nagq"):
        ml.compare(a, c)


def test_a_normal_model_without_groups_against_one_with():
    """The same likelihood, whichever function maximised it: half a chi-squared with 1."""
    table = ml.load("dyestuff")
    without = ml.glmm("Yield ~ 1", table, family="gaussian")
    found = ml.compare(without, ml.lmm("Yield ~ 1 + (1 | Batch)", table, reml=False))
    assert found.mixture == ((0.5, 0), (0.5, 1))
    # The one-way layout in closed form: sums of squares between and within.
    means = table.groupby("Batch")["Yield"].transform("mean")
    total = ((table["Yield"] - table["Yield"].mean()) ** 2).sum()
    within = ((table["Yield"] - means) ** 2).sum()
    residual, level = within / 24, (total - within) / 6
    deviance = 24 * np.log(residual) + 6 * np.log(level)
    assert found.chisq == pytest.approx(30 * np.log(total / 30) - deviance, rel=1e-6)


def test_residual_structures():
    """A correlation of zero is inside its range: plain chi-squared."""
    table = ml.load("sleepstudy")
    a = ml.lmm("Reaction ~ Days + (1 | Subject)", table, reml=False)
    b = ml.lmm("Reaction ~ Days + (1 | Subject)", table, reml=False, residual="ar1(Days)")
    found = ml.compare(a, b)
    assert found.mixture == ((1.0, 1),)
    assert found.p == pytest.approx(stats.chi2.sf(a.criterion - b.criterion, 1))
    c = ml.lmm("Reaction ~ Days + (Days | Subject)", table, reml=False)
    with pytest.raises(MixedlabError, match="lacks the residual structure"):
        ml.compare(b, c)


def test_estimating_equations_have_no_likelihood():
    fit = ml.gee("resp ~ age + smoke", ml.load("ohio"), groups="id", family="binomial")
    with pytest.raises(MixedlabError, match="qic"):
        ml.compare(fit, fit)
    with pytest.raises(MixedlabError, match="fits of mixed models"):
        ml.diagnose(fit)


def test_a_chain_of_models_is_tested_step_by_step():
    table = ml.load("sleepstudy")
    formulas = ["Reaction ~ 1 + (1 | Subject)", "Reaction ~ Days + (1 | Subject)",
                "Reaction ~ Days + (Days | Subject)"]  # fmt: skip
    fits = [ml.lmm(formula, table, reml=False) for formula in formulas]
    chain = ml.compare(fits[2], fits[0], fits[1])
    assert list(chain.table["formula"]) == formulas
    assert np.isnan(chain.table["p"].iloc[0])
    for k, step in enumerate(chain.steps):
        alone = ml.compare(fits[k], fits[k + 1])
        assert (step.chisq, step.df, step.p) == (alone.chisq, alone.df, alone.p)
        row = chain.table.iloc[k + 1]
        assert (row["chisq"], row["df"], row["p"]) == (alone.chisq, alone.df, alone.p)
    assert "Step to model 3: The smaller model sets one variance to zero" in str(chain)
    with pytest.raises(MixedlabError, match="at least two"):
        ml.compare(fits[0])
