import pytest

import mixedlab as ml
from mixedlab.answers import of_chapter
from mixedlab.exercises import ch04

TASKS = of_chapter(4)


def test_the_answers_are_those_of_the_fits():
    assert TASKS["4.1"].answer() == "more"
    batches = ml.lmm("Yield ~ 1 + (1 | Batch)", ml.load("dyestuff"))
    assert TASKS["4.2"].answer() == batches.ranef["Batch"].loc["F", "(Intercept)"]
    assert TASKS["4.2"].answer() == pytest.approx(-44.995, abs=5e-3)
    assert TASKS["4.3"].answer() == pytest.approx(-77.85, abs=0.01)


def test_ridge_with_the_right_penalty_is_the_mixed_model():
    between, within = ch04._variances(ch04._sleep())
    assert ch04._ridge(within / between) == pytest.approx(TASKS["4.3"].answer(), abs=1e-8)
