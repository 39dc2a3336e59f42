"""Chapter 2, Three poolings."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from mixedlab.data.registry import load
from mixedlab.exercises.exercise import Choice, Misconception, Number
from mixedlab.inference.james_stein import arcsine_scale, known_variance_mixed_model
from mixedlab.three_poolings import ThreePoolings, pooling

if TYPE_CHECKING:
    import pandas as pd

DRIVERS = "Reaction ~ Days + (Days | Subject)"
RADON = "log_radon ~ floor + (1 | county)"
N_MORE, HITS_OF_MORE = 18, 12


def _pull(n_more: int) -> float:
    """The share of each distance given up, with so many more players who hit 12 of 45."""
    players = load("baseball1970")
    first = (players["hits"] / players["at_bats"]).to_numpy()
    more = np.full(n_more, HITS_OF_MORE / 45)
    return known_variance_mixed_model(arcsine_scale(np.r_[first, more], 45)).pooling


def _with_more_players() -> str:
    before, after = _pull(0), _pull(N_MORE)
    return "more" if after > before else "less" if after < before else "the same"


@cache
def _drivers() -> ThreePoolings:
    sleep = load("sleepstudy")
    return pooling(DRIVERS, sleep[sleep["Days"] <= 5])


def _errors_on(day: int, kind: str) -> pd.Series:
    """Forecast minus reaction time of that day, by driver."""
    sleep = load("sleepstudy")
    truth = sleep[sleep["Days"] == day].set_index("Subject")["Reaction"]
    lines = getattr(_drivers(), kind).coef
    return lines["(Intercept)"] + day * lines["Days"] - truth


def _miss(kind: str = "partial", day: int = 9) -> float:
    return float(np.sqrt((_errors_on(day, kind) ** 2).mean()))


@cache
def _radon() -> ThreePoolings:
    return pooling(RADON, load("radon"))


def _counties(kind: str) -> pd.DataFrame:
    return getattr(_radon(), kind).coef


def _first(kind: str) -> str:
    return str(_counties(kind)["(Intercept)"].idxmax())


def _ground_floor(kind: str, county: str = "") -> float:
    """Radon in pCi/L on the ground floor, in a county or in that which this pooling puts first."""
    coef = _counties(kind).loc[county or _first(kind)]
    return float(np.exp(coef["(Intercept)"] + coef["floor"]))


EXERCISES = (
    Choice(
        id="2.1",
        title="Eighteen more batters",
        ask=(
            "The scout's records turn up eighteen more batters. Each of them hit 12 of his first "
            "45, an average of .267. The mixed model is fitted again, to all 36. Is Clemente now "
            "pulled towards the mean 'less', 'the same' or 'more'?"
        ),
        options={
            "less": "he keeps a larger share of his distance",
            "the same": "he keeps the share that he kept",
            "more": "he keeps a smaller share",
        },
        answer=_with_more_players,
        hint="The share is set by the spread of all averages. What do the new ones do to it?",
        praise=(
            "His own 45 at-bats have not changed. What the model believes of the spread of talent "
            "has: 36 averages now spread no more than luck alone makes them."
        ),
        solution=lambda right: (
            f"{right!r}. The new men all stand near the mean, so the averages spread less, and "
            "there is less room for talent. The mixed model gave up "
            f"{_pull(0):.0%} of each distance and now gives up {_pull(N_MORE):.0%}."
        ),
        misconceptions=(
            Misconception(
                "more data taken as less pooling",
                "less",
                "More at-bats of his own would make his average surer. These are at-bats of other "
                "men. What do they say of how much talents differ?",
            ),
            Misconception(
                "share set by a group's own data alone",
                "the same",
                "His own record is the same. But the share is talent's part of the spread of all "
                "averages. Do the new ones make that spread larger or smaller?",
            ),
        ),
    ),
    Number(
        id="2.2",
        title="Score the three poolings",
        ask=(
            "In sleepstudy 18 drivers slow down with each day of short sleep. Fit a line to each "
            f'driver\'s days 0 to 5 by partial pooling, "{DRIVERS}", and forecast day 9. What is '
            "the typical miss, the root of the mean squared error over the 18 drivers?"
        ),
        tolerance=0.01,
        unit="ms",
        answer=_miss,
        hint=(
            "A driver's forecast is (Intercept) + 9 Days, with his row of `three.partial.coef`. "
            "Take off his reaction time on day 9, square, average over drivers, take the root."
        ),
        praise=(
            "Both other poolings miss by more: one line for all knows no driver, and each driver's "
            "own line takes the luck of six days for a trend."
        ),
        solution=lambda right: (
            'lines = three.partial.coef; miss = lines["(Intercept)"] + 9 * lines["Days"] - day_9; '
            f"(miss**2).mean() ** 0.5 gives {right:.2f}. The drivers' own lines miss by "
            f"{_miss('none'):.2f}, one line for all by {_miss('complete'):.2f}."
        ),
        misconceptions=(
            Misconception(
                "no pooling scored",
                lambda: _miss("none"),
                "That is the miss of the drivers' own lines. Take those of `three.partial`.",
            ),
            Misconception(
                "complete pooling scored",
                lambda: _miss("complete"),
                "That is the miss of one line for all drivers. Take those of `three.partial`.",
            ),
            Misconception(
                "mean size for root mean square",
                lambda: float(_errors_on(9, "partial").abs().mean()),
                "That is the mean of the sizes. Square first, average, then take the root.",
            ),
            Misconception(
                "mean square without its root",
                lambda: _miss() ** 2,
                "That is the mean squared error, in ms². Take its root.",
            ),
            Misconception(
                "scored on the data used",
                lambda: _miss(day=5),
                "You scored day 5, which the lines were fitted to. The truth is day 9.",
            ),
        ),
    ),
    Choice(
        id="2.3",
        title="Which pooling for which question",
        ask=(
            "A health insurance has the costs of last year's patients in 40 hospitals, few in some "
            "and many in others. It has three tasks. For which of them are the hospitals' own "
            "means right as they are, without any pooling: 'pay', 'plan' or 'open'?"
        ),
        options={
            "pay": "refund to each hospital what its patients of last year cost on average",
            "plan": "foretell what next year's patients will cost on average in each hospital",
            "open": "foretell it for a hospital that opens next year",
        },
        answer=lambda: "pay",
        hint="Luck is part of what has happened. Will it happen again?",
        praise=(
            "What was spent was spent, luck and all. Pooling is for what stands behind the numbers "
            "and will be met again."
        ),
        solution=lambda right: (
            f"{right!r}. Last year's mean cost is known exactly, whatever brought it about. A plan "
            "wants what will come again, so each mean is pulled by its share. The new hospital has "
            "no mean of its own: it gets the mean of all, and the spread of hospitals about it."
        ),
        misconceptions=(
            Misconception(
                "own record taken for the best forecast",
                "plan",
                "A hospital with few patients had some luck last year, good or bad. Is that luck "
                "to be expected again?",
            ),
            Misconception(
                "no pooling for a new group",
                "open",
                "A hospital that is not open yet has no mean of its own. What do you know of it?",
            ),
        ),
    ),
    Number(
        id="2.4",
        title="Repair a ranking",
        ask=(
            f'A report fits "{RADON}" without pooling, ranks the 85 counties by their own '
            "figures, and puts Lac qui Parle first. Rank them by partial pooling. How much radon, "
            "in pCi/L, does it give for the ground floor (floor 1) in the county that is now first?"
        ),
        tolerance=0.001,
        unit="pCi/L",
        answer=lambda: _ground_floor("partial"),
        hint=(
            "`three.partial.coef` has a row for each county. Sort it by (Intercept). On the ground "
            "floor add its `floor`, and take the exponential."
        ),
        praise="Three houses say more than two: it keeps a larger share of its distance.",
        solution=lambda right: (
            'three.partial.coef.sort_values("(Intercept)") ends with '
            f"{_first('partial')}; exp((Intercept) + floor) gives {right:.3f}. Lac qui Parle has "
            f"{_ground_floor('partial', _first('none')):.3f}."
        ),
        misconceptions=(
            Misconception(
                "no pooling reported",
                lambda: _ground_floor("none"),
                "That is the report's own figure, the largest without pooling.",
            ),
            Misconception(
                "old winner, new figure",
                lambda: _ground_floor("partial", _first("none")),
                "That is Lac qui Parle, pulled. Is it still the first?",
            ),
            Misconception(
                "new winner, old figure",
                lambda: _ground_floor("none", _first("partial")),
                "The right county, but by its own houses alone. Take it from `partial`.",
            ),
            Misconception(
                "basement for ground floor",
                lambda: float(np.exp(_counties("partial")["(Intercept)"].max())),
                "That is a basement, floor 0. The ground floor is asked for.",
            ),
            Misconception(
                "not back-transformed",
                lambda: float(np.log(_ground_floor("partial"))),
                "That is the logarithm. How much is it in pCi/L?",
            ),
        ),
    ),
)
