"""Sibling fits answer in the same form: columns, index, signatures, refusals."""

import inspect

import numpy as np
import pandas as pd
import pytest

from mixedlab.errors import MixedlabError
from tests import models_cache
from tests.contract.questions import table_of

OF_TABLES = [name for name in models_cache.NAMES if name != "arrays"]
EVERY_MIXED_FIT = (
    "fixef",
    "se",
    "vcov",
    "theta",
    "sigma",
    "dispersion",
    "varcorr",
    "ranef",
    "ranef_sd",
    "fitted",
    "resid",
    "loglik",
    "criterion",
    "aic",
    "bic",
    "n_obs",
    "n_groups",
    "singular",
    "converged",
    "formula",
    "predict",
    "simulate",
    "refit",
    "confint",
    "tests",
    "terms_table",
    "tidy",
    "report",
    "effects_model",
    "icc",
    "r2",
    "caic",
    "summary",
)
QUESTIONS = [
    "predict",
    "confint",
    "tests",
    "terms_table",
    "tidy",
    "report",
    "effects_model",
    "simulate",
    "refit",
    "summary",
    "icc",
    "r2",
    "caic",
]
KINDS = ("conditional", "population", "marginal")


def rows_used(name: str) -> pd.Index:
    df = table_of(name)
    return df.dropna().index if name == "gaps" else df.index


@pytest.mark.parametrize("name", models_cache.MIXED)
@pytest.mark.parametrize("public", EVERY_MIXED_FIT)
def test_public_names(name, public):
    assert hasattr(type(models_cache.fit(name)), public) or hasattr(models_cache.fit(name), public)


@pytest.mark.parametrize("name", models_cache.NAMES)
def test_signatures_are_real_and_agree(name):
    kind = type(models_cache.fit(name))
    for question in QUESTIONS:
        if not hasattr(kind, question):
            continue
        parameters = inspect.signature(getattr(kind, question)).parameters.values()
        kinds = {p.kind for p in parameters}
        assert inspect.Parameter.VAR_KEYWORD not in kinds, question
        assert inspect.Parameter.VAR_POSITIONAL not in kinds, question


@pytest.mark.parametrize("name", models_cache.NAMES)
@pytest.mark.parametrize("question", ["predict", "confint", "tests"])
def test_an_unknown_argument_is_refused_by_name(name, question):
    with pytest.raises(TypeError, match="levle"):
        getattr(models_cache.fit(name), question)(levle=0.5)


@pytest.mark.parametrize("name", models_cache.NAMES)
def test_an_unknown_parameter_is_refused_by_name(name):
    with pytest.raises(MixedlabError, match="nope"):
        models_cache.fit(name).confint(parameters=["nope"])


@pytest.mark.parametrize("name", models_cache.NAMES)
def test_intervals_have_two_columns_and_hold_the_estimate(name):
    fit = models_cache.fit(name)
    table = fit.confint()
    assert list(table.columns) == ["lower", "upper"]
    beta = fit.coef if name == "gee" else fit.fixef
    assert list(table.index)[-len(beta) :] == list(beta.index)
    inside = table.loc[beta.index]
    assert (inside["lower"] < beta).all()
    assert (beta < inside["upper"]).all()


@pytest.mark.parametrize("name", OF_TABLES)
@pytest.mark.parametrize("attribute", ["fitted", "resid"])
def test_rows_are_known_by_their_labels(name, attribute):
    values = getattr(models_cache.fit(name), attribute)
    assert isinstance(values, pd.Series)
    assert values.index.equals(rows_used(name))
    assert np.isfinite(values).all()


@pytest.mark.parametrize("name", OF_TABLES)
def test_predictions_can_be_put_into_the_table(name):
    fit, df = models_cache.fit(name), table_of(name).copy()
    kind = "marginal" if name == "gee" else "conditional"
    df["predicted"] = fit.predict(kind=kind)
    used = rows_used(name)
    assert df.loc[used, "predicted"].notna().all()
    assert df["predicted"].notna().sum() == len(used)
    np.testing.assert_array_equal(df.loc[used, "predicted"], fit.fitted)


def answered(fit, **options):
    """A prediction, or None where this kind of fit says in words that it has none."""
    try:
        return fit.predict(**options)
    except MixedlabError:
        return None


@pytest.mark.parametrize("name", OF_TABLES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("interval", ["confidence", "prediction"])
def test_predictions_with_intervals_have_one_form(name, kind, interval):
    fit = models_cache.fit(name)
    table = answered(fit, kind=kind, interval=interval)
    if table is None:
        return
    assert list(table.columns) == ["prediction", "se", "lower", "upper"]
    assert table.index.equals(rows_used(name))
    assert (table["lower"] <= table["prediction"] + 1e-9).all()
    assert (table["prediction"] <= table["upper"] + 1e-9).all()
    alone = fit.predict(kind=kind)
    assert isinstance(alone, pd.Series)
    np.testing.assert_array_equal(alone, table["prediction"])


@pytest.mark.parametrize("name", OF_TABLES)
@pytest.mark.parametrize("kind", KINDS)
def test_new_rows_keep_their_labels(name, kind):
    fit, rows = models_cache.fit(name), table_of(name).iloc[[5, 2, 9]]
    values = answered(fit, newdata=rows, kind=kind)
    if values is None:
        return
    assert isinstance(values, pd.Series)
    assert values.index.equals(rows.index)
    known = fit.predict(kind=kind)
    np.testing.assert_allclose(values, known.loc[rows.index], rtol=1e-10)


@pytest.mark.parametrize("name", OF_TABLES)
def test_a_table_without_rows_is_predicted_as_one(name):
    fit = models_cache.fit(name)
    kind = "marginal" if name == "gee" else "population"
    nothing = table_of(name).iloc[:0]
    assert fit.predict(nothing, kind=kind).shape == (0,)
    assert fit.predict(nothing, kind=kind).index.equals(nothing.index)


@pytest.mark.parametrize("name", OF_TABLES)
def test_at_least_one_kind_of_interval_is_known(name):
    kinds = [answered(models_cache.fit(name), kind=k, interval="confidence") for k in KINDS]
    if name == "ar1":  # refused in words: the residual's parameters would be taken as known
        return
    assert any(table is not None for table in kinds)
