"""Conditional and marginal: the average of curves is not the curve of the average.

``conditional_marginal.model.md`` says in a teacher's words what is simulated and simplified.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.families import family as family_named
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataWarning, MixedlabError
from mixedlab.inference.population_averaged import marginal_mean
from mixedlab.labs.kit.lab import Lab, Preset, Question, Statistic, choice, slider
from mixedlab.labs.kit.scene import Arrows, Axis, Dots, Drag, Lines, Mark, Meaning, Panel, Scene
from mixedlab.models.gee.model import fit_marginal
from mixedlab.models.generalized import fit_generalized
from mixedlab.simulate.draws import Draws

Array = NDArray[np.float64]

VISITS = np.linspace(0, 1, 7)
X = np.column_stack([np.ones(VISITS.size), VISITS])  # of one patient
TIME = np.linspace(0, 1, 61)
SD_ERROR = 1.0  # of a score, under the identity
NODES = 9
DRAWN = 30  # patients
Z95 = 1.96


@dataclass(frozen=True)
class Kind:
    """What is measured under a link, and the ranges of its axes."""

    family: str
    mean: str
    on_link: str
    means: tuple[float, float]
    etas: tuple[float, float]
    intercepts: tuple[float, float]


_ODDS = Kind("binomial", "share infected", "log odds", (-0.03, 1.03), (-8, 8), (-2.5, 4.5))
KINDS = {
    "logit": _ODDS,
    "probit": Kind("binomial", "share infected", "probit", (-0.03, 1.03), (-8, 8), (-2.5, 4.5)),
    "log": Kind("poisson", "attacks a month", "log of the mean", (0, 20), (-6, 6), (-2.5, 8)),
    "identity": Kind("gaussian", "score", "score", (-10, 10), (-10, 10), (-2.5, 4.5)),
}
SLOPES = (-6.5, 2.0)


@dataclass(frozen=True)
class State:
    """The controls."""

    link: str = choice(
        "logit",
        {
            "logit": "logit",
            "probit": "probit",
            "log": "log",
            "identity": "identity",
        },
        "Link",
        help="logit, probit: infected or not; log: attacks; identity: a score",
    )
    sd: float = slider(3.0, 0, 3, 0.1, "Spread of patients", help="sd of their intercepts")
    slope: float = slider(-4.0, -5, 1, 0.25, "Slope of every patient", "a year")
    intercept: float = slider(1.0, -1, 3, 0.25, "Intercept of the average patient")
    patients: int = slider(100, 50, 200, 10, "Patients")
    seed: int = 15

    @property
    def family(self) -> Family:
        """Distribution and link."""
        return family_named(KINDS[self.link].family, self.link)

    @property
    def line(self) -> Array:
        """True intercept and slope of the average patient."""
        return np.array([self.intercept, self.slope])


@dataclass(frozen=True)
class Clinic:
    """Seven visits of each patient.

    Attributes
    ----------
    family : Family
    b : ndarray (J,)
        What each patient's intercept adds.
    y : ndarray (J, 7)
    """

    family: Family
    b: Array
    y: Array


@dataclass(frozen=True)
class Line:
    """An intercept and a slope on the link's scale with their standard errors, shape (2,)."""

    beta: Array
    se: Array

    @property
    def slope(self) -> float:
        """Slope a year."""
        return float(self.beta[1])


@dataclass(frozen=True)
class Fits:
    """Both models of the same visits.

    Attributes
    ----------
    glmm, gee : Line or None
        Conditional and marginal line; None where the model cannot be fitted.
    sd : float
        The mixed model's spread of patients.
    averaged : ndarray (2,) or None
        The marginal line that follows from the mixed model.
    trouble : str
        Why a model is missing, in words.
    """

    glmm: Line | None
    gee: Line | None
    sd: float = math.nan
    averaged: Array | None = None
    trouble: str = ""


def simulate(state: State) -> Clinic:
    """Draw patients and their visits; a control that moves keeps the random numbers."""
    draws, kind = Draws(state.seed), state.family
    patient = np.arange(state.patients)
    b = state.sd * draws.normal("patient", patient)
    eta = X @ state.line + b[:, None]
    place = (patient[:, None], np.arange(VISITS.size))
    if kind.name == "binomial":
        y = draws.bernoulli("visit", kind.link.mu(eta), *place)
    elif kind.name == "poisson":
        y = draws.poisson("visit", kind.link.mu(eta), *place)
    else:
        y = eta + SD_ERROR * draws.normal("visit", *place)
    return Clinic(kind, b, y.astype(float))


def marginal_line(family: Family, beta: Array, sd: float) -> Array:
    """Return the straight line nearest to the mean over patients, on the link's scale."""
    mean = marginal_mean(family.link, X @ beta, np.full(VISITS.size, sd**2))
    return np.linalg.lstsq(X, family.link.eta(mean), rcond=None)[0]


def fit(clinic: Clinic) -> Fits:
    """Fit the mixed model by quadrature, and GEE with exchangeable correlation."""
    J = clinic.b.size
    patient = np.repeat(np.arange(J), VISITS.size)
    rows, y = np.tile(X, (J, 1)), clinic.y.ravel()
    intercept = np.ones((y.size, 1))
    term = RandomTerm("patient", patient, tuple(range(J)), intercept, ("(Intercept)",))
    # Under the identity Laplace is exact, and one node enough.
    nodes = 1 if clinic.family.name == "gaussian" else NODES
    models = {
        "mixed model": partial(fit_generalized, y, rows, [term], nagq=nodes),
        "GEE": partial(fit_marginal, y, rows, patient),
    }
    mixed, gee = (
        _fitted(name, partial(model, family=clinic.family, names=("intercept", "time")))
        for name, model in models.items()
    )
    trouble = " ".join(part for part in (mixed[1], gee[1]) if part)
    if mixed[0] is None:
        return Fits(None, _line(gee[0]), trouble=trouble)
    glmm = mixed[0]
    sd = float(abs(glmm.theta[0])) * (glmm.sigma or 1.0)
    averaged = marginal_line(clinic.family, glmm.beta, sd)
    return Fits(_line(glmm), _line(gee[0]), sd, averaged, trouble)


def _fitted(name: str, model: Callable) -> tuple[object | None, str]:
    """Return the fit, or None and why there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            found = model()
    except MixedlabError as error:
        return None, f"The {name} has no estimate here. {error}"
    if not (found.converged and np.isfinite(found.beta).all()):
        return None, f"The {name} found no estimate in this sample."
    return found, ""


def _line(found) -> Line | None:
    return None if found is None else Line(found.beta, np.sqrt(np.diag(found.vcov_beta)))


def scene(state: State, clinic: Clinic, fits: Fits) -> Scene:
    """Describe the patients' curves, the same on the link's scale, and the coefficients."""
    kind = KINDS[state.link]
    average = clinic.y.mean(axis=0)
    true = marginal_line(clinic.family, state.line, state.sd)
    told = (
        f"{state.patients} patients, seven visits in a year. Every patient's slope is "
        f"{_number(state.slope)} a year ({kind.on_link}). The {kind.mean} of all goes from "
        f"{_number(average[0])} to {_number(average[-1])}."
    )
    return Scene(
        panels=[
            _curves_panel(state, clinic, fits),
            _lines_panel(state, clinic, fits),
            _plane_panel(state, fits, true),
        ],
        summary=f"{told} {_outcome(fits)}",
        summary_before=told,
        outcome=_outcome(fits),
        outcome_truth=(
            f"True slopes: {_number(state.slope)} for every patient, {_number(true[1])} for the "
            f"average over all patients there are. True intercepts: {_number(state.intercept)} and "
            f"{_number(true[0])}."
        ),
    )


def _outcome(fits: Fits) -> str:
    said = []
    if fits.glmm:
        said.append(f"Slope of one patient, by the mixed model: {_number(fits.glmm.slope)}.")
    if fits.gee:
        said.append(f"Slope of the average, by GEE: {_number(fits.gee.slope)}.")
    if fits.averaged is not None:
        said.append(f"The mixed model, averaged over its patients: {_number(fits.averaged[1])}.")
    if fits.glmm and fits.gee:
        before, after = fits.glmm.beta[0], fits.gee.beta[0]
        said.append(f"The intercept goes from {_number(before)} to {_number(after)}.")
    return " ".join([*said, fits.trouble]).strip()


def _curves_panel(state: State, clinic: Clinic, fits: Fits) -> Panel:
    kind, mu = KINDS[state.link], clinic.family.link.mu
    eta = state.intercept + clinic.b[:, None] + state.slope * TIME
    average = mu(eta).mean(axis=0)
    observed = clinic.y.mean(axis=0)
    low, high = kind.means
    if state.link == "log":
        high = _round_up(1.6 * float(max(average.max(), observed.max())))
    inside = partial(_inside, low=low, high=high)
    marks = _curves(clinic, fits, state, mu, average, inside)
    marks.insert(
        1,
        Dots(
            key="observed",
            color="data",
            name="mean of all at a visit",
            x=VISITS,
            y=observed,
            size=5,
            hover=[
                f"{12 * t:.0f} months: {_number(m)}" for t, m in zip(VISITS, observed, strict=True)
            ],
        ),
    )
    return Panel("curves", "Patients' curves", _time(), Axis(kind.mean, low, high), marks)


def _lines_panel(state: State, clinic: Clinic, fits: Fits) -> Panel:
    kind, link = KINDS[state.link], clinic.family.link
    eta = state.intercept + clinic.b[:, None] + state.slope * TIME
    average = link.eta(link.mu(eta).mean(axis=0))
    inside = partial(_inside, low=kind.etas[0], high=kind.etas[1])
    marks = _curves(clinic, fits, state, lambda eta: eta, average, inside)
    return Panel(
        "lines",
        "On the link's scale",
        _time(),
        Axis(kind.on_link, *kind.etas),
        marks,
    )


def _curves(
    clinic: Clinic, fits: Fits, state: State, shape: Callable, average: Array, inside: Callable
) -> list[Mark]:
    """Patients, their average, both models and the truth; ``shape`` bends a line to the scale."""
    lines = state.intercept + clinic.b[:DRAWN, None] + state.slope * TIME
    cut = {f"patient {j + 1}": inside(shape(line)) for j, line in enumerate(lines)}
    cut = {who: part for who, part in cut.items() if part[0].size > 1}
    marks: list[Mark] = [
        Lines(
            key="patients",
            color="muted",
            name="one patient",
            keys=list(cut),
            x=[x for x, _ in cut.values()],
            y=[y for _, y in cut.values()],
            width=1,
            opacity=0.7,
            hover=list(cut),
        )
    ]
    link = clinic.family.link
    population = link.eta(
        marginal_mean(link, state.line @ _rows(), np.full(TIME.size, state.sd**2))
    )
    wanted: list[tuple[str, Meaning, str, Array | None, float]] = [
        ("average", "accent", "average of the curves", average, 5),
        ("gee", "robust", "GEE: the average", _along(fits.gee, shape), 2.5),
        ("glmm", "partial", "mixed model: one patient", _along(fits.glmm, shape), 2.5),
        ("true-average", "truth", "truth", shape(population), 1.5),
        ("true-patient", "truth", "truth", shape(state.line @ _rows()), 1.5),
    ]
    for key, color, name, curve, width in wanted:
        x, y = (TIME[:0], TIME[:0]) if curve is None else inside(curve)
        items = [0] if x.size > 1 else []
        marks.append(
            Lines(
                key=key,
                color=color,
                stage="truth" if color == "truth" else "estimate",
                name=name,
                x=[x for _ in items],
                y=[y for _ in items],
                width=width,
                opacity=0.5 if key == "average" else 1.0,
                dashed=color == "truth",
                hover=[_WHAT[key] for _ in items],
            )
        )
    return marks


_WHAT = {
    "average": "average of all patients' curves",
    "gee": "GEE: the average",
    "glmm": "mixed model: a patient whose b is 0",
    "true-average": "average of all patients there are",
    "true-patient": "the patient whose b is 0",
}


def _rows() -> Array:
    return np.stack([np.ones(TIME.size), TIME])


def _along(line: Line | None, shape: Callable) -> Array | None:
    return None if line is None else shape(line.beta @ _rows())


def _inside(y: Array, low: float, high: float) -> tuple[Array, Array]:
    """Keep the part of a curve, which rises or falls throughout, that the panel can show."""
    kept = (y >= low) & (y <= high)
    return TIME[kept], y[kept]


def _plane_panel(state: State, fits: Fits, true: Array) -> Panel:
    ranges = np.array([KINDS[state.link].intercepts, SLOPES])

    def at(beta: Array) -> tuple[float, float]:
        return tuple(np.clip(beta, *ranges.T))

    marks: list[Mark] = [
        Lines(
            key="none",
            color="muted",
            x=[ranges[0]],
            y=[[0, 0]],
            width=1,
            hover=["no change in time"],
        )
    ]
    estimates = (
        ("glmm", "partial", "mixed model: one patient", "square", fits.glmm),
        ("gee", "robust", "GEE: the average", "circle", fits.gee),
    )
    for key, color, name, shape, line in estimates:
        points = [] if line is None else [at(line.beta)]
        bars = [] if line is None else _intervals(line, at)
        marks += [
            Lines(
                key=f"interval-{key}",
                color=color,
                stage="estimate",
                x=[bar[0] for bar in bars],
                y=[bar[1] for bar in bars],
                width=2,
                hover=["95 % interval"] * len(bars),
            ),
            Dots(
                key=key,
                color=color,
                stage="estimate",
                name=name,
                x=[x for x, _ in points],
                y=[y for _, y in points],
                shape=shape,
                size=6,
                hover=[f"{name}: {_pair(line.beta)}" for _ in points],
            ),
        ]
    both = [(at(fits.glmm.beta), at(fits.gee.beta))] if fits.glmm and fits.gee else []
    averaged = [] if fits.averaged is None else [at(fits.averaged)]
    marks += [
        Arrows(
            key="averaging",
            color="accent",
            stage="estimate",
            x0=[a[0] for a, _ in both],
            y0=[a[1] for a, _ in both],
            x1=[b[0] for _, b in both],
            y1=[b[1] for _, b in both],
            width=2,
            gap=6,
        ),
        Dots(
            key="averaged",
            color="partial",
            stage="estimate",
            name="mixed model, averaged",
            x=[x for x, _ in averaged],
            y=[y for _, y in averaged],
            shape="cross",
            size=6,
            hover=[f"mixed model, averaged: {_pair(fits.averaged)}" for _ in averaged],
        ),
        Dots(
            key="true",
            color="truth",
            stage="truth",
            name="truth (drag one patient's)",
            keys=["one patient", "the average"],
            x=[state.intercept, at(true)[0]],
            y=[state.slope, at(true)[1]],
            shape="diamond",
            size=5,
            filled=False,
            hover=[f"one patient: {_pair(state.line)}", f"the average: {_pair(true)}"],
            drag=[Drag("One patient's line", x="intercept", y="slope"), None],
        ),
    ]
    return Panel(
        "coefficients",
        "Two lines, two points",
        Axis("intercept", *ranges[0]),
        Axis("slope (a year)", *SLOPES),
        marks,
    )


def _intervals(line: Line, at: Callable) -> list[tuple[list[float], list[float]]]:
    """The horizontal and the vertical bar of a point."""
    half = Z95 * np.nan_to_num(line.se)
    bars = []
    for k in range(2):
        step = half * np.eye(2)[k]
        (x0, y0), (x1, y1) = at(line.beta - step), at(line.beta + step)
        bars.append(([x0, x1], [y0, y1]))
    return bars


def measure(state: State, clinic: Clinic, fits: Fits) -> dict[str, float]:
    """Return the slopes; nan where a model has none."""
    return {
        "glmm": fits.glmm.slope if fits.glmm else math.nan,
        "gee": fits.gee.slope if fits.gee else math.nan,
        "averaged": math.nan if fits.averaged is None else float(fits.averaged[1]),
    }


def truth_of(state: State) -> dict[str, float]:
    """Return the slope of one patient and of the average over all there are."""
    average = float(marginal_line(state.family, state.line, state.sd)[1])
    return {"glmm": state.slope, "gee": average, "averaged": average}


def _time() -> Axis:
    return Axis("time (months)", -0.02, 1.02, [(m / 12, f"{m}") for m in (0, 4, 8, 12)])


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 5, 10, 20, ...: the axis jumps seldom while a control moves."""
    unit = 10 ** math.floor(math.log10(max(value, 1.0)))
    return next(m * unit for m in (1.0, 2.0, 5.0, 10.0) if value <= m * unit)


def _number(value: float, digits: int = 2) -> str:
    return f"{round(float(value), digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def _pair(beta: Array) -> str:
    return f"intercept {_number(beta[0])}, slope {_number(beta[1])}"


LAB = Lab(
    name="conditional-marginal",
    title="Conditional and marginal",
    state=State,
    simulate=simulate,
    fit=fit,
    scene=scene,
    question=Question(
        "Each thin curve is one patient: the chance that the nail is infected. On the scale of "
        "log odds all patients fall equally steeply. Now average the curves. How steep is the "
        "average, on the same scale?",
        (
            "As steep: all slopes are equal, and so is their mean",
            "Steeper: averaging takes the noise away",
            "Flatter",
        ),
    ),
    alt=(
        "Left: 30 S-shaped curves that fall from left to right at different times, and dots for "
        "the share infected, falling from about 0.6 to about 0.2. Middle: the same patients as "
        "parallel falling lines. Right: an empty plane of intercept and slope."
    ),
    presets=(
        Preset("Nails", {}, "Logit: the average is flatter than every patient."),
        Preset(
            "Attacks",
            {"link": "log", "sd": 1.0, "intercept": 1.0, "slope": -1.0},
            "Log: the average is higher and just as steep. Only the intercept moves.",
        ),
        Preset(
            "A score",
            {"link": "identity"},
            "The other outcome. Identity: one line serves both, up to the last digit.",
        ),
        Preset(
            "Patients alike",
            {"sd": 0.0},
            "Nothing to average: both models estimate one slope, whatever the link.",
        ),
    ),
    statistics=(
        Statistic("glmm", "Mixed model: one patient", "partial"),
        Statistic("gee", "GEE: the average", "robust"),
        Statistic("averaged", "Mixed model, averaged", "accent"),
    ),
    statistics_label="slope (a year)",
    measure=measure,
    truth_of=truth_of,
)
