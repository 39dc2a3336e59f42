"""Sizes and labels of grouping factors."""

import numpy as np
import pandas as pd

import mixedlab as ml
from mixedlab.diagnosis import groups
from tests.diagnosis.tables import HARD, ordinary


def test_nested_labels_name_the_two_factors_and_a_term_that_mends_it():
    fit = HARD["class labels start anew"][1]()
    (finding,) = groups.nested_labels(fit)
    assert finding.about == "class"
    assert "(1 | school/class) in place of (1 | school) + (1 | class)" in finding.remedy
    table = pd.DataFrame(
        {
            "score": fit.y,
            "school": fit.terms[0].index,
            "class": fit.terms[1].index,
        }
    )
    mended = ml.lmm("score ~ 1 + (1 | school/class)", table)
    assert mended.criterion < fit.criterion - 20
    assert groups.nested_labels(mended) == []


def test_crossed_factors_are_not_nested():
    for data, formula in (
        ("penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
        ("salamander_mating", "Mate ~ 1 + (1 | Female) + (1 | Male)"),
        ("pastes", "strength ~ 1 + (1 | batch/cask)"),
    ):
        table = ml.load(data)
        make = ml.glmm if data == "salamander_mating" else ml.lmm
        assert groups.nested_labels(make(formula, table)) == []


def test_an_effect_for_every_row_is_no_group_of_one():
    t = ml.load("epil")
    fit = ml.glmm("y ~ lbase + (1 | subject)", t, family="poisson", observation_effect=True)
    assert groups.single_rows(fit) == []


def test_similar_labels_are_shown_as_they_are():
    fit = HARD["labels with case and spaces"][1]()
    (finding,) = groups.similar_labels(fit)
    assert "'G0', 'g0'; 'g3', 'g3 '" in finding.text


def test_labels_that_are_numbers_are_never_similar():
    assert groups.similar_labels(ordinary(0)) == []


def test_few_groups_are_under_five():
    rng = np.random.default_rng(0)
    for J, found in ((4, 1), (5, 0)):
        g = np.repeat(np.arange(J), 12)
        t = pd.DataFrame({"g": g, "y": rng.normal(size=J)[g] + rng.normal(size=12 * J)})
        assert len(groups.few_groups(ml.lmm("y ~ 1 + (1 | g)", t))) == found
