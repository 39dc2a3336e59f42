import pytest

import mixedlab as ml
from mixedlab import answers
from mixedlab.answers import of_chapter

TASKS = of_chapter(3)


@pytest.fixture(autouse=True)
def _fresh():
    answers.start_over()


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_right_answer_is_right(task):
    assert ml.check(task.id, task.answer())


def test_the_answers_are_the_book_s():
    assert TASKS["3.1"].answer() == "more"
    assert TASKS["3.2"].answer() == pytest.approx(6.267, abs=5e-4)
    assert TASKS["3.3"].answer() == pytest.approx(1.889, abs=5e-3)


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


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_any_other_wrong_answer_gets_the_hint(task):
    if task.id != "3.1":
        assert task.hint in ml.check(task.id, 1234.5).says


def test_the_county_is_the_first_without_pooling_and_not_with_it():
    own = ml.pooling("log_radon ~ floor + (1 | county)", ml.load("radon"))
    table = own.side_by_side("(Intercept)")
    assert table["none"].idxmax() == "LACQUIPARLE"
    assert table["partial"].idxmax() != "LACQUIPARLE"
    assert table.loc["LACQUIPARLE", "n"] == 2
