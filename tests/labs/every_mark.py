"""A lab with every kind of mark, control and drag, to try the kit on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixedlab.labs.kit.bet import Choice
from mixedlab.labs.kit.lab import (
    Goal,
    Lab,
    Statistic,
    choice,
    dragged,
    slider,
    toggle,
)
from mixedlab.labs.kit.scene import (
    Arrows,
    Axis,
    Bands,
    Bars,
    Cells,
    Dots,
    Drag,
    Lines,
    Panel,
    Scene,
    Texts,
)


@dataclass(frozen=True)
class State:
    height: float = slider(0.5, -2, 2, 0.1, "Height <of> the wave", "mg/L", help="Up & down")
    groups: int = slider(3, 2, 9, 1, "Groups")
    kind: str = choice("one", {"one": "First", "two": "Second"}, "Kind")
    many: str = choice("m1", {f"m{i}": f"Option {i}" for i in range(6)}, "Which of many")
    numbers: bool = toggle(True, "Write the numbers")
    px: float = dragged(1.0, 0, 10, 0.5, "point x")
    py: float = dragged(3.0, 0, 10, 0.5, "point y")
    line: float = dragged(6.0, 0, 10, 0.5, "line at")
    seed: int = 1


def simulate(state: State) -> np.ndarray:
    return np.random.default_rng(state.seed).normal(5, 1.2, size=(30, 2)).clip(0, 10)


def fit(data: np.ndarray) -> np.ndarray:
    return data.mean(axis=0)


def scene(state: State, data: np.ndarray, fits: np.ndarray) -> Scene:
    if state.many == "m5":
        raise ValueError("There is nothing to fit in <b>option 5</b>.")
    x = np.linspace(0, 10, 40)
    wave = 5 + state.height * np.sin(x)
    shapes = ["circle", "square", "triangle", "diamond", "cross"]
    every = [
        Bands(key="band", color="model", x=[x], low=[wave - 1], high=[wave + 1], name="band",
              stage="estimate"),
        Lines(key="fit", color="model", x=[x], y=[wave], name="fit", stage="estimate",
              hover=["the fit"]),
        Lines(key="true", color="truth", x=[x], y=[wave * 0.9], dashed=True, stage="truth",
              name="truth"),
        Lines(key="line", color="yours", x=[[state.line] * 2], y=[[0, 9]],
              drag=[Drag("The line", x="line")]),
        Dots(key="data", keys=[str(i) for i in range(30)], x=data[:, 0], y=data[:, 1], name="data",
             hover=[f"point {i}" for i in range(30)]),
        Arrows(key="pull", color="own", x0=data[:5, 0], y0=data[:5, 1], x1=[5] * 5, y1=[5] * 5,
               keys=[str(i) for i in range(5)], gap=4, stage="estimate", name="pull",
               starts_from="data", hover=[f"pull {i}" for i in range(5)]),
        Dots(key="point", color="everyone", x=[state.px], y=[state.py], size=7,
             drag=[Drag("The point", x="px", y="py", sets={"kind": "two"})]),
        Texts(key="words", color="guide", x=[5], y=[9.5], text=["a <remark>"]),
        *(Dots(key=f"shape-{shape}", shape=shape, x=[i + 1], y=[1], filled=i % 2 == 0)
          for i, shape in enumerate(shapes)),
    ]  # fmt: skip
    corner = state.height / 2
    heat = Cells(
        key="heat",
        x=[0, 1, 2],
        y=[0, 1, 2],
        values=[[1, corner], [corner, -1]],
        low=-1,
        high=1,
        diverging=True,
        digits=2 if state.numbers else None,
    )
    counts, edges = np.histogram(data[:, 0], bins=12, range=(0, 10))
    bars = Bars(key="bars", x0=edges[:-1], x1=edges[1:], y0=counts * 0.0, y1=counts, name="count")
    counted = Axis("count", 0, 10 * state.groups, eases_with=("groups",))
    names = Axis("", 0, 2, [(0.5, "a"), (1.5, "b")])
    return Scene(
        [
            Panel("every", "Every mark", Axis("x", 0, 10), Axis("y", 0, 10), every),
            Panel("heat", "Heat", names, names, [heat], width=0.7),
            Panel("bars", "Bars", Axis("value", 0, 10), counted, [bars]),
        ],
        summary=f"The mean is {fits[0]:.2f}.",
        summary_before="Thirty points.",
        headline=f"the height is {state.height:.1f}",
        answer=0,
        outcome=f"The height is {state.height:.1f}.",
        outcome_truth="The truth is 0.9 of it.",
    )


LAB = Lab(
    name="every-mark",
    title="Every <mark>",
    state=State,
    simulate=simulate,
    fit=fit,
    scene=scene,
    question=Choice("What is <it>?", ("This.", 'That "one"', "Neither of the two")),
    alt="Thirty points & a wave.",
    goals=[
        Goal("Make a high wave", lambda state, data, fits: state.height > 1.95, {"height": 2.0})
    ],
    statistics=[Statistic("mean", "Mean of x")],
    measure=lambda state, data, fits: {"mean": fits[0]},
    truth_of=lambda state: {"mean": 5.0},
)
