"""Regression to the mean: a whole lab, small enough to be printed in the book's appendix."""

from dataclasses import dataclass

import numpy as np

from mixedlab.labs.kit.lab import Lab, Preset, Question, Statistic, slider
from mixedlab.labs.kit.scene import Axis, Dots, Lines, Panel, Scene


@dataclass(frozen=True)
class State:
    """What the reader sets."""

    reliability: float = slider(0.5, 0, 1, 0.05, "Reliability of the test")
    students: int = slider(60, 20, 200, 10, "Students")
    top: int = slider(10, 5, 50, 5, "Best share followed", unit="%")
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
    mean = points[:, best].mean(axis=1)
    marks = []
    for x, stage in enumerate(["data", "estimate", "truth"]):
        for who, color, name in ((~best, "muted", "the others"), (best, "none", "best at test 1")):
            look = {"color": color, "name": name, "stage": stage}
            marks += [Dots(key=f"{x}{color}", x=[x] * who.sum(), y=points[x, who], **look)]
    look = {"stage": "estimate", "color": "none", "name": "their mean", "width": 4}
    marks += [Lines(key="mean", x=[[0, 1]], y=[mean[:2]], **look)]
    look = {"stage": "estimate", "color": "partial", "name": "foretold by shrinkage"}
    marks += [Dots(key="guess", x=[1], y=[guess], shape="square", size=7, **look)]
    look = {"stage": "truth", "color": "truth", "name": "their mean ability", "filled": False}
    marks += [Dots(key="ability", x=[2], y=mean[2:], shape="diamond", size=8, **look)]
    first = f"The best {state.top} % have a mean of {mean[0]:.1f} points at test 1"
    both = f"{first} and {mean[1]:.1f} at test 2; shrinkage foretold {guess:.1f}."
    x = Axis("", -0.4, 2.4, [(0, "test 1"), (1, "test 2"), (2, "ability")])
    return Scene(
        [Panel("tests", "The same test, taken twice", x, Axis("points", 40, 160), marks)],
        summary=f"{both} The two tests correlate {correlation:.2f}.",
        summary_before=f"{first}.",
        outcome=both,
        outcome_truth=f"Their mean ability is {mean[2]:.1f}.",
    )


LAB = Lab(
    name="regression-to-the-mean",
    title="Regression to the mean",
    state=State,
    simulate=simulate,
    fit=fit,
    scene=scene,
    question=Question(
        "The best at test 1 are taught nothing and sit the same test again. How does their mean "
        "change?",
        ["It rises", "It stays", "It falls"],
    ),
    alt="Points of 60 students at a first test, as dots one above the other; the best are marked.",
    presets=[
        Preset("A perfect test", {"reliability": 1}, "No luck, no regression."),
        Preset("A lottery", {"reliability": 0}, "All luck: the best are as good as anyone."),
    ],
    statistics=[Statistic("first", "Test 1", "none"), Statistic("second", "Test 2", "partial")],
    statistics_label="mean points of those best at test 1",
    measure=lambda state, data, fits: {
        "first": data[0][0, data[1]].mean(),
        "second": data[0][1, data[1]].mean(),
    },
    truth_label="Show their ability",
)
