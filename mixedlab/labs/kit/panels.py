"""Panels that several labs share, made of the marks of `marks`.

Each returns a `Panel`; ``more`` are marks of the lab's own, drawn on top.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mixedlab.labs.kit.marks import bars, cells, dots, each, level, lines, texts, upright
from mixedlab.labs.kit.scene import Axis, Mark, Meaning, Panel

ROW = 0.9  # height of a histogram's row, of 1


def pulled(
    key: str,
    title: str,
    axis: Axis,
    names: Sequence[str],
    own: ArrayLike,
    shrunken: ArrayLike,
    centre: float,
    true: ArrayLike | None = None,
    *,
    hovers: Sequence[Sequence[str] | None] = (None, None, None),
    labels: Sequence[str] = ("own", "model", "true"),
    centre_label: str = "mean of all",
    size: float | Sequence[float] = 5,
    more: Sequence[Mark] = (),
    hero: bool = True,
) -> Panel:
    """Rows of groups, pulled towards a centre: own value, shrunken value, true value.

    Parameters
    ----------
    names : sequence of str (J,)
        From top to bottom; also the keys.
    own, shrunken, true : array_like (J,)
    centre : float
        Where all are pulled to: a green line.
    hovers, labels : sequence of 3
        For own, shrunken and true.
    size : float or sequence
        Radius of the own values' dots, so that area may tell a group's size.
    """
    rows = np.arange(len(names))[::-1]
    own, shrunken = np.asarray(own, float), np.asarray(shrunken, float)
    bands = np.column_stack([own, shrunken])
    marks: list[Mark] = [
        upright("everyone", centre, -0.7, len(names) - 0.3, key="mean", name=centre_label,
                stage="data"),
        lines("model", names, bands, np.repeat(rows[:, None], 2, axis=1), key="bands", width=2,
              opacity=0.5, starts_from="own"),
        dots("own", names, own, rows, name=labels[0], hover=hovers[0], size=size),
        dots("model", names, shrunken, rows, name=labels[1], hover=hovers[1], starts_from="own"),
    ]  # fmt: skip
    if true is not None:
        marks.append(
            dots("truth", names, true, rows, name=labels[2], hover=hovers[2], starts_from="own")
        )
    return Panel(key, title, axis, Axis.names(names), [*marks, *more], hero=hero)


def lines_of_groups(
    meaning: Meaning,
    names: Sequence[str],
    x: ArrayLike,
    intercepts: ArrayLike,
    slopes: ArrayLike,
    **more: Any,
) -> Mark:
    """One straight line a group over the range ``x``, ``(low, high)`` or one pair a group."""
    ends = np.broadcast_to(np.asarray(x, float), (len(names), 2))
    a, b = np.asarray(intercepts, float)[:, None], np.asarray(slopes, float)[:, None]
    return lines(meaning, names, ends, a + b * ends, **more)


def intervals(
    meaning: Meaning,
    names: Sequence[str],
    estimate: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    rows: ArrayLike | None = None,
    *,
    name: str = "",
    hover: Sequence[str] | None = None,
    key: str = "",
    **more: Any,
) -> list[Mark]:
    """Estimates with intervals, one a row, the first at the top: a line and a dot for each."""
    rows = np.arange(len(names))[::-1] if rows is None else np.asarray(rows, float)
    key = key or meaning
    spans = np.column_stack([np.asarray(low, float), np.asarray(high, float)])
    return [
        lines(meaning, names, spans, np.repeat(np.asarray(rows, float)[:, None], 2, axis=1),
              key=f"{key}-interval", width=3, dashed=False, **more),
        dots(meaning, names, estimate, rows, key=key, name=name, hover=hover, **more),
    ]  # fmt: skip


def histograms(
    key: str,
    title: str,
    axis: Axis,
    rows: Sequence[tuple[Meaning, str, ArrayLike]],
    edges: ArrayLike,
    *,
    lit: float | None = None,
    honest: float | None = None,
    stage: str = "estimate",
    more: Sequence[Mark] = (),
    hero: bool = False,
) -> Panel:
    """Histograms under one another, each scaled by its own row, so that none crushes another.

    Parameters
    ----------
    rows : sequence of (meaning, text, values)
        From top to bottom; the text stands in its row.
    edges : array_like (K + 1,)
        Of the bins.
    lit : float, optional
        Bins below it are drawn full, the others pale: false alarms among p values.
    honest : float, optional
        Share of each row's values that one bin should hold: a dashed line of theory.
    """
    edges = np.asarray(edges, float)
    marks: list[Mark] = []
    for i, (meaning, text, values) in enumerate(rows):
        floor = len(rows) - 1 - i
        counts = np.histogram(values, edges)[0]
        scale = 0.68 * ROW / max(1, counts.max())
        told = each("{} from {:.3g} to {:.3g}", counts, edges[:-1], edges[1:])
        split = len(counts) if lit is None else int(np.searchsorted(edges, lit - 1e-9))
        for part, which, opacity in (
            ("lit", slice(0, split), 1.0),
            ("pale", slice(split, None), 0.35),
        ):
            marks.append(
                bars(meaning, None, edges[:-1][which], edges[1:][which], float(floor),
                     floor + scale * counts[which], key=f"{part}-{i}", hover=told[which],
                     stage=stage, opacity=opacity)
            )  # fmt: skip
        if honest is not None:
            marks.append(
                level("truth", floor + scale * honest * len(np.asarray(values)), edges[0],
                      edges[-1], key=f"honest-{i}")
            )  # fmt: skip
        marks.append(
            texts(
                meaning, edges[0], floor + 0.76, text, key=f"row-{i}", anchor="start", stage=stage
            )
        )
    y = Axis("", -0.02, len(rows), visible=False)
    return Panel(key, title, axis, y, [*marks, *more], hero=hero)


def heat(
    key: str, title: str, x: Axis, y: Axis, values: ArrayLike, low: float, high: float, **more: Any
) -> Panel:
    """A table of values as coloured cells, on axes whose unit is one cell."""
    values = np.asarray(values, float)
    edges = [np.arange(n + 1) - 0.5 for n in (values.shape[1], values.shape[0])]
    return Panel(key, title, x, y, [cells(key, *edges, values, low, high, **more)])
