import itertools
import re
import xml.etree.ElementTree as ET

import pytest

from mixedlab.labs import catalogue
from mixedlab.labs.kit.figure import PALETTE
from mixedlab.labs.kit.svg import SHAPES, pictures, round_ticks, shape_path
from tests.labs import every_mark

LABS = [every_mark.LAB, *map(catalogue.get, catalogue.names())]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module", params=LABS, ids=lambda lab: lab.name)
def drawn(request):
    lab = request.param
    scene = lab.run(lab.state())
    return lab, scene, pictures(scene, prefix="one", alt=lab.alt)


def parsed(svg):
    return ET.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def test_each_panel_is_well_formed_and_says_what_it_shows(drawn):
    lab, scene, svgs = drawn
    assert list(svgs) == [panel.key for panel in scene.panels]
    for panel in scene.panels:
        root = parsed(svgs[panel.key])
        assert root.get("role") == "img"
        assert root.get("aria-label") == f"{panel.title}. {lab.alt}"


def test_ids_are_prefixed_unique_and_found(drawn):
    _, _, svgs = drawn
    ids = [i for svg in svgs.values() for i in re.findall(r'\bid="([^"]*)"', svg)]
    assert len(set(ids)) == len(ids)
    assert all(i.startswith("one-") for i in ids)
    together = "".join(svgs.values())
    used = re.findall(r'href="#([^"]*)"', together) + re.findall(r"url\(#([^)]*)\)", together)
    assert set(used) <= set(ids)


def test_colours_and_fonts_are_the_pages_own(drawn):
    for svg in drawn[2].values():
        assert re.findall(r"#[0-9a-fA-F]{3,8}\b(?!-)", re.sub(r'href="#[^"]*"', "", svg)) == []
        assert "rgb(" not in svg
        assert "font-family" not in svg
        assert "<style" not in svg
        named = set(re.findall(r"var\(--ml-([\w-]+)\)", svg))
        assert named <= set(PALETTE)


def test_stages_and_meanings_are_groups(drawn):
    _, scene, svgs = drawn
    for panel in scene.panels:
        found = [
            group.get("class")
            for group in parsed(svgs[panel.key]).iter(f"{SVG}g")
            if "ml-mark" in (group.get("class") or "")
        ]
        assert found == [f"ml-mark ml-stage-{m.stage} ml-c-{m.color}" for m in panel.marks]


def test_the_same_scene_gives_the_same_picture(drawn):
    _, scene, svgs = drawn
    again = pictures(scene, prefix="one", alt=drawn[0].alt)
    assert again == svgs


def test_each_shape_has_an_outline_of_its_own():
    outlines = {shape: shape_path(shape, 10, 10, 4) for shape in (*SHAPES, "circle")}
    assert len(set(outlines.values())) == 5
    assert outlines["square"] == "M6 6L14 6L14 14L6 14Z"


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-4, 4), (0.15, 0.4), (0, 90000)])
def test_ticks_are_round_and_within(low, high):
    ticks = round_ticks(low, high, 5)
    assert 3 <= len(ticks) <= 9
    assert all(low - 1e-9 <= value <= high + 1e-9 for value, _ in ticks)
    steps = {round(b - a, 9) for (a, _), (b, _) in itertools.pairwise(ticks)}
    assert len(steps) == 1


def test_alt_text_is_escaped():
    scene = every_mark.LAB.run(every_mark.LAB.state())
    assert parsed(pictures(scene, alt='a "<b>" & c')["bars"]).get("aria-label") == (
        'Bars. a "<b>" & c'
    )
