import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from mixedlab.labs import catalogue
from mixedlab.labs.kit.bet import Choice
from mixedlab.labs.kit.scene import Dots
from mixedlab.labs.kit.shell import has_truth, legend_marks, shell
from mixedlab.labs.kit.svg import swatch
from tests.labs import every_mark

LABS = [every_mark.LAB, *map(catalogue.get, catalogue.names())]
VOID = {"input", "path", "br"}
NAMED = {"button", "select", "input", "progress", "fieldset", "form", "a"}


class Document(HTMLParser):
    """Elements with their attributes, their ancestors and the text within them."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, **dict(attrs), "text": "", "within": list(self.open)}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop()["tag"] == tag, f"</{tag}> out of place"

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def parts(self, name):
        return [e for e in self.elements if e.get("data-ml") == name]


@pytest.fixture(params=LABS, ids=lambda lab: lab.name)
def page(request):
    return request.param, Document(shell(request.param))


def test_every_tag_is_closed(page):
    assert page[1].open == []


def test_there_are_no_ids_no_scripts_and_no_handlers(page):
    for element in page[1].elements:
        assert element["tag"] != "script"
        assert not [name for name in element if name == "id" or name.startswith("on")]


def test_everything_that_can_be_used_has_a_name(page):
    _, document = page
    for element in document.elements:
        if element["tag"] not in NAMED:
            continue
        labels = [e for e in element["within"] if e["tag"] == "label" and e["text"].strip()]
        name = element.get("aria-label") or element["text"].strip() or labels
        assert name, f"{element['tag']} {element.get('data-ml')} has no name"


def test_every_control_is_there_and_waits(page):
    lab, document = page
    shown = [name for name, control in lab.controls.items() if control.kind != "drag"]
    order = [*lab.main_controls, *(name for name in shown if name not in lab.main_controls)]
    assert [e["data-field"] for e in document.parts("control")] == order
    (controls,) = document.parts("controls")
    assert "disabled" in controls
    for name in shown:
        control = lab.controls[name]
        if control.kind != "slider":
            continue
        inputs = [
            e
            for e in document.elements
            if e["tag"] == "input" and any(w.get("data-field") == name for w in e["within"])
        ]
        assert [e["type"] for e in inputs] == ["range", "number"]
        for e in inputs:
            assert float(e["min"]) == control.low
            assert float(e["max"]) == control.high
            assert float(e["step"]) == control.step
            assert float(e["value"]) == getattr(lab.state(), name)


def test_question_options_goals_and_panels_are_there(page):
    lab, document = page
    bet = lab.question
    told = [e["text"] for e in document.parts("option")]
    if isinstance(bet, Choice):
        pairs = zip(bet.labels, bet.reasons, strict=True)
        assert told == [label + reason for label, reason in pairs]
    else:
        assert told == []
        assert len(document.parts("bet-done")) == 1
    assert len(document.parts("goal")) == len(lab.goals)
    panels = [panel.key for panel in lab.run(lab.state()).panels]
    assert [e["data-panel"] for e in document.parts("panel")] == panels
    assert bool(document.parts("replicate")) == bool(lab.statistics)


def test_nothing_is_told_before_the_question_is_answered(page):
    lab, document = page
    scene = lab.run(lab.state())
    (summary,) = document.parts("summary")
    assert summary["text"] == scene.summary_before
    (root,) = document.parts("lab")
    assert root["data-stage"] == "data"


def test_the_legend_has_each_name_once_and_what_shows_first_stands_first(page):
    lab, document = page
    marks = legend_marks([lab.run(lab.state())])
    assert max(Counter(m.name for m in marks).values(), default=1) == 1
    stages = [e["class"] for e in document.parts("legend-entry")]
    order = ["ml-stage-data", "ml-stage-estimate", "ml-stage-truth"]
    assert stages == sorted(stages, key=order.index)


def test_text_never_becomes_html():
    text = shell(every_mark.LAB)
    for raw in ("<mark>", "<of>", "<it>", "<2>", "Up & down"):
        assert raw not in text
    assert "Every &lt;mark&gt;" in text
    assert "That &quot;one&quot;" in text


def test_one_panel_is_the_hero_and_carries_the_headline(page):
    _, document = page
    heroes = [e for e in document.parts("panel") if "data-hero" in e]
    assert len(heroes) == 1
    (headline,) = document.parts("headline")
    assert heroes[0] in headline["within"]
    assert headline["text"] == ""


def test_one_or_two_controls_are_in_sight_and_the_others_folded(page):
    lab, document = page
    folded = [
        e["data-field"]
        for e in document.parts("control")
        if any(w.get("data-ml") == "more" for w in e["within"])
    ]
    shown = [name for name, control in lab.controls.items() if control.kind != "drag"]
    assert set(folded) == set(shown) - set(lab.main_controls)
    assert 0 < len(lab.main_controls) <= 2
    (seed,) = document.parts("seed")
    assert any(w.get("data-ml") == "menu" for w in seed["within"])


def test_pictures_stand_in_their_panels():
    text = shell(every_mark.LAB, {"heat": "<svg><!--heat--></svg>"})
    assert re.search(r'data-panel="heat".*?data-ml="plot"><svg><!--heat--></svg></div>', text)


def test_without_truth_there_is_no_button_for_it():
    lab = replace(
        every_mark.LAB, scene=lambda *a: replace(every_mark.scene(*a), panels=(), outcome_truth="")
    )
    assert not has_truth([lab.run(lab.state())])
    assert 'data-ml="truth"' not in shell(lab)


@pytest.mark.parametrize("shape", ["circle", "square", "diamond", "triangle", "cross"])
def test_a_swatch_shows_the_marks_own_shape(shape):
    swatches = {swatch(Dots(key="a", x=[], y=[], shape=s)) for s in ("circle", shape)}
    assert len(swatches) == (1 if shape == "circle" else 2)
