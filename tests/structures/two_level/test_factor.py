import json

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from tests import paths

REFERENCE = json.loads((paths.REFERENCE / "twolevel_sem.json").read_text())
ITEMS, WITHIN, BETWEEN = ["y1", "y2", "y3"], ["x1", "x2", "x3"], ["w1", "w2"]


@pytest.fixture(scope="module")
def fit():
    return ml.twolevel_factor(ITEMS, ml.load("twolevel"), "cluster", WITHIN, BETWEEN)


def reference_rows():
    levels = {1: "within", 2: "between"}
    for row in REFERENCE["factor"]["estimates"]:
        level, factor = levels[row["level"]], row["lhs"] in ("fw", "fb")
        if row["op"] == "=~":
            yield level, "loading", row["rhs"], row
        elif row["op"] == "~":
            yield level, "regression", row["rhs"], row
        elif row["op"] == "~~" and factor:
            yield level, "factor variance", "factor", row
        elif row["op"] == "~~" and row["lhs"] in ITEMS:
            yield level, "residual variance", row["lhs"], row
        elif row["op"] == "~1" and row["lhs"] in ITEMS and level == "between":
            yield level, "intercept", row["lhs"], row


def test_every_estimate_of_the_reference(fit):
    known = REFERENCE["factor"]
    # 1.4e-6 above the reference: its search stops a little earlier.
    assert fit.loglik == pytest.approx(known["loglik"], abs=1e-4)
    assert fit.loglik >= known["loglik"]
    assert fit.chisq == pytest.approx(known["chisq"], abs=1e-3)
    assert fit.df == known["df"]
    mine = fit.estimates.set_index(["level", "kind", "of"])
    rows = list(reference_rows())
    assert len(rows) == len(mine)
    for *key, row in rows:
        estimate, se = mine.loc[tuple(key)]
        assert estimate == pytest.approx(row["est"], abs=2e-3 * (row["se"] or 1e-9)), key
        if row["se"]:
            assert se == pytest.approx(row["se"], rel=1e-3), key


def test_reports(fit):
    assert fit.loadings.loc["y1"].tolist() == [1.0, 1.0]
    assert fit.loadings.loc["y2", "within"] == pytest.approx(0.7742, abs=1e-4)
    assert fit.converged
    assert not fit.singular
    assert 0.2 < fit.icc["y3"] < 0.4
    text = str(fit)
    assert "2500 rows in 200 groups" in text
    assert "chi-squared 8.09 on 10 df" in text
    assert fit.aic == pytest.approx(-2 * fit.loglik + 2 * 20)
    assert fit.p == pytest.approx(0.62, abs=0.01)


def test_units_origins_and_order_only_rescale(fit):
    data = ml.load("twolevel").sample(frac=1, random_state=1)
    data = data.assign(
        y2=1e4 * data["y2"] + 5e5, x1=1e-3 * data["x1"] + 2.0, w2=data["w2"] * 1e3 + 2e3
    )
    other = ml.twolevel_factor(ITEMS, data, "cluster", WITHIN, BETWEEN)
    key = ["level", "kind", "of"]
    pair = fit.estimates.set_index(key).join(other.estimates.set_index(key).add_suffix("_other"))

    def ratio(*row):
        return pair.loc[row, "estimate_other"] / pair.loc[row, "estimate"]

    assert ratio("within", "loading", "y2") == pytest.approx(1e4, rel=1e-4)
    assert ratio("within", "regression", "x1") == pytest.approx(1e3, rel=1e-4)
    assert ratio("between", "regression", "w2") == pytest.approx(1e-3, rel=1e-3)
    assert ratio("between", "residual variance", "y2") == pytest.approx(1e8, rel=1e-3)
    assert other.loglik == pytest.approx(fit.loglik - 2500 * np.log(1e4), abs=1e-3)
    same = pair.loc[("within", "regression", "x2")]
    assert same["se_other"] == pytest.approx(same["se"], rel=1e-4)


def test_truth_is_found_again_with_unequal_groups_and_a_reversed_item():
    rng = np.random.default_rng(6)
    J = 400
    size = rng.integers(1, 15, J)
    g = np.repeat(np.arange(J), size)
    x, w = rng.normal(size=g.size), rng.normal(size=J)
    f = 0.6 * x + rng.normal(size=g.size)
    b = (-0.5 * w + 0.7 * rng.normal(size=J))[g]
    within, between = np.array([1.0, -0.8, 0.5, 1.2]), np.array([1.0, 0.3, 0.6, -0.4])
    y = np.outer(f, within) + np.outer(b, between) + [3.0, 0, -2, 1]
    y = y + rng.normal(size=y.shape) + 0.4 * rng.normal(size=(J, 4))[g]
    data = pd.DataFrame(y, columns=list("abcd")).assign(x=x, w=w[g], g=g)
    fit = ml.twolevel_factor(list("abcd"), data, "g", "x", "w")
    truth = {
        ("within", "loading"): within,
        ("between", "loading"): between,
        ("within", "regression"): [0.6],
        ("between", "regression"): [-0.5],
        ("within", "factor variance"): [1.0],
        ("between", "factor variance"): [0.49],
        ("within", "residual variance"): np.ones(4),
        ("between", "residual variance"): np.full(4, 0.16),
        ("between", "intercept"): [3.0, 0, -2, 1],
    }
    for (level, kind), values in truth.items():
        rows = fit.estimates.query("level == @level and kind == @kind")
        z = (rows["estimate"] - values) / rows["se"]
        assert (z.dropna().abs() < 4).all(), (level, kind, z)
    assert fit.p > 1e-4


def test_a_residual_variance_of_zero_is_said():
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(60), 5)
    f = rng.normal(size=300) + rng.normal(size=60)[g]
    data = pd.DataFrame({name: f + 0.7 * rng.normal(size=300) for name in "abc"}).assign(g=g)
    fit = ml.twolevel_factor(list("abc"), data, "g")
    assert fit.singular
    assert "At the boundary 0: residual variance of" in str(fit)
    assert fit.converged
    assert fit.loglik <= fit.loglik_saturated + 1e-6


def test_incomplete_rows_are_left_out_and_counted(fit):
    data = ml.load("twolevel")
    data.loc[[0, 7], "y2"] = np.nan
    data.loc[11, "cluster"] = np.nan
    partial = ml.twolevel_factor(ITEMS, data, "cluster", WITHIN, BETWEEN)
    assert partial.n_missing == 3
    assert partial.n_obs == 2497
    assert "3 rows left out" in str(partial)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"items": ["y1", "y2"]}, "three or more"),
        ({"items": ["y1", "y2", "y9"]}, "no column 'y9'"),
        ({"items": ["y1", "y2", "y1"]}, "'y1' is named twice"),
        ({"groups": "klass"}, "no column 'klass'"),
        ({"between": ["x1"]}, "'x1' varies within group"),
        ({"within": ["one"]}, "'one' is constant"),
        ({"within": ["text"]}, "'text' is not numeric"),
        ({"within": ["far"]}, "'far' holds infinite"),
        ({"groups": "row"}, "has one row"),
        ({"groups": "half"}, "2 groups"),
    ],
)
def test_bad_input_is_named(arguments, message):
    data = ml.load("twolevel").head(200)
    row = np.arange(200)
    data = data.assign(one=1.0, text="a", far=np.inf, row=row, half=row % 2)
    with pytest.raises(ValueError, match=message):
        ml.twolevel_factor(**({"items": ITEMS, "df": data, "groups": "cluster"} | arguments))
