"""Three poolings: batting averages, a dial from no pooling to complete, and the season as judge.

``three_poolings.model.md`` says in a teacher's words what is real, simulated and simplified.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from mixedlab.inference.james_stein import (
    Shrinkage,
    arcsine_scale,
    james_stein,
    known_variance_mixed_model,
    predicted_error,
    rate_scale,
    total_squared_error,
)
from mixedlab.labs.kit.bet import Place
from mixedlab.labs.kit.lab import Goal, Lab, Statistic, slider
from mixedlab.labs.kit.marks import dots, each, lines, texts, upright
from mixedlab.labs.kit.panels import pulled
from mixedlab.labs.kit.scene import Axis, Drag, Panel, Scene
from mixedlab.labs.kit.words import count, percent, rate

Array = NDArray[np.float64]

REAL_AT_BATS = 45
REAL_SEED = 1970
MOST_AT_BATS = 500
DIALS = np.linspace(0, 1, 51)


@dataclass(frozen=True)
class State:
    """The controls."""

    dial: float = slider(
        0.0, 0, 1, 0.01, "Pooling dial", help="0: own average; 1: the mean of all players"
    )
    at_bats: int = slider(
        REAL_AT_BATS, 10, MOST_AT_BATS, 5, "At-bats a player", help="the first 45 of 1970 are real"
    )
    spread: float = slider(
        1.0, 0, 3, 0.1, "Spread of true averages", "x 1970", help="0: all players are alike"
    )
    seed: int = REAL_SEED


@dataclass(frozen=True)
class Batting:
    """What the scout has seen, and what is true."""

    players: tuple[str, ...]
    at_bats: int
    hits: NDArray[np.int_]
    truth: Array
    seen: str

    @property
    def rate(self) -> Array:
        """Own batting averages, shape (18,)."""
        return self.hits / self.at_bats


@dataclass(frozen=True)
class Fits:
    """Both rules' shares, and all averages on the scale where one player's luck is 1."""

    own: Array
    mixed: Shrinkage
    james_stein: Shrinkage

    def pooled(self, dial: float) -> Array:
        """Pull each own average the share ``dial`` of its way to the mean."""
        return self.own + dial * (self.own.mean() - self.own)


@cache
def season() -> tuple[tuple[str, ...], NDArray[np.int_], Array]:
    """Return the 18 players, hits in their first 45 at-bats, averages of the rest of 1970."""
    table = files("mixedlab.data") / "tables" / "baseball1970.csv"
    rows = list(csv.DictReader(table.read_text("utf-8").splitlines()))
    column = {name: np.array([int(row[name]) for row in rows]) for name in list(rows[0])[1:]}
    rate = column["remaining_hits"] / column["remaining_at_bats"]
    return tuple(row["player"] for row in rows), column["hits"], rate


def simulate(state: State) -> Batting:
    """Draw each player's first at-bats; the real ones where the state is that of 1970."""
    players, first_hits, rate = season()
    angle = arcsine_scale(rate, 1)
    truth = rate_scale(angle.mean() + state.spread * (angle - angle.mean()), 1)
    # One number for each at-bat, drawn before anything depends on the state: a control that
    # moves changes what the numbers mean and not the numbers.
    luck = np.random.default_rng(state.seed).random((len(players), MOST_AT_BATS))
    hit = luck < truth[:, None]
    seen = f"{state.at_bats} simulated at-bats"
    if state.seed == REAL_SEED and state.spread == 1:
        # Which of the 45 were hits is not on record: the luckiest numbers stand for them.
        order = luck[:, :REAL_AT_BATS].argsort(axis=1).argsort(axis=1)
        hit[:, :REAL_AT_BATS] = order < first_hits[:, None]
        seen = _real_at_bats(state.at_bats)
    return Batting(players, state.at_bats, hit[:, : state.at_bats].sum(axis=1), truth, seen)


def fit(batting: Batting) -> Fits:
    """Estimate how much to pool, by the mixed model and by James and Stein's rule."""
    own = arcsine_scale(batting.rate, batting.at_bats)
    return Fits(own, known_variance_mixed_model(own), james_stein(own))


def errors(batting: Batting, fits: Fits, dials: Array) -> Array:
    """Return the total squared error of each dial, in units of one player's luck."""
    truth = arcsine_scale(batting.truth, batting.at_bats)
    return np.array([total_squared_error(fits.pooled(dial), truth) for dial in dials])


def best_dial(batting: Batting, fits: Fits) -> float:
    """Return the dial of the least error: its derivative is linear in the dial."""
    truth = arcsine_scale(batting.truth, batting.at_bats)
    away = fits.own - fits.own.mean()
    spread = away @ away
    return float(np.clip(away @ (fits.own - truth) / spread, 0, 1)) if spread > 0 else 1.0


def scene(state: State, batting: Batting, fits: Fits) -> Scene:
    """Describe the averages pulled to their mean, and the error of every dial."""
    error = errors(batting, fits, DIALS)
    here, model = errors(batting, fits, np.array([state.dial, fits.mixed.pooling]))
    best = best_dial(batting, fits)
    yours = rate_scale(fits.pooled(state.dial), batting.at_bats)
    miss = [_points(np.sqrt(np.mean((r - batting.truth) ** 2))) for r in (batting.rate, yours)]
    told = (
        f"{batting.seen}. Own averages run from {rate(batting.rate.min())} to "
        f"{rate(batting.rate.max())}; their mean is {rate(batting.rate.mean())}."
    )
    outcome = (
        f"The mixed model sets the dial at {fits.mixed.pooling:.2f} and keeps "
        f"{fits.mixed.keep:.0%} of the spread; James and Stein set it at "
        f"{fits.james_stein.pooling:.2f} and keep {fits.james_stein.keep:.0%}."
    )
    truth = (
        f"Total error: {error[0]:.1f} at dial 0, {error[-1]:.1f} at dial 1, {model:.1f} at the "
        f"mixed model's dial; least at {best:.2f}. At your dial, {state.dial:.2f}, it is "
        f"{here:.1f}: a typical miss of {miss[1]} instead of {miss[0]}."
    )
    return Scene(
        panels=[
            _averages_panel(state, batting, fits, yours),
            _errors_panel(state, batting, fits, error, here),
        ],
        ask=f"You have seen {count(batting.at_bats, 'at-bat')} of each player. Where will he be "
        "for the rest of the season? Grab a dot and pull: all 18 come along.",
        headline=f"{percent(fits.mixed.pooling)} of the spread is luck",
        headline_truth=f"pulled {percent(best)} of the way: least error",
        answer=fits.mixed.pooling,
        answer_truth=best,
        summary=f"{told} {outcome}",
        summary_before=told,
        outcome=outcome,
        outcome_truth=truth,
    )


def _averages_panel(state: State, batting: Batting, fits: Fits, yours: Array) -> Panel:
    own, truth, who = batting.rate, batting.truth, batting.players
    mean = rate_scale(fits.own.mean(), batting.at_bats)
    model = rate_scale(fits.pooled(fits.mixed.pooling), batting.at_bats)
    rows = np.arange(len(who))[::-1]
    low = np.floor(20 * min(own.min(), truth.min(), 0.1)) / 20
    high = np.ceil(20 * max(own.max(), truth.max(), 0.45)) / 20
    moves = ("at_bats", "spread")
    axis = Axis("batting average (hits an at-bat)", low, high, eases_with=moves)
    pull = [Drag("Pull all towards the mean", x="dial", ends=(float(x), mean)) for x in own]
    return pulled(
        "averages", batting.seen, axis, who, own, model, mean, truth,
        hovers=(
            each(f"{{}}: {{}} of {batting.at_bats}, {{}}", who, batting.hits, map(rate, own)),
            each("{}: by the model {}", who, map(rate, model)),
            each("{}: true average {}", who, map(rate, truth)),
        ),
        labels=("own average", "mixed model", "true average"),
        more=[
            dots("yours", who, yours, rows, key="pooled", name="pulled by you", size=4.5,
                 hover=each("{}: pulled to {}", who, map(rate, yours)), drag=pull),
        ],
    )  # fmt: skip


def _errors_panel(state: State, batting: Batting, fits: Fits, error: Array, here: float) -> Panel:
    # An unbiased estimate of a small error can come out below 0; no error does.
    predicted = predicted_error(fits.own, 1 - DIALS).clip(0)
    rules = (("mixed", fits.mixed, "mixed model"), ("james-stein", fits.james_stein, "James–Stein"))
    marks = [
        lines("data", None, DIALS, [predicted], key="predicted", stage="estimate", width=2,
              hover=["expected without the truth"]),
        *(
            upright("model", rule.pooling, 0, height, key=key, width=width,
                    hover=[f"{label}: {rule.pooling:.2f}, keeps {rule.keep:.0%} of the spread"])
            for (key, rule, label), height, width in zip(rules, (31, 28), (3, 1.5), strict=True)
        ),
        *(
            texts("model", rule.pooling + (0.02 if rule.pooling < 0.4 else -0.02), height, label,
                  key=f"{key}-name", anchor="start" if rule.pooling < 0.4 else "end")
            for (key, rule, label), height in zip(rules, (26, 18), strict=True)
        ),
        lines("truth", None, DIALS, [error], key="error", hover=["against the true averages"]),
        dots("truth", ["none", "complete"], [0, 1], error[[0, -1]], key="ends", shape="circle",
             hover=[f"no pooling: {error[0]:.1f}", f"complete pooling: {error[-1]:.1f}"]),
        dots("yours", None, [state.dial], [here], key="here", stage="truth", size=7,
             hover=[f"your dial, {state.dial:.2f}: {here:.1f}"]),
    ]  # fmt: skip
    return Panel(
        "errors",
        "Error of every dial",
        Axis.ticked("pooling dial", -0.04, 1.04, (0, 0.25, 0.5, 0.75, 1)),
        # What is worse than twice the luck of 18 players is off the chart.
        Axis("total error (1 = one player's luck)", 0, 36),
        marks,
    )


def measure(state: State, batting: Batting, fits: Fits) -> dict[str, float]:
    """Return the total squared error of four dials."""
    dials = np.array([0, state.dial, fits.mixed.pooling, 1])
    names = ("none", "dial", "mixed", "complete")
    return dict(zip(names, errors(batting, fits, dials).tolist(), strict=True))


def _real_at_bats(n: int) -> str:
    if n < REAL_AT_BATS:
        return f"{n} of the first 45 at-bats of 1970"
    if n == REAL_AT_BATS:
        return "The first 45 at-bats of 1970"
    return f"The first 45 at-bats of 1970 and {n - REAL_AT_BATS} simulated"


def _points(miss: float) -> str:
    return f"{1000 * miss:.0f} points"


LAB = Lab(
    name="three-poolings",
    title="Three poolings",
    state=State,
    simulate=simulate,
    fit=fit,
    scene=scene,
    question=Place(
        "Where will each player be for the rest of the season? Grab a dot and pull.",
        panel="errors",
        axis="x",
        low=0,
        high=1,
        step=0.01,
        start=0,
        label="pooling dial",
        near=0.1,
        field="dial",
    ),
    alt=(
        "Batting averages of 18 players after 45 at-bats, as dots from .156 (Alvis) to .400 "
        "(Clemente), and a line at their mean, .265."
    ),
    main=("dial", "at_bats"),
    goals=(
        Goal(
            "Find your least error",
            lambda state, data, fits: abs(state.dial - best_dial(data, fits)) <= 0.02,
            {"dial": 0.85},
        ),
        Goal(
            "Make own averages the best guess",
            lambda state, data, fits: best_dial(data, fits) < 0.1,
            {"at_bats": 500, "spread": 2},
        ),
        Goal(
            "Make one guess for all the best",
            lambda state, data, fits: best_dial(data, fits) > 0.98,
            {"spread": 0},
        ),
    ),
    statistics=(
        Statistic("none", "No pooling", "own", lifts="averages/own"),
        Statistic("dial", "Your dial", "yours", lifts="averages/pooled"),
        Statistic("mixed", "Mixed model's dial", "model", lifts="averages/model"),
        Statistic("complete", "Complete pooling", "everyone", lifts="averages/mean"),
    ),
    statistics_label="total error (1 = one player's luck)",
    measure=measure,
    truth_label="Show the rest of the season",
)
