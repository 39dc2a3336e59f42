"""Panels that several labs share."""

import numpy as np
import pytest

from mixedlab.labs.kit.panels import heat, histograms, intervals, lines_of_groups, pulled
from mixedlab.labs.kit.scene import Axis

AXIS = Axis("value", 0, 1)


def by_key(panel):
    return {mark.key: mark for mark in panel.marks}


def test_pulled_moves_each_group_out_of_its_own_value():
    own, shrunken, true = [0.1, 0.9], [0.3, 0.7], [0.2, 0.8]
    panel = pulled("p", "title", AXIS, ["a", "b"], own, shrunken, 0.5, true)
    marks = by_key(panel)
    assert panel.hero
    assert [t for _, t in panel.y.ticks] == ["a", "b"]
    np.testing.assert_array_equal(marks["bands"].x, np.column_stack([own, shrunken]))
    for key in ("bands", "model", "truth"):
        assert marks[key].starts_from == "own"
        assert list(marks[key].keys) == ["a", "b"]
    assert marks["own"].y[0] > marks["own"].y[1], "the first stands at the top"


def test_each_histogram_is_scaled_by_its_own_row():
    rng = np.random.default_rng(1)
    narrow, wide = np.full(200, 0.01), rng.random(200)
    edges = np.linspace(0, 1, 21)
    rows = [("own", "narrow", narrow), ("model", "wide", wide)]
    marks = by_key(histograms("h", "title", AXIS, rows, edges, lit=0.05, honest=0.05))
    heights = [
        np.concatenate([marks[f"{part}-{i}"].y1 - (1 - i) for part in ("lit", "pale")])
        for i in (0, 1)
    ]
    assert heights[0].max() == pytest.approx(heights[1].max())
    for height, values in zip(heights, (narrow, wide), strict=True):
        counts = np.histogram(values, edges)[0]
        np.testing.assert_allclose(height / height.sum(), counts / counts.sum())
    assert len(marks["lit-0"].x0) == 1
    honest = marks["honest-1"].y[0][0]
    assert honest == pytest.approx(heights[1].max() * 10 / np.histogram(wide, edges)[0].max())


def test_intervals_hold_their_estimates_one_a_row():
    span, dot = intervals("model", ["a", "b"], [1, 2], [0, 1], [2, 3])
    np.testing.assert_array_equal(span.x, [[0, 2], [1, 3]])
    assert list(dot.y) == [1, 0]
    assert list(span.keys) == list(dot.keys)


def test_lines_of_groups_are_straight():
    mark = lines_of_groups("own", ["a", "b"], (0, 2), [1, 5], [2, -1])
    np.testing.assert_array_equal(mark.y, [[1, 5], [5, 3]])


def test_heat_has_an_edge_more_than_cells():
    panel = heat("h", "title", AXIS, AXIS, np.zeros((2, 3)), 0, 1)
    (mark,) = panel.marks
    assert (len(mark.x), len(mark.y)) == (4, 3)
