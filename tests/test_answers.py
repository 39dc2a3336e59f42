import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab import answers
from mixedlab.exercises.exercise import Choice, Fitted, Misconception, Number

AREA = Number(
    id="99.1",
    title="Area",
    ask="What is the area?",
    answer=lambda: 0.5,
    tolerance=0.01,
    unit="m2",
    hint="Multiply.",
    solution=lambda right: f"It is {right}.",
    praise="Well seen.",
    misconceptions=(Misconception("doubled", lambda: 1.0, "Half of that."),),
)
COLOUR = Choice(
    id="99.2",
    title="Colour",
    ask="Which?",
    options={"dark red": "", "blue": ""},
    answer=lambda: "blue",
    hint="Look again.",
    solution=lambda right: f"{right}.",
)
MODEL = Fitted(
    id="99.3",
    title="Model",
    ask="Fit it.",
    answer=lambda: 10.467,
    tolerance=0.01,
    hint="Days.",
    solution=lambda right: "...",
    quantity=lambda fit: fit.fixef["Days"],
)


@pytest.fixture(autouse=True)
def exercises(monkeypatch):
    tasks = {task.id: task for task in (AREA, COLOUR, MODEL)}
    real = answers.of_chapter
    monkeypatch.setattr(answers, "chapters", lambda: (3, 99))
    monkeypatch.setattr(answers, "of_chapter", lambda n: tasks if n == 99 else real(n))
    answers.start_over()


@pytest.mark.parametrize(
    "answer",
    [0.5, 0.51, 0.49, np.float32(0.5), np.array([[0.505]]), pd.Series([0.5], index=["a"]), [0.5]],
)
def test_a_number_within_the_tolerance_is_right(answer):
    result = ml.check("99.1", answer)
    assert result
    assert result.says == "0.50 m2 (any answer within 0.01 counts). Well seen."


def test_hint_then_solution():
    first, second, third = ml.check("99.1", 0.7), ml.check("99.1", 0.8), ml.check("99.1", 0.5)
    assert not first
    assert first.says == "Multiply. An answer within 0.01 counts."
    assert second.says.endswith("Solution: It is 0.5.")
    assert third
    assert [w.answer for w in third.wrong] == ["0.7", "0.8"]


def test_the_same_wrong_cell_run_twice_does_not_give_the_solution_away():
    ml.check("99.1", 0.7)
    again = ml.check("99.1", 0.7)
    assert again.says == "Multiply. An answer within 0.01 counts."
    assert [w.answer for w in again.wrong] == ["0.7"]
    assert "Solution" in ml.check("99.1", 0.8).says
    assert "Solution" in ml.check("99.1", 0.7).says, "once told, it stays told"


@pytest.mark.parametrize(("answer", "is_close"), [(6.2, True), (6.35, True), (6.0, False)])
def test_a_near_miss_is_called_close(monkeypatch, answer, is_close):
    task = replace(AREA, answer=lambda: 6.27, misconceptions=())
    monkeypatch.setattr(answers, "of_chapter", lambda n: {"99.1": task})
    result = ml.check("99.1", answer)
    assert result.correct is False
    assert ("Close, but further off than 0.01" in result.says) == is_close
    assert "6.27" not in result.says


def test_known_mistake_gets_its_own_hint():
    result = ml.check("99.1", 1.0)
    assert (result.says, result.wrong[-1].misconception) == ("Half of that.", "doubled")


@pytest.mark.parametrize(
    ("answer", "name"), [(-0.5, "sign turned round"), (50, "percentage for a share")]
)
def test_sign_and_percentage_are_noticed(answer, name):
    assert ml.check("99.1", answer).wrong[-1].misconception == name


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("0.5", "Write the number without quotation marks: 0.5"),
        ("half", "'half' is text; this asks for a number"),
        (None, "Your answer is None"),
        (True, "is true or false"),
        (np.bool_(False), "is true or false"),
        (float("nan"), "missing or infinite"),
        (np.inf, "missing or infinite"),
        (pd.Series([1.0, 2.0, 3.0]), "A Series with 3 values: the exercise asks for one number"),
        (pd.DataFrame({"a": [1, 2]}), "A DataFrame with 2 values"),
        (np.zeros(4), "A ndarray with 4 values"),
        ([1, 2], "A list with 2 values"),
        ([], "A list with 0 values"),
        (["a"], "is no number"),
        ({"a": 1}, "A dict is no number"),
        (1 + 2j, "A complex is no number"),
        (len, "is no number"),
    ],
)
def test_wrong_kinds_are_answered_in_words_and_cost_nothing(answer, words):
    result = ml.check("99.1", answer)
    assert result.correct is None
    assert words in result.says
    assert "What is the area? An answer within 0.01 counts." in result.says
    assert ml.check("99.1", 0.7).says.startswith("Multiply"), "the first wrong answer is still due"


@pytest.mark.parametrize("blank", [(), (...,)])
def test_a_blank_repeats_the_question(blank):
    result = ml.check("99.1", *blank)
    assert result.correct is None
    assert result.says == "What is the area? An answer within 0.01 counts."


@pytest.mark.parametrize("answer", ["blue", " Blue. ", "'BLUE'"])
def test_a_word_is_read_kindly(answer):
    assert ml.check("99.2", answer)


def test_words_that_are_no_option():
    assert "Did you mean 'dark red'?" in ml.check("99.2", "dark-red").says
    assert "A float is no word" in ml.check("99.2", 1.0).says
    assert ml.check("99.2", "dark  red").correct is False


def test_a_fit_is_judged_by_its_quantity():
    sleep = ml.load("sleepstudy")
    assert ml.check("99.3", ml.lmm("Reaction ~ Days + (1 | Subject)", sleep))
    assert (
        "This fit has no 'Days'"
        in ml.check("99.3", ml.lmm("Reaction ~ 1 + (1|Subject)", sleep)).says
    )
    assert "A float is no fit" in ml.check("99.3", 10.467).says


def test_unknown_exercises_name_those_there_are():
    with pytest.raises(ValueError, match=r"Did you mean '99\.1'|Did you mean '99\.3'"):
        ml.check("99.4", 1)
    with pytest.raises(ValueError, match="Chapters with exercises: 3, 99"):
        ml.check("seven", 1)
    assert ml.check(99.1, 0.5), "a number for the exercise's name is read as one"


def test_a_result_is_shown_and_recorded_in_a_notebook():
    bundle = ml.check("99.1", "<b>&</b>")._repr_mimebundle_()
    assert "&lt;b&gt;" in bundle["text/html"]
    assert "<b>" not in bundle["text/html"]
    record = json.loads(json.dumps(ml.check("99.1", 1.0)._repr_mimebundle_()[answers.RECORD]))
    assert record["exercise"] == "99.1"
    assert record["wrong"] == [{"answer": "1.0", "misconception": "doubled"}]
    assert str(ml.check("99.1", 0.5)).startswith("99.1 Area: ✓ Right.")


def test_start_over_forgets_one_or_all():
    for start in (lambda: answers.start_over("99.1"), answers.start_over):
        ml.check("99.1", 0.7)
        start()
        assert len(ml.check("99.1", 0.7).wrong) == 1
        answers.start_over()
