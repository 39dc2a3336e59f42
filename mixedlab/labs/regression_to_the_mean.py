"""Regression to the mean: a whole lab, small enough to be printed in the book's appendix."""

from dataclasses import dataclass

import numpy as np

from mixedlab.labs.kit.bet import Place
from mixedlab.labs.kit.lab import Goal, Lab, Statistic, slider
from mixedlab.labs.kit.marks import dots, each, level, lines
from mixedlab.labs.kit.scene import Axis, Drag, Panel, Scene


@dataclass(frozen=True)
class State:
    """What the reader sets."""

    reliability: float = slider(0.5, 0, 1, 0.05, "Reliability of the test")
    top: int = slider(10, 5, 50, 5, "Best share followed", unit="%")
    students: int = slider(60, 20, 200, 10, "Students")
    seed: int = 1


def simulate(state):
    """Draw points at test 1, at test 2 and without luck; mark the best at test 1."""
    draws = np.random.default_rng(state.seed).standard_normal((3, state.students)).clip(-2.6, 2.6)
    ability, luck = state.reliability**0.5 * draws[0], (1 - state.reliability) ** 0.5 * draws[1:]
    points = 100 + 15 * np.array([ability + luck[0], ability + luck[1], ability])
    return points, points[0] >= np.quantile(points[0], 1 - state.top / 100)


def fit(data):
    """Shrink the best's mean at test 1 towards everyone's, by the correlation of the tests."""
    (first, second, _), best = data
    correlation = np.corrcoef(first, second)[0, 1]
    return correlation, first.mean() + correlation * (first[best].mean() - first.mean())


def scene(state, data, fits):
    """Draw all students at test 1, then test 2, then, as the truth, their ability."""
    (points, best), (correlation, guess) = data, fits
    mean, all_mean = points[:, best].mean(axis=1), points[0].mean()
    marks = [level("everyone", all_mean, -0.4, 2.4, name="mean of all", stage="data", width=1.5)]
    for x, stage in enumerate(["data", "estimate", "truth"]):
        for who, meaning, name in ((~best, "data", ""), (best, "own", "best at test 1")):
            keys, look = np.flatnonzero(who), {"key": f"{meaning}{x}", "stage": stage, "name": name}
            look["starts_from"] = f"{meaning}{x - 1}" if x else ""
            told = each("student {}: {:.0f} points", keys + 1, points[x, who])
            beside = x + 0.3 * (keys * 0.618034 % 1 - 0.5)  # so that no student hides another
            marks.append(dots(meaning, keys, beside, points[x, who], hover=told, **look))
    marks += [
        level("own", mean[0], -0.25, 0.25, key="their mean", width=4),
        lines("own", None, [[0, 1]], [mean[:2]], key="fall", stage="estimate", width=4),
        dots("model", None, [1.22], [guess], name="foretold by shrinkage", size=7,
             drag=[Drag("Foretell the best", y="reliability", ends=(all_mean, mean[0]))]),
        dots("truth", None, [2.22], [mean[2]], name="their mean ability", size=8),
    ]  # fmt: skip
    fall = mean[0] - mean[1]
    first = f"The best {state.top} % have a mean of {mean[0]:.1f} points at test 1"
    both = f"{first} and {mean[1]:.1f} at test 2, {fall:.1f} less; shrinkage foretold {guess:.1f}."
    x, y = Axis.ticked("", -0.4, 2.4, {0: "test 1", 1: "test 2", 2: "ability"}), "points"
    return Scene(
        [Panel("tests", "The same test, taken twice", x, Axis(y, 40, 160), marks, hero=True)],
        headline=f"the best fall by {fall:.0f} points" if fall > 1 else "the best stay as good",
        headline_truth=f"their mean ability is {mean[2]:.0f}",
        answer=mean[1],
        summary=f"{both} The two tests correlate {correlation:.2f}.",
        summary_before=f"{first}.",
        outcome=both,
        outcome_truth=f"Their mean ability is {mean[2]:.1f}.",
    )  # fmt: skip


LAB = Lab(
    name="regression-to-the-mean",
    title="The same test twice",
    state=State,
    simulate=simulate,
    fit=fit,
    scene=scene,
    question=Place(
        "The best at test 1, in orange, are taught nothing and sit the same test again. Where will "
        "their mean be?",
        panel="tests", axis="y", low=60, high=150, step=1, start=145,
        label="mean at test 2", near=3, unit=" points", across=1,
    ),
    alt="Points of 60 students at a first test, as dots one above the other; the best are orange.",
    goals=[
        Goal("Keep the best on top", lambda state, data, fits: fits[0] > 0.95, {"reliability": 1}),
        Goal("Make test 2 a lottery", lambda state, data, fits: fits[0] < 0.1, {"reliability": 0}),
    ],
    statistics=[
        Statistic("first", "Test 1", "own", lifts="tests/fall"),
        Statistic("second", "Test 2", "model", lifts="tests/model"),
    ],
    statistics_label="mean points of those best at test 1",
    measure=lambda state, data, fits: {
        "first": data[0][0, data[1]].mean(),
        "second": data[0][1, data[1]].mean(),
    },
    truth_label="Show their ability",
)  # fmt: skip
