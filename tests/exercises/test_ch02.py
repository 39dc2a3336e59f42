import pytest

import mixedlab as ml
from mixedlab.answers import of_chapter

TASKS = of_chapter(2)


def test_the_answers_are_the_book_s():
    assert TASKS["2.1"].answer() == "more"
    assert TASKS["2.2"].answer() == pytest.approx(6.267, abs=5e-4)
    assert TASKS["2.3"].answer() == pytest.approx(1.889, abs=5e-3)


def test_the_county_is_the_first_without_pooling_and_not_with_it():
    own = ml.pooling("log_radon ~ floor + (1 | county)", ml.load("radon"))
    table = own.side_by_side("(Intercept)")
    assert table["none"].idxmax() == "LACQUIPARLE"
    assert table["partial"].idxmax() != "LACQUIPARLE"
    assert table.loc["LACQUIPARLE", "n"] == 2
