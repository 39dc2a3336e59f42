"""Counties whose soil is known or not: drawn, labelled, and fitted with and without the soil."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.closed_forms import BalancedOneWay
from mixedlab.labs.kit.lab import slider, toggle
from mixedlab.simulate.draws import Draws

Array = NDArray[np.float64]

COUNTIES = "ABCDEF"
NEW = "G"
URANIUM = np.array([-0.4, 0.9, -1.0, 0.3, -0.7, 0.6])  # of the soil, by label; log scale
URANIUM_NEW = 1.2
SLOPE, LEVEL, SD_HOUSE = 1.0, 1.5, 0.6  # log radon
BELL = 1500  # counties in the histogram of their effects


@dataclass(frozen=True)
class State:
    """The controls."""

    shuffle: int = slider(0, 0, 9, 1, "Shuffle the labels", help="0: as they are on the map")
    known: bool = toggle(False, "Uranium known")
    spread: float = slider(
        0.4, 0, 1.2, 0.05, "Spread of counties", help="sd of what the soil does not explain"
    )
    houses: int = slider(3, 2, 6, 1, "Houses a county")
    causes: int = slider(12, 1, 40, 1, "Small causes behind a county")
    seed: int = 14


@dataclass(frozen=True)
class Data:
    """Log radon of houses (J, n) by label, which county carries each label, and the true means."""

    radon: Array
    county: NDArray[np.int_]
    truth: Array
    truth_new: float
    effects: Array


@dataclass(frozen=True)
class Fit:
    """A REML fit in closed form: equal numbers of houses, predictors of counties alone.

    ``at`` are the rows of X of the counties, ``at_new`` that of the one never measured.
    """

    beta: Array
    var_county: float
    var_house: float
    at: Array
    at_new: Array
    means: Array
    sd_new: float

    @property
    def line(self) -> Array:
        """The fixed part, X beta, of each county."""
        return self.at @ self.beta

    @property
    def new(self) -> float:
        """What is predicted for the county never measured."""
        return float(self.at_new @ self.beta)

    def predicted(self, houses: int) -> Array:
        """Return X beta + Z b: each county, by fixed and random part."""
        keep = self.var_county / (self.var_county + self.var_house / houses)
        return self.line + keep * (self.means - self.line)


def effects(state: State, seed: int, role: str, n: int) -> Array:
    """Return n counties' own deviations: sums of small causes, each up or down."""
    coin = Draws(seed).uniform(role, np.arange(n)[:, None], np.arange(state.causes))
    return state.spread * np.where(coin < 0.5, -1.0, 1.0).sum(axis=1) / np.sqrt(state.causes)


def simulate(state: State) -> Data:
    """Draw counties and their houses; hang the labels on them as they are, or shuffled."""
    return draw(state, state.seed, BELL)


def draw(state: State, seed: int, bell: int) -> Data:
    """Draw what `simulate` draws by another seed, with ``bell`` counties for the histogram."""
    J, draws = len(COUNTIES), Draws(seed)
    b = effects(state, seed, "cause", J + 1)
    truth = LEVEL + SLOPE * np.append(URANIUM, URANIUM_NEW) + b
    house = SD_HOUSE * draws.normal("house", np.arange(J)[:, None], np.arange(state.houses))
    county = np.arange(J)
    if state.shuffle:
        county = np.argsort(Draws(state.shuffle).uniform("label", county))
    radon = (truth[:J, None] + house)[county]
    more = effects(state, seed, "cause", bell)
    return Data(radon, county, truth[:J][county], float(truth[J]), more)


def fit_of(radon: Array, known: bool) -> Fit:
    """Fit ``radon ~ 1 + (1 | county)``, or ``radon ~ uranium + (1 | county)``."""
    J, n = radon.shape
    X = np.column_stack([np.ones(J), URANIUM]) if known else np.ones((J, 1))
    new = np.array([1.0, URANIUM_NEW][: X.shape[1]])
    means = radon.mean(axis=1)
    beta = np.linalg.lstsq(X, means, rcond=None)[0]
    p = X.shape[1]
    between = n * float(np.sum((means - X @ beta) ** 2)) / (J - p)
    within = float(np.sum((radon - means[:, None]) ** 2)) / (J * (n - 1))
    one = BalancedOneWay(J, n, between, within, reml=True, n_fixed=p)
    var_county, var_house = float(one.var_group), float(one.var_rows)
    unsure = (var_county + var_house / n) * float(new @ np.linalg.solve(X.T @ X, new))
    return Fit(beta, var_county, var_house, X, new, means, float(np.sqrt(var_county + unsure)))


def fit(data: Data) -> tuple[Fit, Fit]:
    """Fit without the soil's uranium, and with it."""
    return fit_of(data.radon, False), fit_of(data.radon, True)
