"""Regression to the mean: the whole of a small lab, as the appendix of the book prints it."""

from dataclasses import dataclass

import numpy as np

from mixedlab.labs.lab import Lab, Preset, Question, Statistic, slider
from mixedlab.labs.scene import Axis, Dots, Lines, Panel, Scene


@dataclass(frozen=True)
class State:
    """Who is tested, and how well."""

    reliability: float = slider(0.5, 0, 1, 0.05, "Reliability of the test")
    students: int = slider(60, 20, 200, 10, "Students")
    top: int = slider(10, 5, 50, 5, "Best share followed", unit="%")
    seed: int = 1


def simulate(state):
    """Draw points at test 1 and test 2, and the points without luck; mark the best at test 1."""
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
    """Draw each student's way from test 1 to test 2 and, as the truth, to ability."""
    (points, best), (correlation, predicted) = data, fits
    at, means = [1, 2, 3], points[:, best].mean(axis=1)
    marks = []
    for who, color, name in ((~best, "muted", "the others"), (best, "none", "the best at test 1")):
        ways = points[:2, who].T
        look = {"color": color, "opacity": 0.35}
        marks.append(
            Lines(key=f"{color}-ways", stage="estimate", x=[at[:2]] * len(ways), y=ways, **look)
        )
        for x, stage, y in zip(at, ("data", "estimate", "truth"), points[:, who], strict=True):
            look = {"shape": "diamond", "filled": False} if stage == "truth" else {"name": name}
            marks.append(
                Dots(key=f"{color}-{x}", color=color, stage=stage, x=[x] * len(y), y=y, **look)
            )
    marks += [
        Lines(
            key="mean",
            color="none",
            stage="estimate",
            name="their mean",
            width=4,
            x=[at[:2]],
            y=[means[:2]],
        ),
        Dots(
            key="shrunk",
            color="partial",
            stage="estimate",
            name="predicted by shrinkage",
            x=[2],
            y=[predicted],
            shape="square",
            size=7,
        ),
        Dots(
            key="ability",
            color="truth",
            stage="truth",
            name="their mean ability",
            x=[3],
            y=means[2:],
            shape="diamond",
            size=8,
            filled=False,
        ),
    ]
    told = f"The best {state.top} % have a mean of {means[0]:.1f} points at test 1"
    again = f"{told} and {means[1]:.1f} at test 2; shrinkage predicts {predicted:.1f}."
    x = Axis("", 0.6, 3.4, [(1, "test 1"), (2, "test 2"), (3, "ability")])
    return Scene(
        [Panel("tests", "One test, taken twice", x, Axis("points", 40, 160), marks)],
        summary=f"{again} The two tests correlate {correlation:.2f}.",
        summary_before=f"{told}.",
        outcome=again,
        outcome_truth=f"Their mean ability is {means[2]:.1f}.",
    )


def measure(state, data, fits):
    """Collect the best's two means, sample by sample."""
    points, best = data
    return {"first": points[0, best].mean(), "second": points[1, best].mean()}


LAB = Lab(
    name="regression-to-the-mean",
    title="Regression to the mean",
    state=State,
    simulate=simulate,
    fit=fit,
    scene=scene,
    question=Question(
        "The best students at test 1 are taught nothing and sit the same test again. "
        "What happens to their mean?",
        ("It rises", "It stays", "It falls"),
    ),
    alt="Points of 60 students at a first test, as dots one above the other; the best are marked.",
    presets=[
        Preset("A perfect test", {"reliability": 1}, "No luck, no regression."),
        Preset("A lottery", {"reliability": 0}, "All luck: the best are as good as anyone."),
    ],
    statistics=[Statistic("first", "Test 1", "none"), Statistic("second", "Test 2", "partial")],
    measure=measure,
    statistics_label="mean points of those best at test 1",
    truth_label="Show their ability",
)
