"""Shrinkage: one estimate of a hospital's mean, seen as a pull, a penalty and a product.

``shrinkage.model.md`` says in a teacher's words what is simulated and simplified.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.closed_forms import reml_icc
from mixedlab.labs.kit.lab import Lab, Preset, Question, Statistic, slider
from mixedlab.labs.kit.scene import Arrows, Axis, Bars, Dots, Drag, Lines, Mark, Panel, Scene, Texts
from mixedlab.simulate.patients_in_hospitals import hospitals

Array = NDArray[np.float64]

N_HOSPITALS = 24
SIZES = tuple(int(n) for n in np.round(np.geomspace(3, 60, N_HOSPITALS)))
YOURS = 19  # the hospital whose mean and size the reader sets
OTHERS = np.arange(N_HOSPITALS) != YOURS
MEAN, SD_PATIENT = 30.0, 6.0  # days
LOW, HIGH = 12.0, 48.0  # of every axis of days
TOP = 100.0  # of the penalised objective, in days squared


@dataclass(frozen=True)
class State:
    """The controls."""

    penalty: float = slider(
        4.0, 0.5, 60, 0.5, "Penalty λ", help="a hospital keeps n / (n + λ) of its distance"
    )
    size: int = slider(50, 1, 60, 1, "Patients in your hospital", help="or drag it up and down")
    mean: float = slider(39.0, LOW, HIGH, 0.5, "Its mean stay", "days", help="or drag it sideways")
    spread: float = slider(
        3.0, 0, 4, 0.5, "True spread of hospitals", "days", help="patients spread by 6 days"
    )
    seed: int = 3


@dataclass(frozen=True)
class Stays:
    """Lengths of stay by hospital, arrays of shape (24,).

    Attributes
    ----------
    size, mean : patients, and their mean stay in days
    within : float
        Sum of squares of all patients about their hospital's mean.
    truth : true mean of each hospital; that of the reader's own is nobody's to know
    """

    size: NDArray[np.int_]
    mean: Array
    within: float
    truth: Array


def simulate(state: State) -> Stays:
    """Draw patients in 24 hospitals; the reader's gets the mean and size of the state."""
    size = np.array(SIZES)
    size[YOURS] = state.size
    drawn = hospitals(
        N_HOSPITALS,
        tuple(size.tolist()),
        intercept=MEAN,
        slope=0.0,
        sd_hospital=state.spread,
        sd_patient=SD_PATIENT,
        outcome="continuous",
        seed=state.seed,
    )
    stay, hospital = drawn["stay"], drawn["hospital"]
    mean = np.bincount(hospital, stay) / size
    within = float(((stay - mean[hospital]) ** 2).sum())
    mean = mean.clip(LOW, HIGH)
    mean[YOURS] = state.mean
    return Stays(size, mean, within, MEAN + drawn.truth["b"])


def weight(size, penalty: float) -> Array:
    """Return the share n / (n + lambda) of its distance that a hospital keeps."""
    return size / (size + penalty) if math.isfinite(penalty) else 0.0 * np.asarray(size, float)


def centre(stays: Stays, penalty: float) -> float:
    """Return the generalised least squares mean of all hospitals, each counted by its weight."""
    w = weight(stays.size, penalty) if math.isfinite(penalty) else stays.size
    return float(w @ stays.mean / w.sum())


def shrunken(stays: Stays, penalty: float) -> Array:
    """Return each hospital's mean pulled towards the centre."""
    mu = centre(stays, penalty)
    return mu + weight(stays.size, penalty) * (stays.mean - mu)


def fit(stays: Stays) -> float:
    """Estimate lambda = sigma^2 / sigma_b^2 by REML; infinite where the variance between is 0."""
    icc = reml_icc(stays.size, stays.mean, stays.within)
    return (1 - icc) / icc if icc else math.inf


def errors(stays: Stays, penalties: dict[str, float]) -> dict[str, float]:
    """Return the root mean squared error in days of each penalty, over all other hospitals."""
    gap = {name: (shrunken(stays, p) - stays.truth)[OTHERS] for name, p in penalties.items()}
    return {name: float(np.sqrt(np.mean(g**2))) for name, g in gap.items()}


def measure(state: State, stays: Stays, model: float) -> dict[str, float]:
    """Return the typical error of four penalties, from none to without end."""
    four = {"none": 0.0, "yours": state.penalty, "model": model, "complete": math.inf}
    return errors(stays, four)


def scene(state: State, stays: Stays, model: float) -> Scene:
    """Describe the pull on all hospitals, and the penalty and product of the reader's."""
    mu, pulled = centre(stays, state.penalty), shrunken(stays, state.penalty)
    w = float(weight(state.size, state.penalty))
    most = int(np.abs(pulled - stays.mean).argmax())
    extreme = int(np.abs(stays.mean - mu).argmax())
    error = measure(state, stays, model)
    told = (
        f"Your hospital: {state.size} patients, mean stay {state.mean:.1f} days. The mean of all "
        f"is {mu:.1f} days."
    )
    outcome = (
        f"Hospital {most + 1} moves most, with {stays.size[most]} patients: from "
        f"{stays.mean[most]:.1f} to {pulled[most]:.1f} days. The most extreme, hospital "
        f"{extreme + 1} with {stays.size[extreme]} patients, moves by "
        f"{abs(pulled[extreme] - stays.mean[extreme]):.1f}. Yours keeps {w:.0%} of its distance "
        f"and moves to {pulled[YOURS]:.1f}."
    )
    true_penalty = (SD_PATIENT / state.spread) ** 2 if state.spread else math.inf
    truth = (
        f"True λ: {_lambda(true_penalty)}; the mixed model estimates {_lambda(model)}. Typical "
        f"error: own means {error['none']:.2f} days, your λ {error['yours']:.2f}, the model's λ "
        f"{error['model']:.2f}, one mean for all {error['complete']:.2f}."
    )
    return Scene(
        panels=[
            _hospitals_panel(stays, mu, pulled),
            _penalty_panel(state, mu, w),
            _product_panel(state, mu, w),
        ],
        summary=f"{told} {outcome}",
        summary_before=told,
        outcome=outcome,
        outcome_truth=truth,
    )


def _lambda(penalty: float) -> str:
    return f"{penalty:.1f}" if penalty < 1000 else "without end"


def _days(label: str = "days") -> Axis:
    return Axis(label, LOW, HIGH, [(float(d), f"{d}") for d in (20, 30, 40)])


def _hospitals_panel(stays: Stays, mu: float, pulled: Array) -> Panel:
    keys = [str(j + 1) for j in range(N_HOSPITALS)]
    both = list(zip(keys, stays.size, stays.mean, strict=True))
    marks: list[Mark] = [
        Lines(
            key="centre",
            color="complete",
            name="mean of all, penalty, prior",
            x=[[mu, mu]],
            y=[[0, 63]],
            width=2,
            hover=[f"mean of all: {mu:.1f} days"],
        ),
        Arrows(
            key="moves",
            color="partial",
            stage="estimate",
            keys=keys,
            x0=stays.mean,
            y0=stays.size,
            x1=pulled,
            y1=stays.size,
        ),
        Dots(
            key="own",
            color="none",
            name="own mean, misfit, likelihood",
            keys=keys,
            x=stays.mean,
            y=stays.size,
            size=4.5,
            hover=[f"hospital {k}: {n} patients, {m:.1f} days" for k, n, m in both],
        ),
        Dots(
            key="pulled",
            color="partial",
            stage="estimate",
            name="shrunken mean, sum, product",
            keys=keys,
            x=pulled,
            y=stays.size,
            shape="square",
            size=3.5,
            hover=[f"hospital {k}: shrunken to {m:.1f}" for k, m in zip(keys, pulled, strict=True)],
        ),
        Dots(
            key="yours",
            color="accent",
            name="your hospital: drag it",
            x=[stays.mean[YOURS]],
            y=[stays.size[YOURS]],
            size=8,
            filled=False,
            hover=[f"your hospital: {stays.size[YOURS]} patients, {stays.mean[YOURS]:.1f} days"],
            drag=[Drag("Your hospital", x="mean", y="size")],
        ),
        Dots(
            key="truth",
            color="truth",
            stage="truth",
            name="true mean",
            keys=[k for k, other in zip(keys, OTHERS, strict=True) if other],
            x=stays.truth[OTHERS].clip(LOW, HIGH),
            y=stays.size[OTHERS],
            shape="diamond",
            size=4,
            filled=False,
            hover=[f"truly {m:.1f} days" for m in stays.truth[OTHERS]],
        ),
    ]
    return Panel(
        "hospitals",
        "The pull",
        _days("mean stay (days)"),
        Axis("patients", 0, 63, [(float(n), f"{n}") for n in (1, 10, 20, 30, 40, 50, 60)]),
        marks,
        width=1.2,
    )


def _penalty_panel(state: State, mu: float, w: float) -> Panel:
    best = mu + w * (state.mean - mu)
    least = w * (1 - w) * (state.mean - mu) ** 2
    curves = (
        ("misfit", "none", "data", state.mean, w, 0.0),
        ("penalty", "complete", "estimate", mu, 1 - w, 0.0),
        ("sum", "partial", "estimate", best, 1.0, least),
    )
    marks: list[Mark] = [
        Lines(
            key=key,
            color=color,
            stage=stage,
            x=[x],
            y=[curvature * (x - lowest) ** 2 + floor],
            width=3 if key == "sum" else 2,
            hover=[key],
        )
        for key, color, stage, lowest, curvature, floor in curves
        for x in [_below_top(lowest, curvature, floor)]
    ]
    marks += [_drop(best, least), _handle(state, 0.0)]
    marks.append(
        Dots(
            key="least",
            color="partial",
            stage="estimate",
            x=[best],
            y=[least],
            shape="square",
            size=5,
            hover=[f"least at {best:.1f} days"],
        )
    )
    return Panel(
        "penalty",
        "The penalty",
        _days("proposed mean (days)"),
        Axis("days²", 0, TOP),
        marks,
    )


def _below_top(lowest: float, curvature: float, floor: float) -> Array:
    """Where a parabola is inside the panel."""
    reach = math.sqrt((TOP - floor) / max(curvature, 1e-6))
    return np.linspace(max(lowest - reach, LOW), min(lowest + reach, HIGH), 61)


def _product_panel(state: State, mu: float, w: float) -> Panel:
    best = mu + w * (state.mean - mu)
    bells = (
        ("likelihood", "none", "data", state.mean, state.size),
        ("prior", "complete", "estimate", mu, state.penalty),
        ("product", "partial", "estimate", best, state.size + state.penalty),
    )
    marks: list[Mark] = [
        Lines(
            key=key,
            color=color,
            stage=stage,
            x=[x],
            y=[np.exp(-(((x - peak) / sd) ** 2) / 2)],
            width=3 if key == "product" else 2,
            hover=[f"{key}: {peak:.1f} days, sd {sd:.1f}"],
        )
        for key, color, stage, peak, count in bells
        for sd in [SD_PATIENT / math.sqrt(count)]
        for x in [np.linspace(max(peak - 4 * sd, LOW), min(peak + 4 * sd, HIGH), 81)]
    ]
    left, middle, right = sorted((mu, best, state.mean))
    kept = (left, middle) if mu <= state.mean else (middle, right)
    given_up = (middle, right) if mu <= state.mean else (left, middle)
    marks += [
        _drop(best, 1.0),
        *(
            Bars(
                key=key,
                color=color,
                stage="estimate",
                x0=[span[0]],
                x1=[span[1]],
                y0=[-0.22],
                y1=[-0.1],
                filled=filled,
                hover=[f"{key} {share:.0%} of the distance"],
            )
            for key, color, span, filled, share in (
                ("kept", "partial", kept, True, w),
                ("given up", "none", given_up, False, 1 - w),
            )
        ),
        Texts(
            key="weight",
            color="partial",
            stage="estimate",
            x=[(LOW + HIGH) / 2],
            y=[1.12],
            text=[f"keeps {state.size}/({state.size} + {state.penalty:g}) = {w:.0%}"],
        ),
        _handle(state, 1.0),
    ]
    return Panel(
        "product",
        "The product",
        _days("its mean (days)"),
        Axis("height (peak = 1)", -0.3, 1.25, [(float(v), f"{v:g}") for v in (0, 0.5, 1)]),
        marks,
    )


def _drop(x: float, top: float) -> Lines:
    """Return the line from the axis to the estimate: at one place in both panels."""
    return Lines(
        key="drop",
        color="partial",
        stage="estimate",
        x=[[x, x]],
        y=[[0, top]],
        width=1,
        hover=[f"{x:.1f} days"],
    )


def _handle(state: State, y: float) -> Dots:
    """Return the own mean, to be dragged sideways."""
    return Dots(
        key="own",
        color="none",
        x=[state.mean],
        y=[y],
        size=6,
        hover=[f"own mean: {state.mean:.1f} days"],
        drag=[Drag("Its mean stay", x="mean")],
    )


LAB = Lab(
    name="shrinkage",
    title="Shrinkage",
    state=State,
    simulate=simulate,
    fit=fit,
    scene=scene,
    question=Question(
        "Each hospital's mean is pulled towards the mean of all. Who moves most, in days?",
        (
            "The large hospitals",
            "The most extreme, large or small",
            "The small ones, extreme or not",
            "Those both small and extreme",
        ),
    ),
    alt=(
        "Mean stay in 24 hospitals against their number of patients. With few patients the means "
        "fan out; one hospital with 50 patients stands far to the right, at 39 days."
    ),
    presets=(
        Preset("Large and extreme", {}, "50 patients at 39 days. They are believed."),
        Preset(
            "Small and extreme",
            {"size": 3},
            "The same 39 days from three patients: most of the distance is put down to luck.",
        ),
        Preset(
            "Hospitals alike",
            {"spread": 0, "penalty": 60, "mean": 31},
            "The means differ by luck alone. The more you pull, the better.",
        ),
        Preset(
            "Shrinkage hurts",
            {"spread": 4, "penalty": 60},
            "Hospitals truly differ and the penalty is far too strong: worse than no pull at all.",
        ),
    ),
    statistics=(
        Statistic("none", "Own means", "none"),
        Statistic("yours", "Your penalty", "accent"),
        Statistic("model", "Mixed model's penalty", "partial"),
        Statistic("complete", "One mean for all", "complete"),
    ),
    statistics_label="typical error of a hospital's mean (days)",
    measure=measure,
    truth_label="Show the true means",
    new_sample_label="New patients",
)
