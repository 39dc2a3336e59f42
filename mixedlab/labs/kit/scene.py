"""What a lab shows, as plain data.

A ``Scene`` says what is drawn and never how: a test reads it, ``svg.py`` and ``figure.py`` draw it
in Python, ``front/`` draws it in a browser. Marks carry keys, so that a mark which is still there
after the state changed moves to its new place instead of blinking. Items that are the same thing
have the same key in every panel: pointing at one lights its twins.

What a mark *means* carries its look; the words for that are in ``marks.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Literal

import numpy as np

Stage = Literal["data", "estimate", "truth"]
"""When a mark appears: with the data, after the bet, or when the truth is asked for."""

Meaning = Literal[
    "data",
    "own",
    "model",
    "everyone",
    "truth",
    "yours",
    "guide",
]
"""What a colour stands for. The palette (Okabe and Ito) is in ``front/lab.css``."""

Shape = Literal["circle", "square", "diamond", "triangle", "cross"]

_NUMBERS = frozenset({float, int, np.float64})
_PLAIN = frozenset({str, float, int, bool, type(None)})
PIXELS = 4000  # no picture is wider: finer steps of an axis cannot be seen


@dataclass(frozen=True)
class Axis:
    """One axis of a panel: label with unit, range, and ticks where the usual ones do not fit.

    ``eases_with`` names the controls that may change the range, which then eases to its new
    place when the control is let go; no other control may.
    """

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]] | None = None
    visible: bool = True
    eases_with: Sequence[str] = ()

    @classmethod
    def ticked(
        cls,
        label: str,
        low: float,
        high: float,
        at: Sequence[float] | Mapping[float, str],
        eases_with: Sequence[str] = (),
    ) -> Axis:
        """Return an axis with ticks at given numbers, written shortly or as the mapping says."""
        texts = at if isinstance(at, Mapping) else {v: f"{v:g}".replace("-", "−") for v in at}
        return cls(label, low, high, [(float(v), t) for v, t in texts.items()], True, eases_with)

    @classmethod
    def names(cls, names: Sequence[str], label: str = "", eases_with: Sequence[str] = ()) -> Axis:
        """Return an axis of one row a name, the first at the top: rows n - 1, ..., 0."""
        n = len(names)
        ticks = [(float(n - 1 - i), str(name)) for i, name in enumerate(names)]
        return cls(label, -0.8, n - 0.2, ticks, True, eases_with)


@dataclass(frozen=True)
class Drag:
    """What dragging a mark does: its new x or y is written to these fields of the state.

    ``sets`` are fields that take a fixed value when the mark is taken hold of, as in
    ``{"picked": 3}``. ``ends`` are the two places of the axis at which the field has its least and
    its greatest value, where the place itself is not the value; of x, where both are moved. The
    keyboard moves a mark by the step of the field's control.
    """

    label: str
    x: str | None = None
    y: str | None = None
    sets: Mapping[str, Any] = field(default_factory=dict)
    ends: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What all marks share.

    ``key`` is unique in the panel. ``name`` is the legend's entry (none: not in the legend);
    marks with one name share an entry. ``keys`` name the single items and default to 0, 1, ...;
    ``hover`` gives a text for each item. When the mark's stage comes, and when an item is new,
    it sets out from the item with the same key of the mark ``starts_from``, or from the panel's
    ``"top"``. ``hues`` gives each item the colour of its group.
    """

    key: str
    color: Meaning = "data"
    stage: Stage = "data"
    name: str = ""
    keys: Sequence[str] | None = None
    hover: Sequence[str] | None = None
    opacity: float = 1.0
    starts_from: str = ""
    hues: Sequence[int] | None = None


@dataclass(frozen=True, kw_only=True)
class Dots(Mark):
    """Points; ``drag`` lets the reader move them (one ``Drag`` for each item, or None).

    ``size`` is a radius in pixels.
    """

    x: Sequence[float]
    y: Sequence[float]
    size: float | Sequence[float] = 4.0
    shape: Shape = "circle"
    filled: bool = True
    drag: Sequence[Drag | None] | None = None


@dataclass(frozen=True, kw_only=True)
class Lines(Mark):
    """Polylines, one item each: ``x`` and ``y`` are sequences of sequences."""

    x: Sequence[Sequence[float]]
    y: Sequence[Sequence[float]]
    width: float = 1.5
    dashed: bool = False
    drag: Sequence[Drag | None] | None = None


@dataclass(frozen=True, kw_only=True)
class Arrows(Mark):
    """Arrows from (x0, y0) to (x1, y1).

    They stop ``gap`` pixels short of their end, so that a dot there does not hide the head.
    """

    x0: Sequence[float]
    y0: Sequence[float]
    x1: Sequence[float]
    y1: Sequence[float]
    width: float = 1.5
    gap: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Bands(Mark):
    """Filled bands between ``low`` and ``high`` along ``x``, one item each."""

    x: Sequence[Sequence[float]]
    low: Sequence[Sequence[float]]
    high: Sequence[Sequence[float]]
    opacity: float = 0.2


@dataclass(frozen=True, kw_only=True)
class Bars(Mark):
    """Rectangles from (x0, y0) to (x1, y1): histograms, stacked bars, intervals."""

    x0: Sequence[float]
    x1: Sequence[float]
    y0: Sequence[float]
    y1: Sequence[float]
    filled: bool = True


@dataclass(frozen=True, kw_only=True)
class Cells(Mark):
    """A heat map: cell (r, c) covers y[r] to y[r+1] and x[c] to x[c+1].

    ``low`` and ``high`` fix the colour scale; ``diverging`` puts its middle at zero. ``digits``
    writes the values into the cells.
    """

    x: Sequence[float]
    y: Sequence[float]
    values: Sequence[Sequence[float]]
    low: float
    high: float
    diverging: bool = False
    digits: int | None = None


@dataclass(frozen=True, kw_only=True)
class Texts(Mark):
    """Short texts at (x, y)."""

    x: Sequence[float]
    y: Sequence[float]
    text: Sequence[str]
    anchor: Literal["start", "middle", "end"] = "middle"


ALONG_X = ("x", "x0", "x1")
ALONG_Y = ("y", "y0", "y1", "low", "high")


def coordinates(mark: Mark) -> dict[str, str]:
    """Return which fields of a mark are places, and on which axis: ``{"x0": "x", ...}``."""
    return _coordinates_of(type(mark))


@cache
def _coordinates_of(kind: type[Mark]) -> dict[str, str]:
    names = [f.name for f in fields(kind)]
    along_y = ALONG_Y[:3] if issubclass(kind, Cells) else ALONG_Y
    return {name: "x" for name in names if name in ALONG_X} | {
        name: "y" for name in names if name in along_y
    }


def n_items(mark: Mark) -> int:
    """Return how many items a mark has."""
    if isinstance(mark, Cells):
        return (len(mark.x) - 1) * (len(mark.y) - 1)
    return len(mark.x0 if hasattr(mark, "x0") else mark.x)


@dataclass(frozen=True)
class Panel:
    """One picture with two axes. Marks are clipped at its frame.

    The ``hero`` of a scene takes most of the room and carries the headline; helpers stand beside
    it. A ``folded`` helper is a line of its title on a wide screen, until it is enlarged: a third
    helper would leave no room for the others. ``width`` is a panel's share of the row in a figure.
    """

    key: str
    title: str
    x: Axis
    y: Axis
    marks: Sequence[Mark]
    width: float = 1.0
    hero: bool = False
    folded: bool = False


@dataclass(frozen=True)
class Scene:
    """All panels of a lab, and the same in words for readers who do not see them.

    Every state of a lab has the same panels.

    Attributes
    ----------
    headline, headline_truth : str
        The verdict in at most eight words, shown in the hero after the bet, and once the truth
        is shown. It begins small: "Not quite: " may stand before it.
    ask : str
        The question that fits this state, where it is not the lab's own.
    answer : float, sequence of float or int, optional
        What comes out, in the terms of the bet: a place, a curve's points, or an option's number.
    answer_truth : optional
        The same once the truth is shown, where it differs.
    summary, summary_before : str
        What is spoken after each change, with the scene's main figures; and before the bet.
    outcome, outcome_truth : str
        Numbers and full sentences, folded under "Details"; the second once the truth is shown.
    """

    panels: Sequence[Panel]
    summary: str
    summary_before: str = ""
    outcome: str = ""
    outcome_truth: str = ""
    headline: str = ""
    headline_truth: str = ""
    ask: str = ""
    answer: float | Sequence[float] | int | None = None
    answer_truth: float | Sequence[float] | int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the scene as plain lists, numbers and strings, ready for JSON."""
        told = {f.name: plain(getattr(self, f.name)) for f in fields(self) if f.name != "panels"}
        return {"panels": [panel_to_dict(panel) for panel in self.panels], **told}

    @property
    def hero(self) -> Panel:
        """The panel that the scene is about."""
        return next((panel for panel in self.panels if panel.hero), self.panels[0])


def panel_to_dict(panel: Panel) -> dict[str, Any]:
    """Return one panel as plain data."""
    return {
        "key": panel.key,
        "title": panel.title,
        "width": panel.width,
        "hero": panel.hero,
        "x": {name: plain(value) for name, value in vars(panel.x).items()},
        "y": {name: plain(value) for name, value in vars(panel.y).items()},
        "marks": [mark_to_dict(mark, panel) for mark in panel.marks],
    }


def mark_to_dict(mark: Mark, panel: Panel) -> dict[str, Any]:
    """Return one mark as plain data; ``kind`` is its class in lower case.

    Its places are rounded to what a pixel of the panel can show.
    """
    entry: dict[str, Any] = {"kind": type(mark).__name__.lower()}
    places = coordinates(mark)
    for name, value in vars(mark).items():
        if name in places:
            entry[name] = _rounded(value, digits_of(getattr(panel, places[name])))
        else:
            entry[name] = plain(value)
    return entry


def digits_of(axis: Axis) -> int:
    """Return how many decimals of an axis's numbers a picture can show."""
    span = axis.high - axis.low
    return math.ceil(-math.log10(span / PIXELS)) if span > 0 and math.isfinite(span) else 6


def _rounded(value: Any, digits: int) -> Any:
    if isinstance(value, np.ndarray):
        return np.round(value.astype(float), digits).tolist()
    if isinstance(value, (list, tuple)):
        if _NUMBERS.issuperset(map(type, value)):
            return np.round(np.array(value, dtype=float), digits).tolist()
        return [_rounded(item, digits) for item in value]
    return round(float(value), digits)


def plain(value: Any) -> Any:
    """Turn numpy arrays, tuples and small dataclasses into what JSON can hold."""
    if isinstance(value, Drag):
        return {**vars(value), "sets": dict(value.sets), "ends": plain(value.ends)}
    if isinstance(value, (list, tuple)):
        if _PLAIN.issuperset(map(type, value)):
            return list(value)
        return [plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value
