"""The overdispersion lab's picture: variance against mean, a rootogram, and bars of two SEs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.random_families import random_family
from mixedlab.labs.kit.scene import (
    Axis,
    Bars,
    Dots,
    Lines,
    Mark,
    Meaning,
    Panel,
    Scene,
    Shape,
    Texts,
)
from mixedlab.labs.responses_of_four_kinds import (
    Fits,
    Fitted,
    Kind,
    Sample,
    expected,
    moments,
    observed,
)

Array = NDArray[np.float64]

SHAPE: dict[str, Shape] = {
    "plain": "cross",
    "observation": "triangle",
    "normal": "square",
    "conjugate": "circle",
}
CHOSEN: Meaning = "partial"  # the model that is drawn has one colour in all panels
REACH = 1.2  # of the axis of effects, unless an interval needs more


def describe(chosen: str, treated: str, sample: Sample, fits: Fits) -> Scene:
    """Describe the three panels; ``chosen`` is the model drawn in the first two."""
    kind, models, model = sample.kind, fits.models, fits.shown(chosen)
    plain, normal = models["plain"], models["normal"]
    told = (
        f"{sample.group[-1] + 1} {kind.group}s of 4; {kind.treatment}: "
        f"{f'half of the {kind.group}s' if treated == 'groups' else f'half of each {kind.group}'}. "
        f"The mean {kind.response} is {_number(sample.y.mean())}. {_spread_in_words(kind, plain)}"
    )
    estimates = "; ".join(f"{m.name} {_number(m.beta[2])} ({m.se[2]:.2f})" for m in models.values())
    growth = normal.se[2] / plain.se[2]
    instead = "" if model.key == chosen else f" {_stands_for(chosen, kind)}"
    if model.variance_of_factor == np.inf:
        instead = " Its effects' tail is so heavy that they have no variance: no line is drawn."
    outcome = (
        f"Effect of {kind.treatment} (SE): {estimates}. With {kind.group} effects the estimate "
        f"moves by {abs(normal.beta[2] - plain.beta[2]):.2f} and its SE becomes "
        f"{growth:.1f} times what it was. Drawn: {model.name}.{instead}"
    )
    sds = "; ".join(f"{m.name} {m.sd:.2f}" for m in models.values() if m.effects is not None)
    where = kind.group if sample.level == "groups" else kind.row
    truth = (
        f"True effect {_number(kind.beta[2])}; true sd of {where} effects {sample.spread:.2f}. "
        f"Estimated sds: {sds}."
    )
    return Scene(
        panels=[
            _variance_panel(sample, plain, model),
            _rootogram(sample, model),
            _effects_panel(kind, fits, model.key),
        ],
        summary=f"{told} {outcome}",
        summary_before=told,
        outcome=outcome,
        outcome_truth=truth,
    )


def true_model(sample: Sample) -> Fitted:
    """The model that the data were drawn from."""
    kind = sample.kind
    return Fitted(
        "truth",
        "the truth",
        kind.beta,
        np.zeros(3),
        kind.phi,
        random_family("gaussian"),
        sample.spread**2,
    )


def _variance_panel(sample: Sample, plain: Fitted, model: Fitted) -> Panel:
    kind = sample.kind
    rows, index = sample.cells
    n = np.bincount(index)
    mean = np.bincount(index, sample.y) / n
    variance = np.bincount(index, (sample.y - mean[index]) ** 2) / (n - 1)
    marks: list[Mark] = [
        Lines(
            key="plain",
            color="naive",
            name="what the plain model allows",
            **_curve(sample, plain),
            width=2,
        ),
        Lines(
            key="model",
            color=CHOSEN,
            stage="estimate",
            name="the model you chose",
            **_curve(sample, model),
            width=3,
        ),
        Lines(
            key="truth",
            color="truth",
            stage="truth",
            name="the truth",
            **_curve(sample, true_model(sample)),
            dashed=True,
            width=2,
        ),
        Dots(
            key="cells",
            name="rows alike in covariate and treatment",
            keys=[f"cell-{k}" for k in range(len(n))],
            x=_placed(kind.mean_axis, mean, kind.logarithmic),
            y=_placed(kind.variance_axis, variance, kind.logarithmic),
            size=4.5,
            hover=[
                f"{count} {kind.row}s, covariate {_number(row[1], 1)}, {kind.treatment} "
                f"{'yes' if row[2] else 'no'}: mean {m:.2f}, variance {v:.3g}"
                for count, row, m, v in zip(n, rows, mean, variance, strict=True)
            ],
        ),
    ]
    title = "Variance against mean"
    return Panel("variance", title, kind.mean_axis, kind.variance_axis, marks)


def _curve(sample: Sample, model: Fitted) -> dict[str, list[Array]]:
    """Marginal variance over marginal mean, from the lowest to the highest fixed part."""
    kind = sample.kind
    eta = sample.cells[0] @ model.beta
    mean, variance = moments(kind, model, np.linspace(eta.min() - 0.3, eta.max() + 0.3, 31))
    if kind.logarithmic:
        mean, variance = np.log10(mean), np.log10(variance)
    inside = (kind.mean_axis.low <= mean) & (mean <= kind.mean_axis.high)
    inside &= (kind.variance_axis.low <= variance) & (variance <= kind.variance_axis.high)
    if inside.sum() < 2:  # nothing to see, as of an inverse gamma without a variance
        return {"x": [], "y": []}
    return {"x": [mean[inside]], "y": [variance[inside]]}


def _placed(axis: Axis, values: Array, logarithmic: bool) -> Array:
    """Put values on an axis; what lies beyond stands at its end (the hover has the figure)."""
    if logarithmic:
        values = np.log10(np.maximum(values, 1e-12))
    return np.clip(values, axis.low, axis.high)


def _rootogram(sample: Sample, model: Fitted) -> Panel:
    kind = sample.kind
    rows, index = sample.cells
    sizes = np.bincount(index).astype(float)
    seen = observed(sample)
    fitted = expected(kind, model, rows @ model.beta, sizes)
    truth = expected(kind, true_model(sample), rows @ kind.beta, sizes)
    left, right = kind.places[:-1], kind.places[1:]
    middle, gap = (left + right) / 2, 0.08 * (right - left)
    top = max(7.5, float(np.ceil(np.sqrt(max(seen.max(), fitted.max(), truth.max())) + 0.2)))
    marks: list[Mark] = [
        Bars(
            key="observed",
            color="muted",
            name="observed rows",
            x0=left + gap,
            x1=right - gap,
            y0=np.zeros(seen.size),
            y1=np.sqrt(seen),
            opacity=0.7,
            hover=[f"{_bin(kind, k)}: {n:.0f} {kind.row}s" for k, n in enumerate(seen)],
        ),
        Lines(
            key="model",
            color=CHOSEN,
            stage="estimate",
            x=[middle],
            y=[np.sqrt(fitted)],
            width=2,
        ),
        Dots(
            key="expected",
            color=CHOSEN,
            stage="estimate",
            x=middle,
            y=np.sqrt(fitted),
            shape=SHAPE[model.key],
            size=3.5,
            hover=[f"{_bin(kind, k)}: {n:.1f} expected" for k, n in enumerate(fitted)],
        ),
        Lines(
            key="truth",
            color="truth",
            stage="truth",
            x=[middle],
            y=[np.sqrt(truth)],
            dashed=True,
            width=2,
        ),
    ]
    ticks = [(float(np.sqrt(n)), str(n)) for n in (0, 1, 4, 9, 16, 25, 49, 81, 121) if n <= top**2]
    return Panel(
        "rootogram",
        f"Rootogram of the {kind.row}s",
        kind.bin_axis,
        Axis(f"{kind.row}s (square root scale)", 0, top, ticks),
        marks,
    )


def _bin(kind: Kind, k: int) -> str:
    if k == kind.edges.size:
        return f"above {kind.edges[-1]:.3g}"
    if kind.family in ("poisson", "binomial"):
        return f"{kind.edges[k]:.0f}"
    return (
        f"up to {kind.edges[0]:.2g}"
        if k == 0
        else f"{kind.edges[k - 1]:.3g} to {kind.edges[k]:.3g}"
    )


def _effects_panel(kind: Kind, fits: Fits, chosen: str) -> Panel:
    low = min(float(m.beta[2] - 1.96 * m.se[2]) for m in fits.models.values())
    high = max(float(m.beta[2] + 1.96 * m.se[2]) for m in fits.models.values())
    reach = max(REACH, float(np.ceil(5 * max(-low, high)) / 5))
    rows = [[row, row + 0.56] for row in range(4)]  # the names stand above
    marks: list[Mark] = [
        Lines(
            key="zero",
            color="muted",
            x=[[0, 0]] * 4,
            y=rows,
            width=1,
            hover=["no effect"] * 4,
        ),
    ]
    for key, model in fits.models.items():
        row = 3 - list(SHAPE).index(key)
        color: Meaning = CHOSEN if key == chosen else "muted"
        beta, se = float(model.beta[2]), float(model.se[2])
        hover = [f"{model.name}: {_number(beta)}, SE {se:.3f}"]
        marks += [
            Bars(
                key=f"bar-{key}",
                color=color,
                stage="estimate",
                x0=[beta - 1.96 * se],
                x1=[beta + 1.96 * se],
                y0=[row + 0.14],
                y1=[row + 0.46],
                opacity=0.45,
                hover=hover,
            ),
            Dots(
                key=key,
                color=color,
                stage="estimate",
                x=[beta],
                y=[row + 0.3],
                shape=SHAPE[key],
                size=6,
                hover=hover,
            ),
            Texts(
                key=f"text-{key}",
                color=color,
                stage="estimate",
                x=[-0.97 * reach],
                y=[row + 0.66],
                text=[f"{model.name}: SE {se:.2f}"],
                anchor="start",
            ),
        ]
    true = float(kind.beta[2])
    marks.append(
        Lines(
            key="true-effect",
            color="truth",
            stage="truth",
            x=[[true, true]] * 4,
            y=rows,
            dashed=True,
            width=2,
            hover=[f"true effect {_number(true)}"] * 4,
        )
    )
    return Panel(
        "effects",
        f"Effect of {kind.treatment}: 95 % bars",
        Axis(f"coefficient ({_scale(kind)})", -reach, reach),
        Axis("", 0, 4, visible=False),
        marks,
        width=1.1,
    )


def _scale(kind: Kind) -> str:
    return {"log": "log scale", "logit": "log odds", "identity": "0.1 s"}[kind.link]


def _spread_in_words(kind: Kind, plain: Fitted) -> str:
    if not kind.has_dispersion:
        return (
            f"Pearson's statistic is {plain.pearson:.1f} times its degrees of freedom; under a "
            f"{plain.name} model it would be near 1."
        )
    what = "coefficient of variation" if kind.family == "gamma" else "residual sd"
    return f"The plain model's {what} is {np.sqrt(plain.phi):.2f}."


def _stands_for(chosen: str, kind: Kind) -> str:
    if chosen == "observation":
        return (
            f"A {kind.family} response has a dispersion of its own: no {kind.row} effects needed."
        )
    return "The conjugate of a normal response is the normal."


def _number(value: float, digits: int = 2) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")
