"""Two helpers of the overdispersion lab: variance against mean, and a rootogram."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.families import family
from mixedlab.engine.random_families import random_family
from mixedlab.labs.kit.marks import bars, dots, each, lines
from mixedlab.labs.kit.scene import Axis, Panel
from mixedlab.labs.kit.words import number
from mixedlab.labs.responses_of_four_kinds import (
    Fitted,
    Kind,
    Sample,
    expected,
    moments,
    observed,
)

Array = NDArray[np.float64]


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


def groups_by_treatment(sample: Sample, plain: Fitted, floor: float, low: float, high: float):
    """Each group, or each half of it that is treated alike, less what its covariate leads to.

    On the link scale, as the treatment's coefficient is: the untreated lie around 0 in the row
    above ``floor``, the treated around their effect at ``floor``. What is beyond the axis, as the
    logarithm of a mean of 0, stands at its end.
    """
    kind = sample.kind
    arm = sample.X[:, 2].astype(int)
    key, index = np.unique(np.column_stack([sample.group, arm]), axis=0, return_inverse=True)
    n, index = np.bincount(index.ravel()), index.ravel()
    mean, covariate = (np.bincount(index, v) / n for v in (sample.y, sample.X[:, 1]))
    inside = mean
    if kind.link != "identity":
        inside = mean.clip(1e-9, 1 - 1e-9 if kind.link == "logit" else None)
    eta = family(kind.family, kind.link).link.eta(inside)
    off = eta - plain.beta[0] - plain.beta[1] * covariate
    who = [f"{kind.group} {g + 1}{', treated' if t else ''}" for g, t in key]
    return dots(
        "data", who, off.clip(low, high),
        floor + 1 - key[:, 1] + 0.6 * ((key[:, 0] + 1) * 0.618034 % 1 - 0.5),
        key="groups", size=3.5, opacity=0.8,
        hover=each("{}: mean {:.2f}, {:+.2f} to what is expected untreated", who, mean, off),
    )  # fmt: skip


def variance_panel(sample: Sample, plain: Fitted, yours: Fitted) -> Panel:
    """Variance against mean of rows alike in covariate and treatment, and what models allow."""
    kind = sample.kind
    rows, index = sample.cells
    n = np.bincount(index)
    mean = np.bincount(index, sample.y) / n
    variance = np.bincount(index, (sample.y - mean[index]) ** 2) / (n - 1)
    told = [
        f"{count} {kind.row}s, covariate {number(row[1], 1)}, {kind.treatment} "
        f"{'yes' if row[2] else 'no'}: mean {m:.2f}, variance {v:.3g}"
        for count, row, m, v in zip(n, rows, mean, variance, strict=True)
    ]
    marks = [
        lines("own", None, *_curve(sample, plain), key="plain", width=2.5, name="without effects"),
        lines("yours", None, *_curve(sample, yours), key="model", stage="estimate", width=3,
              name="with the effects let in"),
        lines("truth", None, *_curve(sample, true_model(sample)), name="truth"),
        dots("data", [f"cell-{k}" for k in range(len(n))],
             _placed(kind.mean_axis, mean, kind.logarithmic),
             _placed(kind.variance_axis, variance, kind.logarithmic),
             key="cells", size=4.5, hover=told, name="rows alike in covariate and treatment"),
    ]  # fmt: skip
    return Panel("variance", "Variance against mean", kind.mean_axis, kind.variance_axis, marks)


def _curve(sample: Sample, model: Fitted) -> tuple[list[Array], list[Array]]:
    """Marginal mean and variance, from the lowest to the highest fixed part."""
    kind = sample.kind
    eta = sample.cells[0] @ model.beta
    mean, variance = moments(kind, model, np.linspace(eta.min() - 0.3, eta.max() + 0.3, 31))
    if kind.logarithmic:
        mean, variance = np.log10(mean), np.log10(variance)
    inside = (kind.mean_axis.low <= mean) & (mean <= kind.mean_axis.high)
    inside &= (kind.variance_axis.low <= variance) & (variance <= kind.variance_axis.high)
    if inside.sum() < 2:  # nothing to see, as of an inverse gamma without a variance
        return [], []
    return [mean[inside]], [variance[inside]]


def _placed(axis: Axis, values: Array, logarithmic: bool) -> Array:
    """Put values on an axis; what lies beyond stands at its end (the hover has the figure)."""
    if logarithmic:
        values = np.log10(np.maximum(values, 1e-12))
    return np.clip(values, axis.low, axis.high)


def rootogram(sample: Sample, yours: Fitted) -> Panel:
    """Rows seen with each response, and rows expected by a model, both as square roots."""
    kind = sample.kind
    rows, index = sample.cells
    sizes = np.bincount(index).astype(float)
    seen = observed(sample)
    fitted = expected(kind, yours, rows @ yours.beta, sizes)
    truth = expected(kind, true_model(sample), rows @ kind.beta, sizes)
    left, right = kind.places[:-1], kind.places[1:]
    middle, gap = (left + right) / 2, 0.08 * (right - left)
    top = max(7.5, float(np.ceil(np.sqrt(max(seen.max(), truth.max())) + 0.2)))
    bins = [_bin(kind, k) for k in range(seen.size)]
    marks = [
        bars("data", bins, left + gap, right - gap, 0, np.sqrt(seen), key="observed", opacity=0.6,
             hover=each("{}: {:.0f} " + kind.row + "s", bins, seen)),
        lines("yours", None, middle, [np.sqrt(fitted)], key="model", stage="estimate"),
        dots("yours", bins, middle, np.sqrt(fitted), key="expected", stage="estimate", size=3.5,
             hover=each("{}: {:.1f} expected", bins, fitted)),
        lines("truth", None, middle, [np.sqrt(truth)]),
    ]  # fmt: skip
    ticks = {np.sqrt(n): str(n) for n in (0, 1, 4, 9, 16, 25, 49, 81, 121) if n <= top**2}
    return Panel(
        "rootogram",
        f"Rootogram of the {kind.row}s",
        kind.bin_axis,
        Axis.ticked(f"{kind.row}s (square root scale)", 0, top, ticks, eases_with=("spread",)),
        marks,
    )


def _bin(kind: Kind, k: int) -> str:
    if k == kind.edges.size:
        return f"above {kind.edges[-1]:.3g}"
    if kind.family in ("poisson", "binomial"):
        return f"{kind.edges[k]:.0f}"
    if k == 0:
        return f"up to {kind.edges[0]:.2g}"
    return f"{kind.edges[k - 1]:.3g} to {kind.edges[k]:.3g}"
