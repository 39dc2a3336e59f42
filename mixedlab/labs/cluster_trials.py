"""Cluster-randomised trials: one budget, spent on more villages or on more people in each.

``cluster_trials.model.md`` says in a teacher's words what is simulated and simplified.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.labs.balanced_tests import Studies, draw_studies, standard_errors
from mixedlab.labs.kit.bet import Place
from mixedlab.labs.kit.lab import Goal, Lab, Statistic, slider
from mixedlab.labs.kit.marks import bars, dots, each, level, lines, texts, upright
from mixedlab.labs.kit.scene import Axis, Drag, Mark, Panel, Scene
from mixedlab.labs.kit.words import count, percent
from mixedlab.simulate.draws import Draws

Array = NDArray[np.float64]

FEWEST, MOST = 2, 40  # villages an arm
ALPHA, WANTED = 0.05, 0.8
N_NULL = 300  # trials of a treatment that does nothing
PLANS = {"plan": "as planned", "people": "twice the people", "villages": "twice the villages"}
LOOKS = {"plan": "yours", "people": "own", "villages": "model"}
# Student's t at 97.5 %, where the expansion is too coarse (Abramowitz and Stegun, table 26.10).
FEW_DF = {2: 4.3026527, 4: 2.7764451, 6: 2.4469119, 8: 2.3060041}
SCALES = np.linspace(0.015, 3.5, 160)  # of the estimated standard error over the true one


@dataclass(frozen=True)
class State:
    """The controls."""

    villages: int = slider(8, FEWEST, MOST, 1, "Villages an arm")
    budget: int = slider(240, 80, 2000, 40, "People an arm", help="what the budget pays for")
    icc: float = slider(0.1, 0, 0.3, 0.01, "ICC", help="share of the variance between villages")
    effect: float = slider(0.35, 0, 1, 0.05, "True effect", "sd")
    seed: int = 1

    @property
    def people(self) -> int:
        """People in each village."""
        return max(2, round(self.budget / self.villages))


def design(state: State, plan: str) -> tuple[int, int]:
    """Return the villages an arm and the people in each, under a plan."""
    k, m = state.villages, state.people
    return {"plan": (k, m), "people": (k, 2 * m), "villages": (2 * k, m)}[plan]


def variance_of_mean(m: int | Array, icc: float) -> float | Array:
    """Variance of one village's mean of m people, when that of one person is 1."""
    return icc + (1 - icc) / m


def critical(df: int) -> float:
    """Return Student's t at 97.5 % on an even number of degrees of freedom.

    Beyond the first ones by the Cornish and Fisher expansion (Abramowitz and Stegun 1964, 26.7.5).
    """
    if df in FEW_DF:
        return FEW_DF[df]
    z = 1.959963985
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / df ** (i + 1) for i, term in enumerate(terms))


def power(k: int, m: float, icc: float, effect: float) -> float:
    """Return the power of the t test of village means, k villages of m people an arm.

    The noncentral t: the estimated standard error over the true one is a chi over the root of its
    degrees of freedom, and given that the estimate is normal.
    """
    df = 2 * k - 2
    true_se = math.sqrt(2 * variance_of_mean(m, icc) / k)
    logs = (df - 1) * np.log(SCALES) - df * SCALES**2 / 2
    weight = np.exp(logs - logs.max())
    away, wall = effect / true_se, critical(df) * SCALES
    found = np.array([_tail(w - away) + _tail(w + away) for w in wall.tolist()])
    return float(weight @ found / weight.sum())


def _tail(z: float) -> float:
    return math.erfc(z / math.sqrt(2)) / 2


@dataclass(frozen=True)
class Data:
    """Village means of one trial (2, k): control and treated; and trials without an effect."""

    means: Array
    nulls: Studies


def simulate(state: State) -> Data:
    """Draw one trial by its village means, and 300 in which the treatment does nothing."""
    nulls = draw_studies(
        N_NULL, "between", 2 * state.villages, state.people, state.icc, Draws(state.seed)
    )
    return Data(_means(state, "plan", state.seed), nulls)


def _means(state: State, plan: str, seed: int) -> Array:
    k, m = design(state, plan)
    z = Draws(seed).normal("village", np.arange(2)[:, None], np.arange(k))
    return np.array([[0.0], [state.effect]]) + np.sqrt(variance_of_mean(m, state.icc)) * z


def fit(data: Data) -> dict[str, float]:
    """Return the share of trials without an effect in which each test alarms."""
    k, m = data.means.shape[1], data.nulls.cells
    walls = {"naive": critical(2 * k * m - 2), "averaged": critical(2 * k - 2)}
    se = standard_errors(data.nulls)
    return {
        test: float((np.abs(data.nulls.difference) > wall * se[test]).mean())
        for test, wall in walls.items()
    }


def powers(state: State) -> dict[str, float]:
    """Return each plan's power."""
    return {plan: power(*design(state, plan), state.icc, state.effect) for plan in PLANS}


def scene(state: State, data: Data, fits: dict[str, float]) -> Scene:
    """Describe the power of three plans, one trial, the budget line, and false alarms."""
    now = powers(state)
    k, m = state.villages, state.people
    told = (
        f"{k} villages an arm, {m} people in each. The trial finds a true effect of "
        f"{state.effect:g} sd in {percent(now['plan'])} of its repetitions."
    )
    outcome = (
        f"Twice the people in each village: {percent(now['people'])}. Twice the villages: "
        f"{percent(now['villages'])}. Both plans cost the same in people."
    )
    ceiling = power(k, 1e9, state.icc, state.effect)
    truth = (
        f"With everybody in these {k} villages it would be {percent(ceiling)}. A test with people "
        f"as rows alarms in {percent(fits['naive'])} of trials without an effect."
    )
    return Scene(
        panels=[
            _power_panel(state, now, ceiling), _budget_panel(state, now), _trial_panel(state, data),
            _alarms_panel(fits),
        ],
        ask=f"{k} villages an arm, {m} people in each: {percent(now['plan'])} power. Your budget "
        "doubles, and you take twice the people in each village. What is the power now?",
        headline=f"{percent(now['people'])}; with twice the villages {percent(now['villages'])}",
        headline_truth=f"everybody in these villages: {percent(ceiling)}",
        answer=100 * now["people"],
        summary=f"{told} {outcome}", summary_before=told, outcome=outcome, outcome_truth=truth,
    )  # fmt: skip


def _power_panel(state: State, now: dict[str, float], ceiling: float) -> Panel:
    marks: list[Mark] = [
        upright("guide", 100 * WANTED, -0.5, 2.5, key="wanted"),
        upright("truth", 100 * ceiling, 0.5, 2.5, key="ceiling",
                hover=[f"everybody in these villages: {percent(ceiling)}"]),
    ]  # fmt: skip
    for row, (plan, value) in zip((2, 1, 0), now.items(), strict=True):
        k, m = design(state, plan)
        stage = "data" if plan == "plan" else "estimate"
        told = f"{count(k, 'village')} of {m} people: {percent(value)}"
        marks += [
            bars(LOOKS[plan], [plan], 0, 100 * value, row - 0.28, row + 0.28, key=plan,
                 stage=stage, hover=[told], starts_from="" if stage == "data" else "plan"),
            texts("guide" if stage == "data" else LOOKS[plan], 1, row - 0.44, told, anchor="start",
                  stage=stage, key=f"{plan}-text"),
        ]  # fmt: skip
    return Panel(
        "power", "How often the trial finds the effect",
        Axis.ticked("power (%)", 0, 100, (0, 20, 40, 60, 80, 100)),
        Axis.names(list(PLANS.values())), marks, hero=True,
    )  # fmt: skip


def _budget_panel(state: State, now: dict[str, float]) -> Panel:
    grid = [2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 26, 33, 40]
    curve = [100 * power(k, max(2.0, state.budget / k), state.icc, state.effect) for k in grid]
    here, at = 100 * now["plan"], state.villages
    marks = [
        lines("everyone", None, grid, [curve], key="line", stage="estimate", width=2.5),
        dots("yours", ["plan"], [at], [here], key="here", size=7, stage="data",
             hover=[f"{at} villages of {state.people} people: {here:.0f} %"],
             drag=[Drag("Move along the budget line", x="villages")]),
    ]  # fmt: skip
    return Panel(
        "budget", f"The same {state.budget} people an arm",
        Axis.ticked("villages an arm (drag)", 0, 42, (2, 10, 20, 30, 40)),
        Axis.ticked("power (%)", 0, 105, (0, 50, 100)), marks,
    )  # fmt: skip


def _trial_panel(state: State, data: Data) -> Panel:
    k = state.villages
    marks: list[Mark] = []
    for arm, (name, shape) in enumerate((("control", "circle"), ("treated", "triangle"))):
        beside = arm + 0.5 * ((np.arange(k) * 0.618034) % 1 - 0.5)
        means, keys = np.clip(data.means[arm], -1.4, 2.4), [f"{name} {i + 1}" for i in range(k)]
        marks += [
            dots("data", keys, beside, means, key=name, shape=shape, size=4,
                 hover=each("village {}: {:.2f} sd", keys, data.means[arm])),
            level("own", data.means[arm].mean(), arm - 0.35, arm + 0.35, key=f"{name}-mean",
                  width=3),
            level("truth", arm * state.effect, arm - 0.35, arm + 0.35, key=f"{name}-truth"),
        ]  # fmt: skip
    return Panel(
        "trial", "One trial: a dot a village",
        Axis.ticked("", -0.6, 1.6, {0: "control", 1: "treated"}),
        Axis.ticked("village's mean (sd)", -1.4, 2.4, (-1, 0, 1, 2)), marks,
    )  # fmt: skip


def _alarms_panel(fits: dict[str, float]) -> Panel:
    rows = (("naive", "people as rows", "own"), ("averaged", "village means", "data"))
    marks: list[Mark] = [upright("truth", 100 * ALPHA, -0.5, 1.5, hover=["promised: 5 %"])]
    for row, (test, label, look) in zip((1, 0), rows, strict=True):
        told = f"{label}: {percent(fits[test])} false alarms"
        marks.append(
            bars(look, [label], 0, 100 * fits[test], row - 0.3, row + 0.3, key=test,
                 stage="estimate", hover=[told])
        )  # fmt: skip
    return Panel(
        "alarms", f"False alarms in {N_NULL} trials without an effect",
        Axis.ticked("false alarms (%)", 0, 100, (0, 25, 50, 75, 100)),
        Axis.names([label for _, label, _ in rows]), marks, folded=True,
    )  # fmt: skip


def measure_many(state: State, seeds: Sequence[int]) -> dict[str, Array]:
    """Return the estimated effect under each plan in fresh trials, in sd."""
    found = {
        plan: [np.diff(_means(state, plan, seed).mean(axis=1))[0] for seed in seeds]
        for plan in PLANS
    }
    return {plan: np.array(values) for plan, values in found.items()}


LAB = Lab(
    name="cluster-trials", title="Cluster-randomised trials",
    state=State, simulate=simulate, fit=fit, scene=scene,
    question=Place(
        "Your budget doubles, and you take twice the people in each village. What is the power?",
        panel="power", axis="x", low=0, high=100, step=1, start=95,
        label="power", near=5, unit=" %", across=1,
    ),
    alt=(
        "A bar of the power of a trial with 8 villages of 30 people an arm, two empty rows for "
        "other plans, and the villages' means of one trial as dots, control and treated."
    ),
    main=("villages", "budget"),
    goals=(
        Goal("Reach 80 % power with no more people",
             lambda state, data, fits: state.budget <= 240 and powers(state)["plan"] >= WANTED,
             {"villages": 30}),
        Goal("Make twice the people as good as twice the villages",
             lambda state, data, fits: _nearly_equal(powers(state)), {"icc": 0.0}),
        Goal("Make people as rows alarm in half of the trials",
             lambda state, data, fits: fits["naive"] > 0.5, {"budget": 2000}),
    ),
    statistics=[Statistic(p, name, LOOKS[p], lifts=f"power/{p}") for p, name in PLANS.items()],
    statistics_label="estimated effect (sd)",
    measure_many=measure_many,
    truth_of=lambda state: dict.fromkeys(PLANS, state.effect),
    truth_label="Take everybody in the villages",
)  # fmt: skip


def _nearly_equal(now: dict[str, float]) -> bool:
    return 0.02 < now["plan"] < 0.95 and now["villages"] - now["people"] < 0.03
