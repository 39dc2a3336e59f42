"""What LABS.md asks of a lab on the stage, as far as a machine can hold it."""

from __future__ import annotations

import inspect
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from mixedlab.labs.kit import protocol
from mixedlab.labs.kit.bet import Choice, Curve, Place
from mixedlab.labs.kit.lab import Control, Lab
from mixedlab.labs.kit.scene import Lines, Mark, Scene, coordinates, n_items
from mixedlab.labs.kit.shell import legend_marks

MOST_LINES = 300
MOST_BYTES = 40_000
MOST_WORDS = 8  # of a headline: "Not quite: " may stand before it
STAGES = ("data", "estimate", "truth")
NUMBER = re.compile(r"[−-]?\d*\.?\d+")


def check_stage(lab: Lab, states: list[Any]) -> None:
    """Hold a lab to the stage's rules, at its first state and at those given."""
    lines = len(inspect.getsource(inspect.getmodule(lab.scene)).splitlines())
    assert lines <= MOST_LINES, f"the lab's file has {lines} lines"
    default = lab.run(lab.state())
    check_bet(lab, default)
    check_goals(lab, default)
    check_all_inside(default)
    check_calm_axes(lab)
    check_keys_link(default)
    check_no_spoiler(lab, default)
    assert len(lab.main_controls) <= 2, "more than two controls are always in sight"
    for state in [lab.state(), *states]:
        scene = lab.run(state)
        check_headlines(scene, state)
        check_motion(scene)
        check_meanings(scene)
        size = len(protocol.json_of(protocol.scene_reply(lab, state)))
        assert size <= MOST_BYTES, f"a scene of {size} bytes at {state}"


# ---- the bet


def check_bet(lab: Lab, scene: Scene) -> None:
    bet, answer = lab.question, scene.answer
    assert answer is not None, "the scene does not say what comes out: Scene.answer"
    if isinstance(bet, Choice):
        assert isinstance(answer, int), f"the answer is an option's number, not {answer!r}"
        assert 0 <= answer < len(bet.options), f"no option {answer}"
        assert all(bet.reasons), "each option says why one might think so"
        assert len(bet.options) >= 2
        return
    panels = {panel.key: panel for panel in scene.panels}
    assert bet.panel in panels, f"the bet is on no panel: {bet.panel!r}"
    starts, answers = np.ravel(bet.start), np.ravel(answer)
    assert len(starts) == len(answers), "the answer has not as many places as the bet"
    assert np.all((starts >= bet.low) & (starts <= bet.high)), "the handle starts off its range"
    assert np.any(np.abs(starts - answers) > bet.near), "the handle starts at the answer"
    assert bet.near < (bet.high - bet.low) / 4, "nearly every bet would be called close"
    axis = panels[bet.panel].y if isinstance(bet, Curve) else getattr(panels[bet.panel], bet.axis)
    assert axis.low <= bet.low < bet.high <= axis.high, "the handle may leave the panel"
    if isinstance(bet, Place) and bet.field:
        drags = [
            drag for p in scene.panels for m in p.marks for drag in getattr(m, "drag", None) or ()
        ]
        assert any(drag and bet.field in (drag.x, drag.y) for drag in drags), (
            f"nothing in the picture moves {bet.field!r}, which the bet sets"
        )


def check_goals(lab: Lab, default: Scene) -> None:
    """Each goal has a solution, none is met at first, and one turns the outcome."""
    assert lab.goals, "no goal"
    met = lab.run_with_goals(lab.state())[1]
    answers = []
    for i, goal in enumerate(lab.goals):
        assert not met[i], f"the goal {goal.text!r} is met at the start"
        state = lab.clean(goal.solution)
        kept = {name: getattr(state, name) for name in goal.solution}
        assert kept == dict(goal.solution), f"the solution of {goal.text!r} is no state: {kept}"
        scene, now = lab.run_with_goals(state)
        assert now[i], f"the solution does not meet {goal.text!r}"
        answers.append(scene.answer)
    near = getattr(lab.question, "near", 0)
    told = [a for a in answers if a is not None]  # none: there is no such place
    turns = [np.max(np.abs(np.subtract(a, default.answer))) > near for a in told]
    assert any(turns), f"no goal leads to another outcome than {default.answer}: {answers}"


# ---- words


def check_headlines(scene: Scene, state: Any) -> None:
    for text in (scene.headline, scene.headline_truth):
        words = text.split()
        assert len(words) <= MOST_WORDS, f"{len(words)} words in {text!r}"
        assert not text.endswith("."), f"a headline is no sentence: {text!r}"
        for number in numbers(text):
            told = numbers(f"{scene.outcome} {scene.outcome_truth} {scene.summary}")
            told |= {float(v) for v in vars(state).values() if isinstance(v, (int, float))}
            same = any(close(number, v) or close(number, 100 * v) for v in told)
            assert same, f"{number} of the headline {text!r} is not in the details"
    assert scene.headline, f"no headline at {state}"


def close(shown: float, exact: float) -> bool:
    """Whether one number may be the other, rounded."""
    return math.isclose(shown, exact, rel_tol=0.06, abs_tol=0.51 if abs(shown) >= 2 else 0.06)


def numbers(text: str) -> set[float]:
    return {float(n.replace("−", "-")) for n in NUMBER.findall(text)}


def check_no_spoiler(lab: Lab, scene: Scene) -> None:
    """What can be seen or heard before the bet holds no number of the headlines."""
    secret = {n for n in numbers(scene.headline) if n not in (0, 1)}
    secret -= {float(v) for v in vars(lab.state()).values() if isinstance(v, (int, float))}
    for where, text in seen_before(lab, scene):
        found = secret & numbers(text)
        assert not found, f"{where} tells {found} before the bet: {text!r}"


def seen_before(lab: Lab, scene: Scene) -> Iterator[tuple[str, str]]:
    yield "the question", scene.ask or lab.question.ask
    yield "the spoken text", scene.summary_before
    yield "the alternative text", lab.alt
    yield "the lab's title", lab.title
    for name, control in lab.controls.items():
        yield f"the control {name!r}", f"{control.label} {control.help}"
    for panel in scene.panels:
        yield f"the title of {panel.key!r}", panel.title
        for axis in (panel.x, panel.y):
            yield f"an axis of {panel.key!r}", axis.label
        for mark in panel.marks:
            if mark.stage == "data":
                yield f"the mark {mark.key!r}", " ".join((mark.name, *getattr(mark, "text", ())))
    for mark in legend_marks([scene]):
        yield "the legend", mark.name if mark.stage == "data" else ""


# ---- marks


def check_meanings(scene: Scene) -> None:
    for panel in scene.panels:
        for mark in panel.marks:
            where = f"{mark.key!r} of {panel.key!r}"
            assert mark.color != "truth" or mark.stage == "truth", f"the truth {where} shows early"
            assert mark.color != "model" or mark.stage != "data", f"the model {where} shows early"
    legend = legend_marks([scene])
    looks = [look_of(mark) for mark in legend]
    twice = [m.name for m, look in zip(legend, looks, strict=True) if looks.count(look) > 1]
    assert not twice, f"entries of the legend with one look: {twice}"


def look_of(mark: Mark) -> tuple[Any, ...]:
    names = ("color", "shape", "filled", "dashed")
    return (type(mark), *(getattr(mark, name, None) for name in names))


def check_motion(scene: Scene) -> None:
    """What a mark starts from is there, no later, with the same keys."""
    for panel in scene.panels:
        marks = {mark.key: mark for mark in panel.marks}
        for mark in panel.marks:
            if mark.starts_from in ("", "top"):
                continue
            source = marks.get(mark.starts_from)
            assert source, f"{mark.key!r} starts from {mark.starts_from!r}, which is not there"
            assert STAGES.index(source.stage) <= STAGES.index(mark.stage)
            if n_items(source) != 1:
                lost = set(keys_of(mark)) - set(keys_of(source))
                assert not lost, f"{mark.key!r} starts from no {sorted(lost)[:3]}"


def check_keys_link(scene: Scene) -> None:
    """Marks of two panels with equally many named items name the same things."""
    named = [
        (panel.key, mark.key, set(keys_of(mark)))
        for panel in scene.panels
        for mark in panel.marks
        if mark.keys is not None and n_items(mark) > 2
    ]
    for (p, a, one), (q, b, other) in itertools.combinations(named, 2):
        if p != q and len(one) == len(other):
            assert one == other, f"{a!r} of {p!r} and {b!r} of {q!r} name their items differently"


def keys_of(mark: Mark) -> list[str]:
    return list(map(str, mark.keys if mark.keys is not None else range(n_items(mark))))


def check_all_inside(scene: Scene) -> None:
    """At first nothing is cut off but lines: a panel clips what leaves it."""
    for panel in scene.panels:
        for mark in panel.marks:
            if isinstance(mark, Lines):
                continue
            for name, along in coordinates(mark).items():
                axis = getattr(panel, along)
                places = np.concatenate([np.ravel(v) for v in getattr(mark, name)] or [[]])
                slack = 1e-6 * (axis.high - axis.low)
                out = (places < axis.low - slack) | (places > axis.high + slack)
                assert not out.any(), f"{mark.key!r} of {panel.key!r} is cut off at {places[out]}"


def check_calm_axes(lab: Lab) -> None:
    """No axis changes over a control's whole range but those that say so."""
    default = lab.state()
    for name, control in lab.controls.items():
        if control.kind not in ("slider", "drag"):
            continue
        seen: dict[tuple[str, str], set] = {}
        for value in sweep(control):
            scene = lab.run(lab.clean(asdict(replace(default, **{name: value}))))
            for panel, along in itertools.product(scene.panels, "xy"):
                axis = getattr(panel, along)
                if name not in axis.eases_with:
                    seen.setdefault((panel.key, along), set()).add((axis.low, axis.high))
        restless = [place for place, ranges in seen.items() if len(ranges) > 1]
        assert not restless, f"moving {name!r} changes the axes {restless}"


def sweep(control: Control) -> list[float]:
    return list(np.linspace(control.low, control.high, 9))
