import pytest

import mixedlab as ml
from mixedlab import answers
from mixedlab.answers import of_chapter

TASKS = of_chapter(7)


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


@pytest.mark.parametrize("name", ["7.2", "7.3"])
def test_any_other_wrong_answer_gets_the_hint(name):
    assert TASKS[name].hint in ml.check(name, 31.25).says


def test_the_answers_are_the_book_s():
    """From the published REML fit: variances 612.09 and 35.07, covariance 9.60, residual 654.94."""
    assert TASKS["7.1"].answer() == "near 1"
    assert TASKS["7.2"].answer() == pytest.approx(
        612.09 + 18 * 9.604 + 81 * 35.072 + 654.94, abs=0.1
    )
    assert TASKS["7.3"].answer() == pytest.approx(612.09 + 10 * 9.604 + 16 * 35.072, abs=0.1)
