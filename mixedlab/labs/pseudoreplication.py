"""Pseudoreplication: 200 studies of a drug that does nothing, tested in three ways.

``pseudoreplication.model.md`` says in a teacher's words what is simulated and simplified.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.labs.balanced_tests import (
    TESTS,
    Studies,
    draw_studies,
    p_values,
    standard_errors,
    summarise,
)
from mixedlab.labs.kit.lab import Lab, Preset, Question, Statistic, choice, slider
from mixedlab.labs.kit.scene import Axis, Bars, Dots, Lines, Mark, Panel, Scene, Texts
from mixedlab.simulate.cells_in_donors import cells
from mixedlab.simulate.draws import Draws

Array = NDArray[np.float64]

N_STUDIES = 200
N_PAIRS = 150
N_BINS = 20
ALPHA = 1 / N_BINS
EDGE = 4.0  # the rare cell further out, in standard deviations, is drawn at the edge
CELLS_DRAWN = 480
LABELS = {"naive": "Cells as rows", "averaged": "Donor averages", "mixed": "Mixed model"}
COLORS = {"naive": "naive", "averaged": "robust", "mixed": "partial"}


@dataclass(frozen=True)
class State:
    """The controls."""

    donors: int = slider(6, 4, 40, 2, "Donors", help="half of them, or half of each, is treated")
    cells: int = slider(50, 4, 500, 2, "Cells a donor")
    icc: float = slider(
        0.1, 0, 0.9, 0.01, "ICC", help="share of the variance that lies between donors"
    )
    design: str = choice(
        "between", {"between": "between donors", "within": "within donors"}, "Drug varies"
    )
    seed: int = 1


@dataclass(frozen=True)
class Data:
    """One study's cells, many studies' sums of squares, and pairs of cells of one donor.

    Attributes
    ----------
    expression : ndarray (J, n)
        In standard deviations, about the mean of all donors there are.
    donor_effect : ndarray (J,)
        What each donor adds.
    study, studies : Studies
        The sums of squares of that one study, and of 200 others.
    pairs : ndarray (2, 150)
        Two cells of each of 150 other donors.
    """

    expression: Array
    donor_effect: Array
    study: Studies
    studies: Studies
    pairs: Array


def simulate(state: State) -> Data:
    """Draw one study cell by cell, 200 by their sums of squares, and pairs of cells."""
    one = _one_study(state, state.seed)
    expression = one["expression"].reshape(state.donors, state.cells)
    return Data(
        expression,
        one.truth["b"],
        summarise(expression[None], state.design),
        null_studies(state),
        _pairs(state),
    )


def _one_study(state: State, seed: int):
    return cells(state.donors, state.cells, state.icc, mean=0.0, seed=seed)


def null_studies(state: State) -> Studies:
    """Draw what the tests need of 200 studies in which the drug does nothing."""
    return draw_studies(
        N_STUDIES, state.design, state.donors, state.cells, state.icc, Draws(state.seed)
    )


def _pairs(state: State) -> Array:
    draws = Draws(state.seed)
    donor = np.arange(N_PAIRS)
    shared = np.sqrt(state.icc) * draws.normal("pair donor", donor)
    return shared + np.sqrt(1 - state.icc) * draws.normal("pair", np.arange(2)[:, None], donor)


def fit(data: Data) -> tuple[dict[str, Array], dict[str, Array]]:
    """Test the one study and the 200 in three ways: p values by test."""
    return p_values(data.study), p_values(data.studies)


def design_effect(state: State) -> float:
    """Return how much the variance of a mean of cells grows since they share donors."""
    return 1 + (state.cells - 1) * state.icc


def true_variance(state: State) -> float:
    """Return what the variance of one cell must be for the difference to have its true sd.

    Between donors it is the design effect; within them the donors cancel.
    """
    return design_effect(state) if state.design == "between" else 1 - state.icc


def worth(state: State) -> float:
    """Return the number of independent cells that would tell the difference as well."""
    return state.donors * state.cells / true_variance(state)


def scene(state: State, data: Data, fits) -> Scene:
    """Describe the donors of one study, the ICC seen twice, and three histograms of p."""
    one, many = fits
    alarms = {test: int((many[test] < ALPHA).sum()) for test in TESTS}
    correlation = float(np.corrcoef(data.pairs)[0, 1])
    n = state.donors * state.cells
    told = (
        f"{state.donors} donors, {state.cells} cells each; the drug varies {state.design} donors "
        f"and does nothing. {state.icc:.0%} of the variance lies between donors; two cells of "
        f"one donor correlate {correlation:.2f}."
    )
    outcome = "False alarms in 200 studies: " + ", ".join(
        f"{alarms[test]} ({_percent(alarms[test])}) {words}"
        for test, words in (
            ("naive", "with cells as rows"),
            ("averaged", "with donor averages"),
            ("mixed", "with the mixed model"),
        )
    )
    outcome += f". For this comparison {n} cells are worth {worth(state):.0f} independent ones."
    return Scene(
        panels=[
            _donors_panel(state, data),
            _icc_panel(state, data, correlation),
            _p_panel(many, alarms, one),
        ],
        summary=f"{told} {outcome}",
        summary_before=told,
        outcome=outcome,
        outcome_truth=_theory(state),
    )


def _theory(state: State) -> str:
    promise = "An honest test gives 10 of 200 (5 %)"
    if state.design == "within":
        return (
            f"{promise}. Within donors the donors cancel: the variance of the difference is "
            f"{true_variance(state):.2f} of what cells as rows make of it."
        )
    limit = (
        f"however many cells, never more than {state.donors} / {state.icc:g} = "
        f"{state.donors / state.icc:.0f}"
        if state.icc
        else "with no ICC, every cell counts"
    )
    return (
        f"{promise}. Design effect 1 + ({state.cells} - 1) x {state.icc:g} = "
        f"{design_effect(state):.1f}; {limit}."
    )


def _percent(count: int) -> str:
    return f"{100 * count / N_STUDIES:.3g} %"


def _donors_panel(state: State, data: Data) -> Panel:
    J, n = data.expression.shape
    drawn = min(n, max(4, CELLS_DRAWN // J))
    cell = np.arange(drawn)
    shown = np.clip(data.expression[:, :drawn], -EDGE, EDGE)
    x = np.arange(1, J + 1)[:, None] + 0.62 * ((cell + 1) * 0.618034 % 1 - 0.5)
    if state.design == "between":
        treated = np.broadcast_to(np.arange(J)[:, None] % 2 == 1, x.shape)
    else:
        treated = np.broadcast_to(cell % 2 == 1, x.shape)
    names = np.array([[f"{j}-{k}" for k in cell] for j in range(1, J + 1)])
    means = data.expression.mean(axis=1)
    ends = np.arange(1, J + 1)[:, None] + np.array([-0.4, 0.4])
    few = 1 if J <= 10 else 5
    marks: list[Mark] = [
        *(
            Dots(
                key=name,
                color=color,
                name=f"{name} cell",
                keys=names[who].tolist(),
                x=x[who],
                y=shown[who],
                size=2.2,
                shape=shape,
                opacity=0.65,
            )
            for name, who, color, shape in (
                ("control", ~treated, "data", "circle"),
                ("treated", treated, "accent", "triangle"),
            )
        ),
        Lines(
            key="means",
            color="between",
            name="donor's mean",
            keys=[str(j) for j in range(1, J + 1)],
            x=ends,
            y=np.clip(means, -EDGE, EDGE)[:, None] * np.ones(2),
            width=3,
            hover=[f"donor {j}: mean {m:.2f}" for j, m in enumerate(means, 1)],
        ),
        Dots(
            key="true",
            color="truth",
            stage="truth",
            name="donor's true mean",
            keys=[str(j) for j in range(1, J + 1)],
            x=np.arange(1, J + 1),
            y=np.clip(data.donor_effect, -EDGE, EDGE),
            size=4.5,
            shape="diamond",
            filled=False,
            hover=[f"donor {j}: truly {b:.2f}" for j, b in enumerate(data.donor_effect, 1)],
        ),
    ]
    ticks = [(float(j), str(j)) for j in range(1, J + 1) if j == 1 or j % few == 0]
    return Panel(
        "donors",
        "One study" if drawn == n else f"One study ({drawn} cells of {n} drawn)",
        Axis("donor", 0.3, J + 0.7, ticks),
        Axis("expression (sd)", -EDGE, EDGE),
        marks,
    )


def _icc_panel(state: State, data: Data, correlation: float) -> Panel:
    first, second = np.clip(data.pairs, -EDGE, EDGE)
    left, right = -3.6, 3.6
    split = left + state.icc * (right - left)
    marks: list[Mark] = [
        Dots(
            key="pairs",
            color="data",
            x=first,
            y=second,
            size=2.5,
            opacity=0.7,
        ),
        Lines(
            key="line",
            color="truth",
            stage="truth",
            name="theory",
            x=[[-EDGE, EDGE]],
            y=[[-EDGE * state.icc, EDGE * state.icc]],
            dashed=True,
            hover=[f"slope {state.icc:g}: the ICC"],
        ),
        *(
            Bars(key=key, color=color, x0=[x0], x1=[x1], y0=[5.0], y1=[5.7], hover=[what])
            for key, color, what, x0, x1 in (
                ("between", "between", "variance between donors", left, split),
                ("within", "muted", "variance within donors", split, right),
            )
        ),
        Texts(
            key="share",
            color="between",
            x=[left],
            y=[6.15],
            text=[f"{state.icc:.0%} of variance: donors"],
            anchor="start",
        ),
        Texts(
            key="correlation",
            x=[left],
            y=[4.2],
            text=[f"correlation {correlation:.2f}"],
            anchor="start",
        ),
    ]
    whole = [(float(v), f"{v:g}") for v in (-4, -2, 0, 2, 4)]
    return Panel(
        "icc",
        "The ICC, seen twice",
        Axis("one cell (sd)", -EDGE, EDGE, whole),
        Axis("its donor's other cell (sd)", -EDGE, 6.8, whole),
        marks,
    )


def _p_panel(many: dict[str, Array], alarms: dict[str, int], one: dict[str, Array]) -> Panel:
    edges = np.linspace(0, 1, N_BINS + 1)
    counts = {test: np.histogram(many[test], edges)[0] for test in TESTS}
    height = 0.7 / max(40, *(int(c.max()) for c in counts.values()))
    marks: list[Mark] = []
    for floor, test in zip((2, 1, 0), TESTS, strict=True):
        top = floor + height * counts[test]
        for key, bins, color, name in (
            ("alarms", slice(0, 1), "warning", "false alarm: p < 0.05"),
            ("rest", slice(1, None), COLORS[test], ""),
        ):
            marks.append(
                Bars(
                    key=f"{key}-{test}",
                    color=color,
                    stage="estimate",
                    name=name,
                    x0=edges[:-1][bins],
                    x1=edges[1:][bins],
                    y0=np.full(N_BINS, float(floor))[bins],
                    y1=top[bins],
                    hover=[
                        f"{c} of 200 with p from {a:.2f} to {b:.2f}"
                        for c, a, b in zip(
                            counts[test][bins], edges[:-1][bins], edges[1:][bins], strict=True
                        )
                    ],
                )
            )
        honest = floor + height * N_STUDIES * ALPHA
        marks += [
            Lines(
                key=f"honest-{test}",
                color="truth",
                stage="truth",
                name="theory",
                x=[[0, 1]],
                y=[[honest, honest]],
                dashed=True,
                hover=["an honest test: 10 in each bar"],
            ),
            Dots(
                key=f"one-{test}",
                color="accent",
                stage="estimate",
                name="the one study",
                x=one[test],
                y=[floor],
                shape="triangle",
                size=4.5,
                hover=[f"the one study: p = {one[test][0]:.3g}"],
            ),
            Texts(
                key=f"text-{test}",
                color=COLORS[test],
                stage="estimate",
                x=[0.0],
                y=[floor + 0.82],
                text=[f"{LABELS[test]}: {_percent(alarms[test])} alarms"],
                anchor="start",
            ),
        ]
    return Panel(
        "p",
        "200 such studies",
        Axis("p value", -0.02, 1.02, [(p, f"{p:g}") for p in (0.05, 0.5, 1)]),
        Axis("", -0.06, 3, visible=False),
        marks,
    )


def measure_many(state: State, seeds: Sequence[int]) -> dict[str, Array]:
    """Return the standard error that each test claims, in studies drawn cell by cell."""
    shape = (state.donors, state.cells)
    stack = np.stack([_one_study(state, s)["expression"].reshape(shape) for s in seeds])
    return standard_errors(summarise(stack, state.design))


def measure(state: State, data: Data, fits) -> dict[str, float]:
    """Return the standard error that each test claims in the one study."""
    return {test: float(se[0]) for test, se in standard_errors(data.study).items()}


def truth_of(state: State) -> dict[str, float]:
    """Return the true standard deviation of the difference."""
    sd = float(np.sqrt(4 * true_variance(state) / (state.donors * state.cells)))
    return dict.fromkeys(TESTS, sd)


LAB = Lab(
    name="pseudoreplication",
    title="Pseudoreplication",
    state=State,
    simulate=simulate,
    fit=fit,
    scene=scene,
    question=Question(
        "Three of six donors get a drug that does nothing. Every cell is a row of a t test, which "
        "promises 5 % false alarms. Then you sequence ten times the cells of the same six donors. "
        "What happens to the false alarms?",
        (
            "They fall: ten times the evidence",
            "They are 5 %, as promised, and stay",
            "They are too many, and stay",
            "They are too many, and rise",
        ),
    ),
    alt=(
        "Expression of 300 cells in strips, 50 from each of six donors, whose means differ a "
        "little; and 150 pairs of cells of one donor, barely correlated."
    ),
    presets=(
        Preset("Six donors", {}, "50 cells each, half of the donors treated."),
        Preset(
            "Ten times the cells",
            {"cells": 500},
            "3000 cells, six donors: the test on cells is now far surer, and far more often wrong.",
        ),
        Preset(
            "Donors all alike",
            {"icc": 0},
            "The other outcome: cells are independent, and cells as rows keep their promise.",
        ),
        Preset(
            "Drug within donors",
            {"design": "within", "icc": 0.5},
            "Every donor gives treated and control cells. Now cells as rows hardly ever alarm: "
            "they would miss a drug that works.",
        ),
    ),
    statistics=tuple(Statistic(test, LABELS[test], COLORS[test]) for test in TESTS),
    statistics_label="standard error that the test claims (sd); dashed: the true one",
    measure=measure,
    measure_many=measure_many,
    truth_of=truth_of,
    truth_label="Show what theory says",
    new_sample_label="Run 200 new studies",
)
