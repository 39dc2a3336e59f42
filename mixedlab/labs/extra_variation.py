"""Overdispersion: ticks, seeds, devices or drivers, and four models of their extra variation.

The models are in ``extra_variation_fit``, the two small pictures in ``extra_variation_panels``;
``extra_variation.model.md`` says in a teacher's words what is simulated, fitted and simplified.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.families import family
from mixedlab.labs.extra_variation_fit import errors_of_many, fit, let_in
from mixedlab.labs.extra_variation_panels import groups_by_treatment, rootogram, variance_panel
from mixedlab.labs.kit.bet import Place
from mixedlab.labs.kit.lab import Goal, Lab, Statistic, choice, dragged, slider
from mixedlab.labs.kit.marks import dots, lines, texts, upright
from mixedlab.labs.kit.scene import Axis, Drag, Mark, Panel, Scene
from mixedlab.labs.kit.words import number
from mixedlab.labs.responses_of_four_kinds import KINDS, Fits, Fitted, Kind, Sample
from mixedlab.simulate.draws import Draws

Array = NDArray[np.float64]

GROUPS, ROWS = 48, 4
LEVELS = np.linspace(-1.5, 1.5, 6)  # of the covariate, in standard deviations
Z95 = 1.96
LOW, HIGH = -1.1, 1.3  # of the axis of the treatment's coefficient
BET_LOW, BET_HIGH = -0.8, 1.2


@dataclass(frozen=True)
class State:
    """The controls."""

    kind: str = choice(
        "counts", {key: kind.title for key, kind in KINDS.items()}, "Response",
        help="each has a family of its own, and a family for its groups",
    )  # fmt: skip
    spread: float = slider(
        0.7, 0, 1, 0.05, "Spread of effects", help="their sd on the link scale; 0: nothing extra"
    )
    level: str = choice(
        "groups", {"groups": "group to group", "rows": "row to row"}, "The extra variation is from",
        help="broods differ, or each chick by itself",
    )  # fmt: skip
    treated: str = choice(
        "groups", {"groups": "whole groups", "rows": "half of each"}, "Treated are",
        help="every other brood, or two chicks of each",
    )  # fmt: skip
    model: str = choice(
        "normal",
        {"observation": "rows", "normal": "groups", "conjugate": "groups, conjugate"},
        "Let in the effects of",
        help="normal effects, or those of the conjugate family",
    )
    share: float = dragged(0.0, 0, 1, 0.02, "Share of the effects' variance let in")
    seed: int = 28


def simulate(state: State) -> Sample:
    """Draw the effects on the link scale, then each response given its effect."""
    return _sample(replace(state, model="normal", share=0.0))


@lru_cache(maxsize=64)  # what is let in changes no data, and a slider goes to and fro
def _sample(state: State) -> Sample:
    X, group, _ = design(state)
    y = responses(state, Draws(state.seed))
    return Sample(KINDS[state.kind], y, X, group, state.spread, state.level)


def design(state: State) -> tuple[Array, NDArray[np.int_], NDArray[np.int_]]:
    """Columns (192, 3) of the fixed part, group of each row, and its number in the group."""
    group, row = np.repeat(np.arange(GROUPS), ROWS), np.tile(np.arange(ROWS), GROUPS)
    # Six levels of the covariate, each with as many treated groups as untreated ones.
    covariate = LEVELS[group % LEVELS.size]
    treated = (group // LEVELS.size if state.treated == "groups" else row) % 2
    return np.column_stack([np.ones(group.size), covariate, treated]), group, row


def responses(state: State, draws: Draws) -> Array:
    """Draw the effects on the link scale, then each response given its effect, (..., 192)."""
    kind, (X, group, row) = KINDS[state.kind], design(state)
    where = (group,) if state.level == "groups" else (group, row)
    effects = state.spread * draws.normal(f"effect of {state.level}", *where)
    link = family(kind.family, kind.link).link
    return kind.draw(draws, link.mu(X @ kind.beta + effects), group, row)


def growth(fits: Fits, model: str) -> float:
    """Return how many times as long as the plain one a model's interval is."""
    return float(fits.shown(model).se[2] / fits.models["plain"].se[2])


def ends(model: Fitted) -> Array:
    """Return the ends of the 95 % interval of the treatment's coefficient."""
    return model.beta[2] + Z95 * model.se[2] * np.array([-1, 1])


def scene(state: State, sample: Sample, fits: Fits) -> Scene:
    """Describe the interval that inflates, variance against mean, and a rootogram."""
    kind, plain, model = sample.kind, fits.models["plain"], fits.shown(state.model)
    yours = let_in(sample, fits, model, state.share)
    told = (
        f"{GROUPS} {kind.group}s of {ROWS}; {kind.treatment}: {_treated(state, kind)}. "
        f"The mean {kind.response} is {number(sample.y.mean())}. {_spread_in_words(kind, plain)}"
    )
    estimates = "; ".join(
        f"{m.name} {number(m.beta[2])} ({m.se[2]:.2f})" for m in fits.models.values()
    )
    instead = "" if model.key == state.model else f" {_stands_for(state.model, kind)}"
    if yours.variance_of_factor == np.inf:
        instead = " Its effects' tail is so heavy that they have no variance: no line is drawn."
    moved = abs(model.beta[2] - plain.beta[2])
    outcome = (
        f"Effect of {kind.treatment} (SE): {estimates}. Let in: {model.name}. The estimate moves "
        f"by {moved:.2f} and its SE becomes {growth(fits, state.model):.1f} times what it was; "
        f"at a share of {state.share:.2f}, the SE is {yours.se[2]:.2f}.{instead}"
    )
    sds = "; ".join(f"{m.name} {m.sd:.2f}" for m in fits.models.values() if m.effects is not None)
    where = kind.group if sample.level == "groups" else kind.row
    whose = kind.row if state.model == "observation" else kind.group
    return Scene(
        panels=[
            _effects_panel(state, sample, fits, model, yours),
            variance_panel(sample, plain, yours), rootogram(sample, yours),
        ],
        ask=f"{_treated(state, kind).capitalize()} get the {kind.treatment}. Orange is the 95 % "
        f"interval of its effect. Give each {whose} an effect of its own: where does the right "
        "end go?",
        headline=_verdict(growth(fits, state.model)),
        headline_truth=_judgement(kind.beta[2], plain, model),
        answer=float(np.clip(ends(model)[1], BET_LOW, BET_HIGH)),
        summary=f"{told} {outcome}", summary_before=told, outcome=outcome,
        outcome_truth=(
            f"True effect {number(kind.beta[2])}; true sd of {where} effects "
            f"{sample.spread:.2f}. Estimated sds: {sds}."
        ),
    )  # fmt: skip


def _treated(state: State, kind: Kind) -> str:
    return (
        f"half of the {kind.group}s" if state.treated == "groups" else f"half of each {kind.group}"
    )


def _verdict(times: float) -> str:
    if abs(times - 1) < 0.15:
        return "the interval stays as it is"
    return f"the interval {'grows' if times > 1 else 'shrinks'} to {times:.1f} times"


def _judgement(true: float, plain: Fitted, model: Fitted) -> str:
    held = [low <= true <= high for low, high in (ends(plain), ends(model))]
    if held[0] == held[1]:
        return f"both intervals {'hold' if held[0] else 'miss'} the truth"
    return f"only the {'model without effects' if held[0] else 'one with effects'} holds the truth"


def _spread_in_words(kind: Kind, plain: Fitted) -> str:
    if not kind.has_dispersion:
        return (
            f"Pearson's statistic is {plain.pearson:.1f} times its degrees of freedom; under a "
            f"{plain.name} model it would be near 1."
        )
    what = "coefficient of variation" if kind.family == "gamma" else "residual sd"
    return f"The plain model's {what} is {np.sqrt(plain.phi):.2f}."


def _stands_for(chosen: str, kind: Kind) -> str:
    if chosen == "observation":
        return (
            f"A {kind.family} response has a dispersion of its own: no {kind.row} effects needed."
        )
    return "The conjugate of a normal response is the normal."


def _effects_panel(state: State, sample: Sample, fits: Fits, model: Fitted, yours: Fitted) -> Panel:
    kind, plain = KINDS[state.kind], fits.models["plain"]
    others = [m for m in fits.models.values() if m is not plain]
    top = len(others) + 1
    marks: list[Mark] = [
        upright("guide", 0, -0.6, top + 2.6, key="zero", hover=["no effect"]),
        groups_by_treatment(sample, plain, top + 1, LOW, HIGH),
        *_interval("own", plain, top, "plain"),
        *_interval("yours", yours, top - 1, "yours", "plain"),
    ]
    for row, other in zip(range(top - 2, -1, -1), others, strict=True):
        marks += _interval("model", other, row, other.key, "plain")
    right = float(ends(plain)[1])
    full = float(ends(model)[1])
    # An interval that does not grow has a handle all the same.
    pull = (right, full if abs(full - right) > 0.1 else right + 0.4)
    marks += [
        dots("yours", ["handle"], [np.clip(ends(yours)[1], LOW, HIGH)], [top - 1], key="handle",
             stage="estimate", size=8, hover=[f"share let in: {state.share:.2f}"],
             drag=[Drag("Let the effects in", x="share", ends=pull)]),
        upright("truth", kind.beta[2], -0.6, top + 2.6, key="true-effect", name="truth",
                hover=[f"true effect {number(kind.beta[2])}"]),
    ]  # fmt: skip
    arms = [f"{kind.group}s {how}" for how in ("untreated", "treated")]
    names = [
        *arms,
        plain.name,
        "effects let in (drag)",
        *(kind.short_name_of(m.key) for m in others),
    ]
    scale = {"log": "log scale", "logit": "log odds", "identity": "0.1 s"}[kind.link]
    return Panel(
        "effects", f"{kind.group.capitalize()}s, and the effect of {kind.treatment} (95 %)",
        Axis.ticked(f"coefficient ({scale})", LOW, HIGH, (-1, -0.5, 0, 0.5, 1)),
        Axis.names(names), marks, hero=True,
    )  # fmt: skip


def _interval(meaning, model: Fitted, row: int, key: str, start: str = "") -> list[Mark]:
    """A thick line with a dot, and its SE in words, at a row."""
    stage = "data" if meaning == "own" else "estimate"
    beta, se = float(model.beta[2]), float(model.se[2])
    hover = [f"{model.name}: {number(beta)}, SE {se:.3f}"]
    return [
        lines(meaning, None, [ends(model)], [[row, row]], key=f"interval-{key}", stage=stage,
              width=9, opacity=0.45, hover=hover, starts_from=start and f"interval-{start}"),
        dots(meaning, None, [np.clip(beta, LOW, HIGH)], [row], key=key, stage=stage, size=6,
             hover=hover, starts_from=start),
        texts(meaning, HIGH - 0.02, row + 0.25, f"SE {se:.2f}", key=f"se-{key}", stage=stage,
              anchor="end"),
    ]  # fmt: skip


def measure(state: State, sample: Sample, fits: Fits) -> dict[str, float]:
    """Return how many of its own standard errors each model's treatment effect is off."""
    true = sample.kind.beta[2]
    values = {key: (model.beta[2] - true) / model.se[2] for key, model in fits.models.items()}
    return {s.name: float(values.get(s.name, np.nan)) for s in LAB.statistics}


def measure_many(state: State, seeds: Sequence[int]) -> dict[str, Array]:
    """Return the same of many samples, fitted together."""
    kind, (X, group, _) = KINDS[state.kind], design(state)
    off, known = errors_of_many(kind, responses(state, Draws.of_many(seeds)).T, X, group)
    values = {s.name: off.get(s.name, np.full(len(seeds), np.nan)) for s in LAB.statistics}
    for k in np.flatnonzero(~known):  # a sample for which the joint iteration did not settle
        sample = replace(state, seed=seeds[k])
        data = simulate(sample)
        for name, value in measure(sample, data, fit(data)).items():
            values[name][k] = value
    return values


def _wrong_unit(state: State, data: Sample, fits: Fits) -> bool:
    right, wrong = ("observation", "normal") if data.level == "rows" else ("normal", "observation")
    return state.model == wrong and growth(fits, wrong) < 0.6 * growth(fits, right)


LAB = Lab(
    name="overdispersion", title="Overdispersion",
    state=State, simulate=simulate, fit=fit, scene=scene,
    question=Place(
        "Let the model have an effect for each brood. Where does the right end of the interval go?",
        panel="effects", axis="x", low=BET_LOW, high=BET_HIGH, step=0.01, start=0.6,
        label="right end", near=0.07,
    ),
    alt=(
        "Two wide rows of dots, broods untreated and treated, and below them one short orange "
        "interval of the dose's effect, with empty rows below it. Beside it the "
        "variance against the mean of twelve sets of chicks, most above the line of the plain "
        "model, and bars of how many chicks had 0, 1, 2 and more ticks."
    ),
    main=("spread", "treated"),
    reveal={"share": 1.0},
    goals=(
        Goal("Let the effects in, and keep the interval",
             lambda state, data, fits: state.spread >= 0.5 and 0.9 < growth(fits, state.model) < 1.1
             and state.level == "groups" and state.model != "observation", {"treated": "rows"}),
        Goal("Give effects to the wrong unit", _wrong_unit,
             {"level": "rows", "treated": "rows", "model": "normal"}),
        Goal("Make the coefficient move away from 0",
             lambda state, data, fits: abs(fits.shown(state.model).beta[2])
             > abs(fits.models["plain"].beta[2]) + 0.08, {"kind": "proportions", "spread": 1.0}),
        Goal("Shorten the interval by letting effects in",
             lambda state, data, fits: growth(fits, state.model) < 0.7,
             {"kind": "sizes", "treated": "rows"}),
    ),
    statistics=(
        Statistic("plain", "No effects", "own", lifts="effects/plain"),
        Statistic("observation", "An effect for each row", "model", lifts="effects/observation"),
        Statistic("normal", "Group effects, normal", "model", lifts="effects/normal"),
        Statistic("conjugate", "Group effects, conjugate", "model", lifts="effects/conjugate"),
    ),
    statistics_label="estimate less truth (in its own SEs)",
    measure=measure, measure_many=measure_many,
    truth_of=lambda state: dict.fromkeys(("plain", "observation", "normal", "conjugate"), 0.0),
)  # fmt: skip
