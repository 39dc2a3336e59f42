import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import get_args

import pytest
from matplotlib.figure import Figure

from mixedlab.labs import catalogue
from mixedlab.labs.kit import front_end
from mixedlab.labs.kit.figure import PALETTE, figure, pictures
from mixedlab.labs.kit.scene import Meaning
from mixedlab.labs.kit.shell import panel_ratio
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


def test_stages_are_groups(drawn):
    _, scene, svgs = drawn
    for panel in scene.panels:
        found = {
            group.get("class")
            for group in parsed(svgs[panel.key]).iter(f"{SVG}g")
            if group.get("class")
        }
        # An empty mark draws nothing; each other one is in its stage's group.
        assert found <= {f"ml-stage-{mark.stage}" for mark in panel.marks}
        assert {f"ml-stage-{m.stage}" for m in panel.marks if m.key in {"fit", "true"}} <= found


def test_the_picture_fills_the_box_that_the_page_keeps(drawn):
    _, scene, svgs = drawn
    total = sum(panel.width for panel in scene.panels)
    for panel in scene.panels:
        box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svgs[panel.key])
        ratio = float(box[1]) / float(box[2])
        assert ratio == pytest.approx(panel_ratio(panel.width / total), rel=0.01)


def test_the_same_scene_gives_the_same_picture(drawn):
    _, scene, svgs = drawn
    again = pictures(scene, prefix="one", alt=drawn[0].alt)
    assert again == svgs


def test_the_truth_is_dashed_and_an_open_mark_has_the_papers_colour():
    scene = every_mark.LAB.run(every_mark.LAB.state())
    svg = pictures(scene)["every"]
    assert "stroke-dasharray" in svg
    assert "fill: var(--ml-paper)" in svg


def test_alt_text_is_escaped():
    scene = every_mark.LAB.run(every_mark.LAB.state())
    assert parsed(pictures(scene, alt='a "<b>" & c')["bars"]).get("aria-label") == (
        'Bars. a "<b>" & c'
    )


def test_the_palette_is_the_style_sheets():
    css = front_end.style()
    for name, color in PALETTE.items():
        light = re.search(rf"--ml-{name}: light-dark\((#\w+),", css)
        assert light, f"lab.css does not name {name}"
        assert light[1] == color
    assert set(get_args(Meaning)) <= set(PALETTE)
    for meaning in get_args(Meaning):
        assert f".ml-c-{meaning} " in css


@pytest.mark.parametrize("stage", ["data", "estimate", "truth"])
def test_a_figure_shows_what_has_been_revealed(stage, tmp_path):
    scene = every_mark.LAB.run(every_mark.LAB.state())
    drawn = figure(scene, stage)
    assert isinstance(drawn, Figure)
    assert [ax.get_title(loc="left") for ax in drawn.axes] == ["Every mark", "Heat", "Bars"]
    names = {text.get_text() for legend in drawn.legends for text in legend.get_texts()}
    later = {"data": {"fit", "truth"}, "estimate": {"truth"}, "truth": set()}[stage]
    assert names == {"data", "count", "band", "fit", "pull", "truth"} - later - (
        {"band", "pull"} if stage == "data" else set()
    )
    path = Path(tmp_path) / "figure.png"
    drawn.savefig(path)
    assert path.stat().st_size > 5000
