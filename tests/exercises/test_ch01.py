import pytest

import mixedlab as ml
from mixedlab import answers
from mixedlab.answers import of_chapter

TASKS = of_chapter(1)
MISTAKES = [(task, m) for task in TASKS.values() for m in task.misconceptions]


@pytest.fixture(autouse=True)
def _fresh():
    answers.start_over()


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_right_answer_is_right(task):
    assert ml.check(task.id, task.answer())


def test_the_answers_are_those_of_the_book():
    assert TASKS["1.1"].answer() == "30 donors"
    assert TASKS["1.2"].answer() == pytest.approx(500 / 5.9)
    assert ml.check("1.2", 84.7)
    assert TASKS["1.3"].answer() == pytest.approx(0.7614, abs=5e-4)


@pytest.mark.parametrize(("task", "mistake"), MISTAKES, ids=[m.name for _, m in MISTAKES])
def test_each_known_mistake_gets_its_own_hint_then_the_solution(task, mistake):
    first = ml.check(task.id, mistake.answer())
    assert first.correct is False
    assert first.says == mistake.hint
    assert first.wrong[-1].misconception == mistake.name
    second = ml.check(task.id, mistake.answer())
    assert "Solution: " in second.says
    assert task.solution(task.answer()) in second.says


@pytest.mark.parametrize("exercise", ["1.2", "1.3"])
def test_any_other_wrong_answer_gets_the_hint(exercise):
    assert TASKS[exercise].hint in ml.check(exercise, 1234.5).says


def test_the_report_errs_in_both_directions():
    three = ml.pooling("distance ~ age + Sex + (1 | Subject)", ml.load("orthodont"))
    report = three.complete.se.iloc[0]
    assert report["Sex[T.Female]"] < three.fit.se["Sex[T.Female]"]
    assert report["age"] > three.fit.se["age"]
