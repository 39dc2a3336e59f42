import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedlab.labs.kit.replicates import describe_distribution, distribution_panel, nice_range
from mixedlab.labs.kit.scene import Bars, Dots
from tests.labs import every_mark
from tests.labs.fuzz import check_panel, patient

LAB = every_mark.LAB
NUMBERS = st.floats(-1e9, 1e9).filter(lambda v: v == 0 or abs(v) > 1e-9)


def marks(panel):
    return {mark.key: mark for mark in panel.marks}


@patient
@given(st.lists(st.none() | NUMBERS, max_size=300))
def test_any_values_give_a_sound_panel(values):
    check_panel(distribution_panel(LAB, {"mean": values}, {"mean": 5.0}))


def test_few_values_are_dots_and_many_are_bars_that_count_them_all():
    values = np.random.default_rng(0).normal(5, 1, 1000).tolist()
    few = marks(distribution_panel(LAB, {"mean": values[:20]}, {}))
    assert isinstance(few["values-mean"], Dots)
    assert len(few["values-mean"].x) == 20
    many = marks(distribution_panel(LAB, {"mean": values}, {}))["bars-mean"]
    assert isinstance(many, Bars)
    heights = np.asarray(many.y1) - np.asarray(many.y0)
    counts, _ = np.histogram(values, np.append(many.x0, many.x1[-1]))
    np.testing.assert_allclose(heights / heights.sum(), counts / 1000)


def test_mean_and_truth_stand_where_they_are():
    panel = marks(distribution_panel(LAB, {"mean": [1.0, 2.0, 6.0]}, {"mean": 5.0}))
    assert panel["mean-mean"].x == [[3.0, 3.0]]
    truth = panel["truth-mean"]
    assert (truth.x, truth.stage, truth.dashed) == ([[5.0, 5.0]], "truth", True)
    assert panel["text-mean"].text == ["Mean of x: mean 3"]


def test_words_count_what_failed():
    assert describe_distribution(LAB, {"mean": [1.0, None, 3.0]}) == (
        "Mean of x: mean 2, sd 1.41. 1 of 3 samples gave no value."
    )
    assert describe_distribution(LAB, {}) == "Mean of x: no value yet."


@patient
@given(st.lists(NUMBERS, min_size=1))
def test_a_nice_range_holds_all_values(values):
    low, high = nice_range(np.array(values))
    assert low < high
    slack = 1e-9 * (high - low)
    assert low - slack <= min(values)
    assert max(values) <= high + slack


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.013, 0.087], (0.01, 0.09)), ([103, 127], (100, 130)), ([], (0, 1)), ([4], (2, 6))],
)
def test_a_nice_range_is_round(values, expected):
    assert nice_range(np.array(values, dtype=float)) == pytest.approx(expected)
