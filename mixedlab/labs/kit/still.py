"""A lab without Python: one picture that carries its own colours, for saved notebooks and files."""

from __future__ import annotations

import base64
import re
from html import escape
from typing import get_args

from mixedlab.labs.kit import front_end
from mixedlab.labs.kit.lab import Lab
from mixedlab.labs.kit.scene import Scene, Stage
from mixedlab.labs.kit.svg import FONT, panel_svg

HERO, HELPER, HEIGHT, TITLE = 600.0, 360.0, 400.0, 26.0


def still_svg(lab: Lab, scene: Scene, stages: tuple[str, ...] = ("data",)) -> str:
    """Return hero and helpers as one SVG file; marks of other stages are left out."""
    helpers = [panel for panel in scene.panels if panel is not scene.hero]
    width = HERO + (HELPER if helpers else 0)
    places = [(scene.hero, 0.0, 0.0, HERO, HEIGHT)]
    each = HEIGHT / max(1, len(helpers))
    places += [(p, HERO, i * each, HELPER, each) for i, p in enumerate(helpers)]
    panels = []
    for panel, x, y, w, h in places:
        drawn = panel_svg(panel, w - 20, h - TITLE, f"still-{panel.key}")
        inner = re.sub(r"^<svg [^>]*>|</svg>$", "", drawn)
        panels.append(
            f'<g transform="translate({x + 8:g} {y:g})"><text class="title" y="17">'
            f'{escape(panel.title)}</text><g transform="translate(0 {TITLE:g})">{inner}</g></g>'
        )
    hidden = ", ".join(f".ml-stage-{s}" for s in ("estimate", "truth") if s not in stages)
    hide = f"{hidden} {{ display: none; }}" if hidden else ""
    size = f'viewBox="0 0 {width:g} {HEIGHT:g}" width="{width:g}" height="{HEIGHT:g}"'
    label = escape(lab.alt, quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{label}">'
        f"<style>{_style()}{hide}</style>"
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(panels)}</svg>'
    )


def still_html(lab: Lab, scene: Scene) -> str:
    """Return a still picture with its words, for a notebook that is read without Python."""
    code = base64.b64encode(still_svg(lab, scene).encode()).decode()
    return (
        f'<figure><img alt="{escape(lab.alt, quote=True)}" style="max-width: 100%" '
        f'src="data:image/svg+xml;base64,{code}"><figcaption>Lab: {escape(lab.title)}. '
        f"{escape(scene.ask or lab.question.ask)} Run the cell to use it.</figcaption></figure>"
    )


def page(lab: Lab, scene: Scene) -> str:
    """Return a page with the picture of a lab, all shown, and its words."""
    words = " ".join(filter(None, (scene.summary, scene.outcome_truth)))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(lab.title)}</title>'
        '<body style="max-width: 960px; margin: 2rem auto; font-family: system-ui, sans-serif">'
        f"<h1>{escape(lab.title)}</h1>"
        f"{still_svg(lab, scene, get_args(Stage))}<p>{escape(words)}</p></body></html>"
    )


def _style() -> str:
    """Return the rules for marks and the light palette out of the style sheet."""
    css = front_end.style()
    light = re.sub(r"light-dark\((#\w+), #\w+\)", r"\1", css)
    palette = "".join(re.findall(r"--ml-[\w-]+: (?:#\w+|var\(--ml-[\w-]+\));", light))
    marks = light[light.index("/* ---- marks") : light.index("/* ---- stages")]
    marks = re.sub(r"animation: [^;]*;|/\*.*?\*/", "", marks, flags=re.DOTALL)
    marks = marks.replace("font-size: 1em;", "")
    text = f"text {{ font: {FONT}px system-ui, sans-serif; }} .title {{ font-weight: 600; }}"
    return f":root {{ {palette} }} {text} {marks}"
