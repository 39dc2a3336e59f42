"""One exercise judges one answer, and knows nothing of answers before it."""

from dataclasses import FrozenInstanceError, replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedlab.exercises.exercise import Choice, Fitted, Misconception, Number, WrongKind

SHARE = Number(
    id="1.1",
    title="Share",
    ask="Which share?",
    answer=lambda: 0.3,
    tolerance=0.01,
    hint="Divide.",
    solution=lambda right: f"{right}",
    misconceptions=(Misconception("inverted", 0.7, "That is the rest."),),
)
WORD = Choice(
    id="1.2",
    title="Word",
    ask="Which?",
    options={"more": "it grows", "less": "it shrinks"},
    answer=lambda: "more",
    hint="Draw it.",
    solution=lambda right: f"{right}",
)


@given(st.floats(-1e6, 1e6))
def test_a_number_is_right_within_its_tolerance_and_nowhere_else(value):
    near = abs(value - 0.3) <= 0.01 * (1 + 1e-9)
    assert SHARE.judge(value).correct == near


@pytest.mark.parametrize(
    ("value", "name"),
    [(0.7, "inverted"), (-0.3, "sign turned round"), (30.0, "percentage for a share"), (5.0, "")],
)
def test_a_wrong_number_is_named_by_its_mistake(value, name):
    verdict = SHARE.judge(value)
    assert not verdict.correct
    assert verdict.misconception == name


@pytest.mark.parametrize("answer", [None, True, "0.3", float("nan"), [1, 2], np.ones(3), {}])
def test_what_is_no_number_is_refused_in_words(answer):
    with pytest.raises(WrongKind, match=r"\w+ \w+"):
        SHARE.judge(answer)


def test_a_tolerance_sets_the_digits():
    assert SHARE.show(0.123456) == "0.12"
    assert replace(SHARE, tolerance=0.5, unit="cm").show(12.34) == "12.3 cm"


def test_words_are_read_whatever_their_case_and_marks():
    assert WORD.judge(" 'MORE'. ").correct
    assert not WORD.judge("less").correct
    with pytest.raises(WrongKind, match="Did you mean 'more'"):
        WORD.judge("moer")


def test_a_fit_is_judged_by_its_quantity_and_anything_else_refused():
    fitted = Fitted(
        id="1.3",
        title="Fit",
        ask="Fit.",
        answer=lambda: 2.0,
        tolerance=0.1,
        hint="x",
        solution=lambda right: "",
        quantity=lambda fit: fit.fixef["x"],
    )
    assert fitted.judge(SimpleNamespace(fixef={"x": 2.05})).correct
    with pytest.raises(WrongKind, match="has no 'x'"):
        fitted.judge(SimpleNamespace(fixef={}))
    with pytest.raises(WrongKind, match="is no fit"):
        fitted.judge(2.0)


def test_exercises_do_not_change():
    with pytest.raises(FrozenInstanceError):
        SHARE.tolerance = 1.0
