import base64
import re
import xml.etree.ElementTree as ET
from dataclasses import asdict, dataclass, replace

import ipywidgets
import numpy as np
import pytest
import traitlets

from mixedlab.labs.kit import front_end
from mixedlab.labs.kit.lab import slider
from mixedlab.labs.kit.widget import make_widget
from tests.labs import every_mark

LAB = every_mark.LAB


@pytest.fixture
def widget():
    return make_widget(LAB)


@pytest.fixture
def sent(widget, monkeypatch):
    messages = []
    monkeypatch.setattr(widget, "send", messages.append)
    return messages


def test_every_field_is_a_trait_that_the_front_end_sees(widget):
    for name, default in asdict(LAB.state()).items():
        assert getattr(widget, name) == default
        assert name in widget.keys
    assert widget.lab == "every-mark"
    assert widget.description["share"] == "python"
    assert widget.shell.startswith('<form class="ml-lab"')
    assert widget.shell.count('role="img"') == 3
    assert widget._esm == front_end.script()


def test_state_and_scene_follow_the_traits(widget):
    widget.height = 1.5
    widget.kind = "two"
    assert widget.state == every_mark.State(height=1.5, kind="two")
    assert widget.scene.to_dict() == LAB.run(widget.state).to_dict()


def test_numbers_are_moved_into_their_range_and_onto_their_steps(widget):
    widget.height = 99
    assert widget.height == 2.0
    widget.height = 0.26
    assert widget.height == 0.3
    widget.groups = 4.4
    assert widget.groups == 4
    widget.seed = -3
    assert widget.seed == 0


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("height", "high", "a number from -2 to 2"),
        ("height", float("nan"), "a number from -2 to 2"),
        ("height", None, "a number from -2 to 2"),
        ("height", "1", "a number from -2 to 2"),
        ("kind", "three", "one of 'one', 'two'"),
        ("numbers", 1, "True or False"),
        ("seed", "x", "a whole number"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_in_words(widget, name, value, words):
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(widget, name, value)
    assert getattr(widget, name) == getattr(LAB.state(), name)


def test_an_unknown_control_gets_the_nearest():
    with pytest.raises(TypeError, match=r"no control 'heigth'\. Did you mean 'height'"):
        make_widget(LAB, heigth=1)


def test_a_control_may_not_take_a_name_of_the_widgets():
    @dataclass(frozen=True)
    class State:
        layout: float = slider(0, 0, 1, 0.1, "Layout")
        seed: int = 1

    with pytest.raises(ValueError, match=r"'layout'.*choose another"):
        make_widget(replace(LAB, state=State))


def test_it_observes_and_links_as_other_widgets_do(widget):
    seen = []
    widget.observe(lambda change: seen.append(change.new), "height")
    box = ipywidgets.FloatSlider(min=-2, max=2)
    link = ipywidgets.link((box, "value"), (widget, "height"))
    box.value = 1.2
    widget.height = -0.4
    assert box.value == -0.4
    assert seen[-2:] == [1.2, -0.4]
    link.unlink()


def test_messages_are_answered(widget, sent):
    widget._handle_custom_msg({"id": "a-1", "kind": "scene", "state": {"height": 5}}, [])
    (answer,) = sent
    assert (answer["id"], answer["kind"], answer["state"]["height"]) == ("a-1", "scene", 2.0)


def test_a_message_that_is_nonsense_is_answered_in_words(widget, sent):
    widget._handle_custom_msg("nonsense", [])
    assert sent[0]["kind"] == "error"


def test_one_lab_has_one_class(widget):
    # Each widget has a class of its own below it, which anywidget makes.
    assert type(make_widget(LAB)).__mro__[1] is type(widget).__mro__[1]
    assert type(widget).__name__ == "EveryMarkLab"


def test_value_is_the_state_and_goes_both_ways(widget):
    heard = []
    widget.observe(lambda change: heard.append(change["new"]["height"]), "value")
    widget.height = 1.5
    assert widget.value == asdict(widget.state)
    widget.value = {**widget.value, "height": 99, "groups": 6}
    assert (widget.height, widget.groups) == (2.0, 6)
    assert heard[0] == 1.5
    assert heard[-1] == 2.0


def test_interactive_output_takes_a_lab(widget):
    seen = []
    output = ipywidgets.interactive_output(
        lambda state: seen.append(state["height"]), {"state": widget}
    )
    assert isinstance(output, ipywidgets.Output)
    widget.height = -1.0
    assert seen[-1] == -1.0


def test_data_fits_figure_and_files(widget, tmp_path):
    widget.seed = 5
    np.testing.assert_array_equal(widget.data, every_mark.simulate(widget.state))
    np.testing.assert_array_equal(widget.fits, every_mark.fit(widget.data))
    assert len(widget.figure("data").axes) == 3
    for name in ("lab.png", "lab.svg", "lab.html"):
        assert widget.save(tmp_path / name).stat().st_size > 3000
    assert "The mean is" in (tmp_path / "lab.html").read_text()
    with pytest.raises(ValueError, match=r"\.png, \.svg, \.pdf or \.html"):
        widget.save(tmp_path / "lab.doc")


def test_without_python_there_is_a_picture_with_words(widget):
    bundle = widget._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert LAB.alt in data["text/plain"]
    assert "object at 0x" not in repr(widget)
    picture = re.search(r'alt="([^"]*)" .*base64,([\w+/=]+)"', data["text/html"])
    assert picture[1] == LAB.alt.replace("&", "&amp;")
    root = ET.fromstring(base64.b64decode(picture[2]))
    assert root.get("aria-label") == LAB.alt
    assert "application/vnd.jupyter.widget-view+json" in data
