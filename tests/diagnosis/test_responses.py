"""Floors, ceilings and copies."""

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.diagnosis import responses
from mixedlab.diagnosis.finding import NotChecked
from tests.diagnosis.tables import HARD, ordinary


@pytest.mark.parametrize(
    ("case", "about", "remedy"),
    [
        ("scores with a ceiling", "a ceiling", "cbind"),
        ("counts in a linear model", "a floor", "family='poisson'"),
        ("0/1 outcomes in a linear model", "two values", "family='binomial'"),
        ("skewed responses in a linear model", "a floor", "log(y)"),
    ],
)
def test_the_end_and_the_remedy_are_named(case, about, remedy):
    (finding,) = responses.bounds(HARD[case][1]())
    assert finding.about == about
    assert remedy in finding.remedy


def test_rounded_scores_that_stop_nowhere_are_fine():
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(40), 12)
    y = np.round(rng.normal(0, 1, 40)[g] + rng.normal(size=g.size))
    assert responses.bounds(ml.lmm("y ~ 1 + (1 | g)", pd.DataFrame({"g": g, "y": y}))) == []


def test_copies_are_counted():
    (finding,) = responses.repeated_rows(HARD["rows copied"][1]())
    assert finding.text.startswith("40 rows agree with an earlier one")
    assert "rows 200, 201, 202" in finding.about


def test_rounded_responses_of_one_group_agree_by_chance():
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(30), 20)
    y = np.round(50 + rng.normal(0, 4, 30)[g] + rng.normal(0, 2, g.size), 1)
    fit = ml.lmm("y ~ 1 + (1 | g)", pd.DataFrame({"g": g, "y": y}))
    assert pd.DataFrame({"g": g, "y": y}).duplicated().sum() > 50
    assert responses.repeated_rows(fit) == []


def test_counts_are_not_asked():
    with pytest.raises(NotChecked, match="agree by chance"):
        responses.repeated_rows(ordinary(2))
    with pytest.raises(NotChecked, match="bounds of its own"):
        responses.bounds(ordinary(2))
