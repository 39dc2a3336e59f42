"""Python's side of the conversation with ``lab.js`` (see ``front/PROTOCOL.md``).

Messages come from a browser and are untrusted. Whatever is wrong with one, the answer is a
message in words, never an exception: one lab that fails leaves the others alive.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from mixedlab.labs import catalogue
from mixedlab.labs.kit.bet import bet_to_dict
from mixedlab.labs.kit.lab import MAX_SEED, Lab, replicate_seed
from mixedlab.labs.kit.replicates import describe_distribution, distribution_panel
from mixedlab.labs.kit.scene import panel_to_dict

MOST_AT_ONCE = 500
MOST_REPLICATES = 20_000


def describe(lab: Lab) -> dict[str, Any]:
    """Return what the front end must know of a lab before any state: plain data for JSON."""
    default = asdict(lab.state())
    return {
        "name": lab.name,
        "title": lab.title,
        "bet": bet_to_dict(lab.question),
        "reveal": dict(lab.reveal),
        "goals": [{"text": g.text, "solution": dict(g.solution)} for g in lab.goals],
        "truth": lab.truth_label,
        "controls": [
            {
                "field": name,
                **asdict(control),
                "options": [list(option) for option in control.options],
                "whole": is_whole(default[name]),
            }
            for name, control in lab.controls.items()
        ],
        "defaults": default,
        "statistics": [asdict(statistic) for statistic in lab.statistics],
        "max_seed": MAX_SEED,
        "share": "link",
    }


def is_whole(default: Any) -> bool:
    """Whether a field with this default holds whole numbers."""
    return isinstance(default, int) and not isinstance(default, bool)


def answer(message: Any, lab: Lab | None = None) -> dict[str, Any]:
    """Answer one message of the front end. Never raises.

    Parameters
    ----------
    message : mapping
        ``kind`` is ``"scene"`` or ``"replicate"``.
    lab : Lab, optional
        The lab that is meant; by default the one the message names.
    """
    message = message if isinstance(message, Mapping) else {}
    reply = _reply(message, lab)
    return reply if _is_sound(reply) else unsound(reply, message)


def _reply(message: Mapping[str, Any], lab: Lab | None) -> dict[str, Any]:
    reply: dict[str, Any] = {"id": message.get("id"), "kind": message.get("kind")}
    try:
        lab = lab or catalogue.get(message.get("lab"))
        raw = message.get("state")
        state = lab.clean(raw if isinstance(raw, Mapping) else {})
        if reply["kind"] == "scene":
            reply |= scene_reply(lab, state)
        elif reply["kind"] == "replicate":
            reply |= _replicate(lab, state, message)
        else:
            raise ValueError(f"A lab does not understand a message of kind {reply['kind']!r}.")
    except Exception as error:  # a lab's mistake must reach its reader in words, whatever it is
        reply |= {
            "kind": "error",
            "message": in_words(error),
            "lab": getattr(lab, "name", message.get("lab")),
            "state": message.get("state"),
        }
    return reply


def answer_json(text: str) -> str:
    """Answer a message given as JSON, with JSON."""
    try:
        message = json.loads(text)
    except (TypeError, ValueError):
        message = {}
    message = message if isinstance(message, Mapping) else {}
    return json_of(_reply(message, None), message)


def json_of(reply: Mapping[str, Any], message: Any = None) -> str:
    """Write a reply as JSON; where it holds a number that JSON cannot, say so in its place."""
    try:
        return json.dumps(reply, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(unsound(reply, message))


def scene_reply(lab: Lab, state: Any) -> dict[str, Any]:
    """Return a state, its scene, and which goals it meets."""
    scene, met = lab.run_with_goals(state)
    return {"state": asdict(state), "scene": scene.to_dict(), "met": met}


def _is_sound(reply: Mapping[str, Any]) -> bool:
    try:
        json.dumps(reply, allow_nan=False)
    except ValueError:
        return False
    return True


def unsound(reply: Mapping[str, Any], message: Any) -> dict[str, Any]:
    """Say which panel and mark holds a number that is not finite: JSON and pictures hold none."""
    scene = reply.get("scene") or {}
    panels = [*scene.get("panels", ()), *filter(None, [reply.get("panel")])]
    places = [
        f"the mark {mark['key']!r} of the panel {panel['key']!r}"
        for panel in panels
        for mark in panel["marks"]
        if not _all_finite(mark)
    ]
    words = f"{places[0][0].upper()}{places[0][1:]}" if places else "The answer"
    message = message if isinstance(message, Mapping) else {}
    return {
        "id": reply.get("id"),
        "kind": "error",
        "message": f"{words} holds a number that is not finite.",
        "lab": message.get("lab"),
        "state": message.get("state"),
    }


def in_words(error: Exception) -> str:
    """Say an error as its reader would want it: its message, or its kind where it has none."""
    text = str(error).strip() or "something went wrong"
    plain = isinstance(error, (ValueError, RuntimeError))
    return text if plain else f"{type(error).__name__}: {text}"


def _replicate(lab: Lab, state: Any, message: Mapping[str, Any]) -> dict[str, Any]:
    if not lab.statistics:
        raise ValueError(f"The lab {lab.name!r} collects no statistics.")
    raw = message.get("values")
    before = raw if isinstance(raw, Mapping) else {}
    values = {s.name: _numbers(before.get(s.name)) for s in lab.statistics}
    start = min(len(v) for v in values.values())
    count = _whole(message.get("count"), low=1, high=min(MOST_AT_ONCE, MOST_REPLICATES - start))
    fresh = lab.replicate(state, start, count) if count > 0 else {}
    for name, numbers in fresh.items():
        values[name] = values[name][:start] + _numbers(numbers)
    truth = lab.truth_of(state) if lab.truth_of else {}
    shown = {}
    if message.get("show") is True:  # so that one sees the estimate leave its sample
        shown["sample"] = scene_reply(lab, replace(state, seed=replicate_seed(state.seed, start)))
    return shown | {
        "values": values,
        "panel": panel_to_dict(distribution_panel(lab, values, truth)),
        "summary": describe_distribution(lab, values),
    }


def _numbers(values: Any) -> list[float | None]:
    """Keep finite numbers; what is none becomes None, and still counts as a replicate."""
    if not isinstance(values, (list, tuple)):
        return []
    return [
        float(v) if isinstance(v, (int, float)) and math.isfinite(v) else None
        for v in values[:MOST_REPLICATES]
    ]


def _whole(value: Any, low: int, high: int) -> int:
    number = value if isinstance(value, (int, float)) and math.isfinite(value) else low
    return int(min(max(number, low), high))


def _all_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_all_finite, value.values()))
    if isinstance(value, list):
        return all(map(_all_finite, value))
    return True


def state_fields(lab: Lab) -> tuple[str, ...]:
    """Names of all fields of a lab's state, controls and seed."""
    return tuple(f.name for f in fields(lab.state))
