"""Panels of the lab on within and between: the persons gathered, and their slopes as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mixedlab.labs.kit.marks import GROUP_HUES, bars, dots, each, lines, texts, upright
from mixedlab.labs.kit.panels import lines_of_groups
from mixedlab.labs.kit.scene import Axis, Drag, Mark, Panel
from mixedlab.labs.kit.words import number, percent
from mixedlab.labs.within_between_fit import PERSONS, SD_ERROR, SD_PERSON, TILT, Fits, State

Array = NDArray[np.float64]

MIDDLE = 5.0  # of both scales, which run from 0 to 10
HANDLE = 3.2  # how far from the middle the reader's line is held
STEEPEST = 2.0  # the slopes' axis ends here; what is steeper is drawn there
SLIVER = 0.01  # half of what is seen of a slope of 0
NAMES = {
    "within": "within a person",
    "model": "random intercept",
    "naive": "all dots at once",
    "between": "between persons",
}
LOOK = {"within": "data", "model": "model", "naive": "own", "between": "everyone"}
HUES = [i % GROUP_HUES for i in range(PERSONS)]
SUPPORT = {
    "none": "support (points)",
    "grand": "support less the mean of all (points)",
    "person": "support less the person's own mean (points)",
}


def gathered(v: Array, gather: float) -> Array:
    """Draw each person's values to their mean (gather > 0), or the means to that of all (< 0)."""
    mean = v.mean(axis=1, keepdims=True)
    persons, moments = 1 + min(gather, 0), 1 - max(gather, 0)
    return v.mean() + persons * (mean - v.mean()) + moments * (v - mean)


def clouds_panel(state: State, fits: Fits) -> Panel:
    """Answers as measured, in grey; and in colour, gathered, with a line for each person."""
    centre = MIDDLE if state.centring == "none" else 0.0
    # The range is that of the parameters, not of the sample: it stays where others move.
    reach = max(4.0, np.ceil(2.5 * np.hypot(1, state.sd_means)))
    variance = np.hypot(state.between * state.sd_means, state.within) ** 2
    lift = max(4.0, np.ceil(2.5 * np.sqrt(variance + SD_PERSON**2 + SD_ERROR**2)))
    low, high = centre - reach, centre + reach
    held = centre + np.array([-HANDLE, HANDLE])
    true_x = centre + np.array([-1, 1]) * max(2 * state.sd_means, 0.01)
    pull = Drag("Tilt your line", y="tilt", ends=(MIDDLE - TILT * HANDLE, MIDDLE + TILT * HANDLE))
    marks = [
        *_answers(state, fits, (low, high), (MIDDLE - lift, MIDDLE + lift)),
        *_lines(state, fits, np.array([low, high])),
        texts("guide", low + 0.15, MIDDLE - 0.94 * lift, _caption(state.gather), key="caption",
              anchor="start", stage="estimate"),
        lines("yours", None, held, [MIDDLE + state.tilt * (held - centre)], key="line", width=1.5),
        dots("yours", None, held[1:], [MIDDLE + state.tilt * HANDLE], key="bet", size=7,
             hover=[f"your line: slope {number(state.tilt)}"], drag=[pull]),
        lines("truth", None, true_x, [MIDDLE + state.between * (true_x - centre)],
              name="truly, between persons"),
    ]  # fmt: skip
    return Panel(
        "clouds", f"{PERSONS} persons, {state.prompts} answers each",
        Axis(SUPPORT[state.centring], low, high, eases_with=("sd_means",)),
        Axis("stress (points)", MIDDLE - lift, MIDDLE + lift,
             eases_with=("within", "between", "sd_means")),
        marks, hero=True,
    )  # fmt: skip


def _caption(gather: float) -> str:
    how = f"{'dots gathered' if gather > 0 else 'persons overlaid'} {percent(abs(gather))}"
    return f"one colour a person, {how if gather else 'as measured'}"


def _answers(state: State, fits: Fits, wide: Sequence, tall: Sequence) -> list[Mark]:
    """Answers as measured, the rare one beyond the frame at its edge; and as gathered."""
    x, y = (gathered(v, state.gather) for v in (fits.x, fits.y))
    marks: list[Mark] = []
    halves = slice(None, PERSONS // 2), slice(PERSONS // 2, None)
    for h, (half, shape) in enumerate(zip(halves, ("circle", "square"), strict=True)):
        # Answer by answer, not person by person: items keep their keys where answers are added.
        measured_x, measured_y, *drawn = (v[half].T.ravel() for v in (fits.x, fits.y, x, y))
        person = np.tile(np.arange(PERSONS)[half], state.prompts)
        marks += [
            dots("data", None, measured_x.clip(*wide), measured_y.clip(*tall), key=f"data-{h}",
                 name="one answer", size=2.5, opacity=0.6),
            dots("data", None, *drawn, key=f"answers-{h}", stage="estimate", shape=shape, size=3.5,
                 hues=(person % GROUP_HUES).tolist(), starts_from=f"data-{h}",
                 hover=each("person {}: {:.1f}, {:.1f}", person + 1, measured_x, measured_y)),
        ]  # fmt: skip
    return marks


def _lines(state: State, fits: Fits, whole: Array) -> list[Mark]:
    x, y = (gathered(v, state.gather) for v in (fits.x, fits.y))
    x_mean, y_mean = x.mean(axis=1), y.mean(axis=1)
    who = [f"person {i + 1}" for i in range(PERSONS)]
    # As long as a person's dots reach, and never so short that one cannot see where it goes.
    half = 0.4 + 0.9 * (1 - max(state.gather, 0))
    span = np.array([x_mean.min(), x_mean.max()])
    slope = np.full(PERSONS, fits.within)
    naive, between = (y.mean() + b * (at - x.mean()) for b, at in
                      ((fits.naive, whole), (fits.between, span)))  # fmt: skip
    return [
        lines("own", None, whole, [naive], key="naive", stage="estimate", width=2,
              name="all dots at once", hover=[f"all dots at once: {number(fits.naive)}"]),
        lines("everyone", None, span, [between], key="between", width=4,
              hover=[f"between persons: {number(fits.between)}"]),
        lines_of_groups("data", who, x_mean[:, None] + np.array([-half, half]),
                        y_mean - slope * x_mean, slope, key="within", stage="estimate", width=2.5,
                        hues=HUES, hover=each("{}: slope {}", who, map(number, slope))),
        dots("everyone", who, x_mean, y_mean, key="means", name="a person's mean", size=5,
             hover=each("{}: {:.1f}, {:.1f}", who, fits.x.mean(axis=1), fits.y.mean(axis=1))),
    ]  # fmt: skip


def slopes_panel(state: State, slopes: Mapping[str, float], truth: Mapping[str, float]) -> Panel:
    """The four slopes as bars from 0, the two true ones to drag, and where each slope tends."""
    row = {name: 3.0 - i for i, name in enumerate(NAMES)}
    marks: list[Mark] = [upright("guide", 0, -0.5, 3.5, key="flat")]
    for name, slope in ((name, slopes[name]) for name in NAMES):
        hues = HUES[:GROUP_HUES] if name == "within" else None  # a stripe for each colour
        n = len(hues or [0])
        top = row[name] + 0.28 - 0.56 / n * np.arange(n)
        told = f"{NAMES[name]} {number(slope)}"
        # Words stand on the other side of 0, where the bar, or the diamond, leaves room.
        leans = slope if abs(slope) > 0.08 else truth[name]
        side, anchor = (-0.1, "end") if leans > 0 else (0.1, "start")
        marks += [
            bars(LOOK[name], None, min(-SLIVER, slope), max(SLIVER, slope), top - 0.56 / n, top,
                 key=name, stage="estimate", hues=hues, hover=[told] * n),
            texts(LOOK[name], side, row[name], told, key=f"{name}-name", stage="estimate",
                  anchor=anchor),
        ]  # fmt: skip
    true = {"within": state.within, "between": state.between}
    marks += [
        dots("yours", list(true), list(true.values()), [row[name] for name in true], key="set",
             stage="estimate", filled=False, name="true slope (drag)",
             hover=each("truly, {}: {}", map(NAMES.get, true), map(number, true.values())),
             drag=[Drag(f"True slope {NAMES[name]}", x=name) for name in true]),
        dots("truth", list(truth), np.clip(list(truth.values()), -STEEPEST, STEEPEST),
             [row[name] for name in truth], size=4, name="in the long run",
             hover=each("{}, in the long run: {}", map(NAMES.get, truth),
                        map(number, truth.values()))),
    ]  # fmt: skip
    return Panel(
        "slopes", "Slopes",
        Axis.ticked("stress for one more point of support", -STEEPEST, STEEPEST, (-2, -1, 0, 1, 2)),
        Axis("", -0.5, 4.2, visible=False), marks,
    )  # fmt: skip
