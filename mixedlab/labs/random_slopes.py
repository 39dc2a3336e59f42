"""Random slopes: fibre and glucose, a fan of persons, and what moving the zero of x changes.

``random_slopes.model.md`` says in a teacher's words what is simulated, fitted and simplified.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.labs.kit.lab import Lab, Preset, Question, Statistic, slider
from mixedlab.labs.kit.scene import Scene
from mixedlab.labs.random_slopes_fit import (
    MAX_FIBRE,
    N_MEALS,
    SD_ERROR,
    Fits,
    correlation,
    fit,
    narrowest,
    sd_of_lines,
)
from mixedlab.labs.random_slopes_panels import cloud_panel, covariance_panel, fan_panel, number
from mixedlab.simulate.fibre_response import fibre
from mixedlab.simulate.scenario import Simulated

Array = NDArray[np.float64]


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
    seed: int = 3


def simulate(state: State) -> Simulated:
    """Draw the glucose of each person after meals with 0 to 20 g of fibre."""
    return fibre(
        n_persons=state.persons,
        n_meals=N_MEALS,
        sd_intercept=state.sd_intercept,
        sd_slope=state.sd_slope,
        rho=state.rho,
        sd_error=SD_ERROR,
        max_fibre=MAX_FIBRE,
        origin=state.origin,
        seed=state.seed,
    )


def scene(state: State, data: Simulated, fits: Fits) -> Scene:
    """Describe the fan, the cloud of level and slope, and the covariance of any two meals."""
    own = fits.at_zero.own
    zero = state.origin
    rhos = _both_zeros(zero, *(number(correlation(f.cov)) for f in (fits.at_zero, fits.at_origin)))
    criteria = _both_zeros(zero, *(f"{f.criterion:.2f}" for f in (fits.at_zero, fits.at_origin)))
    told = (
        f"{state.persons} persons, {N_MEALS} meals each. At 0 g their own lines stand at "
        f"{own[:, 0].min():.1f} to {own[:, 0].max():.1f} mmol/l and change by "
        f"{number(own[:, 1].min())} to {number(own[:, 1].max())} a gram."
    )
    outcome = (
        f"{_closest(fits.at_zero.cov)} Correlation of level and slope: {rhos}. "
        f"REML criterion: {criteria}."
    )
    true_rhos = _both_zeros(
        zero, *(number(correlation(c)) for c in (_true_cov_at_zero(state), data.truth["cov"]))
    )
    waist = data.truth["narrowest"]
    truth = f"True correlation: {true_rhos}. " + (
        f"True narrowest place: {number(waist, 1)} g."
        if np.isfinite(waist)
        else "The true lines are parallel."
    )
    return Scene(
        panels=[
            fan_panel(state.origin, data, fits),
            cloud_panel(data, fits),
            covariance_panel(data, fits),
        ],
        summary=f"{told} {outcome}",
        summary_before=told,
        outcome=outcome,
        outcome_truth=truth,
    )


def measure(state: State, data: Simulated, fits: Fits) -> dict[str, float]:
    """Return the estimated correlation with both zeros of x."""
    return {"zero": correlation(fits.at_zero.cov), "origin": correlation(fits.at_origin.cov)}


def truth_of(state: State) -> dict[str, float]:
    """Return the true correlation with both zeros of x, where there is one."""
    at_zero = _true_cov_at_zero(state)
    move = np.array([[1.0, state.origin], [0.0, 1.0]])
    both = {"zero": correlation(at_zero), "origin": correlation(move @ at_zero @ move.T)}
    return {name: rho for name, rho in both.items() if np.isfinite(rho)}


def _true_cov_at_zero(state: State) -> Array:
    t01 = state.rho * state.sd_intercept * state.sd_slope
    return np.array([[state.sd_intercept**2, t01], [t01, state.sd_slope**2]])


def _closest(cov: Array) -> str:
    """Say where the fitted lines are closest, and how far apart there and at the ends."""
    at = narrowest(cov)
    start, end = sd_of_lines(cov, np.array([0, MAX_FIBRE]))
    ends = f"sd {start:.2f} mmol/l at 0 g and {end:.2f} at 20 g"
    if not np.isfinite(at):
        return f"The fitted lines are parallel: {ends}."
    if not 0 <= at <= MAX_FIBRE:
        at_g = f"{number(at, 1)} g"
        return f"No waist between 0 and 20 g: the lines would be closest at {at_g}; {ends}."
    least = sd_of_lines(cov, np.array([at]))[0]
    return f"The lines are closest at {at:.1f} g: sd {least:.2f} there, {ends}."


def _both_zeros(origin: float, at_zero: str, at_origin: str) -> str:
    """Put what holds with x = 0 at 0 g beside what holds at the reader's zero."""
    if origin == 0:
        return f"{at_zero} with x = 0 at 0 g"
    return f"{at_zero} with x = 0 at 0 g, {at_origin} with x = 0 at {origin:g} g"


LAB = Lab(
    name="random-slopes",
    title="Random slopes",
    state=State,
    simulate=simulate,
    fit=fit,
    scene=scene,
    question=Question(
        "Under 'Level and slope' each dot is a person: the glucose level at 0 g of fibre, and how "
        "it changes with each gram. Draw their lines in your mind. With how much fibre are the "
        "persons most alike?",
        (
            "0 g: fibre can only drive them apart",
            "About 8 g: in between",
            "20 g: by then the high ones have come down",
            "Never: they differ by the same everywhere",
        ),
    ),
    alt=(
        "Left: glucose of 40 persons after a meal without fibre, as dots from 6 to 10 mmol/l. "
        "Middle: a cloud of dots, one a person; who starts high falls fastest. Right: an empty "
        "map of covariances."
    ),
    presets=(
        Preset(
            "Zero at the waist",
            {"origin": 8.0},
            "The same meals and the same lines. Counted from 8 g, level and slope do not "
            "correlate at all.",
        ),
        Preset(
            "No waist",
            {"rho": 0.5},
            "The other outcome: who starts high falls least. The fan opens from the first gram.",
        ),
        Preset(
            "Parallel lines",
            {"sd_slope": 0.0},
            "All slopes alike: a random intercept says it all. Every covariance is the same.",
        ),
        Preset(
            "400 persons",
            {"persons": 400},
            "With many persons the map mirrors itself: the formula is right.",
        ),
    ),
    statistics=(
        Statistic("zero", "x = 0 at 0 g", "partial"),
        Statistic("origin", "x = 0 where you put it", "robust"),
    ),
    statistics_label="estimated correlation of level and slope",
    measure=measure,
    truth_of=truth_of,
    truth_label="Show the truth",
)
