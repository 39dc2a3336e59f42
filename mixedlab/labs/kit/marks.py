"""The grammar: a mark names what it means and its data, and nothing else.

A *meaning* carries the stage at which a mark appears, its shape, fill, dash and colour, so that
one idea looks the same in all labs and has two signs that tell it from the others:

==========  =========  ================================  ===========================
meaning     stage      look                              stands for
==========  =========  ================================  ===========================
data        data       small grey circle, grey line      single rows
own         data       orange circle, line               a group by itself, raw, naive
model       estimate   blue square, thick line           the model's estimate
everyone    estimate   green triangle, thick line        all groups together
truth       truth      black open diamond, dashed line   what is true
yours       data       pink circle, line                 what the reader set or said
guide       data       pale, thin                        help for the eye, words
==========  =========  ================================  ===========================

A keyword overrides what does not fit: ``dots("own", who, x, y, stage="estimate")``. Give a mark a
``key`` of its own where a panel holds two of one meaning. Groups have hues of their own:
``hues=range(n)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixedlab.labs.kit.scene import (
    Arrows,
    Bands,
    Bars,
    Cells,
    Dots,
    Lines,
    Meaning,
    Shape,
    Stage,
    Texts,
)


@dataclass(frozen=True)
class Look:
    """What a meaning looks like."""

    stage: Stage
    shape: Shape = "circle"
    filled: bool = True
    dashed: bool = False
    size: float = 4.5
    width: float = 1.5


LOOKS: dict[str, Look] = {
    "data": Look("data", size=3),
    "own": Look("data", size=5),
    "model": Look("estimate", "square", width=2.5),
    "everyone": Look("estimate", "triangle", width=2.5),
    "truth": Look("truth", "diamond", filled=False, dashed=True, width=2),
    "yours": Look("data", size=6, width=2),
    "guide": Look("data", size=3, width=1),
}

GROUP_HUES = 8
"""How many hues groups can have; the ninth has the first one's."""


def each(template: str, *columns: Sequence[Any]) -> list[str]:
    """Return a text for each item: ``each("{}: truly {:.1f}", who, true)``."""
    return [template.format(*row).replace(" -", " −") for row in zip(*columns, strict=True)]


def dots(meaning: Meaning, keys: Sequence[Any] | None, x: Any, y: Any, **more: Any) -> Dots:
    """Return points, one for each key.

    Parameters
    ----------
    meaning : str
        One of `LOOKS`.
    keys : sequence or None
        Names of the items: the same thing has the same key in all panels.
    x, y : array_like (n,) or float
        A single number stands for all items.
    **more
        Any field of `Dots`: ``name=`` for the legend, ``hover=``, ``starts_from=``, ``drag=``,
        ``hues=``, ``key=``, and what overrides the look.
    """
    look = LOOKS[meaning]
    shown = {"shape": look.shape, "filled": look.filled, "size": look.size}
    return Dots(x=_spread(x, keys, y), y=_spread(y, keys, x), **_mark(meaning, keys, shown, more))


def lines(meaning: Meaning, keys: Sequence[Any] | None, x: Any, y: Any, **more: Any) -> Lines:
    """Return polylines, one a key: ``y`` is (n, m), ``x`` (n, m) or the same (m,) for all."""
    y = np.asarray(y, dtype=float) if _is_table(y) else y
    if np.ndim(x) == 1 and not _is_ragged(x):
        x = np.broadcast_to(np.asarray(x, dtype=float), np.shape(y))
    look = LOOKS[meaning]
    shown = {"width": look.width, "dashed": look.dashed}
    return Lines(x=x, y=y, **_mark(meaning, keys, shown, more))


def upright(meaning: Meaning, x: float, low: float, high: float, **more: Any) -> Lines:
    """Return one vertical line at ``x``."""
    return lines(meaning, more.pop("keys", None), [[x, x]], [[low, high]], **more)


def level(meaning: Meaning, y: float, low: float, high: float, **more: Any) -> Lines:
    """Return one horizontal line at ``y``."""
    return lines(meaning, more.pop("keys", None), [[low, high]], [[y, y]], **more)


def arrows(
    meaning: Meaning, keys: Sequence[Any] | None, x0: Any, y0: Any, x1: Any, y1: Any, **more: Any
) -> Arrows:
    """Return arrows from (x0, y0) to (x1, y1), one for each key."""
    return Arrows(x0=x0, y0=y0, x1=x1, y1=y1, **_mark(meaning, keys, {}, more))


def bands(
    meaning: Meaning, keys: Sequence[Any] | None, x: Any, low: Any, high: Any, **more: Any
) -> Bands:
    """Return filled bands between ``low`` and ``high``, one for each key."""
    return Bands(x=x, low=low, high=high, **_mark(meaning, keys, {}, more))


def bars(
    meaning: Meaning, keys: Sequence[Any] | None, x0: Any, x1: Any, y0: Any, y1: Any, **more: Any
) -> Bars:
    """Return rectangles, one for each key; single numbers stand for all."""
    n = max(np.size(v) for v in (x0, x1, y0, y1))
    sides = {
        name: np.broadcast_to(np.asarray(v, dtype=float), (n,))
        for name, v in (("x0", x0), ("x1", x1), ("y0", y0), ("y1", y1))
    }
    return Bars(**sides, **_mark(meaning, keys, {"filled": LOOKS[meaning].filled}, more))


def texts(meaning: Meaning, x: Any, y: Any, text: Sequence[str] | str, **more: Any) -> Texts:
    """Return short texts, or one, at (x, y)."""
    if isinstance(text, str):
        x, y, text = [x], [y], [text]
    more.setdefault("key", f"{meaning}-text")
    return Texts(x=x, y=y, text=text, **_mark(meaning, more.pop("keys", None), {}, more))


def cells(key: str, x: Any, y: Any, values: Any, low: float, high: float, **more: Any) -> Cells:
    """Return a heat map of ``values`` between the edges ``x`` and ``y``."""
    return Cells(key=key, x=x, y=y, values=values, low=low, high=high, **more)


def _mark(
    meaning: Meaning, keys: Sequence[Any] | None, shown: dict[str, Any], more: dict[str, Any]
) -> dict[str, Any]:
    """Put together what all marks share, the look, and what overrides it."""
    named = None if keys is None else [str(key) for key in keys]
    base = {"key": meaning, "color": meaning, "stage": LOOKS[meaning].stage, "keys": named}
    return base | shown | more


def _spread(value: Any, keys: Sequence[Any] | None, other: Any) -> Any:
    """Repeat a single number for all items."""
    if np.ndim(value):
        return value
    n = len(keys) if keys is not None else np.size(other)
    return np.full(n, float(value))


def _is_ragged(value: Any) -> bool:
    return len(value) > 0 and np.ndim(value[0]) > 0


def _is_table(value: Any) -> bool:
    return not isinstance(value, (list, tuple)) or len({np.shape(row) for row in value}) == 1
