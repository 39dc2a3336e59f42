"""Group curves and profiles show what the fit says."""

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.errors import MixedlabError
from mixedlab.inference.profiles import profile
from mixedlab.pictures.style import LIGHT, SKY


def test_spaghetti(sleep):
    table = ml.load("sleepstudy")
    ax = ml.pictures.spaghetti(sleep, table, "Days")
    population = ax.lines[-1].get_xydata()
    np.testing.assert_allclose(population[:, 1], sleep.beta[0] + sleep.beta[1] * population[:, 0])
    assert len(ax.lines) == 3 * 18 + 1
    raw = ax.lines[0].get_xydata()
    np.testing.assert_allclose(raw, table[table.Subject == "308"][["Days", "Reaction"]])
    curve = ax.lines[2].get_xydata()
    b = sleep.beta + sleep.b[0][0]
    np.testing.assert_allclose(curve[:, 1], b[0] + b[1] * curve[:, 0])
    assert ax.get_ylabel() == "Reaction"


def test_spaghetti_with_other_columns_missing_rows_and_many_groups():
    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        {
            "g": np.repeat(np.arange(80), 5),
            "site": np.repeat(np.arange(8), 50),
            "x": np.tile(np.arange(5.0), 80),
            "arm": np.repeat(["a", "b"], 200),
        },
        index=np.arange(400)[::-1],
    )
    table["y"] = table.x + rng.normal(size=80)[table.g] + rng.normal(size=400)
    table.iloc[7, table.columns.get_loc("y")] = np.nan
    with pytest.warns(UserWarning, match="left out"):
        fit = ml.lmm("y ~ x * arm + (1 | g) + (1 | site)", table)
    ax = ml.pictures.spaghetti(fit, table, "x", "g", at_most=10)
    assert "10 of 80 levels of g" in ax.get_title()
    assert len(ax.lines) == 3 * 10 + 2
    named = [line.get_label() for line in ax.lines[-2:]]
    assert named == ["population, arm = a", "population, arm = b"]
    for line, arm in zip(ax.lines[-2:], "ab", strict=True):
        x = line.get_xdata()
        at = pd.DataFrame({"x": x, "arm": arm})
        np.testing.assert_allclose(line.get_ydata(), fit.predict(at, kind="population"))


def joined(ax):
    """Lines that join data, which are grey."""
    return [ln for ln in ax.lines if ln.get_linestyle() == "-" and ln.get_color() == LIGHT]


def test_outcomes_of_0_and_1_are_not_joined():
    table = ml.load("toenail")
    fit = ml.glmm("y ~ treatment * time + (1 | patient)", table)
    ax = ml.pictures.spaghetti(fit, table, "time", at_most=20)
    assert joined(ax) == []
    points = np.concatenate([ln.get_ydata() for ln in ax.lines if ln.get_marker() == "."])
    assert np.abs(points - points.round()).max() < 0.05
    assert len([ln for ln in ax.lines if ln.get_label().startswith("population, treatment")]) == 2


def test_different_pupils_are_not_joined():
    table = ml.load("hsb82")
    fit = ml.lmm("mAch ~ cses + (1 | school)", table)
    assert joined(ml.pictures.spaghetti(fit, table, "cses", at_most=5)) == []


def test_counts_are_shown_at_one_exposure():
    rng = np.random.default_rng(0)
    g, x, hours = np.repeat(np.arange(8), 12), np.tile(np.arange(12.0), 8), rng.uniform(1, 50, 96)
    n = rng.poisson(hours * np.exp(-1 + 0.05 * x + rng.normal(0, 0.4, 8)[g]))
    table = pd.DataFrame({"g": g, "x": x, "hours": hours, "n": n})
    fit = ml.glmm("n ~ x + offset(log(hours)) + (1 | g)", table, family="poisson")
    ax = ml.pictures.spaghetti(fit, table, "x")
    typical = np.sort(hours)[(96 - 1) // 2]
    np.testing.assert_allclose(joined(ax)[0].get_ydata(), (n / hours * typical)[:12])
    curve = ax.lines[-1]
    rate = np.exp(fit.beta[0] + fit.beta[1] * curve.get_xdata())
    np.testing.assert_allclose(curve.get_ydata(), typical * rate)


def test_profile_zeta(sleep):
    name = "sd (Intercept) | Subject"
    made = profile(sleep, [name, "Days"])
    ax = ml.pictures.profile_zeta(made, name)
    ends = np.array([ln.get_xydata()[0] for ln in ax.lines if ln.get_marker() == "D"])
    np.testing.assert_allclose(ends[:, 0], made.confint().loc[name])
    np.testing.assert_allclose(np.abs(ends[:, 1]), 1.959964, rtol=1e-6)
    assert ax.get_xlabel() == name
    again = ml.pictures.profile_zeta(sleep, "Days")
    assert again.get_xlabel() == "Days"
    with pytest.raises(MixedlabError, match="no profile of 'sigma'"):
        ml.pictures.profile_zeta(made, "sigma")


def test_what_varies_within_groups_is_the_same_for_all_curves_and_named():
    rng = np.random.default_rng(3)
    g = np.repeat([f"c{k}" for k in range(12)], 25)
    sex, age = rng.choice(["f", "m"], g.size, p=[0.6, 0.4]), rng.normal(50, 9, g.size)
    y = 0.1 * age + 4.0 * (sex == "m") + rng.normal(size=g.size)
    df = pd.DataFrame({"g": g, "sex": sex, "age": age, "y": y})
    df.loc[(df["g"] == "c3") & (df.index % 5 > 0), "sex"] = "m"
    fit = ml.lmm("y ~ age + sex + (1 | g)", df)
    ax = ml.pictures.spaghetti(fit, df, "age")
    assert ax.get_title() == "curves at sex f"
    curves = [line for line in ax.lines if line.get_color() == SKY]
    own = fit.ranef["g"]["(Intercept)"].loc[list(dict.fromkeys(g))].to_numpy()
    heights = [line.get_ydata()[0] - fit.fixef["age"] * line.get_xdata()[0] for line in curves]
    np.testing.assert_allclose(heights - own, fit.fixef["(Intercept)"])
