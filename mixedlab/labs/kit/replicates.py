"""The panel of sampling distributions: what repeated samples say of each statistic.

One row a statistic, all on one axis, each with a height of its own. Few values are drawn one by
one as stacked dots, so that the reader sees each new sample land; many become a histogram. The
truth is a dashed line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from mixedlab.labs.kit.lab import Lab
from mixedlab.labs.kit.scene import Axis, Bars, Dots, Lines, Mark, Panel, Texts

N_BINS = 40
TALLEST_STACK = 10
_BASE, _HEADROOM = 0.06, 0.62  # a row is 1 high: its values stand between these, its text above


def distribution_panel(
    lab: Lab, values: Mapping[str, Sequence[float | None]], truth: Mapping[str, float]
) -> Panel:
    """Draw all replicates so far.

    Parameters
    ----------
    lab : Lab
        Its ``statistics`` are the rows, from top to bottom.
    values : mapping of statistic to sequence of float or None
        One value a replicate; None where the replicate failed. Failed ones are not drawn.
    truth : mapping of statistic to float
        Where the dashed lines stand; may lack some.

    Returns
    -------
    Panel
        With key ``"replicates"``.
    """
    kept = {s.name: finite(values.get(s.name, ())) for s in lab.statistics}
    everything = np.concatenate([*kept.values(), finite(list(truth.values()))])
    low, high = nice_range(everything)
    edges = np.linspace(low, high, N_BINS + 1)
    n = max((len(v) for v in kept.values()), default=0)
    counts = {name: np.histogram(v, edges)[0] for name, v in kept.items()}
    many = max(int(c.max()) for c in counts.values()) > TALLEST_STACK

    marks: list[Mark] = [_floors(len(lab.statistics), low, high)]
    for row, statistic in enumerate(lab.statistics):
        floor = len(lab.statistics) - 1 - row
        v = kept[statistic.name]
        # Each row has a scale of its own, so that a narrow neighbour crushes none.
        tallest = max(TALLEST_STACK, int(counts[statistic.name].max()))
        marks += _row(statistic, v, edges, counts[statistic.name], tallest, floor, many)
        if math.isfinite(where := truth.get(statistic.name, math.nan)):
            marks.append(_upright(f"truth-{statistic.name}", where, floor, dashed=True))
    return Panel(
        "replicates",
        f"{n} new {'sample' if n == 1 else 'samples'}",
        Axis(lab.statistics_label, low, high),
        Axis("", 0, len(lab.statistics), visible=False),
        marks,
    )


def describe_distribution(lab: Lab, values: Mapping[str, Sequence[float | None]]) -> str:
    """Say mean and spread of each statistic, and how many replicates failed."""
    sentences = []
    for statistic in lab.statistics:
        given = values.get(statistic.name, ())
        kept = finite(given)
        sentences.append(f"{statistic.label}: {_figures(kept)}.")
        if failed := len(given) - kept.size:
            sentences.append(f"{failed} of {len(given)} samples gave no value.")
    return " ".join(sentences)


def finite(values: Sequence[float | None]) -> np.ndarray:
    """Drop what is missing or not finite."""
    array = np.array([math.nan if v is None else v for v in values], dtype=float)
    return array[np.isfinite(array)]


def nice_range(values: np.ndarray) -> tuple[float, float]:
    """Widen the range of values to round numbers, so that it seldom jumps as values come in."""
    if values.size == 0:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - max(abs(low), 1.0) / 2, high + max(abs(high), 1.0) / 2
    unit = 10 ** math.floor(math.log10(high - low))
    unit *= next(m for m in (0.1, 0.2, 0.5, 1.0) if (high - low) / (unit * m) <= 10)
    digits = max(0, 1 - math.floor(math.log10(unit)))
    return (
        round(math.floor(low / unit) * unit, digits),
        round(math.ceil(high / unit) * unit, digits),
    )


def _row(statistic, values, edges, counts, tallest, floor, many) -> list[Mark]:
    height = _HEADROOM - _BASE
    if not many:
        bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, N_BINS - 1)
        level = np.array([np.sum(bins[:i] == bin) for i, bin in enumerate(bins)], dtype=float)
        body: Mark = Dots(
            key=f"values-{statistic.name}",
            color=statistic.color,
            stage="estimate",
            x=(edges[bins] + edges[bins + 1]) / 2,
            y=floor + _BASE + height * (level + 0.5) / tallest,
            size=3,
            starts_from="top",
            hover=[f"sample {i + 1}: {v:.4g}" for i, v in enumerate(values)],
        )
    else:
        body = Bars(
            key=f"bars-{statistic.name}",
            color=statistic.color,
            stage="estimate",
            x0=edges[:-1],
            x1=edges[1:],
            y0=np.full(N_BINS, floor + _BASE),
            y1=floor + _BASE + height * counts / tallest,
            hover=[f"{c} samples from {a:.4g} to {b:.4g}" for c, a, b in _bins(counts, edges)],
            opacity=0.75,
        )
    marks = [body]
    if values.size:
        marks.append(
            _upright(f"mean-{statistic.name}", float(values.mean()), floor, color=statistic.color)
        )
    mean = f": mean {values.mean():.3g}" if values.size else ""
    text = f"{statistic.label}{mean}".replace("-", "−")
    marks.append(
        Texts(
            key=f"text-{statistic.name}",
            color=statistic.color,
            stage="estimate",
            x=[edges[0]],
            y=[floor + 0.82],
            text=[text],
            anchor="start",
        )
    )
    return marks


def _floors(rows: int, low: float, high: float) -> Lines:
    return Lines(
        key="floors",
        color="guide",
        x=[[low, high]] * (rows - 1),
        y=[[row + _BASE] * 2 for row in range(1, rows)],
        width=1,
    )


def _bins(counts, edges):
    return zip(counts, edges[:-1], edges[1:], strict=True)


def _upright(key: str, x: float, floor: float, color="truth", dashed=False) -> Lines:
    return Lines(
        key=key,
        color=color,
        stage="truth" if dashed else "estimate",
        x=[[x, x]],
        y=[[floor + _BASE, floor + _HEADROOM + 0.06]],
        dashed=dashed,
        width=2,
        hover=[f"truth {x:.4g}" if dashed else f"mean {x:.4g}"],
    )


def _figures(values: np.ndarray) -> str:
    if values.size == 0:
        return "no value yet"
    spread = f", sd {values.std(ddof=1):.3g}" if values.size > 1 else ""
    return f"mean {values.mean():.3g}{spread}"
