"""An uneven spread is told with what it goes with."""

import pytest

from mixedlab.diagnosis import spread
from mixedlab.diagnosis.finding import NotChecked
from tests.diagnosis.tables import HARD, ordinary


def test_it_names_the_column():
    (finding,) = spread.uneven_spread(HARD["wide where x is large"][1]())
    assert finding.about == "x"
    assert "times as wide where x is large" in finding.text


def test_it_names_the_factor():
    (finding,) = spread.uneven_spread(HARD["some groups are wide"][1]())
    assert finding.about == "g"
    assert "'g' differ in their spread" in finding.text


def test_a_variance_that_grows_with_the_mean_asks_for_another_family():
    (finding,) = spread.uneven_spread(HARD["skewed responses in a linear model"][1]())
    assert "a family whose variance grows with the mean" in finding.remedy


def test_single_outcomes_have_no_spread():
    with pytest.raises(NotChecked):
        spread.uneven_spread(ordinary(1))
