"""What is left out is told with its size, and the remedy is a formula that mends it."""

import re

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.data.formula import parse
from mixedlab.diagnosis import missing_terms
from mixedlab.diagnosis.finding import NotChecked
from tests.diagnosis.tables import HARD, ordinary


def test_a_bend_is_told_by_its_slopes():
    fit = HARD["a bend"][1]()
    (finding,) = missing_terms.bends(fit)
    low, high = 1 - 2 * 0.6 * 1.28, 1 + 2 * 0.6 * 1.28
    told = re.findall(r"is (-?[\d.]+) where it is small and (-?[\d.]+) where", finding.text)
    assert [float(slope) for slope in told[0]] == pytest.approx([low, high], abs=0.35)
    assert "Add I(x**2)" in finding.remedy


def test_the_remedies_parse_where_a_name_has_a_space():
    rng = np.random.default_rng(1)
    g, x = np.repeat(np.arange(25), 12), rng.normal(size=300)
    y = x + 0.8 * x**2 + rng.normal(size=25)[g] * (1 + x) + rng.normal(size=300)
    table = pd.DataFrame({"the group": g, "my x": x, "y": y})
    fit = ml.lmm("y ~ `my x` + (1 | `the group`)", table)
    (bend,) = missing_terms.bends(fit)
    assert "I(`my x`**2)" in bend.remedy
    wider = ml.lmm("y ~ `my x` + I(`my x`**2) + (1 | `the group`)", table)
    with pytest.raises(NotChecked):
        missing_terms.bends(wider)
    assert wider.aic < fit.aic
    (slopes,) = missing_terms.differing_slopes(fit)
    term = slopes.remedy.removeprefix("Write ").removesuffix(".")
    assert term == "(`my x` | `the group`)"
    assert parse(f"y ~ `my x` + {term}").bars
    mended = ml.lmm(f"y ~ `my x` + I(`my x`**2) + {term}", table)
    assert [f.about for f in missing_terms.differing_slopes(mended)] == []


def test_slopes_of_a_factor_are_written_as_the_factor():
    rng = np.random.default_rng(2)
    g, arm = np.repeat(np.arange(25), 12), rng.choice(list("ab"), 300)
    y = rng.normal(0, 2, 25)[g] * (arm == "b") + rng.normal(size=300)
    fit = ml.lmm("y ~ arm + (1 | g)", pd.DataFrame({"g": g, "arm": arm, "y": y}))
    (finding,) = missing_terms.differing_slopes(fit)
    assert finding.remedy == "Write (arm | g)."


def test_time_is_the_column_of_whole_steps():
    (finding,) = missing_terms.autocorrelation(HARD["neighbours in time are alike"][1]())
    assert finding.about == "week"
    assert "residual='ar1(week)'" in finding.remedy
    with pytest.raises(NotChecked, match="as time does"):
        missing_terms.autocorrelation(HARD["a bend"][1]())
    with pytest.raises(NotChecked, match=r"ml\.lmm"):
        missing_terms.autocorrelation(ordinary(2))


def test_size_is_asked_where_sizes_differ():
    (finding,) = missing_terms.cluster_size(HARD["large groups are high"][1]())
    assert "larger responses" in finding.text
    with pytest.raises(NotChecked, match="unequal size"):
        missing_terms.cluster_size(HARD["a bend"][1]())
