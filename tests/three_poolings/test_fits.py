import numpy as np
import pandas as pd
import pytest

import mixedlab as ml


@pytest.fixture(scope="module")
def sleep():
    return ml.load("sleepstudy")


@pytest.fixture(scope="module")
def three(sleep):
    return ml.pooling("Reaction ~ Days + (Days | Subject)", sleep)


@pytest.fixture(scope="module")
def radon():
    return ml.load("radon")


def test_complete_is_one_regression(sleep, three):
    slope, intercept = np.polyfit(sleep["Days"], sleep["Reaction"], 1)
    np.testing.assert_allclose(three.complete.coef["Days"], slope)
    np.testing.assert_allclose(three.complete.coef["(Intercept)"], intercept)
    np.testing.assert_allclose(three.complete.fitted, intercept + slope * sleep["Days"])


def test_none_is_a_regression_for_each_group(sleep, three):
    for subject, rows in sleep.groupby("Subject", observed=True):
        slope, intercept = np.polyfit(rows["Days"], rows["Reaction"], 1)
        assert three.none.coef.loc[subject, "Days"] == pytest.approx(slope)
        assert three.none.coef.loc[subject, "(Intercept)"] == pytest.approx(intercept)
        np.testing.assert_allclose(
            three.none.fitted[rows.index], intercept + slope * rows["Days"], rtol=1e-10
        )


def test_partial_is_the_mixed_model(three):
    fit = three.fit
    expected = fit.ranef["Subject"] + fit.fixef
    pd.testing.assert_frame_equal(three.partial.coef, expected, check_names=False)
    np.testing.assert_allclose(three.partial.fitted, fit.fitted)
    assert three.partial.sigma == fit.sigma


def test_balanced_partial_lies_between_the_ends(radon):
    three = ml.pooling("travel ~ 1 + (1 | Rail)", ml.load("rail"))
    own, pooled, grand = (
        p.coef["(Intercept)"] for p in (three.none, three.partial, three.complete)
    )
    share = (pooled - grand) / (own - grand)
    variances = three.fit.varcorr["vcov"]
    np.testing.assert_allclose(share, variances[0] / (variances[0] + variances[1] / 3))


def _dummies(radon):
    counties = pd.get_dummies(radon["county"]).to_numpy(float)
    X = np.column_stack([radon["floor"], counties])
    beta, *_ = np.linalg.lstsq(X, radon["log_radon"], rcond=None)
    rest = radon["log_radon"] - X @ beta
    sigma = np.sqrt(rest @ rest / (len(X) - X.shape[1]))
    return beta, sigma * np.sqrt(np.diag(np.linalg.inv(X.T @ X))), sigma


def test_none_with_a_shared_slope_is_the_regression_on_indicators(radon):
    three = ml.pooling("log_radon ~ floor + (1 | county)", radon)
    beta, se, sigma = _dummies(radon)
    np.testing.assert_allclose(three.none.coef["floor"], beta[0])
    np.testing.assert_allclose(three.none.coef["(Intercept)"], beta[1:])
    np.testing.assert_allclose(three.none.se["floor"], se[0])
    np.testing.assert_allclose(three.none.se["(Intercept)"], se[1:])
    assert three.none.sigma == pytest.approx(sigma)
    assert three.shared == ("floor",)


def test_partial_errors_are_henderson_s(sleep, three):
    """The inverse of the mixed-model equations holds the error of fixed and random together."""
    fit = three.fit
    index, J, q = fit.terms[0].index, 18, 2
    Z = np.zeros((180, J * q))
    for k in range(q):
        Z[np.arange(180), index * q + k] = fit.terms[0].Z[:, k]
    G = np.kron(np.eye(J), fit.covariances[0])
    XZ = np.hstack([fit.X, Z])
    equations = XZ.T @ XZ / fit.sigma**2
    equations[2:, 2:] += np.linalg.inv(G)
    C = np.linalg.inv(equations)
    for j in (0, 7):
        pick = np.zeros((q, 2 + J * q))
        pick[:, :2] = pick[:, 2 + j * q : 2 + j * q + q] = np.eye(q)
        expected = np.sqrt(np.diag(pick @ C @ pick.T))
        np.testing.assert_allclose(three.partial.se.iloc[j], expected, rtol=1e-6)


def test_a_constant_within_groups_is_taken_up_by_them(radon):
    three = ml.pooling("log_radon ~ floor + log_uranium + (1 | county)", radon)
    assert three.none.coef["log_uranium"].isna().all()
    assert three.partial.coef["log_uranium"].iloc[0] == pytest.approx(0.6975, abs=5e-4)
    assert "log_uranium: it does not vary within county" in str(three)
    without = ml.pooling("log_radon ~ floor + (1 | county)", radon)
    np.testing.assert_allclose(three.none.fitted, without.none.fitted)


def test_indicator_columns_are_reported_in_the_same_terms():
    three = ml.pooling("score ~ Machine + (0 + Machine | Worker)", ml.load("machines"))
    cells = (
        ml.load("machines").groupby(["Worker", "Machine"], observed=True)["score"].mean().unstack()
    )
    np.testing.assert_allclose(three.none.coef, cells)
    np.testing.assert_allclose(three.complete.coef, np.tile(cells.mean(), (6, 1)))
    np.testing.assert_allclose(three.partial.coef.mean(), cells.mean())
    assert three.shared == ()


def test_a_slope_that_is_only_random_is_zero_on_average(sleep):
    three = ml.pooling("Reaction ~ 1 + (Days | Subject)", sleep)
    assert (three.complete.coef["Days"] == 0).all()
    np.testing.assert_allclose(three.partial.coef["Days"], three.fit.ranef["Subject"]["Days"])


def test_small_groups_say_so():
    rng = np.random.default_rng(3)
    sizes = {"a": 6, "b": 1, "c": 2, "d": 5, "e": 4}
    g = np.repeat(list(sizes), list(sizes.values()))
    x = rng.standard_normal(len(g))
    x[g == "e"] = 1.0
    frame = pd.DataFrame({"g": g, "x": x, "y": 2 + x + rng.standard_normal(len(g))})
    three = ml.pooling("y ~ x + (x | g)", frame)
    assert three.notes["b"] == "1 row for 2 coefficients: no fit of its own"
    assert three.notes["c"].startswith("as many rows as coefficients")
    assert "do not tell (Intercept), x apart" in three.notes["e"]
    assert set(three.notes) == {"b", "c", "e"}
    assert three.none.coef.loc[["b", "e"]].isna().all(axis=None)
    assert np.isnan(three.none.fitted[g == "b"]).all()
    np.testing.assert_allclose(three.none.resid[g == "c"], 0, atol=1e-12)
    assert three.partial.coef.notna().all(axis=None)
    assert "No fit of their own for 2 of 5 groups (b, e)" in str(three)
    slope, _ = np.polyfit(x[g == "a"], frame["y"][g == "a"], 1)
    assert three.none.coef.loc["a", "x"] == pytest.approx(slope)


def test_no_group_large_enough():
    frame = pd.DataFrame({"g": list("aabbccdd"), "x": range(8), "y": [1.0, 3, 2, 5, 4, 8, 6, 7]})
    three = ml.pooling("y ~ x + I(x**2) + (1 | g)", frame)
    assert np.isfinite(three.none.sigma)
    lines = ml.pooling("y ~ x + (x | g)", pd.concat([frame, frame.assign(y=frame.y + 1)]))
    assert lines.none.coef.notna().all(axis=None)


def test_offset_stays_in_the_fitted_values(sleep):
    shifted = sleep.assign(known=10.0 * sleep["Days"])
    plain = ml.pooling("Reaction ~ Days + (1 | Subject)", sleep)
    moved = ml.pooling("Reaction ~ Days + offset(known) + (1 | Subject)", shifted)
    for kind in ("complete", "none", "partial"):
        before, after = getattr(plain, kind), getattr(moved, kind)
        np.testing.assert_allclose(after.fitted, before.fitted, rtol=1e-6)
        np.testing.assert_allclose(after.resid, before.resid, atol=1e-3)
        np.testing.assert_allclose(after.coef["Days"], before.coef["Days"] - 10, atol=1e-5)


@pytest.mark.parametrize(
    "formula", ["Reaction ~ Days + (Days | Subject)", "Reaction ~ Days + (1 | Subject)"]
)
def test_shuffled_rows_and_new_labels_change_nothing(sleep, formula):
    order = np.random.default_rng(0).permutation(len(sleep))
    renamed = sleep.iloc[order].assign(Subject=[f"s{s}" for s in sleep["Subject"].iloc[order]])
    before, after = ml.pooling(formula, sleep), ml.pooling(formula, renamed)
    for kind in ("complete", "none", "partial"):
        np.testing.assert_allclose(getattr(after, kind).coef, getattr(before, kind).coef, rtol=1e-5)
        np.testing.assert_allclose(
            getattr(after, kind).fitted, getattr(before, kind).fitted[order], rtol=1e-6
        )


@pytest.fixture(scope="module")
def wards():
    """Falls on 12 wards, with an exposure, and one ward without a fall."""
    rng = np.random.default_rng(7)
    ward = np.repeat(np.arange(12), 15)
    x, beds = rng.normal(size=180), rng.uniform(5, 40, 180)
    mean = beds * np.exp(-2 + 0.3 * x + rng.normal(0, 0.5, 12)[ward])
    n = np.where(ward == 4, 0, rng.poisson(mean))
    fell = (rng.random(180) < 1 / (1 + np.exp(-x))) & (ward != 7)
    return pd.DataFrame({"ward": ward, "x": x, "beds": beds, "n": n, "fell": fell})


def test_counts_with_an_offset(wards):
    formula = "n ~ x + offset(log(beds)) + (x | ward)"
    three = ml.pooling(formula, wards, family="poisson")
    plain = ml.glmm("n ~ x + offset(log(beds))", wards, family="poisson")
    np.testing.assert_allclose(three.complete.coef.iloc[0], plain.beta, rtol=1e-6)
    np.testing.assert_allclose(three.complete.se.iloc[0], plain.se, rtol=1e-3)
    np.testing.assert_allclose(three.complete.fitted, plain.fitted_values, rtol=1e-6)
    for ward in (0, 5):
        rows = wards[wards["ward"] == ward]
        own = ml.glmm("n ~ x + offset(log(beds))", rows, family="poisson")
        np.testing.assert_allclose(three.none.coef.loc[ward], own.beta, rtol=1e-5)
        np.testing.assert_allclose(three.none.se.loc[ward], own.se, rtol=1e-3)
    assert three.notes == {4: "its responses are all 0: no finite estimate of its own"}
    assert three.none.coef.loc[4].isna().all()
    assert three.partial.coef.notna().all(axis=None)
    given = wards.assign(log_beds=np.log(wards["beds"]))
    same = ml.pooling("n ~ x + (x | ward)", given, family="poisson", offset="log_beds")
    pd.testing.assert_frame_equal(same.none.coef, three.none.coef)


def test_booleans_with_a_shared_slope_are_the_regression_on_indicators(wards):
    three = ml.pooling("fell ~ x + (1 | ward)", wards, family="binomial")
    assert three.notes == {7: "its responses are all 0: no finite estimate of its own"}
    rest = wards[wards["ward"] != 7]
    dummies = ml.glmm("fell ~ 0 + factor(ward) + x", rest)
    np.testing.assert_allclose(three.none.coef["(Intercept)"].drop(7), dummies.beta[:-1], rtol=1e-5)
    np.testing.assert_allclose(
        three.none.se["(Intercept)"].drop(7), dummies.se.iloc[:-1], rtol=1e-3
    )
    np.testing.assert_allclose(three.none.coef["x"].drop(7), dummies.beta[-1], rtol=1e-5)
    np.testing.assert_allclose(three.none.fitted.dropna(), dummies.fitted_values, rtol=1e-5)
    fit = three.fit
    expected = fit.fixef["(Intercept)"] + fit.ranef["ward"]["(Intercept)"]
    np.testing.assert_allclose(three.partial.coef["(Intercept)"], expected)
    se = fit.predict(wards.assign(x=0.0), scale="link", interval="confidence")["se"]
    by_ward = se.groupby(wards["ward"]).first()
    np.testing.assert_allclose(three.partial.se["(Intercept)"], by_ward, rtol=1e-8)


@pytest.mark.parametrize("family", ["gamma", "negative_binomial"])
def test_families_with_a_dispersion(family):
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(10), 20)
    y = rng.gamma(2.0, np.exp(1 + rng.normal(0, 0.4, 10)[g]))
    table = pd.DataFrame({"g": g, "y": np.floor(4 * y) if family != "gamma" else y})
    three = ml.pooling("y ~ 1 + (1 | g)", table, family=family, link="log")
    np.testing.assert_allclose(
        np.exp(three.none.coef["(Intercept)"]), table.groupby("g")["y"].mean(), rtol=1e-6
    )
    pulled = np.abs(three.partial.coef - three.complete.coef)
    assert (pulled < np.abs(three.none.coef - three.complete.coef) + 0.05).all(axis=None)


def test_no_random_term_is_refused_for_every_family(wards):
    with pytest.raises(ValueError, match="no random term"):
        ml.pooling("n ~ x", wards, family="poisson")
