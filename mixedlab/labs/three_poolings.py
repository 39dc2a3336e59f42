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
from mixedlab.labs.lab import Lab, Preset, Question, Statistic, slider
from mixedlab.labs.scene import Arrows, Axis, Dots, Drag, Lines, Mark, Panel, Scene, Texts

REAL_AT_BATS = 45
REAL_SEED = 1970
MOST_AT_BATS = 500
DIALS = np.linspace(0, 1, 51)


@dataclass(frozen=True)
class State:
    """The controls."""

    dial: float = slider(
        0.5, 0, 1, 0.01, "Pooling dial", help="0: own average; 1: the mean of all players"
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
    truth: NDArray[np.float64]
    seen: str

    @property
    def rate(self) -> NDArray[np.float64]:
        """Own batting averages, shape (18,)."""
        return self.hits / self.at_bats


@dataclass(frozen=True)
class Fits:
    """Both rules' shares, and all averages on the scale where one player's luck is 1."""

    own: NDArray[np.float64]
    mixed: Shrinkage
    james_stein: Shrinkage

    def pooled(self, dial: float) -> NDArray[np.float64]:
        """Pull each own average the share ``dial`` of its way to the mean."""
        return self.own + dial * (self.own.mean() - self.own)


@cache
def season() -> tuple[tuple[str, ...], NDArray[np.int_], NDArray[np.float64]]:
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


def errors(batting: Batting, fits: Fits, dials: NDArray[np.float64]) -> NDArray[np.float64]:
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
    """Describe arrows from own to pooled averages, and the error of every dial."""
    pooled = rate_scale(fits.pooled(state.dial), batting.at_bats)
    error = errors(batting, fits, DIALS)
    none, here, complete = errors(batting, fits, np.array([0, state.dial, 1]))
    model = errors(batting, fits, np.array([fits.mixed.pooling]))[0]
    best = best_dial(batting, fits)
    miss = [_points(np.sqrt(np.mean((r - batting.truth) ** 2))) for r in (batting.rate, pooled)]
    told = (
        f"{batting.seen}. Own averages run from {_average(batting.rate.min())} to "
        f"{_average(batting.rate.max())}; their mean is {_average(batting.rate.mean())}."
    )
    outcome = (
        f"The mixed model sets the dial at {fits.mixed.pooling:.2f} and keeps "
        f"{fits.mixed.keep:.0%} of the spread; James and Stein set it at "
        f"{fits.james_stein.pooling:.2f} and keep {fits.james_stein.keep:.0%}."
    )
    truth = (
        f"Total error: {none:.1f} at dial 0, {complete:.1f} at dial 1, {model:.1f} at the mixed "
        f"model's dial; least at {best:.2f}. At your dial, {state.dial:.2f}, it is {here:.1f}: "
        f"a typical miss of {miss[1]} instead of {miss[0]}."
    )
    return Scene(
        panels=[
            _averages_panel(batting, rate_scale(fits.own.mean(), batting.at_bats), pooled),
            _errors_panel(state, fits, error, here),
        ],
        summary=f"{told} {outcome}",
        summary_before=told,
        outcome=outcome,
        outcome_truth=truth,
    )


def _averages_panel(batting: Batting, mean: float, pooled: NDArray[np.float64]) -> Panel:
    rate, truth, players = batting.rate, batting.truth, batting.players
    rows = np.arange(len(players))[::-1]
    everything = np.concatenate([rate, pooled, truth])
    low = min(0.10, np.floor(everything.min() * 20) / 20)
    high = max(0.45, np.ceil(everything.max() * 20) / 20)
    marks: list[Mark] = [
        Lines(
            key="mean",
            color="complete",
            stage="estimate",
            name="mean of all (complete pooling)",
            x=[[mean, mean]],
            y=[[-0.7, len(rows) - 0.3]],
            width=2,
        ),
        Arrows(
            key="moves",
            color="partial",
            stage="estimate",
            keys=players,
            x0=rate,
            y0=rows,
            x1=pooled,
            y1=rows,
        ),
        Dots(
            key="own",
            color="none",
            name="own average (no pooling)",
            keys=players,
            x=rate,
            y=rows,
            size=5,
            hover=[
                f"{who}: {hits} of {batting.at_bats}, {_average(own)}"
                for who, hits, own in zip(players, batting.hits, rate, strict=True)
            ],
        ),
        Dots(
            key="pooled",
            color="partial",
            stage="estimate",
            name="pooled by your dial",
            keys=players,
            x=pooled,
            y=rows,
            shape="square",
            size=4,
            hover=_hover(players, pooled, "pooled"),
        ),
        Dots(
            key="truth",
            color="truth",
            stage="truth",
            name="true average",
            keys=players,
            x=truth,
            y=rows,
            shape="diamond",
            size=4,
            filled=False,
            hover=_hover(players, truth, "true average"),
        ),
    ]
    ticks = [(float(row), who) for row, who in zip(rows, players, strict=True)]
    return Panel(
        "averages",
        batting.seen,
        Axis("batting average (hits an at-bat)", low, high),
        Axis("", -0.8, len(rows) - 0.2, ticks),
        marks,
        width=1.15,
    )


def _errors_panel(state: State, fits: Fits, error: NDArray[np.float64], here: float) -> Panel:
    # An unbiased estimate of a small error can come out below 0; no error does.
    predicted = predicted_error(fits.own, 1 - DIALS).clip(0)
    handle = float(predicted_error(fits.own, 1 - state.dial).clip(0))
    top = float(max(error.max(), predicted.max(), 20.0))
    step = 10 ** np.floor(np.log10(top)) / 2
    top = float(np.ceil(1.12 * top / step) * step)
    rules = (("mixed", fits.mixed, "mixed model"), ("james-stein", fits.james_stein, "James-Stein"))
    marks: list[Mark] = [
        Lines(
            key="predicted",
            color="data",
            stage="estimate",
            name="error predicted without the truth",
            x=[DIALS],
            y=[predicted],
            width=2,
        ),
        *(
            Lines(
                key=key,
                color=color,
                stage="estimate",
                name=f"{label}'s dial",
                x=[[rule.pooling, rule.pooling]],
                y=[[0, top * height]],
                width=width,
                hover=[f"{label}: {rule.pooling:.2f}, keeps {rule.keep:.0%} of the spread"],
            )
            for (key, rule, label), color, height, width in zip(
                rules, ("partial", "accent"), (0.88, 0.8), (3, 1.5), strict=True
            )
        ),
        Lines(
            key="error",
            color="truth",
            stage="truth",
            name="error against the true averages",
            x=[DIALS],
            y=[error],
            dashed=True,
            width=2,
        ),
        Dots(
            key="ends",
            color="truth",
            stage="truth",
            keys=["none", "complete"],
            x=[0, 1],
            y=error[[0, -1]],
            filled=False,
            hover=[f"no pooling: {error[0]:.1f}", f"complete pooling: {error[-1]:.1f}"],
        ),
        Dots(
            key="here",
            color="truth",
            stage="truth",
            x=[state.dial],
            y=[here],
            shape="diamond",
            size=6,
            filled=False,
            hover=[f"your dial, {state.dial:.2f}: {here:.1f}"],
        ),
        Dots(
            key="dial",
            color="partial",
            stage="estimate",
            name="your dial (drag it)",
            x=[state.dial],
            y=[handle],
            shape="square",
            size=7,
            hover=[f"your dial, {state.dial:.2f}: {handle:.1f} predicted"],
            drag=[Drag("Pooling dial", x="dial")],
        ),
        *(
            Texts(
                key=f"label-{text}",
                color="muted",
                stage="estimate",
                x=[x],
                y=[0.95 * top],
                text=[f"{text} pooling"],
                anchor=anchor,
            )
            for x, text, anchor in ((0, "no", "start"), (1, "complete", "end"))
        ),
    ]
    return Panel(
        "errors",
        "Error of every dial",
        Axis("pooling dial", -0.08, 1.08, [(d, f"{d:g}") for d in (0, 0.25, 0.5, 0.75, 1)]),
        Axis("total squared error (1 = one player's luck)", 0, top),
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


def _average(rate: float) -> str:
    """Write a rate as a batting average: .265."""
    return f"{rate:.3f}".removeprefix("0")


def _points(rate: float) -> str:
    return f"{1000 * rate:.0f} points"


def _hover(players: tuple[str, ...], rates: NDArray[np.float64], what: str) -> list[str]:
    return [f"{who}: {what} {_average(r)}" for who, r in zip(players, rates, strict=True)]


LAB = Lab(
    name="three-poolings",
    title="Three poolings",
    state=State,
    simulate=simulate,
    fit=fit,
    scene=scene,
    question=Question(
        "You have 45 at-bats of each player and must guess his average for the rest of the "
        "season. The dial pulls every average towards the mean of all 18. Which dial wins?",
        (
            "0: his own average is the best guide to him",
            "About 0.2: pull a little",
            "About 0.8: pull most of the way",
            "1: the same guess for all",
        ),
    ),
    alt=(
        "Batting averages of 18 players after 45 at-bats, as dots from .156 (Alvis) to .400 "
        "(Clemente)."
    ),
    presets=(
        Preset("1970", {}, "The real season: 45 at-bats a player, then the rest of the year."),
        Preset(
            "Ten at-bats",
            {"at_bats": 10},
            "Pooling helps most where each player has said least.",
        ),
        Preset(
            "500 at-bats, unlike players",
            {"at_bats": 500, "spread": 2},
            "Pooling hardly matters: every player speaks for himself. Complete pooling hurts.",
        ),
        Preset(
            "All players alike",
            {"spread": 0},
            "The other end wins: there is nothing to keep, and dial 1 makes the least error.",
        ),
    ),
    statistics=(
        Statistic("none", "No pooling", "none"),
        Statistic("dial", "Your dial", "accent"),
        Statistic("mixed", "Mixed model's dial", "partial"),
        Statistic("complete", "Complete pooling", "complete"),
    ),
    measure=measure,
    truth_label="Show the rest of the season",
)
