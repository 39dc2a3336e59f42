import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.errors import MixedlabError
from mixedlab.inference.ratios import exponentiated, ratio_name
from tests import models_cache


@pytest.mark.parametrize(
    ("name", "ratio"),
    [
        ("binomial", "odds ratio"),
        ("poisson crossed", "rate ratio"),
        ("negative binomial", "rate ratio"),
        ("poisson-gamma", "rate ratio"),
        ("gee", "odds ratio"),
    ],
)
def test_what_a_ratio_is_called(name, ratio):
    assert ratio_name(models_cache.fit(name)) == ratio


def test_other_links_and_a_response_of_logs():
    table = ml.load("cbpp")
    formula = "incidence / size ~ period + (1 | herd)"
    cloglog = ml.glmm(formula, table, weights="size", link="cloglog")
    assert ratio_name(cloglog) == "hazard ratio"
    logs = ml.lmm("log(Reaction) ~ Days + (1 | Subject)", ml.load("sleepstudy"))
    assert ratio_name(logs) == "ratio of geometric means"
    for fit in (models_cache.fit("slopes"), ml.glmm(formula, table, weights="size", link="probit")):
        with pytest.raises(MixedlabError, match=r"exp\(coefficient\) is no ratio"):
            ratio_name(fit)


def test_only_what_was_asked_for_is_exponentiated():
    table = pd.DataFrame({"a": [0.0, 1.0], "b": [0.0, 2.0]}, index=["x", "y"])
    found = exponentiated(table, ["y"], ["b"])
    np.testing.assert_allclose(found, [[0, 0], [1, np.exp(2)]])
    np.testing.assert_allclose(table.loc["y", "b"], 2.0)


@pytest.mark.parametrize("method", ["wald", "profile", "bootstrap"])
def test_intervals_of_ratios(method):
    fit = models_cache.fit("binomial")
    options = {"method": method, "n": 20, "parameters": ["sd (Intercept) | herd", "period[T.2]"]}
    plain, ratios = fit.confint(**options), fit.confint(**options, exponentiate=True)
    np.testing.assert_allclose(ratios.loc["period[T.2]"], np.exp(plain.loc["period[T.2]"]))
    np.testing.assert_array_equal(ratios.iloc[0], plain.iloc[0])
