"""Panels of the lab on shrinkage: one estimate, the least penalty and the peak of a product."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mixedlab.labs.kit.marks import bars, dots, lines, texts, upright
from mixedlab.labs.kit.scene import Axis, Dots, Drag, Lines, Mark, Panel, Texts

Array = NDArray[np.float64]

SD_PATIENT = 6.0  # days
LOW, HIGH = 12.0, 48.0  # of every axis of days
TOP = 100.0  # of the penalised objective, in days squared


def days(label: str) -> Axis:
    """Return the axis of days, the same in all panels."""
    return Axis.ticked(label, LOW, HIGH, (20, 30, 40))


def penalty_panel(state, mu: float, w: float) -> Panel:
    """Misfit, penalty and sum, divided by n + lambda, for the reader's hospital."""
    best = mu + w * (state.mean - mu)
    least = w * (1 - w) * (state.mean - mu) ** 2
    curves = (
        ("misfit", "own", "data", state.mean, w, 0.0),
        ("penalty", "everyone", "estimate", mu, 1 - w, 0.0),
        ("sum", "model", "estimate", best, 1.0, least),
    )
    marks: list[Mark] = [
        lines(meaning, None, [x], [curvature * (x - lowest) ** 2 + floor], key=key, stage=stage,
              width=3 if key == "sum" else 2, hover=[key])
        for key, meaning, stage, lowest, curvature, floor in curves
        for x in [_below_top(lowest, curvature, floor)]
    ]  # fmt: skip
    marks += [
        *_names(curves, 0.9 * TOP, 0.15 * TOP),
        _drop(best, least),
        _handle(state, 0.0),
        dots("model", None, [best], [least], key="least", hover=[f"least at {best:.1f} days"]),
    ]
    return Panel(
        "penalty", "The penalty", days("proposed mean (days)"), Axis("days²", 0, TOP), marks
    )


def _below_top(lowest: float, curvature: float, floor: float) -> Array:
    """Where a parabola is inside the panel."""
    reach = math.sqrt(max(TOP - floor, 0.0) / max(curvature, 1e-6))
    return np.linspace(max(lowest - reach, LOW), min(lowest + reach, HIGH), 61)


def product_panel(state, mu: float, w: float) -> Panel:
    """Likelihood, prior and their product, each with its peak at 1, and the share kept."""
    best = mu + w * (state.mean - mu)
    bells = (
        ("likelihood", "own", "data", state.mean, state.size),
        ("prior", "everyone", "estimate", mu, state.penalty),
        ("product", "model", "estimate", best, state.size + state.penalty),
    )
    marks: list[Mark] = [
        lines(meaning, None, [x], [np.exp(-(((x - peak) / sd) ** 2) / 2)], key=key, stage=stage,
              width=3 if key == "product" else 2, hover=[f"{key}: {peak:.1f} days, sd {sd:.1f}"])
        for key, meaning, stage, peak, count in bells
        for sd in [SD_PATIENT / math.sqrt(count)]
        for x in [np.linspace(max(peak - 4 * sd, LOW), min(peak + 4 * sd, HIGH), 81)]
    ]  # fmt: skip
    left, middle, right = sorted((mu, best, state.mean))
    spans = [(left, middle), (middle, right)]
    kept, given_up = spans if mu <= state.mean else spans[::-1]
    look, on_the_right = {"stage": "estimate"}, state.mean > (LOW + HIGH) / 2
    marks += [
        *_names(bells, 0.85, 0.2),
        _drop(best, 1.0),
        bars("model", None, *kept, -0.22, -0.1, key="kept", hover=[f"kept {w:.0%}"], **look),
        bars("own", None, *given_up, -0.22, -0.1, key="given up", filled=False,
             hover=[f"given up {1 - w:.0%}"], **look),
        texts("model", LOW + 1 if on_the_right else HIGH - 1, 1.13,
              f"keeps {state.size}/({state.size} + {state.penalty:g}) = {w:.0%}",
              key="weight", anchor="start" if on_the_right else "end", **look),
        _handle(state, 1.0),
    ]  # fmt: skip
    height = Axis.ticked("height (peak = 1)", -0.3, 1.25, (0, 0.5, 1))
    return Panel("product", "The product", days("its mean (days)"), height, marks)


def _names(curves, top: float, step: float) -> list[Texts]:
    """Return the curves' names in their colours, one below the other."""
    return [
        texts(meaning, LOW + 1, top - i * step, key, key=f"{key}-name", stage=stage, anchor="start")
        for i, (key, meaning, stage, *_) in enumerate(curves)
    ]


def _drop(x: float, top: float) -> Lines:
    """Return the line from the axis to the estimate: at one place in both panels."""
    return upright("model", x, 0, top, key="drop", width=1, hover=[f"{x:.1f} days"])


def _handle(state, y: float) -> Dots:
    """Return the reader's own mean, to be dragged sideways."""
    return dots("yours", None, [state.mean], [y], hover=[f"own mean: {state.mean:.1f} days"],
                drag=[Drag("Its mean stay", x="mean")])  # fmt: skip
