"""A model fitted to some of its rows is the one that its table would give."""

import numpy as np
import pytest

import mixedlab as ml
from mixedlab.diagnosis.finding import NotChecked
from mixedlab.diagnosis.other_fits import of_rows, refuse_costly


@pytest.mark.parametrize("reml", [True, False])
def test_some_rows_of_a_linear_model(reml):
    table = ml.load("sleepstudy")
    rows = np.flatnonzero(table.Subject != table.Subject[0])
    fit = ml.lmm("Reaction ~ Days + (Days | Subject)", table, reml=reml)
    part = ml.lmm("Reaction ~ Days + (Days | Subject)", table.iloc[rows], reml=reml)
    np.testing.assert_allclose(of_rows(fit, rows).beta, part.beta, rtol=1e-6)


def test_some_rows_of_a_generalised_model():
    table = ml.load("cbpp")
    rows = np.flatnonzero(table.herd != table.herd[0])
    formula = "incidence / size ~ period + (1 | herd)"
    fit = ml.glmm(formula, table, weights="size")
    part = ml.glmm(formula, table.iloc[rows], weights="size")
    np.testing.assert_allclose(of_rows(fit, rows).beta, part.beta, rtol=1e-6)


def test_what_cannot_be_fitted_is_none():
    table = ml.load("sleepstudy")
    fit = ml.lmm("Reaction ~ Days + (Days | Subject)", table)
    assert of_rows(fit, np.arange(10)) is None


def test_a_residual_structure_is_not_fitted_again():
    fit = ml.lmm("Reaction ~ Days + (1 | Subject)", ml.load("sleepstudy"), residual="ar1(Days)")
    with pytest.raises(NotChecked):
        refuse_costly(fit)
