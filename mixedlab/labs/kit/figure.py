"""Scenes drawn by matplotlib: an ordinary figure for a notebook, slides or paper.

`figure` draws one row of panels, the hero the widest, with a legend below. The page's own
picture is ``svg.py``'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, get_args

import matplotlib as mpl
import numpy as np
from matplotlib.collections import LineCollection, PatchCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle
from matplotlib.patches import FancyArrowPatch, Rectangle

from mixedlab.labs.kit.scene import (
    Arrows,
    Axis,
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
from mixedlab.labs.kit.words import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RATIO = 2.1  # a row's width over its height
HERO = 1.6  # the hero's width over a helper's
FONT_PX = 12.5
TEXT_TINT = 0.5  # words take half their colour from the ink, so that pale ones can be read
STAGES: tuple[str, ...] = get_args(Stage)

PALETTE = {
    "own": "#d55e00", "model": "#0072b2", "everyone": "#009e73", "yours": "#b8498f",
    "guide": "#b4bcc6",
    "data": "#5d6773", "truth": "#000000",
    "ink": "#1d2329", "soft": "#56606b", "grid": "#eceff2", "paper": "#ffffff",
    "heat-zero": "#f7f7f5", "heat-high": "#0072b2", "heat-below": "#d55e00",
}  # fmt: skip
"""Light colours by name: those of ``front/lab.css``, Okabe and Ito's by meaning."""

HUES = (
    "#8a6d3b", "#5b7f2f", "#2f7f77", "#4a6fa5", "#7a5ca8", "#a4508b", "#a85454", "#6b6f76",
)  # fmt: skip
"""Groups' hues on light paper: those of ``front/lab.css``."""

_MARKERS = {"circle": "o", "square": "s", "diamond": "D", "triangle": "^", "cross": "x"}
_HEAT_STEPS = 100


class _Paper:
    """Colours as numbers, for figures."""

    def __call__(self, name: str) -> str:
        return PALETTE[name]

    def of(self, mark: Mark) -> Any:
        """Return a mark's colour, or its items' where they have hues."""
        if mark.hues is None or len(mark.hues) == 0:
            return PALETTE[mark.color]
        return [HUES[hue % len(HUES)] for hue in mark.hues]

    def heat(self, end: str, share: float) -> tuple[float, ...]:
        return self._between("heat-zero", end, share)

    def text(self, name: str) -> tuple[float, ...]:
        return self._between("ink", name, TEXT_TINT)

    def _between(self, start: str, end: str, share: float) -> tuple[float, ...]:
        a, b = (np.array(mpl.colors.to_rgb(PALETTE[name])) for name in (start, end))
        return tuple(a + share * (b - a))


def figure(scene: Scene, stage: Stage = "truth", width: float = 10.0) -> Figure:
    """Draw a scene with matplotlib.

    Parameters
    ----------
    scene : Scene
    stage : {"data", "estimate", "truth"}
        How much is shown; by default all.
    width : float
        In inches; letters and marks are sized for 10.

    Returns
    -------
    matplotlib.figure.Figure
        One row of panels with a legend below.
    """
    ratio = RATIO if len(scene.panels) > 1 else 1.6
    shown = STAGES[: STAGES.index(stage) + 1]
    with mpl.rc_context(_settings(FONT_PX)):
        drawing = Figure((width, width / ratio + 0.5), layout="constrained")
        shares = [HERO if panel is scene.hero else 1 for panel in scene.panels]
        axes = drawing.subplots(1, len(scene.panels), width_ratios=shares, squeeze=False)[0]
        for ax, panel in zip(axes, scene.panels, strict=True):
            _draw_panel(ax, panel, _Paper(), shown)
            ax.set_title(panel.title, loc="left", fontweight="bold", pad=20)
        handles: dict[str, Any] = {}
        for ax in axes:
            for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
                handles.setdefault(name, handle)
        if handles:
            widest = FONT_PX * (0.5 * max(map(len, handles)) + 4)
            columns = max(1, min(len(handles), int(72 * width / widest)))
            drawing.legend(
                handles.values(),
                handles.keys(),
                loc="outside lower left",
                ncols=columns,
                frameon=False,
                markerscale=0.7,
            )
    return drawing


def _settings(font: float) -> dict[str, Any]:
    return {
        "font.size": font,
        "axes.titlesize": font,
        "axes.labelsize": font,
        "xtick.labelsize": font,
        "ytick.labelsize": font,
        "legend.fontsize": font * 0.9,
        "axes.unicode_minus": True,
    }


# ---- one panel


def _draw_panel(ax: Axes, panel: Panel, colors: Any, stages: Sequence[str]) -> None:
    _draw_axes(ax, panel, colors)
    for order, mark in enumerate(panel.marks):
        if mark.stage not in stages:
            continue
        with _new_artists(ax, order) as named:
            handle = _DRAW[type(mark)](ax, mark, colors)
            if mark.name:
                named(handle, mark.name)
    ax.set_xlim(panel.x.low, panel.x.high)
    ax.set_ylim(panel.y.low, panel.y.high)


def _draw_axes(ax: Axes, panel: Panel, colors: Any) -> None:
    ax.set_facecolor("none")
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom" and panel.x.visible)
        spine.set_color(colors("soft"))
    ax.set_axisbelow(True)
    ax.tick_params(colors=colors("soft"), labelcolor=colors("soft"))
    ax.tick_params(axis="y", length=0)
    _ticks(ax.xaxis, ax.set_xticks, panel.x)
    _ticks(ax.yaxis, ax.set_yticks, panel.y)
    if panel.y.visible:
        ax.grid(axis="y", color=colors("grid"))
        # Upright labels are read with a turned head; this one stands above its axis.
        ax.annotate(
            panel.y.label,
            (0, 1),
            (0, FONT_PX / 2),
            xycoords="axes fraction",
            textcoords="offset points",
            color=colors("ink"),
        )
    if panel.x.visible:
        ax.set_xlabel(panel.x.label, color=colors("ink"))


def _ticks(axis: Any, put: Callable[..., Any], given: Axis) -> None:
    if not given.visible:
        put([])
    elif given.ticks is not None:
        put([value for value, _ in given.ticks], [label for _, label in given.ticks])


@contextmanager
def _new_artists(ax: Axes, order: int) -> Iterator[Callable[[Any, str], None]]:
    """Put what is drawn meanwhile in the scene's order; a mark on the frame is drawn whole."""
    before = set(ax.get_children())
    label: list[tuple[Any, str]] = []
    yield lambda handle, name: label.append((handle, name))
    for artist in set(ax.get_children()) - before:
        artist.set_zorder(2 + order * 0.01)
        artist.set_clip_on(False)
        artist.set_label("_nolegend_")
    for handle, name in label:
        handle.set_label(name)


# ---- kinds of marks


def _dots(ax: Axes, mark: Dots, colors: Any) -> Any:
    color, closed = colors.of(mark), mark.filled and mark.shape != "cross"
    edge = colors("paper") if closed else color
    return ax.scatter(
        mark.x,
        mark.y,
        s=(2 * np.asarray(mark.size, dtype=float)) ** 2,
        marker=MarkerStyle(_MARKERS[mark.shape]),
        linewidths=1 if closed else 2,
        alpha=mark.opacity,
        **({"c": color} if mark.shape == "cross" else {
            "facecolors": color if mark.filled else colors("paper"), "edgecolors": edge
        }),
    )  # fmt: skip


def _lines(ax: Axes, mark: Lines, colors: Any) -> Any:
    lines = LineCollection(
        [np.column_stack(item) for item in zip(mark.x, mark.y, strict=True)],
        colors=colors.of(mark),
        linewidths=mark.width,
        linestyles=(0, (4, 3)) if mark.dashed else "solid",
        alpha=mark.opacity,
    )
    return ax.add_collection(lines, autolim=False)


def _arrows(ax: Axes, mark: Arrows, colors: Any) -> Any:
    for x0, y0, x1, y1 in zip(mark.x0, mark.y0, mark.x1, mark.y1, strict=True):
        ax.add_patch(
            FancyArrowPatch(
                (x0, y0),
                (x1, y1),
                arrowstyle="->",
                mutation_scale=8,
                shrinkA=0,
                shrinkB=mark.gap,
                linewidth=mark.width,
                color=colors(mark.color),
                alpha=mark.opacity,
            )
        )
    return ax.plot([], [], color=colors(mark.color), linewidth=mark.width)[0]


def _bands(ax: Axes, mark: Bands, colors: Any) -> Any:
    outlines = [
        np.column_stack([np.r_[x, x[::-1]], np.r_[low, high[::-1]]])
        for x, low, high in zip(mark.x, mark.low, mark.high, strict=True)
    ]
    bands = PolyCollection(outlines, facecolors=colors.of(mark), alpha=mark.opacity)
    return ax.add_collection(bands, autolim=False)


def _bars(ax: Axes, mark: Bars, colors: Any) -> Any:
    color = colors.of(mark)
    bars = PatchCollection(
        [
            Rectangle((x0, y0), x1 - x0, y1 - y0)
            for x0, x1, y0, y1 in zip(mark.x0, mark.x1, mark.y0, mark.y1, strict=True)
        ],
        facecolors=color if mark.filled else "none",
        edgecolors=colors("paper") if mark.filled else color,
        linewidths=0.75 if mark.filled else 2,
        alpha=mark.opacity,
    )
    ax.add_collection(bars, autolim=False)
    # A marker at no place: a line without points would count as one at the figure's corner.
    return ax.plot([np.nan], [np.nan], "s", color=color if isinstance(color, str) else color[0])[0]


def _cells(ax: Axes, mark: Cells, colors: Any) -> Any:
    values = np.asarray(mark.values, dtype=float)
    boxes, fills = [], []
    for (row, column), value in np.ndenumerate(values):
        x0, x1 = mark.x[column], mark.x[column + 1]
        y0, y1 = mark.y[row], mark.y[row + 1]
        boxes.append(Rectangle((x0, y0), x1 - x0, y1 - y0))
        fills.append(colors.heat(*_heat(mark, value)))
    cells = PatchCollection(boxes, facecolors=fills, edgecolors=colors("paper"), linewidths=1)
    ax.add_collection(cells, autolim=False)
    if mark.digits is not None:  # after the cells, which would hide them
        for box, value in zip(boxes, values.flat, strict=True):
            ax.text(
                *box.get_center(),
                number(value, mark.digits),
                ha="center",
                va="center",
                color=colors("ink"),
            )
    return cells


def _heat(mark: Cells, value: float) -> tuple[str, float]:
    """End of the colour scale that a value lies towards, and how far."""
    if mark.diverging:
        reach = max(abs(mark.low), abs(mark.high)) or 1
        end, share = ("heat-below" if value < 0 else "heat-high"), abs(value) / reach
    else:
        end, share = "heat-high", (value - mark.low) / ((mark.high - mark.low) or 1)
    return end, round(min(1, max(0, share)) * _HEAT_STEPS) / _HEAT_STEPS


def _texts(ax: Axes, mark: Texts, colors: Any) -> Any:
    align = {"start": "left", "middle": "center", "end": "right"}[mark.anchor]
    texts = [
        ax.text(x, y, text, ha=align, color=colors.text(mark.color), alpha=mark.opacity)
        for x, y, text in zip(mark.x, mark.y, mark.text, strict=True)
    ]
    return texts[0] if texts else None


_DRAW: dict[type[Mark], Callable[..., Any]] = {
    Dots: _dots,
    Lines: _lines,
    Arrows: _arrows,
    Bands: _bands,
    Bars: _bars,
    Cells: _cells,
    Texts: _texts,
}
