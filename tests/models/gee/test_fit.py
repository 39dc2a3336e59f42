"""What a marginal fit answers, and what it says of the rest."""

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.errors import DataError
from tests import models_cache


def test_predict_confint_tests_and_summary():
    data = ml.load("ohio")
    fit = ml.gee("resp ~ age + smoke", data, "id", "binomial")
    np.testing.assert_allclose(fit.predict(data), fit.fitted)
    np.testing.assert_allclose(fit.fitted + fit.resid, data["resp"])
    new = pd.DataFrame({"age": [0, 1], "smoke": [1, 0]})
    link = fit.predict(new, scale="link")
    np.testing.assert_allclose(
        link, [fit.coef["(Intercept)"] + fit.coef["smoke"], fit.coef[["(Intercept)", "age"]].sum()]
    )
    table = fit.predict(new, interval="confidence")
    np.testing.assert_allclose(table["prediction"], 1 / (1 + np.exp(-link)))
    assert ((table["lower"] < table["prediction"]) & (table["prediction"] < table["upper"])).all()
    half = 0.5 * (fit.confint()["upper"] - fit.confint()["lower"])
    np.testing.assert_allclose(half, 1.959963984540054 * fit.se)
    assert fit.confint(0.5)["lower"]["age"] > fit.confint()["lower"]["age"]
    assert fit.tests()["p"]["age"] == pytest.approx(0.00971, abs=2e-4)
    text = str(fit)
    assert "alpha = 0.3543" in text
    assert "537 clusters of 4 to 4" in text
    assert "<table" in fit._repr_html_()
    assert fit.n_groups == {"id": 537}
    assert "Working correlation" in fit.summary().lines[3]


def test_a_cluster_that_alone_holds_a_coefficient_has_no_small_sample_correction():
    data = ml.load("epil")
    data["only"] = (data["subject"].astype(str) == "1").astype(float)
    fit = ml.gee("y ~ lage + only", data, "subject", "poisson", "independence")
    assert np.isfinite(fit.se).all()
    fit = ml.gee(
        "y ~ lage + only",
        data,
        "subject",
        "poisson",
        "independence",
        small_sample="kauermann-carroll",
    )
    with pytest.raises(DataError, match="alone determines a coefficient"):
        _ = fit.se


def test_rows_keep_their_labels_and_gaps():
    data = models_cache.table("ohio").copy()
    data.loc[data.index[[3, 40]], "smoke"] = np.nan
    with pytest.warns(UserWarning, match="left out"):
        fit = ml.gee("resp ~ age + smoke", data, "id", "binomial", "ar1", "age")
    data["p"] = fit.predict()
    assert data["p"].isna().sum() == 2
    np.testing.assert_array_equal(data["p"].dropna(), fit.fitted)
    new = data.iloc[[7, 5]]
    table = fit.predict(new, interval="confidence")
    assert list(table.columns) == ["prediction", "se", "lower", "upper"]
    assert table.index.equals(new.index)
    slope = (fit.predict(new) * (1 - fit.predict(new))).to_numpy()
    X = np.column_stack([np.ones(2), new["age"], new["smoke"]])
    se = np.sqrt(np.diag(X @ fit.vcov.to_numpy() @ X.T))
    np.testing.assert_allclose(table["se"], slope * se)
    assert fit.predict(data.iloc[:0]).shape == (0,)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (lambda f: f.predict(kind="conditional"), "kind='marginal'"),
        (lambda f: f.predict(kind="population"), "kind='marginal'"),
        (lambda f: f.predict(interval="prediction"), "none of a single response"),
        (lambda f: f.confint(method="profile"), "no likelihood"),
        (lambda f: f.confint(method="bootstrap"), "none of a single response"),
        (lambda f: f.tests(df="kenward-roger"), "df='wald'"),
        (lambda f: f.simulate(1), "none of a single response"),
        (lambda f: f.icc(), "see correlation"),
        (lambda f: f.r2(), "no variance between clusters"),
        (lambda f: f.caic(), "qic"),
        (lambda f: ml.compare(f, f), "qic"),
        (lambda f: ml.diagnose(f), "its notes"),
        (lambda f: ml.marginal_coefs(f), "marginal"),
    ],
)
def test_what_estimating_equations_cannot_say_is_said(question, words):
    with pytest.raises(DataError, match=words):
        question(models_cache.fit("gee"))
