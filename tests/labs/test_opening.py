"""``ml.lab``: one lab, a lab of one's own, or the list."""

import pytest

import mixedlab as ml
from mixedlab.labs import catalogue
from tests.labs import every_mark


def test_a_mistyped_name_gets_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'regression-to-the-mean'"):
        ml.lab("regresion_to_the_mean")
    with pytest.raises(ValueError, match=r"There are: .*regression-to-the-mean"):
        ml.lab("xyz")


def test_without_a_name_the_labs_are_listed():
    table = ml.lab()
    assert tuple(table.index) == catalogue.names()
    assert table.loc["three-poolings", "title"] == "Three poolings"


def test_a_lab_of_ones_own_can_be_shown():
    assert ml.lab(every_mark.LAB, height=1.5).height == 1.5
