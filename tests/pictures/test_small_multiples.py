"""Small multiples of the three poolings: the lines are those of the coefficients."""

import numpy as np
import pytest

import mixedlab as ml
from mixedlab.errors import MixedlabError


def by_label(ax):
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


def test_each_panel_has_three_named_lines_of_its_group():
    three = ml.pooling("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    panels = ml.pictures.pooling(three, at_most=6)
    assert len(panels) == 6
    ax = panels[0]
    subject = ax.get_title().split()[0]
    lines = by_label(ax)
    assert set(lines) == {"complete pooling", "no pooling", "partial pooling"}
    for kind, label in (("complete", "complete"), ("none", "no"), ("partial", "partial")):
        coef = getattr(three, kind).coef.loc[subject]
        x, y = lines[f"{label} pooling"].get_xydata().T
        np.testing.assert_allclose(y, coef["(Intercept)"] + coef["Days"] * x)
    data = ax.lines[0].get_ydata()
    rows = ml.load("sleepstudy").query("Subject == @subject")
    np.testing.assert_allclose(np.sort(data), np.sort(rows["Reaction"]))


def test_groups_go_from_few_rows_to_many_and_a_group_without_a_fit_has_two_lines():
    table = ml.load("sleepstudy").iloc[9:]  # one row is left of the first subject
    panels = ml.pictures.pooling(ml.pooling("Reaction ~ Days + (Days | Subject)", table))
    assert panels[0].get_title() == "308  (n = 1)"
    assert np.isnan(by_label(panels[0])["no pooling"].get_ydata()).all()
    assert np.isfinite(by_label(panels[0])["partial pooling"].get_ydata()).all()


def test_what_the_groups_take_up_is_in_their_lines():
    """An arm that does not vary within patients has no coefficient without pooling."""
    table = ml.load("orthodont")
    three = ml.pooling("distance ~ age * Sex + (age | Subject)", table)
    ax = ml.pictures.pooling(three)[0]
    subject = ax.get_title().split()[0]
    rows = table[table["Subject"].astype(str) == subject]
    slope, intercept = np.polyfit(rows["age"], rows["distance"], 1)
    x, y = by_label(ax)["no pooling"].get_xydata().T
    np.testing.assert_allclose(y, intercept + slope * x)
    partial = by_label(ax)["partial pooling"].get_xydata()
    at = rows.iloc[[0] * len(x)].assign(age=x).reset_index(drop=True)
    np.testing.assert_allclose(partial[:, 1], three.fit.predict(at))


def test_a_binary_response_bends_and_stays_between_0_and_1():
    table = ml.load("contraception")
    three = ml.pooling("use ~ age + (1 | district)", table, family="binomial")
    for ax in ml.pictures.pooling(three):
        y = by_label(ax)["partial pooling"].get_ydata()
        assert (y > 0).all()
        assert (y < 1).all()


def test_a_model_of_intercepts_is_one_panel_of_estimates():
    (ax,) = ml.pictures.pooling(ml.pooling("Yield ~ 1 + (1 | Batch)", ml.load("dyestuff")))
    assert [label.get_text() for label in ax.get_xticklabels()] == [f"{c} (5)" for c in "ABCDEF"]


def test_a_column_that_the_model_lacks():
    three = ml.pooling("Reaction ~ Days + (1 | Subject)", ml.load("sleepstudy"))
    with pytest.raises(MixedlabError, match=r"no numeric column 'days'.*'Days'"):
        ml.pictures.pooling(three, "days")
