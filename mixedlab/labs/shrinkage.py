"""Shrinkage: one estimate of a hospital's mean, seen as a pull, a penalty and a product.

``shrinkage.model.md`` says in a teacher's words what is simulated and simplified.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.closed_forms import reml_icc
from mixedlab.labs.kit.bet import Place
from mixedlab.labs.kit.lab import Goal, Lab, Statistic, slider
from mixedlab.labs.kit.marks import dots, each, lines, upright
from mixedlab.labs.kit.scene import Axis, Drag, Panel, Scene
from mixedlab.labs.kit.words import count
from mixedlab.labs.shrinkage_panels import HIGH, LOW, SD_PATIENT, days, penalty_panel, product_panel
from mixedlab.simulate.patients_in_hospitals import hospitals

Array = NDArray[np.float64]

N_HOSPITALS = 24
SIZES = tuple(int(n) for n in np.round(np.geomspace(3, 60, N_HOSPITALS)))
YOURS = 19  # the hospital whose mean and size the reader sets
OTHERS = np.arange(N_HOSPITALS) != YOURS
MEAN = 30.0  # days


@dataclass(frozen=True)
class State:
    """The controls."""

    penalty: float = slider(
        4.0, 0.5, 60, 0.5, "Penalty λ", help="how strongly all are pulled to the mean of all"
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
    moved = np.abs(pulled - stays.mean)
    most, extreme = int(moved.argmax()), int(np.abs(stays.mean - mu).argmax())
    error = measure(state, stays, model)
    told = (
        f"Your hospital: {count(state.size, 'patient')}, mean stay {state.mean:.1f} days. The "
        f"mean of all is {mu:.1f} days."
    )
    outcome = (
        f"Hospital {most + 1} moves most, with {count(stays.size[most], 'patient')}: from "
        f"{stays.mean[most]:.1f} to {pulled[most]:.1f} days. The most extreme, hospital "
        f"{extreme + 1} with {count(stays.size[extreme], 'patient')}, moves by "
        f"{moved[extreme]:.1f}. Yours keeps {w:.0%} of its distance and moves to "
        f"{pulled[YOURS]:.1f}."
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
            penalty_panel(state, mu, w),
            product_panel(state, mu, w),
        ],
        headline=f"the furthest mover has {count(stays.size[most], 'patient')}",
        headline_truth=(
            f"pulling leaves errors of {error['yours']:.1f} days, not {error['none']:.1f}"
        ),
        answer=float(stays.size[most]),
        summary=f"{told} {outcome}",
        summary_before=told,
        outcome=outcome,
        outcome_truth=truth,
    )


def _lambda(penalty: float) -> str:
    return f"{penalty:.1f}" if penalty < 1000 else "without end"


def _hospitals_panel(stays: Stays, mu: float, pulled: Array) -> Panel:
    keys = [str(j + 1) for j in range(N_HOSPITALS)]
    n, own, true = stays.size, stays.mean, stays.truth
    told = each("hospital {}: {} patients, {:.1f} days", keys, n, own)
    marks = [
        upright("everyone", mu, 0, 63, key="centre", name="mean of all", stage="data",
                hover=[f"mean of all: {mu:.1f} days"]),
        dots("yours", keys[YOURS : YOURS + 1], own[[YOURS]], n[[YOURS]], filled=False, size=8,
             name="your hospital", hover=[f"your {told[YOURS]}"],
             drag=[Drag("Your hospital", x="mean", y="size")]),
        lines("model", keys, np.column_stack([own, pulled]), np.column_stack([n, n]), key="bands",
              width=3, opacity=0.6, starts_from="own"),
        dots("own", keys, own, n, name="own mean", size=4.5, hover=told),
        dots("model", keys, pulled, n, key="pulled", name="shrunken mean", size=3.5,
             hover=each("hospital {}: shrunken to {:.1f}", keys, pulled), starts_from="own"),
        dots("truth", np.array(keys)[OTHERS], true[OTHERS].clip(LOW, HIGH), n[OTHERS],
             name="true mean", size=4, hover=each("truly {:.1f} days", true[OTHERS]),
             starts_from="own"),
    ]  # fmt: skip
    return Panel(
        "hospitals",
        "Stays in 24 hospitals",
        days("mean stay (days)"),
        Axis.ticked("patients", 0, 63, (1, 10, 20, 30, 40, 50, 60)),
        marks,
        hero=True,
    )


def _one_mean_is_best(state: State, stays: Stays, model: float) -> bool:
    error = measure(state, stays, model)
    return error["complete"] < 0.6 * error["none"] and error["complete"] <= error["yours"]


def _hurts(state: State, stays: Stays, model: float) -> bool:
    error = measure(state, stays, model)
    return error["yours"] > 1.1 * error["none"]


LAB = Lab(
    name="shrinkage",
    title="Shrinkage",
    state=State,
    simulate=simulate,
    fit=fit,
    scene=scene,
    question=Place(
        "Each hospital's mean is tied to the mean of all by a rubber band, and let go. How many "
        "patients has the hospital that moves furthest?",
        panel="hospitals",
        axis="y",
        low=1,
        high=60,
        step=1,
        start=30,
        label="its patients",
        near=5,
    ),
    alt=(
        "Mean stay in 24 hospitals against their number of patients. With few patients the means "
        "fan out; one hospital with 50 patients stands far to the right, at 39 days."
    ),
    main=("size", "penalty"),
    goals=(
        Goal(
            "Make your hospital move furthest, with 15 patients or more",
            lambda state, data, fits: (
                state.size >= 15
                and np.abs(shrunken(data, state.penalty) - data.mean).argmax() == YOURS
            ),
            {"mean": 48, "size": 15, "penalty": 20},
        ),
        Goal("Find a λ that hurts", _hurts, {"spread": 4, "penalty": 60}),
        Goal(
            "Make one mean for all the best guess",
            _one_mean_is_best,
            {"spread": 0, "mean": 30, "penalty": 60},
        ),
    ),
    statistics=(
        Statistic("none", "Own means", "own", lifts="hospitals/own"),
        Statistic("yours", "Your penalty", "yours", lifts="hospitals/pulled"),
        Statistic("model", "Mixed model's penalty", "model", lifts="hospitals/pulled"),
        Statistic("complete", "One mean for all", "everyone", lifts="hospitals/centre"),
    ),
    statistics_label="typical error of a hospital's mean (days)",
    measure=measure,
    truth_label="Show the true means",
    new_sample_label="New patients",
)
