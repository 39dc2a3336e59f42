"""Random slopes: fibre and glucose, a fan of persons, and what moving the zero of x changes.

``random_slopes.model.md`` says in a teacher's words what is simulated, fitted and simplified.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.balanced import RandomCoefficients, random_coefficients
from mixedlab.labs.lab import Lab, Preset, Question, Statistic, slider
from mixedlab.labs.scene import Axis, Bands, Cells, Dots, Drag, Lines, Mark, Panel, Scene
from mixedlab.simulate.fibre_response import fibre, slope_covariance
from mixedlab.simulate.scenario import Simulated

Array = NDArray[np.float64]

MAX_FIBRE = 20.0
N_MEALS = 5
SD_ERROR = 0.3
DRAWN = 40  # persons who are drawn; all are fitted
FINE = np.linspace(0, MAX_FIBRE, 41)
CIRCLE = np.linspace(0, 2 * np.pi, 61)
HOLDS_95 = 5.991**0.5  # radius of the ellipse that holds 95 % of a bivariate normal


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


@dataclass(frozen=True)
class Fits:
    """The same data fitted with x counted from 0 g and from the reader's zero.

    ``covariance`` is that of the glucose after two meals, over persons, shape (5, 5).
    """

    at_zero: RandomCoefficients
    at_origin: RandomCoefficients
    covariance: Array


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


def meals(data: Simulated) -> tuple[Array, Array, Array]:
    """Return grams and x of the meals, shape (5,), and glucose, shape (persons, 5)."""
    return data["fibre"][:N_MEALS], data["x"][:N_MEALS], data["glucose"].reshape(-1, N_MEALS)


def fit(data: Simulated) -> Fits:
    """Fit glucose ~ x + (x | person) by REML, twice: only the zero of x differs."""
    grams, x, glucose = meals(data)
    ones = np.ones(N_MEALS)
    return Fits(
        at_zero=random_coefficients(glucose, np.column_stack([ones, grams])),
        at_origin=random_coefficients(glucose, np.column_stack([ones, x])),
        covariance=np.cov(glucose, rowvar=False),
    )


def correlation(cov: Array) -> float:
    """Correlation of intercept and slope; NaN where one of them does not vary."""
    spread = np.sqrt(cov[0, 0] * cov[1, 1])
    return float(np.clip(cov[0, 1] / spread, -1, 1)) if spread > 1e-9 else np.nan


def narrowest(cov: Array) -> float:
    """The x at which lines differ least, -rho s0 / s1; NaN where all are parallel."""
    return float(-cov[0, 1] / cov[1, 1]) if cov[1, 1] > 1e-12 else np.nan


def sd_of_lines(cov: Array, x: Array) -> Array:
    """Standard deviation over persons of the height of their lines at x."""
    return np.sqrt(np.diag(slope_covariance(cov, x)).clip(0))


def scene(state: State, data: Simulated, fits: Fits) -> Scene:
    """Describe the fan, the cloud of level and slope, and the covariance of any two meals."""
    own = fits.at_zero.own
    zero = state.origin
    rhos = _both_zeros(zero, *(_number(correlation(f.cov)) for f in (fits.at_zero, fits.at_origin)))
    criteria = _both_zeros(zero, *(f"{f.criterion:.2f}" for f in (fits.at_zero, fits.at_origin)))
    told = (
        f"{state.persons} persons, {N_MEALS} meals each. At 0 g their own lines stand at "
        f"{own[:, 0].min():.1f} to {own[:, 0].max():.1f} mmol/l and change by "
        f"{_number(own[:, 1].min())} to {_number(own[:, 1].max())} a gram."
    )
    outcome = (
        f"{_closest(fits.at_zero.cov)} Correlation of level and slope: {rhos}. "
        f"REML criterion: {criteria}."
    )
    true_rhos = _both_zeros(
        zero, *(_number(correlation(c)) for c in (_true_cov_at_zero(state), data.truth["cov"]))
    )
    waist = data.truth["narrowest"]
    truth = f"True correlation: {true_rhos}. " + (
        f"True narrowest place: {_number(waist, 1)} g."
        if np.isfinite(waist)
        else "The true lines are parallel."
    )
    return Scene(
        panels=[
            _fan_panel(state, data, fits),
            _cloud_panel(data, fits),
            _covariance_panel(data, fits),
        ],
        summary=f"{told} {outcome}",
        summary_before=told,
        outcome=outcome,
        outcome_truth=truth,
    )


def _fan_panel(state: State, data: Simulated, fits: Fits) -> Panel:
    grams, _, glucose = meals(data)
    glucose = glucose[:DRAWN]
    persons = [f"person {i + 1}" for i in range(len(glucose))]
    lines = fits.at_zero.blup[:DRAWN]
    ends = lines[:, :1] + lines[:, 1:] * [0, MAX_FIBRE]
    mean = fits.at_zero.beta[0] + fits.at_zero.beta[1] * FINE
    reach = 2 * sd_of_lines(fits.at_zero.cov, FINE)
    fixef = data.truth["fixef"]
    true_mean = fixef["(Intercept)"] + fixef["x"] * (FINE - state.origin)
    true_reach = 2 * sd_of_lines(data.truth["cov"], FINE - state.origin)
    outline = np.array([true_mean - true_reach, true_mean + true_reach])
    everything = np.concatenate(
        [glucose.ravel(), ends.ravel(), mean - reach, mean + reach, outline.ravel()]
    )
    low, high = _round_range(everything, 4.0, 10.0, 2.0)
    waist, true_waist = (
        [at] if 0 <= at <= MAX_FIBRE else []
        for at in (narrowest(fits.at_zero.cov), data.truth["narrowest"])
    )
    waist_mean = [fits.at_zero.beta[0] + fits.at_zero.beta[1] * at for at in waist]
    waist_reach = [2 * sd_of_lines(fits.at_zero.cov, np.array([at]))[0] for at in waist]
    marks: list[Mark] = [
        Lines(
            key="zero",
            color="robust",
            name="x = 0 (drag it)",
            x=[[state.origin, state.origin]],
            y=[[low, high]],
            width=1.5,
        ),
        Bands(
            key="spread",
            color="partial",
            stage="estimate",
            name="mean and 2 sd, fitted",
            x=[FINE],
            low=[mean - reach],
            high=[mean + reach],
            opacity=0.16,
        ),
        Lines(
            key="persons",
            color="partial",
            stage="estimate",
            name="a person's line",
            keys=persons,
            x=[[0, MAX_FIBRE]] * len(lines),
            y=ends,
            width=1,
            opacity=0.55,
            hover=[
                f"{who}: {a:.1f} mmol/l at 0 g, {_number(b)} a gram"
                for who, (a, b) in zip(persons, lines, strict=True)
            ],
        ),
        *(
            Dots(
                key=f"meal-{g:g}",
                name="glucose after a meal",
                stage="estimate" if g else "data",
                keys=persons,
                x=np.full(len(glucose), g),
                y=glucose[:, i],
                size=2.5,
                opacity=0.8,
                hover=[
                    f"{who}, {g:g} g: {v:.1f} mmol/l"
                    for who, v in zip(persons, glucose[:, i], strict=True)
                ],
            )
            for i, g in enumerate(grams)
        ),
        Lines(
            key="mean",
            color="partial",
            stage="estimate",
            x=[[0, MAX_FIBRE]],
            y=[mean[[0, -1]]],
            width=3.5,
            hover=[f"population line: {mean[0]:.1f} at 0 g, {mean[-1]:.1f} at 20 g"],
        ),
        Lines(
            key="waist",
            color="none",
            stage="estimate",
            name="narrowest",
            x=[[at, at] for at in waist],
            y=[[m - r, m + r] for m, r in zip(waist_mean, waist_reach, strict=True)],
            width=4,
            hover=[f"narrowest at {at:.1f} g" for at in waist],
        ),
        Lines(
            key="true-spread",
            color="truth",
            stage="truth",
            name="true spread, true narrowest place",
            x=[FINE, FINE],
            y=outline,
            dashed=True,
        ),
        Lines(
            key="true-waist",
            color="truth",
            stage="truth",
            x=[[at, at] for at in true_waist],
            y=[[np.interp(at, FINE, edge) for edge in outline] for at in true_waist],
            dashed=True,
            width=2.5,
            hover=[f"true narrowest place: {at:.1f} g" for at in true_waist],
        ),
        Dots(
            key="handle",
            color="robust",
            x=[state.origin],
            y=[low],
            shape="triangle",
            size=7,
            hover=[f"x = 0 at {state.origin:g} g"],
            drag=[Drag("Where x = 0", x="origin")],
        ),
    ]
    return Panel(
        "fan",
        "A fan of persons",
        Axis("fibre (g a meal)", -0.8, MAX_FIBRE + 0.8, [(g, f"{g:g}") for g in grams]),
        Axis("glucose (mmol/l)", low, high),
        marks,
    )


def _cloud_panel(data: Simulated, fits: Fits) -> Panel:
    own = fits.at_origin.own[:DRAWN]
    fixef = data.truth["fixef"]
    fitted = _ellipse(fits.at_origin.beta, fits.at_origin.cov)
    true = _ellipse(np.array([fixef["(Intercept)"], fixef["x"]]), data.truth["cov"])
    level, slope = np.concatenate([own, fitted, true]).T
    persons = [f"person {i + 1}" for i in range(len(own))]
    marks: list[Mark] = [
        Dots(
            key="persons",
            color="none",
            name="a person's own level and slope",
            keys=persons,
            x=own[:, 0],
            y=own[:, 1],
            size=3.5,
            hover=[
                f"{who}: level {a:.1f}, slope {_number(b)}"
                for who, (a, b) in zip(persons, own, strict=True)
            ],
        ),
        Lines(
            key="fitted",
            color="partial",
            stage="estimate",
            name="holds 95 % of persons, fitted",
            x=[fitted[:, 0]],
            y=[fitted[:, 1]],
            width=2.5,
            hover=[f"fitted correlation {_number(correlation(fits.at_origin.cov))}"],
        ),
        Lines(
            key="true",
            color="truth",
            stage="truth",
            x=[true[:, 0]],
            y=[true[:, 1]],
            dashed=True,
            hover=[f"true correlation {_number(correlation(data.truth['cov']))}"],
        ),
    ]
    return Panel(
        "cloud",
        "Level and slope",
        Axis("level where x = 0 (mmol/l)", *_round_range(level, 4.0, 10.0, 2.0)),
        Axis("slope (mmol/l a gram)", *_round_range(slope, -0.3, 0.2, 0.1)),
        marks,
        width=0.8,
    )


def _covariance_panel(data: Simulated, fits: Fits) -> Panel:
    grams, x, _ = meals(data)
    theory = slope_covariance(data.truth["cov"], x, SD_ERROR)
    values = np.where(np.tri(N_MEALS, dtype=bool), fits.covariance, theory)
    reach = _round_up(max(np.abs(theory).max(), np.abs(fits.covariance).max(), 2.0))
    digits = 1 if reach > 5 else 2
    half = (grams[1] - grams[0]) / 2
    edges = np.append(grams - half, grams[-1] + half)
    ticks = [(g, f"{g:g}") for g in grams]
    marks: list[Mark] = [
        Cells(
            key="covariance",
            stage="estimate",
            x=edges,
            y=edges,
            values=np.round(values.T, digits) + 0.0,  # no "-0.00"
            low=-reach,
            high=reach,
            diverging=True,
            digits=digits,
            hover=[
                f"{g:g} g and {h:g} g: data {fits.covariance[i, j]:.2f}, formula {theory[i, j]:.2f}"
                for i, h in enumerate(grams)
                for j, g in enumerate(grams)
            ],
        ),
        Lines(
            key="stairs",
            stage="estimate",
            name="between formula (above) and data (below)",
            x=[np.repeat(edges, 2)[:-1]],
            y=[np.repeat(edges, 2)[1:]],
            width=2.5,
        ),
    ]
    return Panel(
        "covariance",
        "Formula above, data below",
        Axis("fibre of one meal (g)", edges[0], edges[-1], ticks),
        Axis("fibre of another meal (g)", edges[0], edges[-1], ticks),
        marks,
        width=1.2,
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
        at_g = f"{_number(at, 1)} g"
        return f"No waist between 0 and 20 g: the lines would be closest at {at_g}; {ends}."
    least = sd_of_lines(cov, np.array([at]))[0]
    return f"The lines are closest at {at:.1f} g: sd {least:.2f} there, {ends}."


def _ellipse(centre: Array, cov: Array) -> Array:
    """Outline of the ellipse that holds 95 % of a bivariate normal, shape (61, 2)."""
    d, U = np.linalg.eigh(cov)
    circle = np.column_stack([np.cos(CIRCLE), np.sin(CIRCLE)])
    return centre + HOLDS_95 * (circle * np.sqrt(d.clip(0))) @ U.T


def _round_range(values: Array, low: float, high: float, step: float) -> tuple[float, float]:
    """Widen a range in whole steps until it holds all values, so that it seldom moves."""
    beyond = [np.floor(values.min() / step) * step, np.ceil(values.max() / step) * step]
    return min(low, round(float(beyond[0]), 9)), max(high, round(float(beyond[1]), 9))


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50, ..."""
    unit = 10.0 ** np.floor(np.log10(value))
    return float(next(unit * m for m in (1, 2, 5, 10) if unit * m >= value))


def _both_zeros(origin: float, at_zero: str, at_origin: str) -> str:
    """Put what holds with x = 0 at 0 g beside what holds at the reader's zero."""
    if origin == 0:
        return f"{at_zero} with x = 0 at 0 g"
    return f"{at_zero} with x = 0 at 0 g, {at_origin} with x = 0 at {origin:g} g"


def _number(value: float, digits: int = 2) -> str:
    """Write a number, or that a correlation is none."""
    if not np.isfinite(value):
        return "none (no spread)"
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


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
