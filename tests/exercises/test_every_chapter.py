"""What holds for the exercises of every chapter; what is special stands in its own file."""

import pytest

import mixedlab as ml
from mixedlab import answers
from mixedlab.answers import chapters, of_chapter
from mixedlab.exercises.exercise import Choice

TASKS = {name: task for chapter in chapters() for name, task in of_chapter(chapter).items()}
MISTAKES = {f"{i}: {m.name}": (t, m) for i, t in TASKS.items() for m in t.misconceptions}


@pytest.fixture(autouse=True)
def _fresh():
    answers.start_over()


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_right_answer_is_right(task):
    assert ml.check(task.id, task.answer())


@pytest.mark.parametrize(("task", "mistake"), MISTAKES.values(), ids=MISTAKES)
def test_each_known_mistake_gets_its_own_hint_then_the_solution(task, mistake):
    first = ml.check(task.id, mistake.answer())
    assert first.correct is False
    assert first.says == mistake.hint
    assert first.wrong[-1].misconception == mistake.name
    assert ml.check(task.id, mistake.answer()).says == mistake.hint, "the same cell run again"
    if isinstance(task, Choice):
        wrong = set(task.options) - {task.answer(), mistake.answer()}
        if not wrong:  # of two options the other is right
            return
        second = ml.check(task.id, sorted(wrong)[0])
    else:
        second = ml.check(task.id, 1234.5)
    assert "Solution: " in second.says
    assert task.solution(task.answer()) in second.says


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_any_other_wrong_answer_gets_the_hint(task):
    if isinstance(task, Choice):
        named = {m.answer() for m in task.misconceptions}
        others = set(task.options) - {task.answer()} - named
        assert not others, f"no hint of its own for {others}"
    else:
        assert task.hint in ml.check(task.id, 1234.5).says
