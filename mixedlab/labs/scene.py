"""What a lab shows, as plain data.

A ``Scene`` says what is drawn and never how: a test reads it, ``print.py`` draws it with
matplotlib, ``lab.js`` draws it in a browser. Marks carry keys, so that a mark which is still
there after the state changed can move to its new place instead of blinking.

Colours are named by what they mean, so that the same idea has the same colour in every lab;
each meaning has a redundant cue (shape, dash, fill) for readers who cannot tell the hues apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Stage = Literal["data", "estimate", "truth"]
"""When a mark appears: with the data, after the prediction, or when the truth is asked for."""

Meaning = Literal[
    "data", "truth", "complete", "none", "partial", "within", "between", "naive", "robust",
    "accent", "warning", "muted",
]  # fmt: skip
"""What a colour stands for. The palette (Okabe and Ito) is in ``front/lab.css``."""

Shape = Literal["circle", "square", "diamond", "triangle", "cross"]


@dataclass(frozen=True)
class Axis:
    """One axis of a panel: label with unit, range, and ticks where the usual ones do not fit."""

    label: str
    low: float
    high: float
    ticks: Sequence[tuple[float, str]] | None = None
    visible: bool = True


@dataclass(frozen=True)
class Drag:
    """What dragging a mark does: its new x or y is written to these fields of the state.

    ``sets`` are fields that take a fixed value when the mark is taken hold of, as in
    ``{"picked": 3}``. The keyboard moves it by the step of the field's control.
    """

    label: str
    x: str | None = None
    y: str | None = None
    sets: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What all marks share.

    ``key`` is unique in the panel. ``name`` is the legend's entry (none: not in the legend);
    marks with one name share an entry. ``keys`` name the single items and default to 0, 1, ...;
    ``hover`` gives a text for each item.
    """

    key: str
    color: Meaning = "data"
    stage: Stage = "data"
    name: str = ""
    keys: Sequence[str] | None = None
    hover: Sequence[str] | None = None
    opacity: float = 1.0


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


@dataclass(frozen=True)
class Panel:
    """One picture with two axes. ``width`` is its share of the row on a wide screen."""

    key: str
    title: str
    x: Axis
    y: Axis
    marks: Sequence[Mark]
    width: float = 1.0


@dataclass(frozen=True)
class Scene:
    """All panels of a lab, and the same in words for readers who do not see them.

    Every state of a lab has the same panels. ``summary`` is spoken by screen readers after each
    change. It must hold the scene's main figures. ``summary_before`` is what may be said before
    the prediction is made, and ``outcome`` the sentence that stands beside the reader's
    prediction afterwards. ``outcome_truth`` is added to both once the truth is shown.
    """

    panels: Sequence[Panel]
    summary: str
    summary_before: str = ""
    outcome: str = ""
    outcome_truth: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the scene as plain lists, numbers and strings, ready for JSON."""
        return {
            "panels": [panel_to_dict(panel) for panel in self.panels],
            "summary": self.summary,
            "summary_before": self.summary_before,
            "outcome": self.outcome,
            "outcome_truth": self.outcome_truth,
        }


def panel_to_dict(panel: Panel) -> dict[str, Any]:
    """Return one panel as plain data."""
    return {
        "key": panel.key,
        "title": panel.title,
        "width": panel.width,
        "x": {name: plain(value) for name, value in vars(panel.x).items()},
        "y": {name: plain(value) for name, value in vars(panel.y).items()},
        "marks": [mark_to_dict(mark) for mark in panel.marks],
    }


def mark_to_dict(mark: Mark) -> dict[str, Any]:
    """Return one mark as plain data; ``kind`` is its class in lower case."""
    entry = {name: plain(value) for name, value in vars(mark).items()}
    return {"kind": type(mark).__name__.lower(), **entry}


def plain(value: Any) -> Any:
    """Turn numpy arrays, tuples and small dataclasses into what JSON can hold."""
    if isinstance(value, Drag):
        return {"label": value.label, "x": value.x, "y": value.y, "sets": dict(value.sets)}
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value
