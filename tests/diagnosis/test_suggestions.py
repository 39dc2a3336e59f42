"""Suggested terms parse, whatever the columns are called."""

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.diagnosis.suggestions import column_of, group_of, uncorrelated


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(20), 9)
    week = np.tile(np.arange(9.0), 20)
    y = week + rng.normal(size=20)[g] + rng.normal(size=180)
    dose = np.tile(list("abc"), 60)
    return pd.DataFrame({"Patient ID": g, "my week": week, "dose": dose, "y": y})


@pytest.mark.parametrize(
    ("bar", "suggested"),
    [
        ("(`my week` | `Patient ID`)", "(1 + `my week` || `Patient ID`)"),
        ("(0 + `my week` + dose | `Patient ID`)", "(0 + `my week` + dose || `Patient ID`)"),
        ("(dose | `Patient ID`)", "(dose || `Patient ID`)"),
    ],
)
def test_a_term_without_correlations(table, bar, suggested):
    fit = ml.lmm(f"y ~ `my week` + {bar}", table)
    term = fit.terms[0]
    made = uncorrelated(fit, term, list(term.names))
    assert made == suggested
    assert ml.lmm(f"y ~ `my week` + {made}", table).formula


def test_only_numbers_are_columns_of_their_own(table):
    fit = ml.lmm("y ~ `my week` + dose + (1 | `Patient ID`)", table)
    assert column_of(fit, "my week") == "`my week`"
    assert column_of(fit, "dose[T.b]") is None
    assert group_of(fit, fit.terms[0]) == "`Patient ID`"
