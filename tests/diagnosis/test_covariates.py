"""Slopes within and between groups, endless coefficients, columns far from zero."""

import numpy as np
import pytest

import mixedlab as ml
from mixedlab.diagnosis import covariates
from mixedlab.diagnosis.finding import NotChecked
from mixedlab.errors import SeparationWarning
from tests.diagnosis.tables import HARD, ordinary


def test_the_two_slopes_are_those_of_the_model_with_both():
    fit = HARD["two slopes"][1]()
    (finding,) = covariates.two_slopes(fit)
    assert "ml.within_between(data, 'x', 'g')" in finding.remedy
    rng_free = fit.X[:, 1]
    g = fit.terms[0].index
    mean = (np.bincount(g, rng_free) / np.bincount(g))[g]
    both = fit.with_columns(np.column_stack([np.ones(len(g)), rng_free - mean, mean]), "abc")
    assert f"{both.beta[1]:.3g} within" in finding.text
    assert f"{both.beta[2]:.3g} between" in finding.text


def test_a_predictor_that_is_constant_within_groups_has_one_slope():
    table = ml.load("orthodont")
    with pytest.raises(NotChecked, match="no predictor varies both"):
        covariates.two_slopes(ml.lmm("distance ~ age + Sex + (1 | Subject)", table))


def test_separation_is_asked_only_of_binomials_and_counts():
    with pytest.raises(NotChecked):
        covariates.separation(ordinary(0))
    with pytest.warns(SeparationWarning):
        fit = HARD["a level without an event"][1]()
    (finding,) = covariates.separation(fit)
    assert finding.about == "arm[T.c]"
    assert "prior_sd=2.5" in finding.remedy


def test_what_is_far_from_zero_is_centred_in_words_that_parse():
    table = ml.load("sleepstudy").assign(stamp=lambda d: 1.7e9 + d.Days)
    (finding,) = covariates.far_from_zero(ml.lmm("Reaction ~ stamp + (1 | Subject)", table))
    assert "center(stamp)" in finding.remedy
    assert ml.lmm("Reaction ~ center(stamp) + (1 | Subject)", table).converged
