import json
from pathlib import Path

import pytest

import mixedlab as ml
from mixedlab import answers
from mixedlab.answers import of_chapter

TASKS = of_chapter(17)
REFERENCE = Path(__file__).parents[1] / "reference" / "hglm.json"


@pytest.fixture(autouse=True)
def _fresh():
    answers.start_over()


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_right_answer_is_right(task):
    assert ml.check(task.id, task.answer())


MISTAKES = [(task, m) for task in TASKS.values() for m in task.misconceptions]


@pytest.mark.parametrize(("task", "mistake"), MISTAKES, ids=[m.name for _, m in MISTAKES])
def test_each_known_mistake_gets_its_own_hint_then_the_solution(task, mistake):
    first = ml.check(task.id, mistake.answer())
    assert first.correct is False
    assert first.says == mistake.hint
    assert first.wrong[-1].misconception == mistake.name
    second = ml.check(task.id, mistake.answer())
    assert "Solution: " in second.says
    assert task.solution(task.answer()) in second.says


@pytest.mark.parametrize("name", ["17.2", "17.3"])
def test_any_other_wrong_answer_gets_the_hint(name):
    assert TASKS[name].hint in ml.check(name, 31.25).says


def test_the_answers_are_the_book_s():
    """The exact Poisson-gamma fit of the reference has the shape 1 / lambda."""
    (case,) = (
        c for c in json.loads(REFERENCE.read_text()) if c["id"] == "epil-poisson-gamma-exact"
    )
    assert TASKS["17.1"].answer() == "treatment"
    assert TASKS["17.2"].answer() == pytest.approx(10 + 100 / case["gamma_shape"], abs=0.01)
    assert TASKS["17.3"].answer() == pytest.approx(0.246, abs=1e-3)


def test_a_random_effect_of_the_patient_leaves_the_period_alone_exactly():
    """Given a patient's total the Poisson-gamma likelihood is multinomial in the periods."""
    epil = ml.load("epil")
    formula = "y ~ lbase * trt + lage + V4"
    plain = ml.glmm(formula, epil, family="poisson")
    fit = ml.hglm(f"{formula} + (1 | subject)", epil, family="poisson", random_family="gamma")
    assert fit.fixef["V4"] == pytest.approx(plain.fixef["V4"], abs=1e-6)
    assert fit.se["V4"] == pytest.approx(plain.se["V4"], rel=1e-5)
