"""A lab: four pure functions and a description.

    state -> simulate(state) -> data;   fit(data) -> fits;   scene(state, data, fits) -> Scene

``State`` is a frozen dataclass whose fields are the controls. Everything else (sliders, link,
prediction gate, replicates, the three hosts) is made from the description and is the same for
every lab.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from mixedlab.labs.kit.bet import Bet
from mixedlab.labs.kit.scene import Meaning, Scene

MAX_CONTROLS = 5
MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class Control:
    """How a field of the state is set: a slider, a choice, a switch, or by dragging only."""

    kind: str  # "slider", "choice", "toggle", "drag"
    label: str
    low: float | None = None
    high: float | None = None
    step: float | None = None
    unit: str = ""
    options: tuple[tuple[str, str], ...] = ()
    help: str = ""
    folded: bool = False  # a choice in a menu, however few the options


def slider(
    default: float, low: float, high: float, step: float, label: str, unit: str = "", help: str = ""
) -> Any:
    """Declare a number with a slider and a number box. An int default makes it whole."""
    return field(
        default=default,
        metadata={"control": Control("slider", label, low, high, step, unit, help=help)},
    )


def choice(
    default: str, options: Mapping[str, str], label: str, help: str = "", folded: bool = False
) -> Any:
    """Declare one of several named options (value to label); ``folded`` puts them in a menu."""
    control = Control("choice", label, options=tuple(options.items()), help=help, folded=folded)
    return field(default=default, metadata={"control": control})


def toggle(default: bool, label: str, help: str = "") -> Any:
    """Declare a switch."""
    return field(default=default, metadata={"control": Control("toggle", label, help=help)})


def dragged(default: float, low: float, high: float, step: float, label: str) -> Any:
    """Declare a number that is set only by dragging a mark."""
    return field(default=default, metadata={"control": Control("drag", label, low, high, step)})


@dataclass(frozen=True)
class Goal:
    """Something to bring about: a sentence that asks for it, and how to tell that it is met.

    Attributes
    ----------
    text : str
        As in "Make the naive test right without touching the ICC".
    met : callable
        ``met(state, data, fits)``; on state and fits alone, so that what was met is shown at once.
    solution : mapping
        Fields of a state that meets it, for "Show me", and for a test.
    """

    text: str
    met: Callable[[Any, Any, Any], bool]
    solution: Mapping[str, Any]


@dataclass(frozen=True)
class Statistic:
    """One number of a replicate, to be collected into a sampling distribution.

    ``lifts`` names the item that the number is lifted out of when one sample is drawn, as
    ``"panel/mark"`` or ``"panel/mark/item"``; none: the middle of the hero.
    """

    name: str
    label: str
    color: Meaning = "model"
    lifts: str = ""


@dataclass(frozen=True, eq=False)
class Lab:
    """A lab and all that its hosts need to know of it.

    Attributes
    ----------
    name, title : str
        ``"three-poolings"`` and what stands above it.
    state : type
        Frozen dataclass of the controls; must have an int field ``seed``.
    simulate, fit, scene : callable
        ``simulate(state)``, ``fit(data)``, ``scene(state, data, fits)``; pure.
    question : Choice, Place or Curve
        The bet.
    alt : str
        What the first picture shows, for readers who do not see it.
    main : sequence of str
        The one or two controls that are always in sight; the others are under "More". By default
        the first two.
    after_bet : sequence of str
        Controls that come with the bet: before it nothing that they change is seen.
    goals : sequence of Goal
    reveal : mapping
        Fields that the reveal sets, half a second after the bet: one watches the state change.
    statistics : sequence of Statistic
        What a replicate collects; empty: the lab has no replicate buttons.
    measure : callable, optional
        ``measure(state, data, fits)`` gives ``{statistic: number}`` for one sample.
    truth_of : callable, optional
        ``truth_of(state)`` gives ``{statistic: number}``, drawn as the dashed line.
    measure_many : callable, optional
        ``measure_many(state, seeds)`` gives ``{statistic: array}``: a faster way to the same
        numbers as ``measure`` for each seed.
    statistics_label : str
        What stands at the axis of the sampling distributions, with its unit.
    truth_label : str
        What the third stage's button says, as "Show the rest of the season".
    most_controls : int
        How many there may be: more only where they are the reader's own columns.
    """

    name: str
    title: str
    state: type
    simulate: Callable[[Any], Any]
    fit: Callable[[Any], Any]
    scene: Callable[[Any, Any, Any], Scene]
    question: Bet
    alt: str
    main: Sequence[str] = ()
    after_bet: Sequence[str] = ()
    goals: Sequence[Goal] = ()
    reveal: Mapping[str, Any] = field(default_factory=dict)
    statistics: Sequence[Statistic] = ()
    measure: Callable[[Any, Any, Any], Mapping[str, float]] | None = None
    truth_of: Callable[[Any], Mapping[str, float]] | None = None
    measure_many: Callable[[Any, Sequence[int]], Mapping[str, np.ndarray]] | None = None
    statistics_label: str = "value"
    truth_label: str = "Show the truth"
    new_sample_label: str = "New sample"
    most_controls: int = MAX_CONTROLS

    def __post_init__(self) -> None:
        shown = [c for c in self.controls.values() if c.kind != "drag"]
        if len(shown) > self.most_controls:
            most = self.most_controls
            raise ValueError(f"Lab {self.name!r} has {len(shown)} controls; use {most}.")
        if "seed" not in {f.name for f in fields(self.state)}:
            raise ValueError(f"Lab {self.name!r}: the state needs a field `seed: int`.")

    @cached_property
    def main_controls(self) -> tuple[str, ...]:
        """The fields whose controls are always in sight."""
        inputs = [name for name, control in self.controls.items() if control.kind != "drag"]
        return tuple(self.main or inputs[:2])

    @cached_property
    def controls(self) -> dict[str, Control]:
        """The controls by field, in order."""
        return {
            f.name: f.metadata["control"] for f in fields(self.state) if "control" in f.metadata
        }

    def clean(self, raw: Mapping[str, Any]) -> Any:
        """Make a state from untrusted values: unknown fields ignored, the rest clamped.

        A value that cannot be read as its field's kind leaves the default.
        """
        default = self.state()
        values: dict[str, Any] = {}
        for name, control in self.controls.items():
            if name in raw:
                values[name] = _clean_value(raw[name], control, getattr(default, name))
        seed = _number(raw.get("seed"))
        if seed is not None:
            values["seed"] = int(min(max(seed, 0), MAX_SEED))
        return replace(default, **values)

    def run(self, state: Any) -> Scene:
        """Simulate, fit and describe: the whole way from state to scene."""
        return self.run_with_goals(state)[0]

    def run_with_goals(self, state: Any) -> tuple[Scene, list[bool]]:
        """Return the scene, and for each goal whether this state meets it."""
        data = self.simulate(state)
        fits = self.fit(data)
        met = [bool(goal.met(state, data, fits)) for goal in self.goals]
        return self.scene(state, data, fits), met

    def replicate(self, state: Any, start: int, count: int) -> dict[str, list[float]]:
        """Measure ``count`` fresh samples, numbered from ``start``; the same numbers each time."""
        seeds = [replicate_seed(state.seed, start + i) for i in range(count)]
        if self.measure_many is not None:
            many = self.measure_many(state, seeds)
            return {s.name: np.asarray(many[s.name], float).tolist() for s in self.statistics}
        rows = []
        for seed in seeds:
            sample = replace(state, seed=seed)
            data = self.simulate(sample)
            rows.append(self.measure(sample, data, self.fit(data)))
        return {s.name: [float(row[s.name]) for row in rows] for s in self.statistics}


def replicate_seed(seed: int, number: int) -> int:
    """Seed of replicate ``number``: far from the seeds a reader would type."""
    return int(np.random.SeedSequence([seed, number + 1]).generate_state(1)[0] % MAX_SEED)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _clean_value(value: Any, control: Control, default: Any) -> Any:
    if control.kind == "choice":
        return value if value in [name for name, _ in control.options] else default
    if control.kind == "toggle":
        return {"true": True, "1": True, "false": False, "0": False}.get(
            str(value).lower(), default
        )
    number = _number(value)
    if number is None:
        return default
    number = min(max(number, control.low), control.high)
    steps = round((number - control.low) / control.step)
    number = min(control.low + steps * control.step, control.high)
    return round(number) if isinstance(default, int) else round(number, 10)
