"""The HTML of a lab, made by Python once for all hosts.

The same string stands in the published page before any script runs and is what ``lab.js`` fills
a notebook's cell with. The front end only binds behaviour to it through ``data-ml`` attributes
and never builds layout of its own: so nothing moves when the lab goes live. For the same reason
texts that change are laid out together with the longest that may stand in their place.

No element has an id, so a page may hold a lab twice; every text is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from itertools import chain
from typing import get_args

from mixedlab.labs.lab import Control, Lab
from mixedlab.labs.scene import (
    Arrows,
    Bands,
    Bars,
    Cells,
    Dots,
    Lines,
    Mark,
    Panel,
    Scene,
    Stage,
    Texts,
)
from mixedlab.labs.serve import is_whole

# A choice whose options do not fit into one row becomes a drop-down list.
MOST_SEGMENT_LETTERS = 40
PADDING = 3  # letters' worth of room in a segment


def shell(lab: Lab, pictures: Mapping[str, str] | None = None) -> str:
    """Return the HTML of a lab, its controls still disabled.

    Parameters
    ----------
    lab : Lab
    pictures : mapping of panel key to str, optional
        The SVG that stands in each panel until the lab is live (`mixedlab.labs.print.pictures`).
    """
    scenes = [lab.run(state) for state in (lab.state(), *(lab.clean(p.state) for p in lab.presets))]
    parts = [
        _head(lab, scenes),
        _picture(lab, scenes, pictures or {}),
        _controls(lab, scenes),
        _replicates(lab) if lab.statistics else "",
    ]
    return (
        f'<form class="ml-lab" data-ml="lab" data-lab="{_(lab.name)}" data-stage="data" '
        'data-phase="wait" autocomplete="off" '
        f'aria-label="Lab: {_(lab.title)}">'
        '<div class="ml-sheet">' + "".join(parts) + "</div></form>"
    )


def legend_marks(scenes: Iterable[Scene]) -> list[Mark]:
    """Return one mark for each entry of the legend, those that show first before the others."""
    marks = chain.from_iterable(p.marks for scene in scenes for p in scene.panels)
    first: dict[str, Mark] = {}
    for mark in marks:
        if mark.name:
            first.setdefault(mark.name, mark)
    return sorted(first.values(), key=lambda mark: get_args(Stage).index(mark.stage))


def has_truth(scenes: Iterable[Scene]) -> bool:
    """Whether a third stage is there to be shown."""
    return any(
        scene.outcome_truth or any(m.stage == "truth" for p in scene.panels for m in p.marks)
        for scene in scenes
    )


def _(text: object) -> str:
    return escape(str(text), quote=True)


def _ghosts(texts: Iterable[str]) -> str:
    """Invisible copies of what may stand in a stack, so that its box fits the longest."""
    longest = sorted({t for t in texts if t}, key=len)[-3:]
    return "".join(f'<span class="ml-ghost" aria-hidden="true">{_(t)}</span>' for t in longest)


def _head(lab: Lab, scenes: list[Scene]) -> str:
    options = "".join(
        f'<button type="button" class="ml-option" data-ml="option" data-option="{i}" '
        f'aria-pressed="false" disabled>{_(option)}</button>'
        for i, option in enumerate(lab.question.options)
    )
    longest = max(lab.question.options, key=len, default="")
    outcomes = (f"You said: {longest}. {s.outcome} {s.outcome_truth}" for s in scenes)
    return (
        '<header class="ml-head">'
        f'<p class="ml-title"><span class="ml-kicker">Lab</span> {_(lab.title)}</p>'
        '<p class="ml-status" data-ml="status" role="status">'
        '<span data-ml="status-text"></span> '
        '<button type="button" class="ml-quiet" data-ml="retry" hidden>Try again</button></p>'
        '<button type="button" class="ml-quiet ml-full" data-ml="full" disabled>'
        "Full screen</button>"
        '<div class="ml-progress" data-ml="boot" aria-hidden="true"></div>'
        "</header>"
        f'<div class="ml-gate" data-ml="gate" role="group" aria-label="Your prediction">'
        f'<p class="ml-question">{_(lab.question.text)}</p>'
        f'<div class="ml-options">{options}'
        '<span class="ml-stack">'
        '<button type="button" class="ml-quiet" data-ml="skip" disabled>'
        "Show without answering</button>"
        '<button type="button" class="ml-quiet" data-ml="again" disabled>Predict again</button>'
        "</span></div>"
        f'<p class="ml-outcome ml-stack">{_ghosts(outcomes)}'
        '<span class="ml-invite" data-ml="invite">Choose an answer. '
        "Then the lab shows what comes out.</span>"
        '<span data-ml="outcome"><span class="ml-said" data-ml="said"></span> '
        f'<span data-ml="outcome-text">{_(scenes[0].outcome)} {_(scenes[0].outcome_truth)}</span>'
        "</span></p>"
        "</div>"
    )


def _picture(lab: Lab, scenes: list[Scene], pictures: Mapping[str, str]) -> str:
    panels = scenes[0].panels
    total = sum(panel.width for panel in panels)
    boxes = "".join(_panel(panel, total, pictures.get(panel.key, "")) for panel in panels)
    legend = "".join(
        f'<li class="ml-stage-{mark.stage}" data-ml="legend-entry">'
        f"{swatch(mark)}{_(mark.name)}</li>"
        for mark in legend_marks(scenes)
    )
    truth = (
        f'<button type="button" class="ml-button ml-truth" data-ml="truth" aria-pressed="false" '
        f"disabled>{_(lab.truth_label)}</button>"
        if has_truth(scenes)
        else ""
    )
    return (
        '<div class="ml-picture" data-ml="picture">'
        f'<div class="ml-panels">{boxes}</div>'
        '<div class="ml-under"><ul class="ml-legend" aria-label="Legend">'
        f"{legend}</ul>{truth}</div>"
        f'<p class="ml-spoken" data-ml="summary" role="status" aria-live="polite">'
        f"{_(scenes[0].summary_before)}</p>"
        f'<p class="ml-spoken" data-ml="alt">{_(lab.alt)}</p>'
        '<div class="ml-error" data-ml="error" role="alert" hidden>'
        '<p data-ml="error-text"></p><p><a data-ml="error-link" href="#">Link to this state</a> '
        '<button type="button" class="ml-quiet" data-ml="error-close">Close</button></p></div>'
        "</div>"
    )


def _panel(panel: Panel, total: float, picture: str) -> str:
    share = panel.width / total
    return (
        f'<figure class="ml-panel" data-ml="panel" data-panel="{_(panel.key)}" '
        f'style="--ml-share:{share:.4g};--ml-ratio:{panel_ratio(share):.4g}">'
        f'<figcaption data-ml="panel-title">{_(panel.title)}</figcaption>'
        f'<div class="ml-plot" data-ml="plot">{picture}</div></figure>'
    )


def panel_ratio(share: float) -> float:
    """Width over height of a panel that takes this share of its row.

    Panels of one row are equally high: a row of several is 2.1 times as wide as high, a single
    panel 1.9 times.
    """
    return 1.9 if share > 0.99 else 2.1 * share


def _controls(lab: Lab, scenes: list[Scene]) -> str:
    default = lab.state()
    controls = "".join(
        _control(name, control, getattr(default, name))
        for name, control in lab.controls.items()
        if control.kind != "drag"
    )
    presets = "".join(
        f'<button type="button" class="ml-chip" data-ml="preset" data-preset="{i}" '
        f'aria-pressed="false" title="{_(p.note)}">{_(p.label)}</button>'
        for i, p in enumerate(lab.presets)
    )
    notes = _ghosts(p.note for p in lab.presets)
    return (
        '<fieldset class="ml-controls" data-ml="controls" disabled>'
        '<legend class="ml-spoken">Controls</legend>'
        f'<div class="ml-sliders">{controls}</div>'
        + (
            f'<div class="ml-row" role="group" aria-label="Presets">{presets}'
            f'<p class="ml-note ml-stack">{notes}<span data-ml="preset-note"></span></p></div>'
            if presets
            else ""
        )
        + '<div class="ml-row ml-tools">'
        '<label class="ml-seed">Seed <input type="number" data-ml="seed" min="0" step="1" '
        f'value="{default.seed}" aria-label="Seed of the random numbers"></label>'
        f'<button type="button" class="ml-button" data-ml="new-sample">{_(lab.new_sample_label)}'
        "</button>"
        '<span class="ml-gap"></span>'
        '<button type="button" class="ml-quiet" data-ml="back" disabled>Step back</button>'
        '<button type="button" class="ml-quiet" data-ml="reset">Reset</button>'
        '<button type="button" class="ml-quiet" data-ml="share"><span class="ml-stack">'
        '<span data-ml="share-text">Copy link</span>'
        '<span data-ml="share-done" class="ml-ghost">Copied</span></span></button>'
        "</div></fieldset>"
    )


def _control(name: str, control: Control, value: object) -> str:
    kind = {"slider": _slider, "choice": _choice, "toggle": _toggle}[control.kind]
    help_text = f'<span class="ml-help">{_(control.help)}</span>' if control.help else ""
    return (
        f'<div class="ml-control ml-{control.kind}" data-ml="control" data-field="{_(name)}">'
        f"{kind(name, control, value)}{help_text}</div>"
    )


def _slider(name: str, control: Control, value: object) -> str:
    span = (
        f'min="{control.low:.10g}" max="{control.high:.10g}" step="{control.step:.10g}" '
        f'value="{value:.10g}"'
    )
    unit = f'<span class="ml-unit">{_(control.unit)}</span>' if control.unit else ""
    mode = "numeric" if is_whole(value) else "decimal"
    return (
        f'<label><span class="ml-label">{_(control.label)}</span>'
        f'<input type="range" data-ml="slider" {span}></label>'
        f'<span class="ml-number"><input type="number" data-ml="number" {span} '
        f'inputmode="{mode}" aria-label="{_(control.label)}, as a number">{unit}</span>'
    )


def _choice(name: str, control: Control, value: object) -> str:
    if sum(len(label) + PADDING for _value, label in control.options) > MOST_SEGMENT_LETTERS:
        options = "".join(
            f'<option value="{_(v)}"{" selected" if v == value else ""}>{_(label)}</option>'
            for v, label in control.options
        )
        return (
            f'<label><span class="ml-label">{_(control.label)}</span>'
            f'<select data-ml="select">{options}</select></label>'
        )
    options = "".join(
        f'<label class="ml-segment"><input type="radio" name="{_(name)}" data-ml="radio" '
        f'value="{_(v)}"{" checked" if v == value else ""}><span>{_(label)}</span></label>'
        for v, label in control.options
    )
    return (
        f'<div role="radiogroup" aria-label="{_(control.label)}">'
        f'<span class="ml-label">{_(control.label)}</span>'
        f'<span class="ml-segments">{options}</span></div>'
    )


def _toggle(name: str, control: Control, value: object) -> str:
    return (
        f'<label><input type="checkbox" role="switch" data-ml="toggle"'
        f'{" checked" if value else ""}><span class="ml-label">{_(control.label)}</span></label>'
    )


def _replicates(lab: Lab) -> str:
    buttons = "".join(
        f'<button type="button" class="ml-button" data-ml="replicate" data-count="{count}" '
        f'aria-label="Draw {count} new {"sample" if count == 1 else "samples"}">+{count}</button>'
        for count in (1, 50, 500)
    )
    ratio = min(3.2, 7.8 / (1 + len(lab.statistics)))
    return (
        '<fieldset class="ml-replicates" data-ml="replicates" disabled>'
        '<legend class="ml-spoken">Repeat the study</legend>'
        f'<div class="ml-row"><span class="ml-label">Repeat the study</span>{buttons}'
        '<button type="button" class="ml-quiet" data-ml="stop" disabled>Stop</button>'
        '<progress data-ml="progress" value="0" max="1" aria-label="Samples drawn"></progress>'
        '<span class="ml-count" data-ml="count" aria-hidden="true"></span>'
        '<button type="button" class="ml-quiet" data-ml="clear" disabled>Clear</button></div>'
        f'<figure class="ml-panel" data-ml="replicate-panel" style="--ml-ratio:{ratio:.4g}" hidden>'
        '<figcaption data-ml="panel-title"></figcaption>'
        '<div class="ml-plot" data-ml="plot"></div></figure>'
        '<p class="ml-spoken" data-ml="replicate-summary" role="status"></p></fieldset>'
    )


def swatch(mark: Mark) -> str:
    """Return a small picture of a mark for the legend, in the mark's own colour and shape."""
    match mark:
        case Dots():
            inner = f'<path d="{SHAPES[mark.shape]}" class="{_dot(mark)}"/>'
        case Lines():
            dash = " ml-dashed" if mark.dashed else ""
            inner = f'<path d="M1 7H21" class="ml-line{dash}"/>'
        case Arrows():
            inner = '<path d="M1 7H18M13 2L19 7L13 12" class="ml-line"/>'
        case Bars():
            inner = f'<path d="M4 2H18V12H4Z" class="{_fill(mark.filled)}"/>'
        case Bands() | Cells():
            inner = '<path d="M1 2H21V12H1Z" class="ml-filled ml-band"/>'
        case Texts():
            inner = '<path d="M6 3H16M11 3V12" class="ml-line"/>'
    return (
        f'<svg class="ml-swatch ml-c-{mark.color}" viewBox="0 0 22 14" width="22" height="14" '
        f'aria-hidden="true">{inner}</svg>'
    )


def _dot(mark: Dots) -> str:
    return "ml-line" if mark.shape == "cross" else _fill(mark.filled)


def _fill(filled: bool) -> str:
    return "ml-filled" if filled else "ml-open"


SHAPES = {
    "circle": "M6 7a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z",
    "square": "M6.5 2.5H15.5V11.5H6.5Z",
    "diamond": "M11 1L17 7L11 13L5 7Z",
    "triangle": "M11 1.5L17 12H5Z",
    "cross": "M6 2L16 12M16 2L6 12",
}
