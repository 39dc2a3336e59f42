"""Within and between: a stress diary, clouds of persons, and five slopes on one dial.

``within_between.model.md`` says in a teacher's words what is simulated, fitted and simplified.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.closed_forms import RandomIntercept, random_intercept, within_and_between
from mixedlab.labs.kit.lab import Lab, Preset, Question, Statistic, choice, slider
from mixedlab.labs.kit.scene import Axis, Dots, Drag, Lines, Mark, Meaning, Panel, Scene, Shape
from mixedlab.simulate.scenario import Simulated
from mixedlab.simulate.stress_diary import diary

Array = NDArray[np.float64]

PERSONS = 16
SD_ERROR = 1.0
MIDDLE = 5.0  # of both scales, which run from 0 to 10


@dataclass(frozen=True)
class State:
    """The controls."""

    within: float = slider(
        -0.8, -1.5, 1.5, 0.1, "Slope within persons", help="one person, two moments"
    )
    between: float = slider(
        0.6, -1.5, 1.5, 0.1, "Slope between persons", help="two persons, their usual support"
    )
    sd_means: float = slider(1.0, 0, 2, 0.1, "Spread of persons' means", "points of support")
    prompts: int = slider(5, 2, 30, 1, "Prompts a person")
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
    seed: int = 288


@dataclass(frozen=True)
class Fits:
    """Five slopes of the same diary, and x as the models with one slope were given it.

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


def simulate(state: State) -> tuple[Simulated, str]:
    """Draw the diary; how x is to be centred goes along with it."""
    made = diary(
        n_persons=PERSONS,
        n_prompts=state.prompts,
        within=state.within,
        between=state.between,
        sd_means=state.sd_means,
        sd_error=SD_ERROR,
        seed=state.seed,
    )
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


def scene(state: State, data: tuple[Simulated, str], fits: Fits) -> Scene:
    """Describe the clouds and the dial."""
    truth = data[0].truth
    model = fits.random_intercept
    told = (
        f"{PERSONS} persons, {state.prompts} prompts each: support from "
        f"{_number(fits.x.min(), 1)} to {_number(fits.x.max(), 1)}, stress from "
        f"{_number(fits.y.min(), 1)} to {_number(fits.y.max(), 1)} points."
    )
    outcome = (
        f"Slope within persons {_number(fits.within)}; between persons {_number(fits.between)}, "
        f"which is also the aggregated slope, that of their means. One slope for all: "
        f"{_number(fits.naive)} for all dots at once, {_number(model.slope)} with a random "
        f"intercept, which weighs the slope between by {model.weight_between:.0%}."
    )
    aggregated = truth["slope_aggregated"]
    return Scene(
        panels=[_clouds_panel(state, data[0], fits), _dial_panel(state, fits)],
        summary=f"{told} {outcome}",
        summary_before=told,
        outcome=outcome,
        outcome_truth=(
            f"True slopes: {_number(state.within)} within, {_number(state.between)} between. In "
            f"the long run the means give {_number(aggregated)}: a mean of {state.prompts} "
            "prompts still carries some of the slope within."
        ),
    )


def _clouds_panel(state: State, made: Simulated, fits: Fits) -> Panel:
    x, y = fits.x, fits.y
    x_mean, y_mean = x.mean(axis=1), y.mean(axis=1)
    persons = [f"person {i + 1}" for i in range(PERSONS)]
    ends = np.column_stack([x.min(axis=1), x.max(axis=1)])
    own = y_mean[:, None] + fits.within * (ends - x_mean[:, None])
    all_x = np.array([x.min(), x.max()])

    def through_the_middle(slope: float, ends: Array) -> Array:
        return y.mean() + slope * (ends - x.mean())

    naive = through_the_middle(fits.naive, all_x)
    model = through_the_middle(fits.random_intercept.slope, all_x)
    # Once each person's own mean is taken off, persons do not differ in x: no line between them.
    apart = state.centring != "person"
    means_x = np.array([[x_mean.min(), x_mean.max()]] if apart else np.empty((0, 2)))
    means_y = through_the_middle(fits.between, means_x)
    true_means = made.truth["person_mean"]
    true_x = means_x * 0 + [true_means.min(), true_means.max()]
    true_y = MIDDLE + state.between * (true_x - MIDDLE)
    true_x = true_x - (made["support"].mean() if state.centring == "grand" else 0)
    everything_x = np.concatenate([x.ravel(), true_x.ravel()])
    centre = MIDDLE if state.centring == "none" else 0.0
    reach = max(5.0, float(np.ceil(np.abs(everything_x - centre).max())))
    everything_y = [v.ravel() for v in (y, own, naive, model, means_y, true_y)]
    lift = max(5.0, float(np.ceil(np.abs(np.concatenate(everything_y) - MIDDLE).max())))
    marks: list[Mark] = [
        Dots(
            key="prompts",
            name="one prompt",
            x=x.ravel(),
            y=y.ravel(),
            size=2.5,
            opacity=0.65,
            hover=[
                f"{who}: support {a:.1f}, stress {b:.1f}"
                for who, row in zip(persons, zip(x, y, strict=True), strict=True)
                for a, b in zip(*row, strict=True)
            ],
        ),
        Lines(
            key="within",
            color="within",
            stage="estimate",
            name="within persons",
            keys=persons,
            x=ends,
            y=own,
            width=1.5,
            opacity=0.8,
            hover=[f"{who}: slope {_number(fits.within)}" for who in persons],
        ),
        *(
            Lines(
                key=key,
                color=color,
                stage="estimate",
                x=[all_x],
                y=[line],
                width=3,
                hover=[f"{what}: slope {_number(slope)}"],
            )
            for key, color, line, slope, what in (
                ("naive", "naive", naive, fits.naive, "all dots at once"),
                ("model", "accent", model, fits.random_intercept.slope, "random intercept"),
            )
        ),
        Lines(
            key="between",
            color="between",
            stage="estimate",
            x=means_x,
            y=means_y,
            width=3,
            hover=[f"between persons: slope {_number(fits.between)}"] * len(means_x),
        ),
        Dots(
            key="means",
            color="between",
            stage="estimate",
            name="between persons",
            keys=persons,
            x=x_mean,
            y=y_mean,
            shape="square",
            size=4.5,
            hover=[
                f"{who}: mean support {a:.1f}, mean stress {b:.1f}"
                for who, a, b in zip(persons, x_mean, y_mean, strict=True)
            ],
        ),
        Lines(
            key="true-between",
            color="truth",
            stage="truth",
            name="true slope (drag the diamonds)",
            x=true_x,
            y=true_y,
            dashed=True,
            width=2,
        ),
    ]
    label = {
        "none": "support (points)",
        "grand": "support less the mean of all (points)",
        "person": "support less the person's own mean (points)",
    }
    return Panel(
        "clouds",
        "Clouds of sixteen persons",
        Axis(label[state.centring], centre - reach, centre + reach),
        Axis("stress (points)", MIDDLE - lift, MIDDLE + lift),
        marks,
        width=1.1,
    )


def _dial_panel(state: State, fits: Fits) -> Panel:
    hands: list[tuple[str, str, float, Meaning, Shape, bool]] = [
        ("within", "within persons", fits.within, "within", "circle", True),
        ("model", "random intercept", fits.random_intercept.slope, "accent", "triangle", True),
        ("naive", "all dots at once", fits.naive, "naive", "cross", True),
        ("between", "between persons", fits.between, "between", "square", True),
        ("aggregated", "aggregated: of the means", fits.aggregated, "between", "square", False),
    ]
    true = {"within": state.within, "between": state.between}
    slopes = np.array([h[2] for h in hands] + list(true.values()))
    reach = max(1.5, float(np.ceil(2 * np.abs(slopes).max()) / 2))
    marks: list[Mark] = []
    for place, (key, name, slope, color, shape, filled) in enumerate(hands):
        at = 1.12 + 0.13 * place
        hover = [f"{name}: {_number(slope)}"]
        marks += [
            Lines(
                key=f"hand-{key}",
                color=color,
                stage="estimate",
                x=[[0, 1, at]],
                y=[[0, slope, slope]],
                width=2.5 if filled else 1,
                hover=hover,
            ),
            Dots(
                key=key,
                color=color,
                stage="estimate",
                name=name,
                x=[at],
                y=[slope],
                shape=shape,
                size=6,
                filled=filled,
                hover=hover,
            ),
        ]
    marks += [
        Lines(
            key="true-hands",
            color="truth",
            stage="truth",
            keys=list(true),
            x=[[0, 1]] * 2,
            y=[[0, slope] for slope in true.values()],
            dashed=True,
        ),
        Dots(
            key="true",
            color="truth",
            stage="truth",
            name="true slope (drag the diamonds)",
            keys=list(true),
            x=[1, 1],
            y=list(true.values()),
            shape="diamond",
            size=6,
            filled=False,
            hover=[f"true slope {key} persons: {_number(v)}" for key, v in true.items()],
            drag=[Drag(f"Slope {key} persons", y=key) for key in true],
        ),
    ]
    return Panel(
        "dial",
        "Slope dial",
        Axis("points of support more", 0, 1.75, [(0, "0"), (1, "1")]),
        Axis("stress for one more point of support", -reach, reach),
        marks,
        width=0.9,
    )


def measure(state: State, data: tuple[Simulated, str], fits: Fits) -> dict[str, float]:
    """Return the slopes."""
    return {
        "within": fits.within,
        "model": fits.random_intercept.slope,
        "naive": fits.naive,
        "between": fits.between,
    }


def _number(value: float, digits: int = 2) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")


LAB = Lab(
    name="within-between",
    title="Within and between",
    state=State,
    simulate=simulate,
    fit=fit,
    scene=scene,
    question=Question(
        "Each dot is one answer to the phone: support just received, and stress now. Sixteen "
        "persons gave five each. With more support, does stress rise or fall: for one person "
        "from moment to moment, and from person to person?",
        (
            "It falls in both",
            "It rises in both",
            "It falls within a person and rises from person to person",
            "It does neither: the cloud is flat",
        ),
    ),
    alt=(
        "Left: 80 dots, stress against support, both from 0 to 10; the cloud shows hardly any "
        "slope. Right: an empty dial of slopes."
    ),
    presets=(
        Preset("Stress diary", {}, "Support relieves the moment; those who need it get more."),
        Preset(
            "Simpson's reversal",
            {"within": -0.6, "between": 1.2, "sd_means": 2.0},
            "Every person's line falls, and the line through all dots rises.",
        ),
        Preset(
            "No difference",
            {"within": -0.5, "between": -0.5},
            "The other outcome: one slope is true at both levels. All hands agree, up to chance.",
        ),
        Preset(
            "Own means taken off",
            {"centring": "person"},
            "The clouds slide over each other. With nothing left between persons, every model "
            "gives the slope within.",
        ),
    ),
    statistics=(
        Statistic("within", "Within persons", "within"),
        Statistic("model", "Random intercept", "accent"),
        Statistic("naive", "All dots at once", "naive"),
        Statistic("between", "Between persons", "between"),
    ),
    statistics_label="slope (points of stress a point of support)",
    measure=measure,
    truth_of=lambda state: {"within": state.within, "between": state.between},
    truth_label="Show the true slopes",
)
