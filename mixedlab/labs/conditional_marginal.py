"""Conditional and marginal: the average of curves is not the curve of the average.

``conditional_marginal.model.md`` says in a teacher's words what is simulated and simplified.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.families import family as family_named
from mixedlab.inference.population_averaged import marginal_mean
from mixedlab.labs.conditional_marginal_fit import (
    KINDS,
    SLOPES,
    VISITS,
    Clinic,
    Fits,
    fit,
    marginal_line,
    slopes_of_many,
    visits,
)
from mixedlab.labs.kit.bet import Curve
from mixedlab.labs.kit.lab import Goal, Lab, Statistic, choice, dragged, slider
from mixedlab.labs.kit.marks import arrows, dots, each, level, lines, upright
from mixedlab.labs.kit.scene import Axis, Drag, Mark, Panel, Scene
from mixedlab.labs.kit.words import number, percent
from mixedlab.simulate.draws import Draws

Array = NDArray[np.float64]

DRAWN = 30  # patients
YEAR = 12  # months
BET_AT = (0, 4, 8, 12)  # months
TIME = Axis.ticked("time (months)", -0.3, YEAR + 0.3, BET_AT)
FEW, MANY = 25, 49  # points of a curve


@dataclass(frozen=True)
class State:
    """The controls."""

    link: str = choice(
        "logit", {name: name for name in KINDS}, "Link",
        help="logit, probit: infected or not; log: attacks; identity: a score",
    )  # fmt: skip
    sd: float = slider(3.0, 0, 3, 0.1, "Spread of patients", help="sd of their intercepts")
    slope: float = slider(-4.0, -5, 1, 0.25, "Slope of every patient", "a year")
    intercept: float = slider(1.0, -1, 3, 0.25, "Intercept of the average patient")
    patients: int = slider(100, 50, 200, 10, "Patients")
    month: float = dragged(2.0, 0, YEAR, 0.25, "Month")
    seed: int = 15

    @property
    def family(self) -> Family:
        """Distribution and link."""
        return family_named(KINDS[self.link].family, self.link)

    @property
    def line(self) -> Array:
        """True intercept and slope of the average patient."""
        return np.array([self.intercept, self.slope])


def simulate(state: State) -> Clinic:
    """Draw patients and their visits; a control that moves keeps the random numbers."""
    return _clinic(replace(state, month=0.0))


@lru_cache(maxsize=64)  # the cursor changes no data, and a slider goes to and fro
def _clinic(state: State) -> Clinic:
    draws = Draws(state.seed)
    b, y = visits(state.family, state.line, state.sd, state.patients, draws)
    return Clinic(state.family, b, y)


def average_curve(state: State, clinic: Clinic, months: Array) -> Array:
    """Return the mean, at each moment, of all patients' true curves."""
    eta = state.intercept + clinic.b[:, None] + state.slope * np.asarray(months) / YEAR
    return clinic.family.link.mu(eta).mean(axis=0)


def scene(state: State, clinic: Clinic, fits: Fits) -> Scene:
    """Describe the patients' curves, the same on the link's scale, and the coefficients."""
    kind = KINDS[state.link]
    true = marginal_line(clinic.family, state.line, state.sd)
    told = (
        f"{state.patients} patients, {DRAWN} of them drawn. Every patient's slope is "
        f"{number(state.slope)} a year ({kind.on_link}). The cursor stands at month "
        f"{state.month:g}."
    )
    outcome = _outcome(state, clinic, fits)
    return Scene(
        panels=[
            _curves_panel(state, clinic, fits), _lines_panel(state, clinic, fits),
            _plane_panel(state, fits, true),
        ],
        ask=f"Each thin curve is one patient. As {kind.on_link} (small picture) all slopes are "
        f"equal. Draw the average of all {state.patients} curves.",
        headline=_verdict(fits),
        headline_truth=_true_verdict(state.slope, true[1]),
        answer=kind.height(average_curve(state, clinic, BET_AT)).clip(0, 1).round(3).tolist(),
        summary=f"{told} {outcome}", summary_before=told, outcome=outcome,
        outcome_truth=(
            f"True slopes: {number(state.slope)} for every patient, {number(true[1])} for the "
            f"average over all patients there are. True intercepts: {number(state.intercept)} and "
            f"{number(true[0])}; {_true_verdict(state.slope, true[1])}."
        ),
    )  # fmt: skip


def _verdict(fits: Fits) -> str:
    if math.isnan(fits.ratio):
        return "one of the models has no estimate"
    if not 0 < fits.ratio < 2:  # no slope worth a ratio
        return "hardly any slope, hardly any difference"
    if not fits.as_steep:
        return f"the average is {percent(fits.ratio)} as steep"
    return "as steep, but higher" if fits.shift > 0.1 else "the average is as steep as each patient"


def _true_verdict(each: float, average: float) -> str:
    share = average / each if each else 1.0
    same = abs(share - 1) < 0.005
    return f"truly, the average is {'' if same else percent(share) + ' '}as steep"


def _outcome(state: State, clinic: Clinic, fits: Fits) -> str:
    said = []
    if fits.glmm:
        said.append(f"Slope of one patient, by the mixed model: {number(fits.glmm.slope)}.")
    if fits.gee:
        said.append(f"Slope of the average, by GEE: {number(fits.gee.slope)}.")
    if fits.averaged is not None:
        said.append(f"The mixed model, averaged over its patients: {number(fits.averaged[1])}.")
    if fits.glmm and fits.gee:
        before, after = number(fits.glmm.beta[0]), number(fits.gee.beta[0])
        said.append(f"The intercept goes from {before} to {after}.")
        said.append(f"The average's slope is {percent(fits.ratio)} of one patient's.")
    observed = clinic.y.mean(axis=0)
    ends = " to ".join(number(v) for v in observed[[0, -1]])
    return " ".join([*said, f"The {KINDS[state.link].mean} of all goes from {ends}.", fits.trouble])


def _curves_panel(state: State, clinic: Clinic, fits: Fits) -> Panel:
    kind, mu = KINDS[state.link], clinic.family.link.mu
    ticks = {kind.height(v): f"{v:g}".replace("-", "−") for v in kind.ticks}
    marks = _curves(state, clinic, fits, lambda eta: kind.height(mu(eta)), kind.height)
    observed = clinic.y.mean(axis=0)
    seen = dots("data", None, YEAR * VISITS, kind.height(observed).clip(-0.03, 1.03), size=4,
                key="observed", stage="estimate", name="mean seen at a visit",
                hover=each("month {:.0f}: {:.2f}", YEAR * VISITS, observed))  # fmt: skip
    return Panel("curves", "Patients' curves", TIME, Axis.ticked(kind.mean, -0.03, 1.03, ticks),
                 [*marks, seen], hero=True)  # fmt: skip


def _lines_panel(state: State, clinic: Clinic, fits: Fits) -> Panel:
    kind, link = KINDS[state.link], clinic.family.link
    marks = _curves(state, clinic, fits, lambda eta: eta, link.eta, points=2)
    return Panel("lines", f"The same as {kind.on_link}", TIME, Axis(kind.on_link, *kind.etas),
                 marks)  # fmt: skip


def _curves(state: State, clinic: Clinic, fits: Fits, bend, place, points=FEW) -> list[Mark]:
    """Patients with a bead each, their average up to the cursor, the mixed model, and the truth.

    ``bend`` takes the linear predictor to the panel's height, ``place`` takes means there.
    """
    link, every = clinic.family.link, clinic.b.size / DRAWN
    b = np.sort(clinic.b)[((np.arange(DRAWN) + 0.5) * every).astype(int)]  # evenly from all
    who = [f"patient {k}" for k in range(1, DRAWN + 1)]
    months, t = np.linspace(0, YEAR, points), state.month
    swept, fine = np.linspace(0, t, MANY), np.linspace(0, YEAR, MANY)
    low, high = (-0.03, 1.03) if points == FEW else KINDS[state.link].etas
    eta = state.intercept + b + state.slope * t / YEAR
    mean = float(place(average_curve(state, clinic, [t]))[0])
    of_all = marginal_mean(link, state.intercept + state.slope * fine / YEAR,
                           np.full(MANY, state.sd**2))  # fmt: skip
    told = each("one patient, {:+.1f} from the middle", b)
    sweep = Drag("Sweep the year", x="month")
    model = [] if fits.glmm is None else [bend(fits.glmm.beta[0] + fits.glmm.slope * fine / YEAR)]
    return [
        lines("data", who, months, bend(state.intercept + b[:, None] + state.slope * months / YEAR),
              key="patients", name="one patient", width=1, opacity=0.6),
        lines("model", None, fine if model else [], model, key="glmm", opacity=0.8,
              name="mixed model: the patient in the middle",
              hover=["mixed model: a patient whose b is 0"] * len(model)),
        lines("everyone", None, swept, [place(average_curve(state, clinic, swept))], key="average",
              name="average of all patients", width=4, hover=["average of all patients' curves"]),
        upright("yours", t, low, high, key="cursor", width=2, hover=[f"month {t:g}"], drag=[sweep]),
        dots("own", who, t, bend(eta).clip(low, high), key="beads", size=4, hover=told,
             name="patients at the cursor (drag)", drag=[sweep] * DRAWN),
        dots("everyone", who, t, np.full(DRAWN, np.clip(mean, low, high)), key="fallen", size=6,
             starts_from="beads", hover=["average of all"] * DRAWN),
        lines("truth", None, fine, [place(of_all),
              bend(state.intercept + state.slope * fine / YEAR)], name="truth",
              hover=["average of all patients there are", "the patient whose b is 0"]),
    ]  # fmt: skip


def _plane_panel(state: State, fits: Fits, true: Array) -> Panel:
    ranges = np.array([KINDS[state.link].intercepts, SLOPES])
    marks = [level("guide", 0, *ranges[0], key="none", hover=["no change in time"])]
    models = (("model", "mixed model", fits.glmm), ("everyone", "GEE", fits.gee))
    for meaning, name, line in models:
        some = [] if line is None else [line]
        at = [np.clip(one.beta, *ranges.T) for one in some]
        marks.append(
            dots(meaning, None, [x for x, _ in at], [y for _, y in at], size=6,
                 hover=[f"{name}: {_pair(one.beta)}" for one in some])
        )  # fmt: skip
    both = [(fits.glmm.beta, fits.gee.beta)] if fits.glmm and fits.gee else []
    ends = np.clip(np.reshape(both, (-1, 2)), *ranges.T).reshape(-1, 4).T
    averaged = [] if fits.averaged is None else [np.clip(fits.averaged, *ranges.T)]
    marks += [
        arrows("guide", None, *ends, key="averaging", stage="estimate", width=2, gap=6),
        dots("model", None, [x for x, _ in averaged], [y for _, y in averaged], key="averaged",
             shape="cross", size=6,
             hover=[f"mixed model, averaged: {_pair(fits.averaged)}" for _ in averaged]),
        dots("yours", None, [state.intercept], [state.slope], key="set",
             hover=[f"every patient, as you set it: {_pair(state.line)}"],
             drag=[Drag("Every patient's line", x="intercept", y="slope")]),
        dots("truth", None, *np.clip(true, *ranges.T)[:, None], key="true",
             hover=[f"truly, the average: {_pair(true)}"]),
    ]  # fmt: skip
    return Panel("coefficients", "Intercept and slope", Axis("intercept", *ranges[0]),
                 Axis("slope (a year)", *SLOPES), marks, folded=True)  # fmt: skip


def _pair(beta: Array) -> str:
    return f"intercept {number(beta[0])}, slope {number(beta[1])}"


def measure(state: State, clinic: Clinic, fits: Fits) -> dict[str, float]:
    """Return the slopes; nan where a model has none."""
    slope = {k: getattr(fits, k).slope if getattr(fits, k) else math.nan for k in ("glmm", "gee")}
    return slope | {"averaged": math.nan if fits.averaged is None else float(fits.averaged[1])}


def measure_many(state: State, seeds: Sequence[int]) -> dict[str, Array]:
    """Return the slopes of many samples, all fitted together."""
    y = visits(state.family, state.line, state.sd, state.patients, Draws.of_many(seeds))[1]
    found, known = slopes_of_many(state.family, y, state.line, state.sd)
    for k in np.flatnonzero(~known):  # a sample that may have no estimate
        sample = replace(state, seed=seeds[k])
        data = simulate(sample)
        for name, value in measure(sample, data, fit(data)).items():
            found[name][k] = value
    return found


def truth_of(state: State) -> dict[str, float]:
    """Return the slope of one patient and of the average over all there are."""
    average = float(marginal_line(state.family, state.line, state.sd)[1])
    return {"glmm": state.slope, "gee": average, "averaged": average}


LAB = Lab(
    name="conditional-marginal", title="Conditional and marginal",
    state=State, simulate=simulate, fit=fit, scene=scene,
    question=Curve(
        "Each thin curve is one patient. Draw the curve of the average over all patients.",
        panel="curves", at=BET_AT, low=0, high=1, step=0.01, start=(0.5,) * 4,
        label="the average", near=0.07,
    ),
    alt=(
        "Thirty thin S-shaped curves that fall from left to right, each at another time, and an "
        "upright cursor with a bead on each; beside it the same patients as parallel falling lines."
    ),
    main=("sd", "link"),
    reveal={"month": float(YEAR)},
    goals=(
        Goal("Move the intercept and not the slope",
             lambda state, data, fits: fits.as_steep and fits.shift > 0.3,
             {"link": "log", "sd": 1.0, "slope": -1.0}),
        Goal("Let patients differ, and nothing move",
             lambda state, data, fits: state.sd >= 1 and fits.as_steep and abs(fits.shift) < 0.05,
             {"link": "identity"}),
        Goal("Make both slopes agree under the logit",
             lambda state, data, fits: state.link == "logit" and fits.as_steep, {"sd": 0.0}),
    ),
    statistics=(
        Statistic("glmm", "Mixed model: one patient", "model", lifts="curves/glmm"),
        Statistic("gee", "GEE: the average", "everyone", lifts="curves/fallen"),
        Statistic("averaged", "Mixed model, averaged", "model", lifts="curves/average"),
    ),
    statistics_label="slope (a year)",
    measure=measure, measure_many=measure_many, truth_of=truth_of, new_sample_label="New data",
)  # fmt: skip
