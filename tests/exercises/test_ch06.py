import pytest

import mixedlab as ml
from mixedlab import answers
from mixedlab.answers import of_chapter
from mixedlab.exercises import ch06

TASKS = of_chapter(6)
MISTAKES = [(task, m) for task in TASKS.values() for m in task.misconceptions]


@pytest.fixture(autouse=True)
def _fresh():
    answers.start_over()


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_right_answer_is_right(task):
    assert ml.check(task.id, task.answer())


def test_the_answers_are_those_of_the_fits():
    assert TASKS["6.1"].answer() == "more"
    batches = ml.lmm("Yield ~ 1 + (1 | Batch)", ml.load("dyestuff"))
    assert TASKS["6.2"].answer() == batches.ranef["Batch"].loc["F", "(Intercept)"]
    assert TASKS["6.2"].answer() == pytest.approx(-44.995, abs=5e-3)
    assert TASKS["6.3"].answer() == pytest.approx(-77.85, abs=0.01)


def test_ridge_with_the_right_penalty_is_the_mixed_model():
    between, within = ch06._variances(ch06._sleep())
    assert ch06._ridge(within / between) == pytest.approx(TASKS["6.3"].answer(), abs=1e-8)


@pytest.mark.parametrize(("task", "mistake"), MISTAKES, ids=[m.name for _, m in MISTAKES])
def test_each_known_mistake_gets_its_own_hint_then_the_solution(task, mistake):
    first = ml.check(task.id, mistake.answer())
    assert first.correct is False
    assert first.says == mistake.hint
    assert first.wrong[-1].misconception == mistake.name
    second = ml.check(task.id, mistake.answer())
    assert "Solution: " in second.says
    assert task.solution(task.answer()) in second.says


@pytest.mark.parametrize("exercise", ["6.2", "6.3"])
def test_any_other_wrong_answer_gets_the_hint(exercise):
    assert TASKS[exercise].hint in ml.check(exercise, 1234.5).says
