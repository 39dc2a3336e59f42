import pytest

import mixedlab as ml
from mixedlab import answers
from mixedlab.answers import of_chapter

TASKS = of_chapter(9)


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


@pytest.mark.parametrize("name", ["9.2", "9.3"])
def test_any_other_wrong_answer_gets_the_hint(name):
    assert TASKS[name].hint in ml.check(name, 31.25).says


def test_the_answers_are_the_book_s():
    """Raudenbush and Bryk print 2.19 within and 5.87 between."""
    assert TASKS["9.1"].answer() == "within"
    assert TASKS["9.2"].answer() == pytest.approx(5.866 - 2.191, abs=2e-3)
    assert TASKS["9.3"].answer() == pytest.approx(2.191, abs=1e-3)


def test_contextual_effect_is_the_coefficient_of_the_mean_beside_raw_ses():
    hsb = ml.within_between(ml.load("hsb82")[["school", "ses", "mAch"]], "ses", "school")
    fit = ml.lmm("mAch ~ ses + ses_mean + (1 | school)", hsb)
    assert ml.check("9.2", fit.fixef["ses_mean"])
