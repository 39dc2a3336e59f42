"""Random slopes: fibre and glucose, a fan of persons, and what moving the zero of x changes.

``random_slopes.model.md`` says in a teacher's words what is simulated, fitted and simplified.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedlab.labs.kit.bet import Place
from mixedlab.labs.kit.lab import Goal, Lab, Statistic, dragged, slider
from mixedlab.labs.kit.marks import bands, dots, each, lines, texts, upright
from mixedlab.labs.kit.panels import heat, lines_of_groups
from mixedlab.labs.kit.scene import Axis, Drag, Mark, Meaning, Panel, Scene
from mixedlab.labs.kit.words import number
from mixedlab.labs.random_slopes_fit import (
    GRAMS,
    LINE,
    MAX_FIBRE,
    SD_ERROR,
    Fits,
    are_parallel,
    both_zeros,
    closest,
    correlation,
    counted_from,
    covariance,
    covariance_of_many,
    ellipse,
    fit,
    most_alike,
    narrowest,
    rho_of,
    sd_of_lines,
    verdict,
)
from mixedlab.simulate.draws import Draws
from mixedlab.simulate.fibre_response import draw_fibre, fibre, slope_covariance
from mixedlab.simulate.scenario import Simulated

Array = NDArray[np.float64]

DRAWN = 40  # persons who are drawn; all are fitted
FINE = np.linspace(0, MAX_FIBRE, 41)
LEVELS, SLOPES = (4.0, 10.0), (-0.3, 0.15)  # where the reader's person may go
REACH = 2.0  # covariances beyond it have the strongest colour


@dataclass(frozen=True)
class State:
    """The controls."""

    sd_intercept: float = slider(
        0.8, 0, 2, 0.05, "Spread of levels at 0 g", "mmol/l", help="s0, the sd of intercepts"
    )
    sd_slope: float = slider(
        0.08, 0, 0.2, 0.005, "Spread of slopes", "mmol/l a gram", help="s1, the sd of slopes"
    )
    rho: float = slider(
        -0.8, -1, 1, 0.05, "Correlation at 0 g", help="below 0: who starts high falls fastest"
    )
    origin: float = slider(
        0.0, 0, MAX_FIBRE, 0.5, "Where x = 0", "g", help="x counts grams from here"
    )
    persons: int = slider(40, 10, 400, 10, "Persons")
    level: float = dragged(9.0, *LEVELS, 0.1, "Your person's level at 0 g")
    slope: float = dragged(-0.15, *SLOPES, 0.01, "Your person's slope")
    seed: int = 3

    @property
    def cov(self) -> Array:
        """True covariance of level and slope at 0 g, shape (2, 2)."""
        return covariance(self.sd_intercept, self.sd_slope, self.rho)


def simulate(state: State) -> Simulated:
    """Draw the glucose of each person after meals with 0 to 20 g of fibre."""
    return fibre(
        state.persons, GRAMS.size, *LINE, state.sd_intercept, state.sd_slope, state.rho, SD_ERROR,
        MAX_FIBRE, state.origin, seed=state.seed,
    )  # fmt: skip


def scene(state: State, data: Simulated, fits: Fits) -> Scene:
    """Describe the fan, the cloud of level and slope, and the covariance of any two meals."""
    own, zero = fits.at_zero.own, state.origin
    rhos = both_zeros(zero, *(rho_of(f.cov) for f in (fits.at_zero, fits.at_origin)))
    criteria = both_zeros(zero, *(f"{f.criterion:.2f}" for f in (fits.at_zero, fits.at_origin)))
    told = (
        f"{state.persons} persons, {GRAMS.size} meals each. At 0 g their own lines stand at "
        f"{own[:, 0].min():.1f} to {own[:, 0].max():.1f} mmol/l and change by "
        f"{number(own[:, 1].min())} to {number(own[:, 1].max())} a gram."
    )
    outcome = (
        f"{closest(fits.at_zero.cov)} Correlation of level and slope: {rhos}. "
        f"REML criterion: {criteria}."
    )
    true_rhos = both_zeros(zero, rho_of(state.cov), rho_of(data.truth["cov"]))
    waist = narrowest(state.cov)
    place = f"narrowest place: {number(waist, 1)} g" if state.sd_slope else "lines are parallel"
    return Scene(
        panels=[
            _fan_panel(state, data, fits),
            _cloud_panel(state, data, fits),
            _covariance_panel(state, fits),
        ],
        headline=verdict(fits.at_zero.cov),
        headline_truth=f"truly {verdict(state.cov)}",
        answer=most_alike(fits.at_zero.cov),
        answer_truth=most_alike(state.cov),
        summary=f"{told} {outcome}",
        summary_before=told,
        outcome=outcome,
        outcome_truth=f"True correlation: {true_rhos}. True {place}.",
    )


def _levels(state: State) -> tuple[float, float]:
    """Range of glucose that holds nearly all persons, wherever x = 0; no seed changes it."""
    reach = 2.5 * np.sqrt(sd_of_lines(state.cov, [0, MAX_FIBRE]) ** 2 + SD_ERROR**2)
    mean = LINE[0] + LINE[1] * np.array([0, MAX_FIBRE])
    low, high = np.floor(2 * min(mean - reach)) / 2, np.ceil(2 * max(mean + reach)) / 2
    return max(0.0, min(3.5, low)), max(10.5, high)


def _fan_panel(state: State, data: Simulated, fits: Fits) -> Panel:
    """Draw each person's line, the band that holds them, its waist, and the handle where x = 0."""
    glucose = data["glucose"].reshape(-1, GRAMS.size)[:DRAWN]
    who = [f"person {i + 1}" for i in range(len(glucose))]
    low, high = _levels(state)
    model, zero = fits.at_zero, state.origin
    level, slope = model.blup[:DRAWN].T
    mean, reach = model.beta @ [np.ones(FINE.size), FINE], 2 * sd_of_lines(model.cov, FINE)
    true_mean, true_reach = LINE[0] + LINE[1] * FINE, 2 * sd_of_lines(state.cov, FINE)
    outline = [true_mean - true_reach, true_mean + true_reach]
    ends, foot, right = np.array([0, MAX_FIBRE]), low + 0.06 * (high - low), zero > 15
    marks = [
        upright("yours", zero, low, high, key="zero", stage="estimate", width=1.5),
        bands("model", None, [FINE], [mean - reach], [mean + reach], key="spread", opacity=0.22),
        lines_of_groups("model", who, ends, level, slope, key="persons", width=1.2, opacity=0.5,
                        name="a person's line, by the model", starts_from="meal-0",
                        hover=[f"{w}: {a:.1f} mmol/l at 0 g, {number(b)} a gram"
                               for w, a, b in zip(who, level, slope, strict=True)]),
        *(dots("data", who, g, glucose[:, i], key=f"meal-{g:g}", size=3 if g == 0 else 2.5,
               stage="estimate" if g else "data", starts_from="meal-0" if g else "",
               hover=each(f"{{}}, {g:g} g: {{:.1f}} mmol/l", who, glucose[:, i]))
          for i, g in enumerate(GRAMS)),
        lines("everyone", None, ends, [mean[[0, -1]]], key="mean", name="mean line", width=2.5,
              hover=[f"mean line: {mean[0]:.1f} at 0 g, {mean[-1]:.1f} at 20 g"]),
        *_waist("model", "waist", model.cov, mean, width=5),
        lines("truth", None, FINE, outline, key="true-spread", name="true spread"),
        *_waist("truth", "true-waist", state.cov, true_mean),
        lines_of_groups("yours", ["yours"], ends, [state.level], [state.slope], key="swings",
                        width=3, hover=[f"your person: {state.level:.1f} mmol/l at 0 g, "
                                        f"{number(state.slope)} a gram"]),
        dots("yours", None, [zero], [foot], key="handle", stage="estimate", shape="triangle",
             size=8, hover=[f"x = 0 at {zero:g} g"], drag=[Drag("Where x = 0", x="origin")]),
        texts("yours", zero + (-1.6 if right else 1.6), foot, "x = 0", key="zero-text",
              stage="estimate", anchor="end" if right else "start"),
    ]  # fmt: skip
    x = Axis.ticked("fibre (g a meal)", -1.3, MAX_FIBRE + 0.6, GRAMS)
    eases = ("sd_intercept", "sd_slope", "rho")
    return Panel("fan", "Glucose after a meal", x, Axis("glucose (mmol/l)", low, high, None, True,
                 eases), marks, hero=True)  # fmt: skip


def _waist(meaning: Meaning, key: str, cov: Array, mean: Array, **more: Any) -> list[Mark]:
    """Draw how far two sds reach where the lines are closest, if that is between 0 and 20 g."""
    at = narrowest(cov)
    some = [at] if not are_parallel(cov) and 0 <= at <= MAX_FIBRE else []
    word, below = ("waist", 0.3) if meaning == "model" else ("truly", -0.25)
    ends = np.interp(some, FINE, mean) + np.outer([-2, 2], sd_of_lines(cov, some))
    told = each("narrowest at {:.1f} g", some)
    return [
        lines(meaning, None, [some * 2 for _ in some], list(ends.T), key=key, hover=told, **more),
        texts(meaning, some, ends[int(below < 0)] - below, [word for _ in some], key=f"{key}-text"),
    ]


def _cloud_panel(state: State, data: Simulated, fits: Fits) -> Panel:
    """Draw each person's own level and slope, and the ellipses fitted and true."""
    own, model, zero = fits.at_origin.own[:DRAWN], fits.at_origin, state.origin
    who = [f"person {i + 1}" for i in range(len(own))]
    low, high = _levels(state)
    steep = 3 * np.hypot(state.sd_slope, 0.02)
    bottom, top = min(-0.35, LINE[1] - steep), max(0.2, LINE[1] + steep)
    fitted = ellipse(model.beta, model.cov)
    true = ellipse([LINE[0] + LINE[1] * zero, LINE[1]], data.truth["cov"])
    # The level is set at 0 g and drawn where x = 0.
    shift = zero * state.slope
    grab = Drag("Your person's level and slope", x="level", y="slope",
                ends=(LEVELS[0] + shift, LEVELS[1] + shift))  # fmt: skip
    marks = [
        dots("own", who, own[:, 0], own[:, 1], size=3.5, name="a person's own level and slope",
             hover=[f"{w}: level {a:.1f}, slope {number(b)}"
                    for w, (a, b) in zip(who, own, strict=True)]),
        lines("model", None, [fitted[:, 0]], [fitted[:, 1]], key="fitted",
              hover=[f"fitted correlation {rho_of(model.cov)}"]),
        lines("truth", None, [true[:, 0]], [true[:, 1]], key="true",
              hover=[f"true correlation {rho_of(data.truth['cov'])}"]),
        texts("model", high - 0.02 * (high - low), top - 0.08 * (top - bottom),
              f"correlation {rho_of(model.cov)}", key="rho", anchor="end"),
        dots("yours", ["yours"], [np.clip(state.level + shift, low, high)], [state.slope],
             size=7, name="your person (drag)",
             hover=[f"your person: level {state.level + shift:.1f}, slope {number(state.slope)}"],
             drag=[grab]),
    ]  # fmt: skip
    eases = ("sd_intercept", "sd_slope", "rho")
    return Panel("cloud", "Level and slope",
                 Axis("level where x = 0 (mmol/l)", low, high, None, True, eases),
                 Axis("slope (mmol/l a gram)", bottom, top, None, True, ("sd_slope",)),
                 marks)  # fmt: skip


def _covariance_panel(state: State, fits: Fits) -> Panel:
    """Draw the covariance of any two meals: the formula above the diagonal, the data below."""
    n, theory = GRAMS.size, slope_covariance(state.cov, GRAMS, SD_ERROR)
    values = np.where(np.tri(n, dtype=bool), fits.covariance, theory)
    ticks = {i: f"{g:g}" for i, g in enumerate(GRAMS)}
    edges = np.arange(n + 1) - 0.5
    panel = heat(
        "covariance",
        "Formula above, data below",
        Axis.ticked("fibre of one meal (g)", -0.5, n - 0.5, ticks),
        Axis.ticked("fibre of another (g)", -0.5, n - 0.5, ticks),
        np.round(values.T, 2) + 0.0,  # no "-0.00"
        -REACH, REACH, diverging=True, digits=2, stage="estimate",
        hover=[f"{g:g} g and {h:g} g: data {number(fits.covariance[i, j])}, formula "
               f"{number(theory[i, j])}" for i, h in enumerate(GRAMS) for j, g in enumerate(GRAMS)],
    )  # fmt: skip
    stairs = lines("data", None, [np.repeat(edges, 2)[:-1]], [np.repeat(edges, 2)[1:]],
                   key="stairs", stage="estimate", width=3)  # fmt: skip
    return replace(panel, marks=[*panel.marks, stairs], folded=True)


def measure(state: State, data: Simulated, fits: Fits) -> dict[str, float]:
    """Return the estimated correlation with x = 0 at 0 g and far from it."""
    cov = fits.at_zero.cov
    return {"zero": correlation(cov), "origin": correlation(counted_from(_far(state), cov))}


def _far(state: State) -> float:
    """Where the reader put x = 0; the other end, where it stands at 0 g."""
    return state.origin or MAX_FIBRE


def measure_many(state: State, seeds: Sequence[int]) -> dict[str, Array]:
    """Return the same of many samples, fitted together."""
    sds = state.sd_intercept, state.sd_slope
    many = Draws.of_many(seeds)
    glucose = draw_fibre(many, state.persons, GRAMS, LINE, sds, state.rho, SD_ERROR)[1]
    cov = covariance_of_many(glucose)
    return {"zero": correlation(cov), "origin": correlation(counted_from(_far(state), cov))}


def truth_of(state: State) -> dict[str, float]:
    """Return the true correlations, where there are such."""
    both = {"zero": state.cov, "origin": counted_from(_far(state), state.cov)}
    return {name: rho for name, cov in both.items() if np.isfinite(rho := correlation(cov))}


LAB = Lab(
    name="random-slopes", title="Random slopes",
    state=State, simulate=simulate, fit=fit, scene=scene,
    question=Place(
        "Each dot of the cloud is a person's line. Drag the pink one: her line swings. With how "
        "much fibre are all persons most alike?",
        panel="fan", axis="x", low=0, high=MAX_FIBRE, step=0.5, start=16, label="most alike",
        near=1.5, unit=" g",
    ),
    alt=(
        "Large: glucose of 40 persons after a meal without fibre, as dots from 6 to 10 mmol/l, and "
        "one person's falling line. Small: a cloud of dots, one a person; who starts high falls "
        "fastest."
    ),
    main=("rho", "origin"),
    goals=(
        Goal("No waist: let the lines part from the first gram",
             lambda state, data, fits: most_alike(fits.at_zero.cov) == 0, {"rho": 0.5}),
        Goal("Let all lines meet in one point",
             lambda state, data, fits: sd_of_lines(fits.at_zero.cov, FINE).min() < 0.05
             and not are_parallel(fits.at_zero.cov), {"rho": -1.0}),
        Goal("Parallel lines: a random intercept says it all",
             lambda state, data, fits: are_parallel(fits.at_zero.cov), {"sd_slope": 0.0}),
        Goal("Move x = 0 until level and slope do not correlate",
             lambda state, data, fits: state.origin > 0
             and abs(correlation(fits.at_origin.cov)) < 0.05, {"origin": 8.0}),
    ),
    statistics=(
        Statistic("zero", "x = 0 at 0 g", "model", lifts="cloud/fitted"),
        Statistic("origin", "x = 0 where you put it, or at 20 g", "yours", lifts="cloud/fitted"),
    ),
    statistics_label="estimated correlation of level and slope",
    measure=measure, measure_many=measure_many, truth_of=truth_of,
)  # fmt: skip
