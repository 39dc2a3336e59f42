"""Pseudoreplication: 200 studies of a drug that does nothing, tested in three ways.

``pseudoreplication.model.md`` says in a teacher's words what is simulated and simplified.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mixedlab.labs import balanced_tests
from mixedlab.labs.balanced_tests import TESTS, Studies, p_values, standard_errors, summarise
from mixedlab.labs.icc_panel import icc_seen_twice, pairs_of_one_group
from mixedlab.labs.kit.bet import Place
from mixedlab.labs.kit.lab import Goal, Lab, Statistic, choice, slider
from mixedlab.labs.kit.marks import bars, dots, each, lines, texts, upright
from mixedlab.labs.kit.panels import histograms
from mixedlab.labs.kit.scene import Axis, Panel, Scene
from mixedlab.labs.kit.words import listed, percent
from mixedlab.simulate.cells_in_donors import cells
from mixedlab.simulate.draws import Draws

Array = NDArray[np.float64]

N_STUDIES = 200
N_BINS = 20
ALPHA = 1 / N_BINS
MANY_CELLS = 500  # ten times the cells: what the bet is about
EDGE = 4.0  # the rare cell further out, in standard deviations, is drawn at the edge
CELLS_DRAWN = 480
LABELS = {"naive": "Cells as rows", "averaged": "Donor averages", "mixed": "Mixed model"}
MEANS = {"naive": "own", "averaged": "data", "mixed": "model"}


@dataclass(frozen=True)
class State:
    """The controls."""

    donors: int = slider(6, 4, 40, 2, "Donors", help="half of them, or half of each, is treated")
    cells: int = slider(50, 4, MANY_CELLS, 2, "Cells a donor")
    icc: float = slider(
        0.1, 0, 0.9, 0.01, "ICC", help="share of the variance that lies between donors"
    )
    design: str = choice(
        "between", {"between": "between donors", "within": "within donors"}, "Drug varies"
    )
    sd_effect: float = slider(
        0.0, 0, 0.5, 0.05, "Effect differs by donor", "sd", help="only where it varies within them"
    )
    seed: int = 1


@dataclass(frozen=True)
class Data:
    """One study's cells (J, n), its donors' effects (J,), and pairs of cells of one donor (2, 150).

    ``study`` has the sums of squares of that one study, ``studies`` those of 200 others, ``bet``
    those of the 200 with 500 cells a donor. Expression is in standard deviations.
    """

    expression: Array
    donor_effect: Array
    study: Studies
    studies: Studies
    bet: Studies
    pairs: Array


def simulate(state: State) -> Data:
    """Draw one study cell by cell, 200 by their sums of squares, and pairs of cells."""
    effect, expression = _one_study(state, state.seed)
    return Data(
        expression, effect, summarise(expression[None], state.design), null_studies(state),
        null_studies(replace(state, cells=MANY_CELLS)), pairs_of_one_group(state.icc, state.seed),
    )  # fmt: skip


def _one_study(state: State, seed: int) -> tuple[Array, Array]:
    """Draw each donor's effect (J,) and cells (J, n); odd donors, or odd cells, are treated."""
    one = cells(state.donors, state.cells, state.icc, mean=0.0, seed=seed)
    expression = one["expression"].reshape(state.donors, state.cells)
    if state.design == "within":
        drug = state.sd_effect * Draws(seed).normal("effect", np.arange(state.donors))
        expression = expression + drug[:, None] * (np.arange(state.cells) % 2 - 0.5)
    return one.truth["b"], expression


@lru_cache(maxsize=8)  # those of the bet are the same for any number of cells
def null_studies(state: State) -> Studies:
    """Draw what the tests need of 200 studies in which the drug does nothing on average."""
    return balanced_tests.draw_studies(
        N_STUDIES, state.design, state.donors, state.cells, state.icc, Draws(state.seed),
        state.sd_effect,
    )  # fmt: skip


def fit(data: Data) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """Test the one study, the 200, and the 200 of the bet in three ways: p values by test."""
    return p_values(data.study), p_values(data.studies), p_values(data.bet)


def alarms(p: dict[str, Array]) -> dict[str, float]:
    """Return the share of studies in which each test alarms."""
    return {test: float((p[test] < ALPHA).mean()) for test in TESTS}


def _naive(fits) -> float:
    return alarms(fits[1])["naive"]


def design_effect(state: State) -> float:
    """Return how much the variance of a mean of cells grows since they share donors."""
    return 1 + (state.cells - 1) * state.icc


def true_variance(state: State) -> float:
    """Return what the variance of one cell must be for the difference to have its true sd.

    Between donors it is the design effect; within them the donors cancel, but not their own
    effects of the drug.
    """
    if state.design == "between":
        return design_effect(state)
    return 1 - state.icc + state.cells * state.sd_effect**2 / 4


def worth(state: State) -> float:
    """Return the number of independent cells that would tell the difference as well."""
    return state.donors * state.cells / true_variance(state)


def scene(state: State, data: Data, fits) -> Scene:
    """Describe the alarms of three tests, their p values, the donors of one study, and the ICC."""
    one, many, bet = fits
    share, n = alarms(many), state.donors * state.cells
    correlation = float(np.corrcoef(data.pairs)[0, 1])
    told = (
        f"{state.donors} donors, {state.cells} cells each; the drug varies {state.design} donors "
        f"and does nothing on average. Two cells of one donor correlate {correlation:.2f}."
    )
    said = [f"{round(N_STUDIES * share[t])} ({percent(share[t], 1)}) {LABELS[t]}" for t in TESTS]
    outcome = f"False alarms in {N_STUDIES} studies: {listed(said)}."
    truth = (
        f"An honest test gives {percent(ALPHA)}. For this comparison {n} cells are worth "
        f"{worth(state):.0f} independent ones."
    )
    if state.design == "between" and state.icc:
        truth += (
            f" Design effect 1 + ({state.cells} - 1) x {state.icc:g} = {design_effect(state):.1f}; "
            f"however many cells, never more than {state.donors} / {state.icc:g} = "
            f"{state.donors / state.icc:.0f}."
        )
    return Scene(
        panels=[
            _alarms_panel(share), _donors_panel(state, data), _p_panel(one, many),
            icc_seen_twice(state.icc, data.pairs, "cell", "donor"),
        ],
        ask=_question(state),
        headline=_verdict(share),
        headline_truth=f"{n} cells are worth {worth(state):.0f} independent ones",
        answer=100 * alarms(bet)["naive"],
        summary=f"{told} {outcome}", summary_before=told, outcome=outcome, outcome_truth=truth,
    )  # fmt: skip


def _question(state: State) -> str:
    half = "the donors" if state.design == "between" else "each donor's cells"
    return (
        f"Half of {half} get a drug that does nothing. A t test with each cell as a row promises "
        f"{percent(ALPHA)} false alarms. Take {MANY_CELLS} cells of each of {state.donors} donors, "
        f"not {state.cells}: how often does it alarm?"
    )


def _verdict(share: dict[str, float]) -> str:
    wrong = max(share, key=lambda test: abs(share[test] - ALPHA))
    if abs(share[wrong] - ALPHA) < 0.03:
        return "all three keep what they promise"
    if share[wrong] < ALPHA:
        return f"cells as rows alarm in {percent(share['naive'])} only"
    return f"{percent(share[wrong])} false alarms"


def _alarms_panel(share: dict[str, float]) -> Panel:
    at, promise = 100 * ALPHA, f"promised: {percent(ALPHA)}"
    marks = [upright("guide", at, -0.5, 2.5, hover=[promise]),
             texts("guide", at + 1.5, 2.44, promise, anchor="start", key="promise")]  # fmt: skip
    for row, test in zip((2, 1, 0), TESTS, strict=True):
        value = 100 * share[test]
        look = {"key": test, "stage": "estimate"}
        marks += [
            bars(MEANS[test], [test], 0, value, row - 0.3, row + 0.3,
                 hover=[f"{LABELS[test]}: {percent(share[test], 1)} false alarms"], **look),
            texts(MEANS[test], max(value, 100 * ALPHA) + 1.5, row, f"{percent(share[test])}",
                  anchor="start", stage="estimate", key=f"{test}-share"),
        ]  # fmt: skip
    return Panel(
        "alarms", f"Studies that call the drug active, of {N_STUDIES}",
        Axis.ticked("false alarms (%)", 0, 108, (0, 25, 50, 75, 100)),
        Axis.names(list(LABELS.values())), marks, hero=True,
    )  # fmt: skip


def _p_panel(one: dict[str, Array], many: dict[str, Array]) -> Panel:
    its_own = [
        dots("yours", None, one[t], [2 - i], key=f"one-{t}", stage="estimate", shape="triangle",
             size=4.5, hover=[f"the one study: p = {one[t][0]:.3g}"])
        for i, t in enumerate(TESTS)
    ]  # fmt: skip
    rows = [(MEANS[t], "", many[t]) for t in TESTS]
    panel = histograms(
        "p", f"p values of {N_STUDIES} studies", Axis.ticked("p value", 0, 1, (ALPHA, 0.5, 1)),
        rows, np.linspace(0, 1, N_BINS + 1), lit=ALPHA, honest=ALPHA, more=its_own,
    )  # fmt: skip
    at = {2.3 - i: label for i, label in enumerate(LABELS.values())}  # in the rows is no room
    return replace(panel, y=Axis.ticked("", panel.y.low, panel.y.high, at))


def _donors_panel(state: State, data: Data) -> Panel:
    J, n = data.expression.shape
    drawn = min(n, max(4, CELLS_DRAWN // J))
    cell = np.arange(drawn)
    shown = np.clip(data.expression[:, :drawn], -EDGE, EDGE)
    # All donors share one width, so that the axis stays where donors come and go.
    middle = (np.arange(J) + 0.5) / J
    x = middle[:, None] + 0.62 / J * ((cell + 1) * 0.618034 % 1 - 0.5)
    who = np.arange(J)[:, None] if state.design == "between" else cell[None]
    treated = np.broadcast_to(who % 2 == 1, x.shape)
    names = np.array([[f"{j}-{k}" for k in cell] for j in range(1, J + 1)])
    donors, means = [str(j) for j in range(1, J + 1)], data.expression.mean(axis=1)
    level = np.clip(means, -EDGE, EDGE)[:, None] * np.ones(2)
    halves = (~treated, "control", "circle"), (treated, "treated", "triangle")
    marks = [
        *(
            dots("data", names[who], x[who], shown[who], key=name, name=f"{name} cell", size=2,
                 shape=shape, opacity=0.6, starts_from="top")
            for who, name, shape in halves
        ),
        lines("own", donors, middle[:, None] + np.array([-0.4, 0.4]) / J, level, key="means",
              name="donor's mean", width=3, hover=each("donor {}: mean {:.2f}", donors, means)),
        dots("truth", donors, middle, np.clip(data.donor_effect, -EDGE, EDGE),
             name="donor's true mean", size=4.5 if J <= 12 else 3,
             hover=each("donor {}: truly {:.2f}", donors, data.donor_effect)),
    ]  # fmt: skip
    few = 1 if J <= 10 else 5
    ticks = {m: d for m, d in zip(middle, donors, strict=True) if d == "1" or int(d) % few == 0}
    return Panel(
        "donors", "One study" if drawn == n else f"One study ({drawn} cells of {n} drawn)",
        Axis.ticked("donor", 0, 1, ticks),
        Axis.ticked("expression (sd)", -EDGE, EDGE, (-4, -2, 0, 2, 4)), marks,
    )  # fmt: skip


def measure_many(state: State, seeds: Sequence[int]) -> dict[str, Array]:
    """Return the standard error that each test claims, in studies drawn cell by cell."""
    stack = np.stack([_one_study(state, seed)[1] for seed in seeds])
    return standard_errors(summarise(stack, state.design))


def truth_of(state: State) -> dict[str, float]:
    """Return the true standard deviation of the difference."""
    sd = float(np.sqrt(4 * true_variance(state) / (state.donors * state.cells)))
    return dict.fromkeys(TESTS, sd)


LAB = Lab(
    name="pseudoreplication", title="Pseudoreplication",
    state=State, simulate=simulate, fit=fit, scene=scene,
    question=Place(
        "Ten times the cells of the same donors: in how many studies does the t test alarm?",
        panel="alarms", axis="x", low=0, high=100, step=1, start=50,
        label="false alarms", near=8, unit=" %",
    ),
    alt=(
        "Expression of 300 cells in strips, 50 from each of six donors, whose means differ a "
        "little; 150 pairs of cells of one donor, barely correlated; and an empty chart of alarms."
    ),
    main=("cells", "donors"),
    reveal={"cells": MANY_CELLS},
    goals=(
        Goal("Make the naive test right without touching the ICC",
             lambda state, data, fits: state.icc >= 0.1 and abs(_naive(fits) - ALPHA) < 0.03,
             {"design": "within", "icc": 0.1}),
        Goal("Make cells as rows too careful",
             lambda state, data, fits: _naive(fits) <= 0.015, {"design": "within", "icc": 0.5}),
        Goal("Fool the mixed model, too",
             lambda state, data, fits: alarms(fits[1])["mixed"] > 0.15,
             {"design": "within", "sd_effect": 0.5}),
    ),
    statistics=[Statistic(t, LABELS[t], MEANS[t], lifts="donors/means") for t in TESTS],
    statistics_label="claimed standard error (sd)",
    measure_many=measure_many, truth_of=truth_of,
    truth_label="Show what theory says", new_sample_label="200 new studies",
)  # fmt: skip
