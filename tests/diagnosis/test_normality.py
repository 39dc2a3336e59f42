"""Residuals and effects that are not normal are told by their shape, rows and groups by name."""

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.diagnosis import normality
from mixedlab.diagnosis.finding import NotChecked
from tests.diagnosis.tables import HARD, ordinary


def test_a_row_far_out_is_named_by_its_place_in_the_table():
    table = HARD["a slip of the pen"][1]().design
    (finding,) = normality.residuals_shape(HARD["a slip of the pen"][1]())
    assert table.rows[7] == 7
    assert finding.about == "row 7 (counted from 0)"
    assert "row 7 (counted from 0) lies" in finding.text


def test_skewed_and_long_tails_are_two_things():
    (long,) = [
        f for f in normality.residuals_shape(HARD["heavy tails"][1]()) if f.kind != "outlying rows"
    ]
    assert long.kind == "heavy tails"
    kinds = {
        f.kind for f in normality.residuals_shape(HARD["skewed responses in a linear model"][1]())
    }
    assert "skewed" in kinds
    assert "heavy tails" not in kinds


def test_two_clumps_are_told_as_such():
    (finding,) = normality.effects_shape(HARD["two kinds of groups"][1]())
    assert "in clumps" in finding.text
    assert "ml.pictures.caterpillar(fit, 'g', '(Intercept)')" in finding.remedy


def test_a_group_far_out_is_named():
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(30), 8)
    b = rng.normal(size=30)
    b[11] = 12.0
    fit = ml.lmm("y ~ 1 + (1 | g)", pd.DataFrame({"g": g, "y": b[g] + rng.normal(size=g.size)}))
    (finding,) = normality.effects_shape(fit)
    assert finding.kind == "outlying groups"
    assert "the effect of 11 of 'g'" in finding.text


def test_what_has_no_shape_is_not_checked():
    with pytest.raises(NotChecked, match="0/1"):
        normality.residuals_shape(ordinary(1))
    few = ml.lmm("Yield ~ 1 + (1 | Batch)", ml.load("dyestuff"))
    with pytest.raises(NotChecked, match="20 levels"):
        normality.effects_shape(few)
