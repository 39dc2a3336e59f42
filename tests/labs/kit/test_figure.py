import re
from pathlib import Path
from typing import get_args

import pytest
from matplotlib.figure import Figure

from mixedlab.labs.kit import front_end
from mixedlab.labs.kit.figure import HUES, PALETTE, figure
from mixedlab.labs.kit.scene import Meaning
from tests.labs import every_mark


def light(css, name):
    """Return the light colour of a name, which may stand for another name."""
    value = re.search(rf"--ml-{name}: (?:light-dark\((#\w+),|var\(--ml-([\w-]+)\))", css)
    assert value, f"lab.css does not name {name}"
    return value[1] or light(css, value[2])


def test_the_palette_is_the_style_sheets():
    css = front_end.style()
    for name, color in PALETTE.items():
        assert light(css, name) == color, f"{name} is another colour in lab.css"
    for number, color in enumerate(HUES):
        assert f".ml-h-{number} {{ --c: light-dark({color}," in css
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
