"""Every question that can be asked of a fit, and how two answers are compared: bit for bit."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import mixedlab as ml
from mixedlab.errors import MixedlabError
from tests import models_cache

TABLES = {
    "intercept": "dyestuff",
    "singular": "dyestuff2",
    "crossed": "penicillin",
    "nested": "pastes",
    "ar1": "orthodont",
    "binomial": "cbpp",
    "quadrature": "contraception",
    "poisson crossed": "grouseticks",
    "negative binomial": "epil",
    "no random term": "epil",
    "poisson-gamma": "epil",
    "h-likelihood": "epil",
    "gee": "ohio",
}


def table_of(name: str) -> pd.DataFrame:
    """The table that a fit was made of."""
    if name == "gaps":
        return models_cache.with_gaps()
    return models_cache.table(TABLES.get(name, "sleepstudy"))


def _new_rows(name: str) -> pd.DataFrame:
    return table_of(name).iloc[[5, 2, 9]]


Question = Callable[[Any, str], Any]


def _attributes(names: str) -> Question:
    """These attributes together; those that the fit has not are left out."""
    return lambda fit, name: {k: getattr(fit, k) for k in names.split() if hasattr(fit, k)}


def _predict(**options: Any) -> Question:
    return lambda fit, name: fit.predict(**options)


def _predict_new(**options: Any) -> Question:
    return lambda fit, name: fit.predict(_new_rows(name), **options)


QUESTIONS: dict[str, Question] = {
    "coefficients": _attributes("fixef coef se se_naive vcov beta names"),
    "variances": _attributes("theta sigma dispersion varcorr correlation scale"),
    "effects": _attributes("ranef"),
    "effects' sds": _attributes("ranef_sd"),
    "fitted values": _attributes("fitted resid linear_predictor"),
    "criteria": _attributes("loglik criterion aic bic n_obs n_groups singular converged formula"),
    "both methods": _attributes("both"),
    "predict": _predict(),
    "predict population": _predict(kind="population"),
    "predict marginal": _predict(kind="marginal"),
    "predict on the link": _predict(scale="link"),
    "predict with confidence": _predict(kind="conditional", interval="confidence"),
    "predict population with confidence": _predict(kind="population", interval="confidence"),
    "predict marginal with confidence": _predict(kind="marginal", interval="confidence"),
    "predict new rows": _predict_new(),
    "predict new rows with confidence": _predict_new(kind="marginal", interval="confidence"),
    "simulate": lambda fit, name: fit.simulate(2, seed=3),
    "refit": lambda fit, name: fit.refit(np.asarray(fit.y)[::-1].copy()).criterion,
    "confint": lambda fit, name: fit.confint(),
    "confint at 80 %": lambda fit, name: fit.confint(level=0.8),
    "tests by Wald": lambda fit, name: fit.tests(df="wald"),
    "tests": lambda fit, name: fit.tests(),
    "tests by Kenward and Roger": lambda fit, name: fit.tests(df="kenward-roger"),
    "report": lambda fit, name: fit.report(),
    "tidy": lambda fit, name: fit.tidy(),
    "tests of terms": lambda fit, name: fit.terms_table(),
    "effects model": lambda fit, name: _effects(fit),
    "icc": lambda fit, name: fit.icc(),
    "r2": lambda fit, name: fit.r2(),
    "caic": lambda fit, name: fit.caic(),
    "summary": lambda fit, name: str(fit.summary()),
    "html": lambda fit, name: fit._repr_html_(),
    "diagnose": lambda fit, name: str(ml.diagnose(fit)),
    "marginal_coefs": lambda fit, name: ml.marginal_coefs(fit).table,
}
# Seconds rather than milliseconds: asked in fewer orders.
SLOW: dict[str, Question] = {
    "predict new observations": _predict(kind="conditional", interval="prediction"),
    "profile": lambda fit, name: fit.confint(method="profile", parameters=["(Intercept)"]),
    "profile of an sd": lambda fit, name: fit.confint(method="profile", parameters=_an_sd(fit)),
    "likelihood ratios of terms": lambda fit, name: fit.terms_table(2, df="likelihood-ratio"),
    "bootstrap": lambda fit, name: fit.confint(method="bootstrap", n=3, seed=1),
}


def _an_sd(fit: Any) -> list[str]:
    if not fit.terms:
        return ["sd (Intercept) | none"]
    term = fit.terms[-1]
    return [f"sd {term.names[-1]} | {term.group}"]


def _effects(fit: Any) -> Any:
    kind = "marginal" if "population prediction" in fit.unanswered else "population"
    model = fit.effects_model(kind)
    rows = model.get_exog(model.get_modeldata())
    return model.get_predict(model.get_coef(), rows)["estimate"].to_numpy(), model.get_vcov()


def ask(fit: Any, name: str, question: str) -> Any:
    """The answer; where a fit does not have the question, or says why not, its words."""
    asked = QUESTIONS.get(question) or SLOW[question]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return asked(fit, name)
        except MixedlabError as refusal:
            return f"{type(refusal).__name__}: {refusal}"
        except AttributeError as missing:
            if missing.obj is not fit:
                raise
            return "no such question"


def same(a: Any, b: Any) -> bool:
    """Whether two answers agree to the last bit, labels included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, pd.DataFrame | pd.Series):
        if not a.index.equals(b.index) or a.index.names != b.index.names:
            return False
        if isinstance(a, pd.DataFrame):
            return list(a.columns) == list(b.columns) and all(same(a[c], b[c]) for c in a.columns)
        return same(a.to_numpy(), b.to_numpy())
    if isinstance(a, np.ndarray):
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        if a.dtype == object:
            return all(same(x, y) for x, y in zip(a.ravel(), b.ravel(), strict=True))
        return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, float):
        return a == b or (a != a and b != b)
    return bool(a == b)
