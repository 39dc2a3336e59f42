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


def test_the_figures_that_the_chapter_quotes_of_the_schools():
    three = ml.pooling("mAch ~ sector + (1 | school)", ml.load("hsb82"))
    naive = three.complete.se["sector[T.Catholic]"].iloc[0]
    effect = (three.fit.se["sector[T.Catholic]"] / naive) ** 2
    assert effect == pytest.approx(7.6, abs=0.05)
    between, within = three.fit.varcorr["vcov"]
    assert between / (between + within) == pytest.approx(0.146, abs=5e-4)
    assert three.fit.fixef["sector[T.Catholic]"] == pytest.approx(2.8, abs=0.05)


def test_the_figures_that_the_chapter_quotes_of_neurons():
    trials = ml.simulate.trials(stimulus_varies="subject", effect=0, seed=3)
    assert trials.truth["se_effect"] == pytest.approx(1.58, abs=5e-3)
