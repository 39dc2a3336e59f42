import json
from dataclasses import replace

import numpy as np
import pytest

from mixedlab.labs.kit.scene import (
    Axis,
    Bars,
    Cells,
    Dots,
    Drag,
    Lines,
    Panel,
    Scene,
    panel_to_dict,
    plain,
)
from tests.labs import every_mark
from tests.labs.fuzz import check_lab, check_panel, check_scene

LAB = every_mark.LAB


def panel_of(*marks):
    return Panel("p", "P", Axis("x", 0, 1), Axis("y", 0, 1), marks)


def test_a_scene_becomes_json_and_back():
    scene = LAB.run(LAB.state())
    told = json.loads(json.dumps(scene.to_dict(), allow_nan=False))
    assert [p["key"] for p in told["panels"]] == ["every", "heat", "bars"]
    kinds = {m["kind"] for p in told["panels"] for m in p["marks"]}
    assert kinds == {"dots", "lines", "arrows", "bands", "bars", "cells", "texts"}
    point = next(m for m in told["panels"][0]["marks"] if m["key"] == "point")
    assert point["drag"] == [
        {"label": "The point", "x": "px", "y": "py", "sets": {"kind": "two"}, "ends": None}
    ]
    assert told["panels"][0]["x"]["high"] == 10
    assert told["outcome_truth"] == "The truth is 0.9 of it."


def test_numpy_becomes_plain():
    assert plain([np.float64(1.5), np.int64(2), np.array([1.0, 2.0]), (np.bool_(True),)]) == [
        1.5, 2, [1.0, 2.0], [True],
    ]  # fmt: skip
    assert plain(Drag("d", x="a")) == {"label": "d", "x": "a", "y": None, "sets": {}, "ends": None}


def test_the_fuzzer_passes_a_sound_lab():
    def sound(state, data, fits):
        return every_mark.scene(replace(state, many="m1"), data, fits)

    check_lab(replace(LAB, scene=sound), n_random=30)


def test_the_fuzzer_meets_a_lab_that_fails_somewhere():
    with pytest.raises(AssertionError, match="nothing to fit"):
        check_lab(LAB, n_random=60)


@pytest.mark.parametrize(
    ("marks", "words"),
    [
        ([Dots(key="a", x=[0.5], y=[np.nan])], "not finite"),
        ([Dots(key="a", x=[0.5], y=[111])], "far from"),
        ([Lines(key="a", x=[[0, 1]], y=[[0, -200]])], "far from"),
        ([Bars(key="a", x0=[0], x1=[1], y0=[0], y1=[200])], "far from"),
        ([Cells(key="a", x=[0, 200], y=[0, 1], values=[[1]], low=0, high=1)], "far from"),
        ([Dots(key="a", x=[0], y=[0]), Dots(key="a", x=[0], y=[0])], "one key"),
        ([Dots(key="a", x=[0, 1], y=[0, 1], keys=["b", "b"])], "one key"),
        ([Dots(key="a", x=[0, 1], y=[0, 1], hover=["b"])], "1 hover for 2"),
    ],
)
def test_the_fuzzer_finds_faults(marks, words):
    with pytest.raises(AssertionError, match=words):
        check_panel(panel_of(*marks))


def test_the_fuzzer_wants_words_with_figures():
    with pytest.raises(AssertionError, match="no figure"):
        check_scene(Scene([panel_of()], summary="Much is seen."))
    with pytest.raises(AssertionError, match="no summary"):
        check_scene(Scene([panel_of()], summary=""))


def test_places_are_rounded_to_what_a_pixel_can_show():
    panel = panel_of(Dots(key="a", x=[1 / 3], y=np.array([2 / 3])))
    (mark,) = panel_to_dict(panel)["marks"]
    assert mark["x"] == [0.3333]
    assert mark["y"] == [0.6667]
    wide = replace(panel, x=Axis("x", 0, 1e6))
    assert panel_to_dict(wide)["marks"][0]["x"] == [0.0]


def test_axes_are_declared_once():
    axis = Axis.ticked("t", -1, 1, (-0.5, 0))
    assert axis.ticks == [(-0.5, "−0.5"), (0.0, "0")]
    names = Axis.names(["a", "b"])
    assert names.ticks == [(1.0, "a"), (0.0, "b")]
    assert names.low < 0 < 1 < names.high
