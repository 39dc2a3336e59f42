"""Separation is found exactly, named, and never claimed where there is none."""

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.errors import SeparationError, SeparationWarning


@pytest.fixture
def coral():
    """Corals defended by crabs, shrimps, both or none; no defended one in `both` is eaten."""
    rng = np.random.default_rng(4)
    guard = np.repeat(["none", "crab", "shrimp", "both"], 20)
    p = pd.Series(guard).map({"none": 0.8, "crab": 0.5, "shrimp": 0.4, "both": 0.0}).to_numpy()
    return pd.DataFrame(
        {
            "eaten": (rng.random(80) < p).astype(int),
            "guard": pd.Categorical(guard, ["none", "crab", "shrimp", "both"]),
            "size": rng.normal(size=80),
            "reef": np.tile(np.arange(10), 8),
        }
    )


def test_quasi_complete_separation_names_covariate_level_and_remedies(coral):
    found = ml.check_separation("eaten ~ guard + size + (1 | reef)", coral)
    assert found
    assert found.kind == "quasi-complete"
    assert found.coefficients == ("guard[T.both]",)
    assert found.signs == {"guard[T.both]": -1}
    assert found.covariates == ("guard",)
    assert found.levels == {"guard": ("both",)}
    assert found.n_rows == 20
    for word in ("guard", "'both' (20 rows, all failures)", "prior_sd", "firth"):
        assert word in found.message


def test_fit_says_so_and_the_remedies_work(coral):
    formula = "eaten ~ guard + size + (1 | reef)"
    with pytest.raises(SeparationError, match=r"guard\[T.both\] \(to -infinity\)") as caught:
        ml.glmm(formula, coral)
    assert caught.value.separation.covariates == ("guard",)
    for remedy in ({"prior_sd": 2.5}, {"penalty": "firth"}):
        fit = ml.glmm(formula, coral, **remedy)
        assert fit.converged
        assert -10 < fit.fixef["guard[T.both]"] < -2
        assert fit.se["guard[T.both]"] < 5


def test_separated_baseline_level_is_named_too(coral):
    coral["guard"] = coral["guard"].cat.reorder_categories(["both", "none", "crab", "shrimp"])
    found = ml.check_separation("eaten ~ guard + size", coral)
    assert found.levels == {"guard": ("both",)}


def test_complete_separation_by_a_number():
    df = pd.DataFrame({"y": [0, 0, 0, 1, 1, 1], "x": [1.0, 2, 3, 4, 5, 6]})
    found = ml.check_separation("y ~ x", df)
    assert found.kind == "complete"
    assert found.coefficients == ("x",)
    df.loc[2, "x"] = 4.0  # a tie at the border
    assert ml.check_separation("y ~ x", df).kind == "quasi-complete"
    df.loc[2, "x"] = 4.5
    assert not ml.check_separation("y ~ x", df)


def test_interaction_cell(coral):
    coral["deep"] = np.where(np.arange(80) % 2, "deep", "flat")
    coral.loc[(coral["guard"] == "crab") & (coral["deep"] == "deep"), "eaten"] = 0
    coral.loc[(coral["guard"] == "both"), "eaten"] = np.arange(20) % 3 % 2
    found = ml.check_separation("eaten ~ guard * deep", coral)
    assert found
    assert {"guard", "deep"} <= set(found.covariates)


def test_proportions_and_counts():
    df = pd.DataFrame({"a": list("xxyyzz"), "won": [3, 2, 0, 0, 1, 4], "lost": [2, 5, 6, 4, 1, 0]})
    found = ml.check_separation("cbind(won, lost) ~ a", df)
    assert found.levels == {"a": ("y",)}
    counts = ml.check_separation("won ~ a", df, family="poisson")
    assert counts.levels == {"a": ("y",)}
    assert counts.signs == {"a[T.y]": -1}
    with pytest.raises(ValueError, match="binomial and count"):
        ml.check_separation("won ~ a", df, family="gamma")


def test_poisson_fit_with_a_cell_of_zeros_says_so():
    rng = np.random.default_rng(1)
    df = pd.DataFrame({"a": np.repeat(["u", "v"], 40), "g": np.tile(np.arange(8), 10)})
    df["n"] = np.where(df["a"] == "v", 0, rng.poisson(3, 80))
    with pytest.raises(SeparationError, match="all 0"):
        ml.glmm("n ~ a + (1 | g)", df, family="poisson")


def test_no_false_alarm():
    for name, formula in [
        ("contraception", "use ~ age + urban + livch"),
        ("toenail", "y ~ treatment * time"),
        ("cbpp", "cbind(incidence, size - incidence) ~ period"),
        ("salamander_mating", "Mate ~ TypeF * TypeM"),
    ]:
        assert not ml.check_separation(formula, ml.load(name))


def test_the_likelihood_really_grows_along_the_direction(coral):
    found = ml.check_separation("eaten ~ guard + size", coral)
    from mixedlab.data.design import build_design
    from mixedlab.engine.families import family

    design = build_design("eaten ~ guard + size", coral, response="binomial", need_groups=False)
    d = np.array([found.signs.get(name, 0) for name in design.names], dtype=float)
    value = [family("binomial").loglik(design.y, design.X @ (t * d)).sum() for t in (1, 5, 20)]
    assert value[0] < value[1] < value[2]


@pytest.fixture
def rare():
    """33 events in 1 675 rows, and a level without one: glmer fits it with a huge coefficient."""
    rng = np.random.default_rng(5)
    ward = rng.integers(0, 40, 1675)
    unit = rng.choice(["day", "night", "intensive"], 1675, p=[0.6, 0.35, 0.05])
    df = pd.DataFrame({"ward": ward, "unit": unit, "x": rng.normal(size=1675)})
    risk = rng.normal(0, 0.8, 40)[ward] + 0.7 * df["x"] + rng.gumbel(size=1675)
    order = np.argsort(-risk.where(df["unit"] != "intensive", -np.inf))
    return df.assign(fell=np.isin(np.arange(1675), order[:33]).astype(int))


def test_a_separated_model_is_fitted_all_the_same_where_asked(rare):
    formula = "fell ~ x + C(unit) + (1 | ward)"
    with pytest.raises(SeparationError, match=r"separation='warn' fits all the same") as caught:
        ml.glmm(formula, rare)
    assert rare["fell"].sum() == 33
    with pytest.warns(SeparationWarning, match="mean nothing") as warned:
        fit = ml.glmm(formula, rare, separation="warn")
    for remedy in ("prior_sd=2.5", "penalty='firth'", "joining levels"):
        assert remedy in str(caught.value)
        assert remedy in str(warned[0].message)
    (huge,) = [name for name in fit.names if "intensive" in name]
    assert fit.fixef[huge] < -10
    assert fit.se[huge] > 1000  # no test, no interval takes it for an estimate
    assert "no finite estimate of C(unit)[T.intensive]" in str(fit.summary())


def test_the_other_coefficients_are_those_without_the_level(rare):
    with pytest.warns(SeparationWarning):
        fit = ml.glmm("fell ~ x + C(unit, Treatment('day')) + (1 | ward)", rare, separation="warn")
    rest = rare[rare["unit"] != "intensive"]
    part = ml.glmm("fell ~ x + C(unit) + (1 | ward)", rest)
    kept = [k for k, name in enumerate(fit.names) if "intensive" not in name]
    np.testing.assert_allclose(fit.beta[kept], part.beta, rtol=1e-4)
    np.testing.assert_allclose(fit.se.iloc[kept], part.se, rtol=1e-3)
    np.testing.assert_allclose(fit.loglik, part.loglik, atol=1e-5)


def test_a_separated_fit_is_refitted_with_the_warning(rare):
    with pytest.warns(SeparationWarning):
        fit = ml.glmm("fell ~ x + unit + (1 | ward)", rare, separation="warn")
    with pytest.warns(SeparationWarning):
        again = fit.refit(fit.y)
    np.testing.assert_allclose(again.loglik, fit.loglik, atol=1e-6)


def test_separation_is_one_of_two_words(rare):
    with pytest.raises(ValueError, match="'error' or 'warn', not 'ignore'"):
        ml.glmm("fell ~ x + (1 | ward)", rare, separation="ignore")


@pytest.mark.parametrize("scale", [1.0, 1e6, 1e-6])
def test_rare_events_alone_are_not_separation(rare, scale):
    """Many rows, few events, covariates of any unit: the solver's tolerance adds up to nothing."""
    df = rare[rare["unit"] != "intensive"].assign(x=lambda d: scale * (d["x"] + 3))
    assert not ml.check_separation("fell ~ x + unit + I(x**2)", df)
    assert ml.glmm("fell ~ x + unit + (1 | ward)", df).converged
