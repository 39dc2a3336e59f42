"""Scenes as SVG, by Python alone: the picture in a page before the lab is live, and the legend.

The same classes and the same geometry as ``front/marks.js`` and ``front/axes.js``, so that nothing
moves when the lab comes to life; the style sheet colours both. Shapes are defined here once for
Python; those of ``front/marks.js`` are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Any

import numpy as np

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
    Texts,
    n_items,
)

WIDTH, HEIGHT = 620.0, 380.0  # of the hero, in pixels; a helper is 0.6 as wide
FONT = 12.5
CHARACTER = 0.56  # mean width of a letter, in ems
HEAT = "var(--ml-heat-high)", "var(--ml-heat-below)"


def pictures(scene: Scene, prefix: str = "lab", alt: str = "") -> dict[str, str]:
    """Draw each panel as inline SVG for the page.

    Parameters
    ----------
    scene : Scene
    prefix : str
        Starts every id in the SVG; must differ between the pictures of one page.
    alt : str
        What the picture shows; each panel's SVG has its title and this as its label.

    Returns
    -------
    dict of panel key to str
    """
    helpers = max(1, len(scene.panels) - 1)
    sizes = {p.key: (0.6 * WIDTH, max(190.0, HEIGHT / helpers)) for p in scene.panels}
    sizes[scene.hero.key] = (WIDTH, HEIGHT)
    return {
        panel.key: panel_svg(panel, *sizes[panel.key], f"{prefix}-{panel.key}", alt)
        for panel in scene.panels
    }


def panel_svg(panel: Panel, width: float, height: float, prefix: str, alt: str = "") -> str:
    """Draw one panel at its size in pixels."""
    label = escape(f"{panel.title}. {alt}".strip(), quote=True)
    frame = Frame(panel, width, height)
    marks = "".join(_group(mark, frame) for mark in panel.marks)
    clip = (
        f'<clipPath id="{prefix}-clip"><rect x="{_1(frame.left - 8)}" y="{_1(frame.top - 8)}" '
        f'width="{_1(frame.right - frame.left + 16)}" '
        f'height="{_1(frame.bottom - frame.top + 16)}"/></clipPath>'
    )
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{label}">{clip}'
        f'<g class="ml-axes" aria-hidden="true">{"".join(_axes(panel, frame))}</g>'
        f'<g clip-path="url(#{prefix}-clip)">{marks}</g></svg>'
    )


class Frame:
    """Where a panel's axes stand: its margins, and its scales from numbers to pixels."""

    def __init__(self, panel: Panel, width: float, height: float) -> None:
        below = (3 if panel.x.label else 1.7) if panel.x.visible else 0.5
        self.bottom = height - FONT * below
        self.top = 2 * FONT  # the y axis's label stands here, and what is pointed at is told here
        self.y_ticks = ticks_of(panel.y, (self.bottom - self.top) / (4 * FONT))
        widest = max((len(text) for _, text in self.y_ticks), default=0)
        side = FONT * (widest * CHARACTER + 0.9) if self.y_ticks else FONT * 0.5
        self.left, self.right = min(0.42 * width, side), width - 0.8 * FONT
        self.x_ticks = ticks_of(panel.x, (self.right - self.left) / (5 * FONT))
        self.x = _scale(panel.x, self.left, self.right)
        self.y = _scale(panel.y, self.bottom, self.top)


def _scale(axis: Axis, start: float, end: float) -> Callable[[Any], Any]:
    return lambda v: (
        start + (np.asarray(v, float) - axis.low) * (end - start) / (axis.high - axis.low)
    )


def ticks_of(axis: Axis, count: float) -> list[tuple[float, str]]:
    """Return an axis's own ticks, or about ``count`` round ones."""
    if not axis.visible:
        return []
    return list(axis.ticks) if axis.ticks is not None else round_ticks(axis.low, axis.high, count)


def round_ticks(low: float, high: float, count: float) -> list[tuple[float, str]]:
    """Return round numbers from ``low`` to ``high`` with their texts, about ``count`` of them."""
    rough = (high - low) / max(1.0, count)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    ticks = [(k * step, numeral(k * step, digits)) for k in range(first, last + 1)]
    return ticks if len(ticks) >= 2 or count >= 8 else round_ticks(low, high, count + 1)


def numeral(value: float, digits: int) -> str:
    """Write a number with a true minus sign."""
    text = f"{value:.{digits}f}"
    return text.replace("-", "" if float(text) == 0 else "−")


def _axes(panel: Panel, frame: Frame) -> Iterator[str]:
    free = math.inf
    for value, text in frame.y_ticks:
        at = float(frame.y(value))
        yield f'<path class="ml-grid" d="M{_1(frame.left)} {_1(at)}H{_1(frame.right)}"/>'
        if abs(at - free) >= FONT:
            free = at
            yield _text("ml-tick-label ml-end", frame.left - 6, at + 0.34 * FONT, text)
    if panel.y.visible and panel.y.label:
        yield _text("ml-axis-label ml-start", 1, 0.95 * FONT, panel.y.label)
    if not panel.x.visible:
        return
    base = frame.bottom
    yield f'<path class="ml-axis" d="M{_1(frame.left)} {_1(base)}H{_1(frame.right)}"/>'
    free = -math.inf
    for value, text in frame.x_ticks:
        at, half = float(frame.x(value)), len(text) * CHARACTER * FONT / 2
        yield f'<path class="ml-tick" d="M{_1(at)} {_1(base)}v4"/>'
        if at - half >= free:
            free = at + half + 0.4 * FONT
            yield _text("ml-tick-label ml-middle", max(at, half), base + 1.35 * FONT, text)
    if panel.x.label:
        middle = (frame.left + frame.right) / 2
        yield _text("ml-axis-label ml-middle", middle, base + 2.75 * FONT, panel.x.label)


def _text(css: str, x: float, y: float, words: str) -> str:
    return f'<text class="{css}" x="{_1(x)}" y="{_1(y)}">{escape(words)}</text>'


# ---- marks


def _group(mark: Mark, frame: Frame) -> str:
    look = f"--ml-opacity:{mark.opacity:g}" if isinstance(mark, Bands) else ""
    if not look and mark.opacity != 1:
        look = f"opacity:{mark.opacity:g}"
    width = getattr(mark, "width", None)
    stroke = f";stroke-width:{width:g}px" if width is not None else ""
    style = f' style="{(look + stroke).strip(";")}"' if look or stroke else ""
    items = "".join(_items(mark, frame))
    return f'<g class="ml-mark ml-stage-{mark.stage} ml-c-{mark.color}"{style}>{items}</g>'


def _items(mark: Mark, frame: Frame) -> Iterator[str]:
    css = item_class(mark)
    if isinstance(mark, Texts):
        for x, y, text in zip(frame.x(mark.x), frame.y(mark.y), mark.text, strict=True):
            yield _text(css, float(x), float(y), text)
        return
    if isinstance(mark, Cells):
        yield from _cells(mark, frame)
        return
    for i in range(n_items(mark)):
        hue = f" ml-h-{mark.hues[i] % 8}" if mark.hues is not None else ""
        yield f'<path class="{css}{hue}" d="{_path(mark, i, frame)}"/>'


def item_class(mark: Mark) -> str:
    """Return the classes of a mark's items, the same as in ``front/marks.js``."""
    match mark:
        case Dots():
            return f"ml-dot {_fill(mark.filled and mark.shape != 'cross', mark.shape == 'cross')}"
        case Lines():
            return "ml-line ml-dashed" if mark.dashed else "ml-line"
        case Arrows():
            return "ml-line"
        case Bands():
            return "ml-filled ml-band"
        case Bars():
            return f"ml-bar {_fill(mark.filled)}"
        case Cells():
            return "ml-cell"
        case Texts():
            return f"ml-text ml-{mark.anchor}"
    raise TypeError(f"{type(mark).__name__} is no kind of mark.")


def _fill(filled: bool, cross: bool = False) -> str:
    return "ml-line" if cross else "ml-filled" if filled else "ml-open"


def _path(mark: Mark, i: int, frame: Frame) -> str:
    match mark:
        case Dots():
            size = mark.size if np.ndim(mark.size) == 0 else mark.size[i]
            return shape_path(
                mark.shape, float(frame.x(mark.x[i])), float(frame.y(mark.y[i])), float(size)
            )
        case Lines():
            return _polyline(frame.x(mark.x[i]), frame.y(mark.y[i]))
        case Arrows():
            ends = (frame.x(mark.x0[i]), frame.y(mark.y0[i]), frame.x(mark.x1[i]))
            return _arrow(*map(float, (*ends, frame.y(mark.y1[i]))), mark.gap)
        case Bands():
            x = frame.x(mark.x[i])
            low, high = frame.y(mark.low[i]), frame.y(mark.high[i])
            return _polyline(np.r_[x, x[::-1]], np.r_[low, high[::-1]]) + "Z"
        case Bars():
            x0, x1 = float(frame.x(mark.x0[i])), float(frame.x(mark.x1[i]))
            y0, y1 = float(frame.y(mark.y0[i])), float(frame.y(mark.y1[i]))
            return _polyline((x0, x1, x1, x0), (y0, y0, y1, y1)) + "Z"
    raise TypeError(f"{type(mark).__name__} has no path.")


def shape_path(shape: str, x: float, y: float, r: float) -> str:
    """Return the outline of a dot's shape."""
    if shape == "circle":
        r = round(r, 1)
        return f"M{_1(x - r)} {_1(y)}a{r:g} {r:g} 0 1 0 {2 * r:g} 0a{r:g} {r:g} 0 1 0 {-2 * r:g} 0Z"
    strokes = SHAPES[shape]
    return "".join(
        _polyline([x + r * dx for dx, _ in stroke], [y + r * dy for _, dy in stroke])
        + ("" if shape == "cross" else "Z")
        for stroke in strokes
    )


SHAPES: dict[str, Sequence[Sequence[tuple[float, float]]]] = {
    "square": (((-1, -1), (1, -1), (1, 1), (-1, 1)),),
    "diamond": (((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),),
    "triangle": (((0, -1.2), (1.1, 0.9), (-1.1, 0.9)),),
    "cross": (((-1, -1), (1, 1)), ((1, -1), (-1, 1))),
}
"""Corners of each shape's strokes, in radii from its middle. A circle is drawn with arcs."""


def _arrow(x0: float, y0: float, x_end: float, y_end: float, gap: float) -> str:
    reach = math.hypot(x_end - x0, y_end - y0)
    length = max(0.0, reach - gap)
    if length < 2:
        return f"M{_1(x0)} {_1(y0)}"
    ux, uy = (x_end - x0) / reach, (y_end - y0) / reach
    x1, y1, head = x0 + length * ux, y0 + length * uy, min(7.0, length / 2)
    wings = [(x1 - head * (ux - 0.55 * s * uy), y1 - head * (uy + 0.55 * s * ux)) for s in (1, -1)]
    (ax, ay), (bx, by) = wings
    return _polyline((x0, x1), (y0, y1)) + _polyline((ax, x1, bx), (ay, y1, by))


def _cells(mark: Cells, frame: Frame) -> Iterator[str]:
    values = np.asarray(mark.values, float)
    x, y = frame.x(mark.x), frame.y(mark.y)
    for (r, c), value in np.ndenumerate(values):
        box = _polyline((x[c], x[c + 1], x[c + 1], x[c]), (y[r], y[r], y[r + 1], y[r + 1]))
        yield f'<path class="ml-cell" style="fill:{heat(mark, float(value))}" d="{box}Z"/>'
    if mark.digits is None:
        return
    for (r, c), value in np.ndenumerate(values):
        at = (x[c] + x[c + 1]) / 2, (y[r] + y[r + 1]) / 2
        yield _text("ml-text ml-middle", *at, numeral(value, mark.digits))


def heat(mark: Cells, value: float) -> str:
    """Return the colour of a heat map's cell as a CSS expression of the page."""
    if mark.diverging:
        reach = max(abs(mark.low), abs(mark.high)) or 1.0
        end, share = HEAT[value < 0], abs(value) / reach
    else:
        end, share = HEAT[0], (value - mark.low) / ((mark.high - mark.low) or 1.0)
    percent = round(100 * min(1.0, max(0.0, share)))
    return f"color-mix(in oklab, {end} {percent}%, var(--ml-heat-zero))"


def _polyline(xs: Sequence[float], ys: Sequence[float]) -> str:
    points = [f"{_1(float(x))} {_1(float(y))}" for x, y in zip(xs, ys, strict=True)]
    return "M" + "L".join(points) if points else ""


def _1(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


# ---- the legend


def swatch(mark: Mark) -> str:
    """Return a small picture of a mark for the legend, in the mark's own colour and shape."""
    dashed = " ml-dashed" if getattr(mark, "dashed", False) else ""
    match mark:
        case Dots():
            inner = f'<path d="{shape_path(mark.shape, 11, 7, 5)}" class="{item_class(mark)}"/>'
        case Lines():
            inner = f'<path d="M1 7H21" class="ml-line{dashed}"/>'
        case Arrows():
            inner = '<path d="M1 7H18M13 2L19 7L13 12" class="ml-line"/>'
        case Bars():
            inner = f'<path d="M4 2H18V12H4Z" class="{_fill(mark.filled)}"/>'
        case Texts():
            inner = '<path d="M6 3H16M11 3V12" class="ml-line"/>'
        case _:
            inner = '<path d="M1 2H21V12H1Z" class="ml-filled ml-band"/>'
    hue = f" ml-h-{mark.hues[0] % 8}" if mark.hues is not None and len(mark.hues) else ""
    return (
        f'<svg class="ml-swatch ml-c-{mark.color}{hue}" viewBox="0 0 22 14" width="22" '
        f'height="14" aria-hidden="true">{inner}</svg>'
    )
