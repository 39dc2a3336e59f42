"""Fixed or random: counties whose soil is known or not, and one that was never measured.

``fixed_or_random.model.md`` says in a teacher's words what is simulated and simplified.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mixedlab.labs.fixed_or_random_fit import (
    BELL,
    COUNTIES,
    NEW,
    URANIUM,
    URANIUM_NEW,
    Data,
    Fit,
    State,
    draw,
    fit,
    simulate,
)
from mixedlab.labs.kit.bet import Place
from mixedlab.labs.kit.lab import Goal, Lab, Statistic
from mixedlab.labs.kit.marks import bars, dots, each, lines, texts, upright
from mixedlab.labs.kit.scene import Axis, Mark, Panel, Scene
from mixedlab.labs.kit.words import count, number

Array = NDArray[np.float64]

LOW, HIGH = -2.0, 5.0
PLACE_NEW, PER_UNIT = 0.93, 0.37  # where G stands, and how far a unit of log uranium reaches


def scene(state: State, data: Data, fits: tuple[Fit, Fit]) -> Scene:
    """Describe the houses, the wiring of rows to counties, and the covariance of the rows."""
    now = fits[state.known]
    give = 2 * now.sd_new
    told = (
        f"Log radon in {count(state.houses, 'house')} of each of {len(COUNTIES)} counties. Their "
        f"means run from {number(now.means.min(), 1)} to {number(now.means.max(), 1)}. County "
        f"{NEW} was never measured."
    )
    how = "from its uranium" if state.known else "as for any county of this kind"
    outcome = (
        f"County {NEW} is predicted {how}: {number(now.new, 1)}, give or take {give:.1f} (twice "
        f"the sd). The counties' own sd is estimated as {now.var_county**0.5:.2f}."
    )
    if state.known:
        outcome += f" One unit of log uranium goes with {number(now.beta[1])} of log radon."
    return Scene(
        panels=[
            _strips_panel(state, data, now), _wiring_panel(state, data),
            _covariance_panel(state, data), _bell_panel(state, data),
        ],
        ask=f"Six counties were measured, {state.houses} houses each. Nobody went to county {NEW}"
        + (", whose soil has much uranium" if state.known else "")
        + ". What log radon would you bet for its mean?",
        headline=f"{number(now.new, 1)}, give or take {give:.1f}",
        headline_truth=f"county {NEW} truly has {number(data.truth_new, 1)}",
        answer=now.new, answer_truth=data.truth_new,
        summary=f"{told} {outcome}", summary_before=told, outcome=outcome,
        outcome_truth=f"County {NEW}'s true mean is {number(data.truth_new, 1)}.",
    )  # fmt: skip


def _places(known: bool) -> Array:
    """Where the counties stand: side by side, or by their soil."""
    if not known:
        return (np.arange(len(COUNTIES)) + 0.5) / 7
    return PLACE_NEW + PER_UNIT * (URANIUM - URANIUM_NEW)


def _rows(data: Data) -> list[str]:
    """Name the houses: they keep their names when labels are shuffled."""
    return [f"house {c + 1}.{i + 1}" for c in data.county for i in range(data.radon.shape[1])]


def _strips_panel(state: State, data: Data, now: Fit) -> Panel:
    n, place = state.houses, _places(state.known)
    beside = 0.035 * (np.arange(n) - (n - 1) / 2) / max(1, n - 1)
    own = [f"county {c + 1}" for c in data.county]
    named = list(COUNTIES)
    ends = np.array([0.02, 0.99])
    fixed = np.full(2, now.new)
    if state.known:
        fixed = now.new + now.beta[1] * (ends - PLACE_NEW) / PER_UNIT
    marks = [
        dots("data", _rows(data), (place[:, None] + beside).ravel(),
             np.clip(data.radon, LOW, HIGH).ravel(), key="rows", size=3.5,
             hues=list(np.repeat(data.county, n)),
             hover=each("{}: {:.1f}", _rows(data), data.radon.ravel())),
        dots("own", own, place, now.means, name="mean of a county's houses", size=6,
             hover=each("label {}: {:.1f}", named, now.means)),
        lines("everyone", None, ends, [fixed], key="fixed", stage="estimate",
              name="fixed part, Xβ"),
        dots("model", own, place, now.predicted(n), name="Xβ + Zb", starts_from="own",
             hover=each("label {}: by the model {:.1f}", named, now.predicted(n))),
        bars("model", [NEW], PLACE_NEW - 0.02, PLACE_NEW + 0.02, now.new - 2 * now.sd_new,
             now.new + 2 * now.sd_new, key="band", opacity=0.3),
        dots("model", [NEW], [PLACE_NEW], [now.new], key="new", size=7,
             hover=[f"county {NEW}: {now.new:.1f}, give or take {2 * now.sd_new:.1f}"]),
        dots("truth", [*own, NEW], [*place, PLACE_NEW], [*data.truth, data.truth_new],
             name="true mean", hover=each("truly {:.1f}", [*data.truth, data.truth_new])),
        texts("yours", PLACE_NEW, LOW + 0.25, "never measured", key="never", anchor="end"),
    ]  # fmt: skip
    ticks = {float(p): label for p, label in zip([*place, PLACE_NEW], [*named, NEW], strict=True)}
    label = "counties by the uranium of their soil" if state.known else "county"
    return Panel(
        "strips", "Radon in six counties", Axis.ticked(label, 0, 1, ticks),
        Axis.ticked("log radon", LOW, HIGH, (-2, 0, 2, 4)), marks, hero=True,
    )  # fmt: skip


def _wiring_panel(state: State, data: Data) -> Panel:
    """Rows of X and Z: a column of ones, the uranium, and one column a county."""
    J, n = data.radon.shape
    keys, rows = _rows(data), (np.arange(J * n)[::-1] + 0.5) / (J * n)
    hues = list(np.repeat(data.county, n))
    marks: list[Mark] = [
        upright("guide", 2.5, 0, 1, key="wall"),
        dots("everyone", keys, 1, rows, key="one", stage="data", size=3, hover=each("{}: 1", keys)),
        dots("data", keys, 3 + np.repeat(np.arange(J), n), rows, key="Z", size=3, hues=hues,
             shape="square", hover=each("{}: a 1 in its county's column, else 0", keys)),
    ]  # fmt: skip
    if state.known:
        size = 2.5 + 1.2 * np.repeat(URANIUM, n)
        marks.append(
            dots("everyone", keys, 2, rows, key="u", stage="data", size=list(size), shape="square",
                 hover=each("{}: uranium {:.1f}", keys, np.repeat(URANIUM, n)))
        )  # fmt: skip
    columns = {1: "1", 2: "u" if state.known else "", **{3 + j: c for j, c in enumerate(COUNTIES)}}
    return Panel(
        "wiring", "A row of X and of Z for each house", Axis.ticked("X | Z", 0.5, 8.5, columns),
        Axis("", 0, 1, visible=False), marks,
    )  # fmt: skip


def _covariance_panel(state: State, data: Data) -> Panel:
    """V = Z G Z' + sigma^2 I: a row shares variance with the rows of its county alone."""
    J, n = data.radon.shape
    keys, edges = _rows(data), np.arange(J * n + 1) / (J * n)
    block = np.repeat(np.arange(J), n)
    look = {"stage": "data", "hover": each("{}: shares its county's effect with these", keys)}
    marks: list[Mark] = [
        bars("data", keys, block / J, (block + 1) / J, 1 - edges[1:], 1 - edges[:-1], key="block",
             opacity=0.35, **look),
        bars("data", keys, edges[:-1], edges[1:], 1 - edges[1:], 1 - edges[:-1], key="diagonal",
             **look),
    ]  # fmt: skip
    ticks = {(j + 0.5) / J: c for j, c in enumerate(COUNTIES)}
    return Panel(
        "covariance", "V: which houses vary together", Axis.ticked("", 0, 1, ticks),
        Axis("", 0, 1, visible=False), marks,
    )  # fmt: skip


def _bell_panel(state: State, data: Data) -> Panel:
    """What many small causes add up to, in more counties than there are."""
    edges = np.linspace(-4, 4, 42)
    scale = state.spread or 1.0
    share = np.histogram(data.effects / scale, edges)[0] / BELL
    bell = np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi) * (edges[1] - edges[0])
    marks = [
        bars("own", None, edges[:-1], edges[1:], 0, np.minimum(share, 0.6), key="sums",
             stage="data"),
        lines("guide", None, edges, [bell], key="bell", stage="data", width=2),
    ]  # fmt: skip
    return Panel(
        "bell", f"Effects of {BELL} counties, each a sum of causes",
        Axis.ticked("county's effect (sd)", -4, 4, (-2, 0, 2)), Axis("", 0, 0.62, visible=False),
        marks, folded=True,
    )  # fmt: skip


def measure_many(state: State, seeds: Sequence[int]) -> dict[str, Array]:
    """Return how far both predictions of the new county miss its true mean, in fresh samples."""
    drawn = [draw(state, seed, 0) for seed in seeds]
    misses = np.array([[one.new - data.truth_new for one in fit(data)] for data in drawn])
    return dict(zip(("plain", "soil"), misses.T, strict=True))


LAB = Lab(
    name="fixed-or-random", title="Fixed or random",
    state=State, simulate=simulate, fit=fit, scene=scene,
    question=Place(
        "Six counties were measured. What log radon would you bet for a seventh?",
        panel="strips", axis="y", low=LOW, high=HIGH, step=0.1, start=4,
        label="county G", near=0.3, across=PLACE_NEW,
    ),
    alt=(
        "Log radon of three houses in each of six counties, A to F, and an empty place for county "
        "G. Beside it each house's row of X and Z as dots, and blocks of houses that vary together."
    ),
    main=("shuffle", "known"),
    goals=(
        Goal("Shuffle the labels, and move nothing",
             lambda state, data, fits: state.shuffle > 0 and not state.known, {"shuffle": 3}),
        Goal("Let the soil speak for county G",
             lambda state, data, fits: state.known and fits[1].sd_new < 0.75 * fits[0].sd_new,
             {"known": True}),
        Goal("Shuffle, and make the soil mean nothing",
             lambda state, data, fits: state.known and abs(fits[1].beta[1]) < 0.2,
             {"known": True, "shuffle": 7}),
    ),
    statistics=(
        Statistic("plain", "Without uranium", "everyone", lifts="strips/new"),
        Statistic("soil", "With uranium", "model", lifts="strips/new"),
    ),
    statistics_label="prediction of county G less its true mean",
    measure_many=measure_many,
    truth_of=lambda state: {"plain": 0.0, "soil": 0.0},
    truth_label="Measure county G",
)  # fmt: skip
