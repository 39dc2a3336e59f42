"""Within and between: a stress diary, clouds of persons gathered by hand, and four slopes.

``within_between.model.md`` says in a teacher's words what is simulated, fitted and simplified.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedlab.labs.kit.bet import Place
from mixedlab.labs.kit.lab import Goal, Lab, Statistic
from mixedlab.labs.kit.scene import Scene
from mixedlab.labs.kit.words import number, percent
from mixedlab.labs.within_between_fit import PERSONS, TILT, Fits, State, fit, simulate
from mixedlab.labs.within_between_panels import clouds_panel, slopes_panel
from mixedlab.simulate.scenario import Simulated

Array = NDArray[np.float64]


def long_run(state: State, made: Simulated) -> dict[str, float]:
    """Return what each slope would be with persons without end."""
    true = {name: float(made.truth[f"slope_{name}"]) for name in ("aggregated", "pooled")}
    blend = {"model": float(made.truth["slope_random_intercept"]), "naive": true["pooled"]}
    if state.centring == "person":  # nothing is left between persons
        blend = dict.fromkeys(blend, state.within)
    return {"within": state.within, "between": true["aggregated"], **blend}


def scene(state: State, data: tuple[Simulated, str], fits: Fits) -> Scene:
    """Describe the clouds and the slopes."""
    model, tends = fits.random_intercept, long_run(state, data[0])
    means = tends["between"]
    told = (
        f"{PERSONS} persons, {state.prompts} answers each: support from {number(fits.x.min(), 1)} "
        f"to {number(fits.x.max(), 1)}, stress from {number(fits.y.min(), 1)} to "
        f"{number(fits.y.max(), 1)} points."
    )
    outcome = (
        f"Slope within persons {number(fits.within)}; between persons {number(fits.between)}, "
        f"which is also the aggregated slope, that of their means. One slope for all: "
        f"{number(fits.naive)} for all dots at once, {number(model.slope)} with a random "
        f"intercept, which weighs the slope between by {percent(model.weight_between)}."
    )
    truth = f"{number(state.within, 1)} within, {number(state.between, 1)} between"
    fall_short = abs(means - state.between) > 0.1
    return Scene(
        panels=[clouds_panel(state, fits), slopes_panel(state, fits.slopes, tends)],
        ask="Each dot is one answer to the phone: support just received, and stress now. "
        f"{PERSONS} persons gave {state.prompts} each. Tilt the pink line: how does one person's "
        "stress change when she gets more support?",
        headline=_verdict(fits),
        headline_truth=(
            f"the means lead to {number(means)}, not {number(state.between, 1)}"
            if fall_short
            else f"truly {truth}"
        ),
        answer=fits.within,
        summary=f"{told} {outcome}",
        summary_before=told,
        outcome=outcome,
        outcome_truth=(
            f"True slopes: {truth}. In the long run the means give {number(means)}: a mean of "
            f"{state.prompts} prompts still carries some of the slope within."
        ),
    )  # fmt: skip


def _agree(fits: Fits) -> bool:
    return np.ptp(list(fits.slopes.values())) < 0.15


def _verdict(fits: Fits) -> str:
    if _agree(fits):
        return "one slope fits persons and moments alike"
    way = {-1: ("falls", "fall"), 0: ("is flat", "are flat"), 1: ("rises", "rise")}
    line, means = (int(np.sign(round(5 * v))) for v in (fits.within, fits.between))
    return f"each person's line {way[line][0]}, their means {way[means][1]}"


def measure(state: State, data: tuple[Simulated, str], fits: Fits) -> dict[str, float]:
    """Return the slopes."""
    return fits.slopes


LAB = Lab(
    name="within-between", title="Within and between",
    state=State, simulate=simulate, fit=fit, scene=scene,
    question=Place(
        "How does one person's stress change when she gets more support? Tilt the pink line.",
        panel="slopes", axis="x", low=-TILT, high=TILT, step=0.05, start=0, near=0.2,
        label="her slope", field="tilt",
    ),
    alt=(
        "80 grey dots, stress against support, both from 1 to 9: a cloud with hardly any slope, "
        "and through its middle a level pink line to be tilted."
    ),
    main=("prompts", "gather"), after_bet=("gather",),
    goals=(
        Goal("Make each line fall and the cloud of all dots rise",
             lambda state, data, fits: fits.within < -0.3 and fits.naive > 0.5,
             {"within": -0.6, "between": 1.2, "sd_means": 2.0}),
        Goal("Make each line rise and the means fall",
             lambda state, data, fits: fits.within > 0.3 and fits.between < -0.3,
             {"within": 0.8, "between": -0.7}),
        Goal("Make all four slopes agree",
             lambda state, data, fits: _agree(fits),
             {"within": -0.5, "between": -0.5}),
        Goal("Lead the random intercept to the slope within",
             lambda state, data, fits: (
                 abs(fits.within - fits.between) > 0.5
                 and abs(fits.within - fits.random_intercept.slope) < 0.05),
             {"prompts": 30}),
    ),
    statistics=(
        Statistic("within", "Within a person", "data", lifts="slopes/within"),
        Statistic("model", "Random intercept", "model", lifts="slopes/model"),
        Statistic("naive", "All dots at once", "own", lifts="clouds/naive"),
        Statistic("between", "Between persons", "everyone", lifts="clouds/between"),
    ),
    statistics_label="slope (points of stress a point of support)",
    measure=measure,
    truth_of=lambda state: {"within": state.within, "between": state.between},
    truth_label="Show the true slopes",
)  # fmt: skip
