"""Variance components: batches whose means differ, and an estimate of how much batches differ.

``variance_components.model.md`` says in a teacher's words what is simulated and simplified.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.closed_forms import BalancedOneWay, balanced_one_way
from mixedlab.labs.kit.bet import Place
from mixedlab.labs.kit.lab import Goal, Lab, Statistic, slider
from mixedlab.labs.kit.marks import bars, dots, each, level, lines, texts, upright
from mixedlab.labs.kit.scene import Axis, Drag, Mark, Panel, Scene
from mixedlab.labs.kit.words import count, number, percent
from mixedlab.simulate.draws import Draws

Array = NDArray[np.float64]

MOST_SPREAD = 80
EDGE = 220  # the rare sample further out, in grams, is drawn at the edge
SHARES = np.linspace(0, 0.98, 99)
LOWEST = -4.0  # of the log likelihoods drawn, below their peak
METHODS = {"reml": "REML", "ml": "ML"}
HANDLE = 0.3  # a batch nearer to the mean, in sds, is no handle: it hardly moves


@dataclass(frozen=True)
class State:
    """The controls."""

    spread: float = slider(
        20, 0, MOST_SPREAD, 1, "True spread of batches", "g", help="sd of all possible batches"
    )
    samples: int = slider(4, 2, 30, 1, "Samples a batch")
    batches: int = slider(6, 3, 12, 1, "Batches")
    noise: float = slider(60, 10, 80, 5, "Spread within a batch", "g", help="sd of its samples")
    seed: int = 158


@dataclass(frozen=True)
class Data:
    """Yields (J, n) in grams above the plan; the batches' true means and standard scores (J,)."""

    yields: Array
    truth: Array
    score: Array


@dataclass(frozen=True)
class Fits:
    """Both estimates, and the log likelihood of each share less its peak."""

    reml: BalancedOneWay
    ml: BalancedOneWay


def simulate(state: State) -> Data:
    """Draw the batches, and samples from each; what a control moves keeps its numbers."""
    score, luck = _draw(state, state.seed)
    truth = state.spread * score
    return Data(truth[:, None] + state.noise * luck, truth, score)


def _draw(state: State, seed: int) -> tuple[Array, Array]:
    draws, batch = Draws(seed), np.arange(state.batches)
    return draws.normal("batch", batch), draws.normal(
        "sample", batch[:, None], np.arange(state.samples)
    )


def fit(data: Data) -> Fits:
    """Estimate the variances between and within batches by REML and by ML."""
    reml = balanced_one_way(data.yields)
    return Fits(reml, replace(reml, reml=False))


def true_share(state: State) -> float:
    """Return the share of the variance that truly lies between batches."""
    return state.spread**2 / (state.spread**2 + state.noise**2)


def scene(state: State, data: Data, fits: Fits) -> Scene:
    """Describe the batches, the split of their variance, and the likelihood of each split."""
    means = data.yields.mean(axis=1)
    share, ml, true = fits.reml.icc, fits.ml.icc, true_share(state)
    told = (
        f"{count(state.batches, 'batch', 'batches')}, {count(state.samples, 'sample')} of each. "
        f"The batches' means run from {number(means.min(), 0)} to {number(means.max(), 0)} g."
    )
    between, within = fits.reml.var_group**0.5, fits.reml.var_rows**0.5
    outcome = (
        f"REML gives {percent(share)} of the variance to the batches (sd between {between:.0f} g, "
        f"within {within:.0f} g), ML {percent(ml)}. The means of batches that are all alike would "
        f"have an sd of about {_luck_of_means(fits):.0f} g; these have {means.std(ddof=1):.0f} g."
    )
    truth = f"Truly {percent(true)}: sd between {state.spread:g} g, within {state.noise:g} g."
    return Scene(
        panels=[
            _strips_panel(state, data, fits, means), _split_panel(fits, true),
            _profile_panel(fits), _pairs_panel(data, fits),
        ],
        ask=f"The orange means of {state.batches} batches differ by up to {np.ptp(means):.0f} g. "
        "How much of the variance will the model give to the batches?",
        headline=_verdict(share),
        headline_truth=f"truly {percent(true)} lies between batches",
        answer=100 * share, answer_truth=100 * true,
        summary=f"{told} {outcome}", summary_before=told, outcome=outcome, outcome_truth=truth,
    )  # fmt: skip


def _verdict(share: float) -> str:
    if share == 0:
        return "none of it, though the means differ"
    return f"{percent(share)} of the variance lies between batches"


def _luck_of_means(fits: Fits) -> float:
    return float(np.sqrt(fits.reml.within / fits.reml.n_rows))


def _strips_panel(state: State, data: Data, fits: Fits, means: Array) -> Panel:
    J, n = data.yields.shape
    names = [f"{j + 1}" for j in range(J)]
    middle, mean = (np.arange(J) + 0.5) / J, means.mean()
    beside = (np.arange(n) * 0.618034 % 1 - 0.5) * 0.55 / J
    model = mean + fits.reml.keep * (means - mean)
    pull = [
        Drag("Squeeze the batches together", y="spread",
             ends=(m - state.spread * z, m + (MOST_SPREAD - state.spread) * z))
        if abs(z) >= HANDLE else None
        for m, z in zip(means, data.score, strict=True)
    ]  # fmt: skip
    samples = np.clip(data.yields, -EDGE, EDGE)
    marks = [
        dots("data", None, (middle[:, None] + beside).ravel(), samples.ravel(), key="samples",
             size=3 if J * n <= 120 else 2, opacity=0.6),
        level("everyone", mean, 0, 1, key="mean", name="mean of all", stage="data"),
        dots("own", names, middle, means, key="own", name="batch's own mean (drag)", size=7,
             drag=pull, hover=each("batch {}: mean {:.0f} g", names, means)),
        dots("model", names, middle, model, name="mixed model", starts_from="own", size=6,
             hover=each("batch {}: by the model {:.0f} g", names, model)),
        dots("truth", names, middle, data.truth, name="true mean", starts_from="own",
             hover=each("batch {}: truly {:.0f} g", names, data.truth)),
    ]  # fmt: skip
    return Panel(
        "strips", f"{count(n, 'sample')} from each of {J} batches",
        Axis.ticked("batch", 0, 1, dict(zip(middle, names, strict=True))),
        Axis.ticked("yield (g above the plan)", -EDGE, EDGE, (-200, -100, 0, 100, 200)),
        marks, hero=True,
    )  # fmt: skip


def _split_panel(fits: Fits, true: float) -> Panel:
    marks: list[Mark] = []
    for row, (key, name) in zip((1, 0), METHODS.items(), strict=True):
        share = 100 * getattr(fits, key).icc
        told = f"{name}: {share:.0f} % between batches"
        marks += [
            bars("guide", [name], share, 100, row - 0.3, row + 0.3, key=f"{key}-within",
                 stage="estimate", hover=[f"{name}: {100 - share:.0f} % within batches"]),
            bars("model", [name], 0, share, row - 0.3, row + 0.3, key=key, hover=[told]),
            texts("model", share + 2, row, f"{share:.0f} %", anchor="start", key=f"{key}-text"),
        ]  # fmt: skip
    marks.append(upright("truth", 100 * true, -0.5, 1.5, hover=[f"truly {percent(true)}"]))
    return Panel(
        "split", "Between batches, and within",
        Axis.ticked("share of the variance between batches (%)", 0, 100, (0, 25, 50, 75, 100)),
        Axis.names(list(METHODS.values())), marks,
    )  # fmt: skip


def _profile_panel(fits: Fits) -> Panel:
    marks: list[Mark] = [upright("guide", 0, LOWEST, 0.3, key="wall", width=4)]
    for key, name in METHODS.items():
        one = getattr(fits, key)
        curve = one.log_likelihood(SHARES)
        peak = float(one.log_likelihood(np.array([one.icc]))[0])
        marks += [
            lines("model", None, 100 * SHARES, [np.maximum(curve - peak, LOWEST - 1)],
                  key=f"{key}-curve", stage="estimate", name=name, dashed=key == "ml",
                  width=2.5 if key == "reml" else 1.5),
            dots("model", [name], [100 * one.icc], [0], key=f"{key}-peak", size=5,
                 hover=[f"{name}'s peak: {percent(one.icc)}"]),
        ]  # fmt: skip
    return Panel(
        "profile", "Log likelihood of each share",
        Axis.ticked("share of the variance between batches (%)", -2, 100, (0, 25, 50, 75, 100)),
        Axis.ticked("below the peak", LOWEST, 0.5, (-4, -3, -2, -1, 0)), marks,
    )  # fmt: skip


def _pairs_panel(data: Data, fits: Fits) -> Panel:
    """Two samples of one batch, each with its neighbour: their correlation is the ICC, uncut."""
    first = np.clip(data.yields, -EDGE, EDGE)
    second = np.roll(first, -1, axis=1)
    told = f"correlation of all pairs {number(fits.reml.pair_correlation)}"
    marks = [
        dots("own", None, first.ravel(), second.ravel(), key="pairs", size=2.5, stage="estimate"),
        texts("own", -EDGE * 0.95, EDGE * 0.85, told, anchor="start", stage="estimate"),
    ]
    ticks = (-200, 0, 200)
    return Panel(
        "pairs", "The ICC as a correlation of pairs",
        Axis.ticked("one sample (g)", -EDGE, EDGE, ticks),
        Axis.ticked("its batch's next sample (g)", -EDGE, EDGE, ticks), marks, folded=True,
    )  # fmt: skip


def measure_many(state: State, seeds: Sequence[int]) -> dict[str, Array]:
    """Return both estimates of the share, in percent, in fresh batches."""
    drawn = [_draw(state, seed) for seed in seeds]
    stack = np.stack([state.spread * z[:, None] + state.noise * e for z, e in drawn])
    reml = balanced_one_way(stack)
    return {k: 100 * replace(reml, reml=k == "reml").icc for k in METHODS}


LAB = Lab(
    name="variance-components", title="Variance components",
    state=State, simulate=simulate, fit=fit, scene=scene,
    question=Place(
        "The orange means of six batches differ. How much of the variance will the model give to "
        "the batches?",
        panel="split", axis="x", low=0, high=100, step=1, start=50,
        label="share between batches", near=5, unit=" %",
    ),
    alt=(
        "Yields of six batches in strips, four samples each: grey dots, and an orange dot at each "
        "batch's mean. The means differ, and the samples of one batch differ more."
    ),
    main=("spread", "samples"),
    goals=(
        Goal("Pull the batches apart until half of the variance is theirs",
             lambda state, data, fits: fits.reml.icc >= 0.5, {"spread": 75}),
        Goal("Let REML find a true spread of 20 g",
             lambda state, data, fits: state.spread == 20 and fits.reml.icc > 0, {"samples": 30}),
        Goal("Stand where REML sees a spread and ML does not",
             lambda state, data, fits: fits.reml.icc > fits.ml.icc == 0, {"spread": 24}),
    ),
    statistics=[Statistic(k, v, "model", lifts=f"split/{k}") for k, v in METHODS.items()],
    statistics_label="estimated share between batches (%)",
    measure_many=measure_many,
    truth_of=lambda state: dict.fromkeys(METHODS, 100 * true_share(state)),
    truth_label="Show the true spread",
)  # fmt: skip
