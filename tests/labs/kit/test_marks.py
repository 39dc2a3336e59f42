"""The grammar: a meaning carries the look, a keyword overrides it."""

from typing import get_args

import numpy as np
import pytest

from mixedlab.labs.kit import marks
from mixedlab.labs.kit.marks import LOOKS, bars, dots, each, level, lines, texts, upright
from mixedlab.labs.kit.scene import Meaning, Shape, Stage


@pytest.mark.parametrize("meaning", LOOKS)
def test_every_meaning_has_a_look_that_the_front_end_knows(meaning):
    look = LOOKS[meaning]
    assert meaning in get_args(Meaning)
    assert look.stage in get_args(Stage)
    assert look.shape in get_args(Shape)


def test_no_two_meanings_look_alike_without_their_colour_but_pale_ones():
    strong = ("own", "model", "everyone", "truth")
    signs = [(LOOKS[m].shape, LOOKS[m].filled, LOOKS[m].dashed, LOOKS[m].width) for m in strong]
    assert len(set(signs)) == len(strong)


def test_a_mark_takes_stage_shape_and_key_from_its_meaning():
    mark = dots("truth", ["a", "b"], [1, 2], [3, 4])
    assert (mark.key, mark.color, mark.stage) == ("truth", "truth", "truth")
    assert (mark.shape, mark.filled) == ("diamond", False)
    assert mark.keys == ["a", "b"]


def test_a_keyword_overrides_the_look():
    mark = dots("own", [1], [0], [0], stage="estimate", key="later", size=9)
    assert (mark.stage, mark.key, mark.size, mark.color) == ("estimate", "later", 9, "own")


def test_one_number_stands_for_all_items():
    assert list(dots("data", ["a", "b", "c"], 1.0, [1, 2, 3]).x) == [1.0, 1.0, 1.0]
    assert list(dots("data", None, [1, 2], 5).y) == [5.0, 5.0]
    box = bars("own", None, [0, 1], [1, 2], 0, [3, 4])
    assert list(box.y0) == [0, 0]


def test_lines_share_one_x():
    mark = lines("model", ["a", "b"], [0, 1, 2], [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(mark.x, [[0, 1, 2], [0, 1, 2]])


def test_uprights_and_levels_are_one_line():
    np.testing.assert_array_equal(upright("truth", 2, 0, 5).x, [[2, 2]])
    np.testing.assert_array_equal(level("truth", 2, 0, 5).y, [[2, 2]])


def test_each_writes_one_text_an_item_with_a_true_minus():
    assert each("{}: {:.1f}", ["a", "b"], [1, -2]) == ["a: 1.0", "b: −2.0"]
    with pytest.raises(ValueError, match="zip"):
        each("{} {}", [1], [1, 2])


def test_one_text_needs_no_list():
    mark = texts("model", 1, 2, "here")
    assert (list(mark.x), list(mark.y), list(mark.text)) == ([1], [2], ["here"])
    assert mark.stage == marks.LOOKS["model"].stage
