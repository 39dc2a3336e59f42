import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixedlab.labs import catalogue
from mixedlab.labs.kit import protocol
from mixedlab.labs.kit.scene import Axis, Dots, Panel, Scene
from tests.labs import every_mark
from tests.labs.fuzz import patient

LAB = every_mark.LAB
SMALL = "regression-to-the-mean"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
PARTS = {
    "id": JSON,
    "kind": st.sampled_from(["scene", "replicate", "other"]) | JSON,
    "lab": st.just(SMALL) | JSON,
    "state": st.fixed_dictionaries({}, optional={"top": JSON, "seed": JSON}) | JSON,
    "count": st.integers(-5, 5) | JSON,
    "values": st.fixed_dictionaries({}, optional={"first": JSON, "second": JSON}) | JSON,
}


def test_a_scene_comes_with_its_cleaned_state():
    reply = protocol.answer({"id": "a", "kind": "scene", "lab": SMALL, "state": {"top": 51.0}})
    assert (reply["id"], reply["kind"]) == ("a", "scene")
    assert reply["state"] == {"reliability": 0.5, "students": 60, "top": 50, "seed": 1}
    lab = catalogue.get(SMALL)
    assert reply["scene"] == lab.run(lab.clean({"top": 50})).to_dict()


def test_json_in_json_out():
    text = json.dumps({"id": 3, "kind": "scene", "lab": SMALL, "state": {}})
    reply = json.loads(protocol.answer_json(text))
    assert reply["id"] == 3
    assert reply["scene"]["panels"][0]["key"] == "tests"
    assert json.loads(protocol.answer_json("{not json"))["kind"] == "error"


@patient
@given(st.fixed_dictionaries({}, optional=PARTS) | JSON)
def test_no_message_raises_and_every_answer_is_json(message):
    reply = protocol.answer(message)
    assert reply["kind"] in {"scene", "replicate", "error"}
    if reply["kind"] == "error":
        assert reply["message"]
    try:
        text = json.dumps(message)
    except ValueError:
        return
    assert json.loads(protocol.answer_json(text))["kind"] == reply["kind"]


def test_an_error_is_told_in_words_with_its_state():
    state = {"many": "m5", "seed": 4}
    reply = protocol.answer({"id": 1, "kind": "scene", "state": state}, LAB)
    assert reply["kind"] == "error"
    assert reply["message"] == "There is nothing to fit in <b>option 5</b>."
    assert (reply["lab"], reply["state"]) == ("every-mark", state)


def test_an_error_that_no_one_thought_of_says_its_kind():
    def broken(state):
        return {}["nothing"]

    reply = protocol.answer({"kind": "scene"}, replace(LAB, simulate=broken))
    assert reply["message"] == "KeyError: 'nothing'"


def test_a_number_that_is_not_finite_is_named():
    mark = Dots(key="dot", x=[0.5], y=[np.inf])
    scene = Scene([Panel("where", "", Axis("", 0, 1), Axis("", 0, 1), [mark])], "1")
    reply = protocol.answer({"kind": "scene"}, replace(LAB, scene=lambda *_: scene))
    assert reply["kind"] == "error"
    assert "'dot'" in reply["message"]
    assert "'where'" in reply["message"]


@pytest.mark.parametrize("name", ["regresion", None, 3, "../serve", "serve", ["a"], {"a": 1}])
def test_an_unknown_lab_is_an_error_in_words(name):
    reply = protocol.answer({"kind": "scene", "lab": name})
    assert reply["kind"] == "error"
    assert "There is no lab" in reply["message"]


def test_replicates_are_collected_chunk_by_chunk():
    lab = catalogue.get(SMALL)
    state = asdict(lab.state())
    message = {"kind": "replicate", "lab": SMALL, "state": state, "count": 3}
    first = protocol.answer(message)
    second = protocol.answer({**message, "count": 4, "values": first["values"]})
    assert second["values"] == lab.replicate(lab.state(), 0, 7)
    assert second["panel"]["title"] == "7 new samples"
    assert "mean" in second["summary"]


def test_a_lab_without_statistics_says_so():
    reply = protocol.answer({"kind": "replicate"}, replace(LAB, statistics=()))
    assert reply["message"] == "The lab 'every-mark' collects no statistics."


def test_a_request_for_too_many_is_cut():
    reply = protocol.answer({"kind": "replicate", "count": 1e9}, LAB)
    assert len(reply["values"]["mean"]) == protocol.MOST_AT_ONCE


def test_a_failed_replicate_is_kept_as_none():
    lab = replace(LAB, measure=lambda *_: {"mean": np.nan})
    reply = protocol.answer({"kind": "replicate", "count": 2}, lab)
    assert reply["values"] == {"mean": [None, None]}
    assert "2 of 2 samples gave no value" in reply["summary"]


def test_a_description_says_all_that_the_front_end_needs():
    told = protocol.describe(LAB)
    json.dumps(told, allow_nan=False)
    controls = {c["field"]: c for c in told["controls"]}
    assert list(controls) == [
        "height", "groups", "kind", "many", "numbers", "px", "py", "line",
    ]  # fmt: skip
    assert controls["kind"]["options"] == [["one", "First"], ["two", "Second"]]
    assert (controls["groups"]["whole"], controls["height"]["whole"]) == (True, False)
    assert told["defaults"] == asdict(LAB.state())
    assert told["goals"] == [{"text": "Make a high wave", "solution": {"height": 2.0}}]
