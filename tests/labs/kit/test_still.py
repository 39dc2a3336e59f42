"""A lab without Python: one picture with its words."""

import base64
import re
from xml.etree import ElementTree

import pytest

from mixedlab.labs import catalogue
from mixedlab.labs.kit.still import page, still_html, still_svg


@pytest.mark.parametrize("name", catalogue.names())
def test_the_picture_is_whole_and_says_what_it_shows(name):
    lab = catalogue.get(name)
    scene = lab.run(lab.state())
    root = ElementTree.fromstring(still_svg(lab, scene))
    assert root.get("aria-label") == lab.alt
    titles = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {panel.title for panel in scene.panels} <= set(titles)
    assert "url(http" not in still_svg(lab, scene)


def test_what_the_bet_hides_is_hidden_in_a_notebook():
    lab = catalogue.get("three-poolings")
    html = still_html(lab, lab.run(lab.state()))
    code = re.search(r"base64,([^\"]+)", html)[1]
    svg = base64.b64decode(code).decode()
    assert ".ml-stage-estimate, .ml-stage-truth { display: none; }" in svg
    assert lab.alt.split(",")[0] in html
    assert "object at 0x" not in html


def test_a_saved_page_shows_all_and_tells_it():
    lab = catalogue.get("three-poolings")
    scene = lab.run(lab.state())
    html = page(lab, scene)
    assert scene.outcome_truth.split(":")[0] in html
    assert "{ display: none; }" not in html
