r"""The responses as they stand in the table: do they stop at a bound, do rows come twice?

A normal distribution has no bounds. If none of the responses lies beyond m, though the model
expects :math:`\Lambda = \sum_i P(y_i > m)` of them, that is a chance of :math:`e^{-\Lambda}` or so:
where it is small there is a floor or a ceiling.

Rows that agree in all that was fitted, the response too, are to be expected at some rate: two
responses agree about as often as any two of the table, times the ratio of the spread of all to
that of one row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedlab.diagnosis.finding import SURE_OF_MANY, Finding, NotChecked
from mixedlab.errors import first_rows
from mixedlab.inference.contract import MixedModel, answers

Array = NDArray[np.float64]

_OFTEN_EQUAL = 0.05  # share of equal pairs of responses above which a second one says nothing


def bounds(fit: MixedModel) -> list[Finding]:
    """A least or largest response beyond which the model expects many more."""
    from scipy.special import ndtr

    family = fit.response_family
    if family.name != "gaussian" or family.link.name != "identity":
        raise NotChecked(f"the {family.name} family has bounds of its own, or a bent link.")
    weights = np.ones(fit.n_obs) if fit.weights is None else fit.weights
    sd = np.sqrt(fit.dispersion / weights)
    if answers(fit, "leverage") and fit.likelihood_kind.residual == "":
        sd = sd * np.sqrt(np.maximum(1 - fit.row_covariance().leverage, 0.0))
    values = np.unique(fit.y)
    if values.size == 2:
        return [_two_valued(values)]
    half = 0.5 * np.diff(values).min()
    found = []
    for end, side, beyond in ((values[-1], 1, "above"), (values[0], -1, "below")):
        away = side * (end + side * half - fit.fitted_values)
        expected = float(ndtr(-away[sd > 0] / sd[sd > 0]).sum())
        if np.exp(-expected) < SURE_OF_MANY:
            found.append(_bounded(fit, float(end), beyond, expected, values))
    return found


def _two_valued(values: Array) -> Finding:
    return Finding(
        "bounded response",
        "two values",
        f"the response has two values, {values[0]:.6g} and {values[1]:.6g}: a linear model of it "
        "may predict shares below 0 or above 1, and takes its variance for the same throughout.",
        "Fit ml.glmm with family='binomial'.",
    )


def _bounded(fit: MixedModel, end: float, beyond: str, expected: float, values: Array) -> Finding:
    at = int(np.sum(fit.y == end))
    if beyond == "below" and end >= 0 and (values % 1 == 0).all():
        how = "For counts fit ml.glmm with family='poisson' or 'negative_binomial'."
    elif beyond == "below" and end > 0:
        how = "Model log(y), or fit ml.glmm with family='gamma'."
    else:
        how = (
            "For a score out of a total fit ml.glmm with cbind(points, total - points); a value "
            "that stands for all beyond it needs a model of censored responses."
        )
    return Finding(
        "bounded response",
        "a floor" if beyond == "below" else "a ceiling",
        f"no response lies {beyond} {end:.6g}, where {at} of {fit.n_obs} lie, though the model "
        f"expects {expected:.0f} {beyond} it: slopes and variances are too small near the bound.",
        how,
    )


def repeated_rows(fit: MixedModel) -> list[Finding]:
    """Rows that agree with an earlier one in everything that was fitted."""
    from scipy.stats import poisson

    family = fit.response_family
    if family.name not in ("gaussian", "gamma"):
        raise NotChecked("counts and shares agree by chance too.")
    n = fit.n_obs
    equal = _pairs(np.unique(fit.y, return_counts=True)[1]) / _pairs(np.array([n]))
    if equal > _OFTEN_EQUAL:
        raise NotChecked("the responses have few different values, which agree by chance too.")
    columns = [fit.X, *(term.index[:, None] for term in fit.terms), *(t.Z for t in fit.terms)]
    columns += [] if fit.offset is None else [fit.offset[:, None]]
    _, cell, size = np.unique(
        np.column_stack(columns), axis=0, return_inverse=True, return_counts=True
    )
    own = np.std(fit.residuals) or 1.0
    expected = _pairs(size) * equal * max(float(np.std(fit.y) / own), 1.0)
    whole = np.column_stack([cell.reshape(-1), fit.y])
    _, first, of = np.unique(whole, axis=0, return_index=True, return_inverse=True)
    again = np.arange(n) != first[of.reshape(-1)]
    count = int(again.sum())
    if not count or poisson.sf(count - 1, expected) > SURE_OF_MANY:
        return []
    rows = None if fit.design is None else fit.design.rows
    return [
        Finding(
            "repeated rows",
            first_rows(again, rows),
            f"{count} rows agree with an earlier one in every column of the model, where "
            f"{expected:.2g} would by chance: {first_rows(again, rows)}. If they are copies, "
            "standard errors are too small.",
            "Look at data[data.duplicated(keep=False)]; data.drop_duplicates() leaves copies out.",
        )
    ]


def _pairs(counts: NDArray[np.integer]) -> float:
    return float(np.sum(counts * (counts - 1.0)) / 2)
