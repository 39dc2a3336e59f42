"""Marginal means, contrasts and slopes through marginaleffects, held to emmeans and to predict."""

import json

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.errors import MixedlabError
from tests import models_cache, paths

REFERENCE = json.loads((paths.REFERENCE / "terms.json").read_text(encoding="utf-8"))
FAMILIES = {"cbpp": "binomial", "epil": "poisson"}
me = pytest.importorskip(
    "marginaleffects", reason="pip install 'mixedlab[effects]' to test the effects of a fit"
)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # that package's own


@pytest.mark.parametrize("reference", [r for r in REFERENCE if "means" in r], ids=lambda r: r["id"])
def test_means_and_their_differences_are_those_of_emmeans(reference):
    table = ml.load(reference["data"])
    for name, levels in reference["levels"].items():
        table[name] = pd.Categorical(table[name].astype(str), levels)
    family = FAMILIES.get(reference["data"])
    if family is None:
        fit, close = ml.lmm(reference["formula"], table), 1e-5
    else:
        fit, close = ml.glmm(reference["formula"], table, family=family), 3e-3
    model = fit.effects_model(kind="population", scale="link")
    ((name, expected),) = reference["means"].items()
    found = me.avg_predictions(model, newdata="balanced", by=name)
    assert found[name].to_list() == expected["level"]
    np.testing.assert_allclose(found["estimate"], expected["mean"], rtol=close)
    np.testing.assert_allclose(found["std_error"], expected["se"], rtol=close)
    pairs = "difference~pairwise"
    found = me.avg_predictions(model, newdata="balanced", by=name, hypothesis=pairs)
    order = [(i, j) for j in range(len(expected["level"])) for i in range(j)]  # by the later level
    found = found[[order.index(pair) for pair in sorted(order)]]
    np.testing.assert_allclose(-found["estimate"].to_numpy(), expected["difference"], rtol=close)
    np.testing.assert_allclose(found["std_error"], expected["difference_se"], rtol=close)


@pytest.mark.parametrize("name", [n for n in models_cache.NAMES if n != "arrays"])
@pytest.mark.parametrize("kind", ["population", "marginal"])
@pytest.mark.parametrize("scale", ["response", "link"])
def test_predictions_are_those_of_the_fit(name, kind, scale):
    fit = models_cache.fit(name)
    try:
        expected = fit.predict(kind=kind, scale=scale)
    except MixedlabError as refusal:
        with pytest.raises(MixedlabError, match=str(refusal)[:20]):
            fit.effects_model(kind=kind)
        return
    found = me.predictions(fit.effects_model(kind=kind, scale=scale))
    np.testing.assert_allclose(found["estimate"], expected, rtol=1e-8)
    try:
        interval = fit.predict(kind=kind, scale=scale, interval="confidence")
    except MixedlabError:
        return  # a residual structure
    np.testing.assert_allclose(found["std_error"], interval["se"], rtol=1e-5)


def test_population_and_marginal_are_kept_apart():
    fit = models_cache.fit("quadrature")
    models = [fit.effects_model(kind=kind, scale="link") for kind in ("population", "marginal")]
    within, between = (me.predictions(model)["estimate"].to_numpy() for model in models)
    assert (np.abs(between) < np.abs(within)).all()  # a logit's mean is nearer to a half
    mean = me.avg_predictions(fit.effects_model(kind="marginal"))
    assert mean["estimate"][0] == pytest.approx(fit.predict(kind="marginal").mean())


def test_contrasts_hypotheses_and_slopes():
    table = ml.load("orthodont")
    fit = ml.lmm("distance ~ age * Sex + (1 | Subject)", table)
    model, beta = fit.effects_model(), fit.fixef
    (slope,) = (name for name in beta.index if "age:Sex" in name)
    (sex,) = (name for name in beta.index if name.startswith("Sex"))
    found = me.comparisons(model, variables="Sex", newdata=me.datagrid(model=model, age=12))
    assert found["estimate"][0] == pytest.approx(beta[sex] + 12 * beta[slope])
    found = me.avg_slopes(model, variables="age", by="Sex", newdata="balanced")
    assert np.ptp(found["estimate"].to_numpy()) == pytest.approx(abs(beta[slope]), rel=1e-6)
    place = list(beta.index).index("age")
    found = me.hypotheses(model, hypothesis=f"b{place} = 0")
    assert found["estimate"][0] == pytest.approx(beta["age"])
    assert found["std_error"][0] == pytest.approx(fit.se["age"], rel=1e-6)


def test_one_plot_of_each_kind():
    model = ml.lmm("distance ~ age * Sex + (1 | Subject)", ml.load("orthodont")).effects_model()
    assert me.plot_predictions(model, condition=["age", "Sex"]).draw()
    assert me.plot_comparisons(model, variables="Sex", condition="age").draw()
    assert me.plot_slopes(model, variables="age", condition="Sex").draw()


def test_numbers_as_factors_offsets_and_names_the_package_keeps_for_itself():
    table = ml.load("epil")
    table["group"], table["log t"] = table["subject"], np.log(2.0)
    fit = ml.glmm("y ~ C(V4) + lbase + (1 | group)", table, family="poisson", offset="log t")
    model = fit.effects_model()
    assert "group" not in model.get_modeldata().columns
    found = me.avg_comparisons(model, variables="V4")
    low, high = (fit.predict(table.assign(V4=v), kind="population") for v in (0, 1))
    assert found["contrast"].to_list() == ["1 - 0"]
    assert found["estimate"][0] == pytest.approx((high - low).mean())


def test_refusals_in_words():
    fit = models_cache.fit("slopes")
    with pytest.raises(MixedlabError, match=r"kind is one of .*'population', 'marginal'"):
        fit.effects_model(kind="conditional")
    with pytest.raises(MixedlabError, match="made from arrays"):
        models_cache.fit("arrays").effects_model()
    with pytest.raises(MixedlabError, match="kind='marginal'"):
        models_cache.fit("gee").effects_model()
    with pytest.raises(MixedlabError, match="vcov='HC3'"):
        me.predictions(fit.effects_model(), vcov="HC3")
    assert "std_error" not in me.predictions(fit.effects_model(), vcov=False).columns
