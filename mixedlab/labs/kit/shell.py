"""The HTML of a lab, made by Python once for all hosts.

The same string stands in the published page before any script runs and is what ``lab.js`` fills
a notebook's cell with. The front end only binds behaviour to it through ``data-ml`` attributes
and never builds layout of its own: so nothing moves when the lab goes live. No box is kept for
text that may come: the sheet has a height of its own, and the plots take what is left of it.

No element has an id, so a page may hold a lab twice; every text is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from itertools import chain
from typing import get_args

from mixedlab.labs.kit.bet import Choice, Curve
from mixedlab.labs.kit.lab import Control, Lab
from mixedlab.labs.kit.protocol import is_whole
from mixedlab.labs.kit.scene import Mark, Panel, Scene, Stage
from mixedlab.labs.kit.svg import swatch
from mixedlab.labs.kit.words import number

# A choice whose options do not fit into one row becomes a drop-down list.
MOST_SEGMENT_LETTERS = 40
PADDING = 3  # letters' worth of room in a segment
ENLARGE = (
    '<svg viewBox="0 0 16 16" aria-hidden="true">'
    '<path d="M6 2H2v4M2 2l5 5M10 14h4v-4M14 14L9 9"/></svg>'
)


def shell(lab: Lab, pictures: Mapping[str, str] | None = None) -> str:
    """Return the HTML of a lab, its controls still disabled.

    Parameters
    ----------
    lab : Lab
    pictures : mapping of panel key to str, optional
        The SVG that stands in each panel until the lab is live (`kit.svg.pictures`).
    """
    states = [{}, *(g.solution for g in lab.goals), lab.reveal]
    scenes = [lab.run(lab.clean(state)) for state in states]
    parts = [
        _head(lab),
        _gate(lab, scenes),
        _picture(lab, scenes, pictures or {}),
        _bar(lab),
    ]
    return (
        f'<form class="ml-lab" data-ml="lab" data-lab="{_(lab.name)}" data-stage="data" '
        f'data-phase="wait" data-bet="{type(lab.question).__name__.lower()}" autocomplete="off" '
        f'aria-label="Lab: {_(lab.title)}">'
        f'<div class="ml-sheet">{"".join(parts)}</div>{_details(scenes[0])}</form>'
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


def _fold(name: str, label: str, content: str, css: str = "") -> str:
    """Return a button that opens a box over the picture: nothing below it moves."""
    return (
        f'<details class="ml-fold {css}" data-ml="{name}"><summary>{label}</summary>'
        f'<div class="ml-box">{content}</div></details>'
    )


def _head(lab: Lab) -> str:
    seed = lab.state().seed
    menu = (
        '<label class="ml-seed"><span>Seed of the random numbers</span> '
        f'<input type="number" data-ml="seed" min="0" step="1" value="{seed}" disabled '
        'aria-label="Seed of the random numbers"></label>'
        '<button type="button" class="ml-quiet" data-ml="back" disabled>Step back</button>'
        '<button type="button" class="ml-quiet" data-ml="reset" disabled>Reset</button>'
        '<button type="button" class="ml-quiet" data-ml="share"><span class="ml-stack">'
        '<span data-ml="share-text">Copy link</span>'
        '<span data-ml="share-done" class="ml-ghost">Copied</span></span></button>'
        '<p class="ml-link" data-ml="link-text"></p><div class="ml-qr" data-ml="qr"></div>'
    )
    return (
        '<header class="ml-head">'
        f'<p class="ml-title"><span class="ml-kicker">Lab</span> {_(lab.title)}</p>'
        '<p class="ml-status" data-ml="status" role="status">'
        '<span data-ml="status-text"></span> '
        '<button type="button" class="ml-quiet" data-ml="retry" hidden>Try again</button></p>'
        f"{_goals(lab)}{_fold('menu', 'Menu', menu)}"
        '<button type="button" class="ml-quiet ml-full" data-ml="full" disabled>'
        "Full screen</button>"
        '<div class="ml-progress" data-ml="boot" aria-hidden="true"></div>'
        "</header>"
    )


def _goals(lab: Lab) -> str:
    if not lab.goals:
        return ""
    goals = "".join(
        f'<li class="ml-goal" data-ml="goal" data-goal="{i}" data-met="false">'
        f'<span class="ml-tick" aria-hidden="true"></span><span>{_(goal.text)} '
        '<span class="ml-spoken" data-ml="goal-met">Not met yet.</span></span>'
        f'<button type="button" class="ml-quiet" data-ml="solve" aria-label="Show me: '
        f'{_(goal.text)}">Show me</button></li>'
        for i, goal in enumerate(lab.goals)
    )
    label = f'<span>Goals <span data-ml="goals-met">0</span>/{len(lab.goals)}</span>'
    return _fold("goals", label, f"<ul>{goals}</ul>", "ml-after")


def _gate(lab: Lab, scenes: list[Scene]) -> str:
    ask = scenes[0].ask or lab.question.ask
    if isinstance(lab.question, Choice):
        pairs = zip(lab.question.labels, lab.question.reasons, strict=True)
        way = "".join(
            f'<button type="button" class="ml-option" data-ml="option" data-option="{i}" '
            f'aria-pressed="false" disabled><span>{_(label)}</span>'
            + (f"<small>{_(reason)}</small>" if reason else "")
            + "</button>"
            for i, (label, reason) in enumerate(pairs)
        )
        way = f'<div class="ml-options">{way}</div>'
    else:
        way = (
            '<div class="ml-options"><output class="ml-wager" data-ml="wager">'
            f"{_(wager(lab))}</output>"
            '<button type="button" class="ml-button ml-call" data-ml="bet-done" disabled>'
            "That is my bet</button></div>"
        )
    truth = (
        '<button type="button" class="ml-button ml-truth" data-ml="truth" aria-pressed="false" '
        f"disabled>{_(lab.truth_label)}</button>"
        if has_truth(scenes)
        else ""
    )
    return (
        '<div class="ml-gate" data-ml="gate" role="group" aria-label="Your bet">'
        f'<div class="ml-before"><p class="ml-question" data-ml="question">{_(ask)}</p>{way}'
        '<button type="button" class="ml-quiet ml-skip" data-ml="skip" disabled>'
        "Show without a bet</button></div>"
        '<div class="ml-after" data-ml="outcome"><p class="ml-said" data-ml="said"></p>'
        f'{truth}<button type="button" class="ml-quiet" data-ml="again" disabled>Bet again'
        "</button></div></div>"
    )


def wager(lab: Lab) -> str:
    """Return where the handles of a bet stand at first, in words: as in ``front/bet.js``."""
    bet = lab.question
    if isinstance(bet, Curve):
        return f"{bet.label}: drag the points"
    field = getattr(bet, "field", "")
    start = getattr(lab.state(), field) if field else bet.start
    digits = len(f"{bet.step:.10f}".rstrip("0").partition(".")[2])
    return f"{bet.label}: {number(start, digits)}{bet.unit}"


def _picture(lab: Lab, scenes: list[Scene], pictures: Mapping[str, str]) -> str:
    first = scenes[0]
    boxes = "".join(
        _panel(panel, panel is first.hero, len(first.panels), pictures.get(panel.key, ""))
        for panel in first.panels
    )
    if lab.statistics:
        boxes += (
            '<figure class="ml-panel" data-ml="replicate-panel" hidden>'
            '<figcaption><span data-ml="panel-title">New samples</span>'
            '<span class="ml-count" data-ml="count" aria-hidden="true" hidden></span>'
            '<button type="button" class="ml-quiet" data-ml="stop" disabled>Stop</button>'
            '<button type="button" class="ml-quiet" data-ml="clear" disabled>Close</button>'
            '<progress data-ml="progress" value="0" max="1" aria-label="Samples drawn"></progress>'
            "</figcaption>"
            '<div class="ml-plot" data-ml="plot"></div></figure>'
        )
    legend = "".join(
        f'<li class="ml-stage-{mark.stage}" data-ml="legend-entry">{swatch(mark)}'
        f"{_(mark.name)}</li>"
        for mark in legend_marks(scenes)
    )
    helpers = sum(panel is not first.hero and not panel.folded for panel in first.panels)
    folded = sum(panel.folded for panel in first.panels)
    alone = "" if helpers + folded else " data-alone"
    return (
        '<div class="ml-picture" data-ml="picture" '
        f'style="--ml-helpers:{helpers};--ml-folded:{folded}">'
        f'<div class="ml-panels"{alone}>{boxes}</div>'
        f'<ul class="ml-legend" aria-label="Legend">{legend}</ul>'
        f'<p class="ml-spoken" data-ml="summary" role="status" aria-live="polite">'
        f"{_(first.summary_before)}</p>"
        f'<p class="ml-spoken" data-ml="alt">{_(lab.alt)}</p>'
        '<div class="ml-error" data-ml="error" role="alert" hidden>'
        '<p data-ml="error-text"></p><p><a data-ml="error-link" href="#">Link to this state</a> '
        '<button type="button" class="ml-quiet" data-ml="error-close">Close</button></p></div>'
        "</div>"
    )


def _panel(panel: Panel, hero: bool, panels: int, picture: str) -> str:
    mark = ' data-hero="true"' if hero else ' data-folded="true"' if panel.folded else ""
    headline = '<p class="ml-headline" data-ml="headline"></p>' if hero else ""
    swap = (
        f'<button type="button" class="ml-swap" data-ml="swap" aria-label="Enlarge: '
        f'{_(panel.title)}" title="Enlarge">{ENLARGE}</button>'
        if panels > 1
        else ""
    )
    return (
        f'<figure class="ml-panel" data-ml="panel" data-panel="{_(panel.key)}"{mark}>'
        f'<figcaption><span data-ml="panel-title">{_(panel.title)}</span>{swap}</figcaption>'
        f'{headline}<div class="ml-plot" data-ml="plot">{picture}</div></figure>'
    )


def _bar(lab: Lab) -> str:
    """Return what is under the picture: the main controls, the others folded, and repeating."""
    default = lab.state()
    made = {
        name: _control(name, control, getattr(default, name), name in lab.after_bet)
        for name, control in lab.controls.items()
        if control.kind != "drag"
    }
    main = "".join(made.pop(name) for name in lab.main_controls)
    rest = "".join(made.values())
    more = _fold("more", "More", rest) if rest else ""
    return (
        '<fieldset class="ml-controls" data-ml="controls" disabled>'
        f'<legend class="ml-spoken">Controls</legend><div class="ml-main">{main}</div>{more}'
        '<div class="ml-row ml-tools">'
        '<button type="button" class="ml-button" data-ml="new-sample">'
        f"{_(lab.new_sample_label)}</button>{_replicates(lab) if lab.statistics else ''}"
        "</div></fieldset>"
    )


def _replicates(lab: Lab) -> str:
    buttons = "".join(
        f'<button type="button" class="ml-button" data-ml="replicate" data-count="{count}" '
        f'aria-label="Draw {count} new {"sample" if count == 1 else "samples"}">+{count}</button>'
        for count in (1, 50, 500)
    )
    return (
        '<div class="ml-replicates ml-after" data-ml="replicates" role="group" '
        f'aria-label="Repeat the study"><span class="ml-label">Repeat</span>{buttons}'
        '<p class="ml-spoken" data-ml="replicate-summary" role="status"></p></div>'
    )


def _details(scene: Scene) -> str:
    return (
        '<details class="ml-details ml-after" data-ml="details"><summary>Details: the numbers in '
        f'full</summary><p data-ml="outcome-text">{_(scene.outcome)} {_(scene.outcome_truth)}</p>'
        "</details>"
    )


def _control(name: str, control: Control, value: object, after_bet: bool) -> str:
    kind = {"slider": _slider, "choice": _choice, "toggle": _toggle}[control.kind]
    help_text = f'<span class="ml-help">{_(control.help)}</span>' if control.help else ""
    kinds = f"ml-control ml-{control.kind}{' ml-after' if after_bet else ''}"
    return (
        f'<div class="{kinds}" data-ml="control" data-field="{_(name)}">'
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
    letters = sum(len(label) + PADDING for _value, label in control.options)
    if control.folded or letters > MOST_SEGMENT_LETTERS:
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
