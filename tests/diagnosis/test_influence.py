"""The group that is named moves the estimates as far as is said."""

import numpy as np
import pytest

import mixedlab as ml
from mixedlab.diagnosis import influence
from mixedlab.diagnosis.finding import NotChecked
from tests.diagnosis.tables import HARD


def test_the_group_named_is_the_one_that_was_moved():
    fit = HARD["one clinic turns a log odds"][1]()
    (finding,) = influence.influential(fit)
    assert finding.about == "g g3"
    rows = fit.terms[0].index != fit.terms[0].levels.index("g3")
    table = {"z": fit.y[rows], "x": fit.X[rows, 1], "g": fit.terms[0].index[rows]}
    rest = ml.glmm("z ~ x + (1 | g)", table)
    assert f"{rest.fixef['x']:.3g} in place of {fit.fixef['x']:.3g}" in finding.text


def test_the_scores_of_all_groups_add_up_to_zero():
    """At the maximum; of a linear model exactly, for it has no determinant in beta."""
    fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    scores = influence._scores(fit, fit.terms[0])
    np.testing.assert_allclose(scores.sum(axis=0), 0.0, atol=1e-6)
    assert np.abs(scores).max() > 0.01


def test_too_few_groups_are_not_left_out():
    with pytest.raises(NotChecked):
        influence.influential(HARD["four groups"][1]())
