"""What the lab on within and between sets, draws and estimates: a stress diary and four slopes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.closed_forms import RandomIntercept, random_intercept, within_and_between
from mixedlab.labs.kit.lab import choice, dragged, slider
from mixedlab.simulate.scenario import Simulated
from mixedlab.simulate.stress_diary import diary

Array = NDArray[np.float64]

PERSONS = 16
SD_ERROR, SD_PERSON = 1.0, 0.5  # points of stress: of the moment, of the person
TILT = 1.2  # the steepest bet


@dataclass(frozen=True)
class State:
    """The controls. ``tilt`` is the bet; the true slopes are dragged once it is made."""

    gather: float = slider(
        0.6, -1, 1, 0.1, "Colours: overlay ← → gather",
        help="left: all persons on one spot; right: each person's dots at their mean",
    )  # fmt: skip
    prompts: int = slider(5, 2, 30, 1, "Answers a person")
    sd_means: float = slider(1.0, 0, 2, 0.1, "Spread of persons' means", "points of support")
    centring: str = choice(
        "none",
        {
            "none": "as measured",
            "grand": "less the mean of all",
            "person": "less the person's own mean",
        },
        "Support x is taken",
        help="what the models with one slope are given",
    )
    tilt: float = dragged(0.0, -TILT, TILT, 0.05, "Your line")
    within: float = dragged(-0.8, -1.5, 1.5, 0.1, "True slope within a person")
    between: float = dragged(0.6, -1.5, 1.5, 0.1, "True slope between persons")
    seed: int = 3604


@dataclass(frozen=True)
class Fits:
    """Four slopes of the same diary, and x as the models with one slope were given it.

    ``x`` and ``y`` have shape (persons, prompts).
    """

    x: Array
    y: Array
    within: float
    between: float
    naive: float
    random_intercept: RandomIntercept

    @property
    def aggregated(self) -> float:
        """Slope of the persons' means; with equally many prompts, the one between persons."""
        return self.between

    @property
    def slopes(self) -> dict[str, float]:
        """All four by name."""
        return {name: getattr(self, name) for name in ("within", "naive", "between")} | {
            "model": self.random_intercept.slope
        }


def simulate(state: State) -> tuple[Simulated, str]:
    """Draw the diary; how x is to be centred goes along with it."""
    made = diary(
        n_persons=PERSONS, n_prompts=state.prompts, within=state.within, between=state.between,
        sd_means=state.sd_means, sd_person=SD_PERSON, sd_error=SD_ERROR, seed=state.seed,
    )  # fmt: skip
    return made, state.centring


def fit(data: tuple[Simulated, str]) -> Fits:
    """Estimate the slope within, between, of all rows at once, and with a random intercept."""
    made, centring = data
    support = made["support"].reshape(PERSONS, -1)
    y = made["stress"].reshape(PERSONS, -1)
    x = centred(support, centring)
    within, between = within_and_between(support, y)
    within_x, between_x = within_and_between(x, y)
    return Fits(
        x=x,
        y=y,
        within=within.slope,
        between=between.slope,
        naive=within_x.plus(between_x).slope,
        random_intercept=random_intercept(within_x, between_x, PERSONS, y.shape[1]),
    )


def centred(support: Array, centring: str) -> Array:
    """Return support as measured, less the mean of all, or less each person's own mean."""
    if centring == "grand":
        return support - support.mean()
    return support - support.mean(axis=1, keepdims=True) if centring == "person" else support
