"""Chapter 2, Three poolings."""

from __future__ import annotations

from functools import cache

import numpy as np

from mixedlab.data.registry import load
from mixedlab.exercises.exercise import Choice, Misconception, Number
from mixedlab.inference.james_stein import (
    arcsine_scale,
    james_stein,
    known_variance_mixed_model,
    rate_scale,
    total_squared_error,
)
from mixedlab.three_poolings import ThreePoolings, pooling

RADON = "log_radon ~ floor + (1 | county)"
COUNTY = "LACQUIPARLE"


def _batting() -> tuple[np.ndarray, np.ndarray]:
    """Own averages and those of the rest of the season."""
    players = load("baseball1970")
    own = players["hits"] / players["at_bats"]
    return own.to_numpy(), (players["remaining_hits"] / players["remaining_at_bats"]).to_numpy()


def _share_kept(at_bats: int) -> float:
    return known_variance_mixed_model(arcsine_scale(_batting()[0], at_bats)).keep


def _more_at_bats() -> str:
    many, few = _share_kept(450), _share_kept(45)
    return "more" if many > few else "less" if many < few else "the same"


def _error(estimate) -> float:
    """Total squared error of an estimate from the averages x, on the arcsine scale."""
    own, season = _batting()
    return total_squared_error(estimate(arcsine_scale(own, 45)), arcsine_scale(season, 45))


def _error_of_averages() -> float:
    own, season = _batting()
    x = james_stein(arcsine_scale(own, 45)).estimate
    return total_squared_error(rate_scale(x, 45), season)


def _error_against_the_first_at_bats() -> float:
    x = arcsine_scale(_batting()[0], 45)
    return total_squared_error(james_stein(x).estimate, x)


@cache
def _radon() -> ThreePoolings:
    return pooling(RADON, load("radon"))


def _county(kind: str) -> float:
    return float(getattr(_radon(), kind).coef.loc[COUNTY, "(Intercept)"])


EXERCISES = (
    Choice(
        id="2.1",
        title="Ten times the at-bats",
        ask=(
            "Suppose each of the 18 players had come to bat 450 times, not 45, with the same "
            "averages. Of each player's distance from the mean, would you keep 'less', "
            "'the same' or 'more'?"
        ),
        options={
            "less": "a smaller share than for 45 at-bats",
            "the same": "the same share",
            "more": "a larger share",
        },
        answer=_more_at_bats,
        hint="Ask how much of the spread of the averages is luck, and what 450 at-bats do to luck.",
        praise=(
            "The averages spread as before, but luck now explains a tenth as much of it. In the "
            "lab, raise the at-bats and watch the model's dial move towards 0."
        ),
        solution=lambda right: (
            f"{right!r}. The share kept is tau2 / (tau2 + v), and v, the luck in one average, "
            "falls as 1/n. The mixed model keeps "
            f"{_share_kept(45):.0%} with 45 at-bats and would keep {_share_kept(450):.0%} "
            "with 450."
        ),
        misconceptions=(
            Misconception(
                "more data taken as more pooling",
                "less",
                "More at-bats make each player's own average surer. Would you pull a surer number "
                "harder?",
            ),
            Misconception(
                "share thought to be fixed",
                "the same",
                "The averages are the same, but are they as lucky? Compare the sampling variance "
                "of an average from 45 and from 450 at-bats.",
            ),
        ),
    ),
    Number(
        id="2.2",
        title="What pooling saves",
        ask=(
            "What is the total squared error of the James-Stein estimates of the 18 players, "
            "scored on the rest of the season, on the arcsine scale with n = 45?"
        ),
        tolerance=0.01,
        answer=lambda: _error(lambda x: james_stein(x).estimate),
        hint=(
            "Put both the first averages and those of the rest of the season on the scale "
            "arcsine_scale(rate, 45), shrink the first, and add up the squared differences."
        ),
        praise="The players' own averages have an error three times as large.",
        solution=lambda right: (
            "x = arcsine_scale(df.hits / 45, 45); "
            "theta = arcsine_scale(df.remaining_hits / df.remaining_at_bats, 45); "
            f"((james_stein(x).estimate - theta) ** 2).sum() gives {right:.2f}. The players' own "
            f"averages give {_error(lambda x: x):.2f}, the mean of all "
            f"{_error(lambda x: np.full(18, x.mean())):.2f}."
        ),
        misconceptions=(
            Misconception(
                "no pooling scored",
                lambda: _error(lambda x: x),
                "That is the error of the players' own averages. Shrink them first.",
            ),
            Misconception(
                "complete pooling scored",
                lambda: _error(lambda x: np.full(18, x.mean())),
                "That is the error of giving all players the mean. James and Stein keep a share "
                "of the distances.",
            ),
            Misconception(
                "mixed model for James-Stein",
                lambda: _error(lambda x: known_variance_mixed_model(x).estimate),
                "That is the mixed model's error. James and Stein's share has k - 3 where the "
                "mixed model has k - 1.",
            ),
            Misconception(
                "scored on the data used",
                _error_against_the_first_at_bats,
                "You scored the estimates on the at-bats they were made from. The truth is the "
                "rest of the season.",
            ),
            Misconception(
                "mean for total",
                lambda: _error(lambda x: james_stein(x).estimate) / 18,
                "That is the mean over the 18 players. The total is asked for.",
            ),
            Misconception(
                "scored as batting averages",
                _error_of_averages,
                "You went back to batting averages before you scored. Stay on the arcsine scale, "
                "where one player's luck has variance 1.",
            ),
        ),
    ),
    Number(
        id="2.3",
        title="Repair a ranking",
        ask=(
            f'A report fits "{RADON}" without pooling and says that {COUNTY} has the most '
            "radon in Minnesota. Two houses were measured there. What log radon does partial "
            "pooling give for a basement (floor 0) in that county?"
        ),
        tolerance=0.01,
        unit="log pCi/L",
        answer=lambda: _county("partial"),
        hint=(
            f"ml.pooling(...).partial.coef holds a row for {COUNTY}; in a basement floor is 0, so "
            "the county's (Intercept) is all you need."
        ),
        praise="Two houses move the county a quarter of the way from the mean to their own figure.",
        solution=lambda right: (
            f'three = ml.pooling("{RADON}", ml.load("radon")); '
            f'three.partial.coef.loc["{COUNTY}", "(Intercept)"] gives {right:.2f}. Its own two '
            f"houses say {_county('none'):.2f}, the state {_county('complete'):.2f}. It is no "
            "longer the first of the 85 counties."
        ),
        misconceptions=(
            Misconception(
                "no pooling reported",
                lambda: _county("none"),
                "That is the report's own figure, from two houses alone.",
            ),
            Misconception(
                "complete pooling reported",
                lambda: _county("complete"),
                "That is the same for all 85 counties. Partial pooling lets the county differ.",
            ),
            Misconception(
                "random effect for coefficient",
                lambda: float(_radon().fit.ranef["county"].loc[COUNTY, "(Intercept)"]),
                "That is how far the county lies from the mean of all. Add the fixed intercept.",
            ),
            Misconception(
                "fixed effect for coefficient",
                lambda: float(_radon().fit.fixef["(Intercept)"]),
                "That is the mean over all counties. Add this county's own deviation.",
            ),
            Misconception(
                "back-transformed",
                lambda: float(np.exp(_county("partial"))),
                "That is in pCi/L. The answer is asked for on the log scale.",
            ),
            Misconception(
                "ground floor for basement",
                lambda: _county("partial") + float(_radon().fit.fixef["floor"]),
                "That is the ground floor. In a basement floor is 0.",
            ),
        ),
    ),
)
