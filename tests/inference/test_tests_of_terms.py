"""Tests of terms against lmerTest's, pbkrtest's and car's figures, and against exact ones."""

import json

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.errors import MixedlabError
from tests import models_cache, paths

REFERENCE = json.loads((paths.REFERENCE / "terms.json").read_text(encoding="utf-8"))
CASES = [(r["id"], key) for r in REFERENCE for key in r if key.startswith("type ")]
FAMILIES = {"cbpp": "binomial", "epil": "poisson"}
TYPES = {"I": 1, "II": 2, "III": 3}


def table_of(reference: dict, codes: dict | None = None) -> pd.DataFrame:
    """The table with its factors coded by the levels of the reference, in its order or another."""
    table = ml.load(reference["data"])
    for name, levels in reference["levels"].items():
        order = (codes or {}).get(name, levels)
        table[name] = pd.Categorical(table[name].astype(str), order)
    return table


def fit_of(reference: dict, table: pd.DataFrame):
    family = FAMILIES.get(reference["data"])
    if family is None:
        return ml.lmm(reference["formula"], table)
    return ml.glmm(reference["formula"], table, family=family)


@pytest.mark.parametrize(("name", "key"), CASES)
def test_reference(name, key):
    (reference,) = (r for r in REFERENCE if r["id"] == name)
    _, type_, how = key.split(" ", 2)
    fit = fit_of(reference, table_of(reference))
    df = {"Wald chisq": "wald"}.get(how, how.lower())
    found = fit.terms_table(TYPES[type_], df)
    expected = pd.DataFrame(reference[key]).T.rename(columns={"num_df": "df1", "den_df": "df2"})
    assert list(found.index) == list(expected.index)
    assert list(found.columns) == list(expected.columns)
    close = 1e-6 if df != "wald" else 5e-3  # glmer stops early
    for column in set(expected) - {"p"}:
        np.testing.assert_allclose(found[column], expected[column], rtol=close)
    np.testing.assert_allclose(found["p"], expected["p"], rtol=30 * close)


@pytest.mark.parametrize("type_", [1, 2, 3])
def test_no_type_depends_on_which_level_comes_first(type_):
    (reference,) = (r for r in REFERENCE if r["id"] == "orthodont")
    one = fit_of(reference, table_of(reference))
    turned = {"Sex": reference["levels"]["Sex"][::-1]}
    other = fit_of(reference, table_of(reference, turned))
    pd.testing.assert_frame_equal(one.terms_table(type_), other.terms_table(type_), rtol=1e-6)


def crossed(seed=3, balanced=False):
    """Three factors and a covariate, unbalanced; few groups."""
    rng = np.random.default_rng(seed)
    n = 240
    table = pd.DataFrame({
        "a": np.resize(["p", "q", "r"], n),
        "b": np.resize(np.repeat(["s", "t"], 3), n),
        "x": rng.normal(size=n),
        "g": np.repeat(np.arange(10), n // 10),
    })  # fmt: skip
    table["y"] = rng.normal(size=n) + rng.normal(size=10)[table["g"]] + (table["a"] == "q")
    return table if balanced else table.iloc[np.sort(rng.permutation(n)[:170])]


def test_type_iii_is_the_test_of_sum_coded_coefficients():
    """A factor coded by sum-to-zero contrasts: its own coefficients are its hypothesis."""
    table = crossed()
    for k, level in enumerate(["p", "q"]):
        table[f"a{k}"] = (table["a"] == level) * 1.0 - (table["a"] == "r")
    table["b0"] = (table["b"] == "s") * 1.0 - (table["b"] == "t")
    plain = ml.lmm("y ~ a * b + a * x + (1 | g)", table).terms_table(3)
    coded = ml.lmm("y ~ (a0 + a1) * b0 + (a0 + a1) * x + (1 | g)", table)
    V, beta = coded.vcov, coded.fixef
    for term, own in {
        "a": ["a0", "a1"],
        "b": ["b0"],
        "x": ["x"],
        "a:b": ["a0:b0", "a1:b0"],
        "a:x": ["a0:x", "a1:x"],
    }.items():
        F = beta[own] @ np.linalg.solve(V.loc[own, own], beta[own]) / len(own)
        assert plain.loc[term, "F"] == pytest.approx(F, rel=1e-6), term


def test_all_types_agree_in_a_balanced_table():
    fit = ml.lmm("y ~ a * b + (1 | g)", crossed(balanced=True))
    one, two, three = (fit.terms_table(type_) for type_ in (1, 2, 3))
    pd.testing.assert_frame_equal(one, two, rtol=1e-6)
    pd.testing.assert_frame_equal(one, three, rtol=1e-6)


@pytest.mark.parametrize("df", ["satterthwaite", "kenward-roger"])
def test_a_split_plot_has_the_exact_f_of_its_strata(df):
    """Whole plots hold a, within them b: the analysis of variance by hand."""
    rng = np.random.default_rng(5)
    blocks, whole, split = 6, 3, 4
    cells = np.indices((blocks, whole, split)).reshape(3, -1)
    table = pd.DataFrame(dict(zip(("block", "a", "b"), cells.astype(str), strict=True)))
    effect = 5 * rng.normal(size=(blocks, 1, 1)) + 2 * rng.normal(size=(blocks, whole, 1))
    table["y"] = (effect + rng.normal(size=(blocks, whole, split))).ravel()
    found = ml.lmm("y ~ a * b + (1 | block / a)", table).terms_table(df=df)
    y = table["y"].to_numpy().reshape(blocks, whole, split)
    plots = y.mean(axis=2)
    of_a = split * blocks * np.sum((plots.mean(axis=0) - y.mean()) ** 2) / (whole - 1)
    rest = plots - plots.mean(axis=0) - plots.mean(axis=1, keepdims=True) + y.mean()
    error = split * np.sum(rest**2) / ((blocks - 1) * (whole - 1))
    assert found.loc["a", "F"] == pytest.approx(of_a / error, rel=1e-5)
    np.testing.assert_allclose(found["df2"], [10, 45, 45], rtol=1e-4)
    np.testing.assert_array_equal(found["df1"], [2, 3, 6])


def test_one_coefficient_has_the_square_of_its_own_test():
    fit = models_cache.fit("slopes")
    for df in ("satterthwaite", "kenward-roger"):
        single, term = fit.tests(df).loc["Days"], fit.terms_table(df=df).loc["Days"]
        assert term["F"] == pytest.approx(single["t"] ** 2)
        assert (term["df2"], term["p"]) == pytest.approx((single["df"], single["p"]))


def test_likelihood_ratios_are_those_of_the_smaller_models():
    table = crossed()
    fit = ml.lmm("y ~ a + b + x + (1 | g)", table)
    found = fit.terms_table(df="likelihood-ratio")
    full = ml.lmm("y ~ a + b + x + (1 | g)", table, reml=False)
    for term, rest in {"a": "b + x", "b": "a + x", "x": "a + b"}.items():
        small = ml.lmm(f"y ~ {rest} + (1 | g)", table, reml=False)
        test = ml.compare(small, full)
        assert found.loc[term, "chisq"] == pytest.approx(test.chisq, abs=1e-6)
        assert found.loc[term, "p"] == pytest.approx(test.p, rel=1e-5)


def test_likelihood_ratio_of_a_generalised_model():
    table = ml.load("cbpp")
    formula = "incidence / size ~ {} + (1 | herd)"
    fit, small = (ml.glmm(formula.format(x), table, weights="size") for x in ("period", "1"))
    found = fit.terms_table(df="likelihood-ratio")
    assert list(found.columns) == ["df", "chisq", "p"]
    test = ml.compare(small, fit)
    assert found.loc["period", "chisq"] == pytest.approx(test.chisq, abs=1e-5)


def test_functions_and_names_with_spaces_stand_as_written():
    table = crossed().rename(columns={"x": "the dose"})
    fit = ml.lmm("y ~ a + poly(`the dose`, 2) + (1 | g)", table)
    assert list(fit.terms_table().index) == ["a", "poly(`the dose`, 2)"]
    assert list(fit.terms_table()["df1"]) == [2, 2]


def test_a_model_without_terms_has_an_empty_table():
    assert models_cache.fit("intercept").terms_table().shape == (0, 4)
    assert models_cache.fit("arrays").terms_table().index.tolist() == ["x1", "x2"]


def test_refusals_in_words():
    fit = models_cache.fit("slopes")
    with pytest.raises(MixedlabError, match="type is 1, 2 or 3"):
        fit.terms_table(4)
    with pytest.raises(MixedlabError, match="'satterthwaite', 'kenward-roger', 'wald'"):
        fit.terms_table(df="exact")
    with pytest.raises(MixedlabError, match="use df='wald'"):
        models_cache.fit("gee").terms_table(df="likelihood-ratio")
    table = crossed()
    table = table[(table["a"] != "q") | (table["b"] != "t")]
    with pytest.warns(match="Dropped"):
        fit = ml.lmm("y ~ a * b + (1 | g)", table)
    assert fit.terms_table(2).loc["a:b", "df1"] == 1
    with pytest.raises(MixedlabError, match=r"a:b have no row.*type=2"):
        fit.terms_table(3)
