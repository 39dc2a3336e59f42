"""The three pictures of the lab of random slopes: fan, cloud of coefficients, covariances."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedlab.labs.kit.scene import Axis, Bands, Cells, Dots, Drag, Lines, Mark, Panel
from mixedlab.labs.random_slopes_fit import (
    MAX_FIBRE,
    N_MEALS,
    SD_ERROR,
    Fits,
    correlation,
    meals,
    narrowest,
    sd_of_lines,
)
from mixedlab.simulate.fibre_response import slope_covariance
from mixedlab.simulate.scenario import Simulated

Array = NDArray[np.float64]

DRAWN = 40  # persons who are drawn; all are fitted
FINE = np.linspace(0, MAX_FIBRE, 41)
CIRCLE = np.linspace(0, 2 * np.pi, 61)
HOLDS_95 = 5.991**0.5  # radius of the ellipse that holds 95 % of a bivariate normal


def fan_panel(origin: float, data: Simulated, fits: Fits) -> Panel:
    """Draw each person's line, the band that holds them, its waist, and the handle where x = 0."""
    grams, _, glucose = meals(data)
    glucose = glucose[:DRAWN]
    persons = [f"person {i + 1}" for i in range(len(glucose))]
    lines = fits.at_zero.blup[:DRAWN]
    ends = lines[:, :1] + lines[:, 1:] * [0, MAX_FIBRE]
    mean = fits.at_zero.beta[0] + fits.at_zero.beta[1] * FINE
    reach = 2 * sd_of_lines(fits.at_zero.cov, FINE)
    fixef = data.truth["fixef"]
    true_mean = fixef["(Intercept)"] + fixef["x"] * (FINE - origin)
    true_reach = 2 * sd_of_lines(data.truth["cov"], FINE - origin)
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
            x=[[origin, origin]],
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
                f"{who}: {a:.1f} mmol/l at 0 g, {number(b)} a gram"
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
            x=[origin],
            y=[low],
            shape="triangle",
            size=7,
            hover=[f"x = 0 at {origin:g} g"],
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


def cloud_panel(data: Simulated, fits: Fits) -> Panel:
    """Draw each person's own level and slope, and the ellipses fitted and true."""
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
                f"{who}: level {a:.1f}, slope {number(b)}"
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
            hover=[f"fitted correlation {number(correlation(fits.at_origin.cov))}"],
        ),
        Lines(
            key="true",
            color="truth",
            stage="truth",
            x=[true[:, 0]],
            y=[true[:, 1]],
            dashed=True,
            hover=[f"true correlation {number(correlation(data.truth['cov']))}"],
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


def covariance_panel(data: Simulated, fits: Fits) -> Panel:
    """Draw the covariance of any two meals: the formula above the diagonal, the data below."""
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


def number(value: float, digits: int = 2) -> str:
    """Write a number, or that a correlation is none."""
    if not np.isfinite(value):
        return "none (no spread)"
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")
