"""The columns of the fixed part: their place, their two slopes, and what they separate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedlab.data.matrices import independent_columns
from mixedlab.diagnosis.finding import SURE, Finding, NotChecked
from mixedlab.diagnosis.groups import means_by_level, of_each_factor
from mixedlab.diagnosis.other_fits import refuse_costly
from mixedlab.diagnosis.suggestions import column_of, group_of
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import MixedlabError
from mixedlab.inference.contract import MixedModel
from mixedlab.inference.separation import REMEDIES, runaway, separating_direction

Array = NDArray[np.float64]

# Spread of a column over its size below which products with it lose half their digits.
_FAR_FROM_ZERO = 1e-6
# Least share of a column's variance between groups, and within them, for it to have two slopes;
# and how much more its group means must vary than those of rows dealt out at random.
_SHARE, _MORE_THAN_CHANCE = 0.01, 2.0
# Distance and standard error, in the unit of a typical value of the column, that look endless.
_FAR, _LOOSE = 6.0, 10.0
_COUNTS = ("poisson", "negative_binomial")


def far_from_zero(fit: MixedModel) -> list[Finding]:
    """Columns that vary little about a value far from zero."""
    found = []
    columns = dict(zip(fit.names, fit.X.T, strict=True))
    for term in fit.terms:
        columns |= {n: z for n, z in zip(term.names, term.Z.T, strict=True) if n not in columns}
    for name, x in columns.items():
        size, spread = float(np.sqrt(np.mean(x**2))), float(np.std(x))
        if 0 < spread < _FAR_FROM_ZERO * size:
            column = column_of(fit, name)
            how = "" if column is None else f", or center({column}) in the formula"
            found.append(
                Finding(
                    "badly scaled",
                    name,
                    f"{name} varies by {spread:.3g} around {np.mean(x):.6g}: the intercept is "
                    "then a guess far outside the data, and digits are lost.",
                    f"Centre it: {name} - {np.mean(x):.6g} as a column of its own{how}.",
                )
            )
    return found


def separation(fit: MixedModel) -> list[Finding]:
    """Coefficients without a finite estimate, where they look like it."""
    if not (fit.response_family.counts_trials or fit.response_family.name in _COUNTS):
        raise NotChecked("this is a question about binomial responses and counts.")
    step = np.sqrt(np.mean(fit.X**2, axis=0))
    se = np.sqrt(np.diag(fit.vcov_beta)) * step
    if not ((np.abs(fit.beta) * step > _FAR) | ~(se < _LOOSE)).any():
        return []
    weights = np.ones(fit.n_obs) if fit.weights is None else fit.weights
    direction = separating_direction(fit.response_family, fit.y, fit.X, weights)
    if direction is None:
        return []
    found = runaway(direction, fit.names)
    about, what = ", ".join(found.coefficients), found.what.removeprefix("Separation: ")
    names_levels = "ml.check_separation(formula, data) names the levels."
    return [Finding("separated", about, what, f"{REMEDIES} {names_levels}")]


def two_slopes(fit: MixedModel) -> list[Finding]:
    """Predictors whose slope within groups is another than that between them.

    The group means of all predictors are added to the model; a coefficient of one that is not
    zero is the difference of its two slopes (Neuhaus and Kalbfleisch 1998).
    """
    refuse_costly(fit)
    found, looked = [], False
    for term in of_each_factor(fit):
        which, means = _group_means(fit, term)
        if which.size:
            looked = True
            found += _of_factor(fit, term, which, means)
    if not looked:
        raise NotChecked("no predictor varies both within and between groups.")
    return found


def _of_factor(
    fit: MixedModel, term: RandomTerm, which: NDArray[np.intp], means: Array
) -> list[Finding]:
    from scipy.stats import t as student

    df = term.n_levels - which.size - 1
    if df < 3:
        return []
    names = [*fit.names, *(f"mean of {fit.names[k]}" for k in which)]
    try:
        wider = fit.with_columns(np.column_stack([fit.X, means]), names)
    except MixedlabError:
        return []
    found, p = [], fit.beta.size
    for at, k in enumerate(which):
        difference = wider.beta[p + at]
        se = np.sqrt(wider.vcov_beta[p + at, p + at])
        p_value = float(2 * student.sf(abs(difference) / se, df))
        if not p_value < SURE:
            continue
        name = fit.names[k]
        x, g = column_of(fit, name), group_of(fit, term)
        how = (
            f"ml.within_between(data, {name!r}, {term.group!r}) and fit {name}_dev + {name}_mean"
            if x is not None and ":" not in g
            else f"its mean over {term.group!r} and the deviation from it as columns"
        )
        found.append(
            Finding(
                "two slopes",
                name,
                f"{name} has a slope of {wider.beta[k]:.3g} within {term.group!r} and of "
                f"{wider.beta[k] + difference:.3g} between (p = {p_value:.1e}): the one "
                f"coefficient, {fit.beta[k]:.3g}, is a mixture of both.",
                f"Use {how}.",
            )
        )
    return found


def _group_means(fit: MixedModel, term: RandomTerm) -> tuple[NDArray[np.intp], Array]:
    """Columns of X that vary within and between the levels of a factor, and their group means.

    Means that X spans already are left out. Columns of interactions are products and have none.
    """
    means = np.column_stack([means_by_level(term, x) for x in fit.X.T])[term.index]
    whole = np.maximum(np.var(fit.X, axis=0), 1e-300)
    between = np.var(means, axis=0) / whole
    by_chance = (1 - between) * (term.n_levels - 1) / max(fit.n_obs - term.n_levels, 1)
    plain = np.array([":" not in name for name in fit.names])
    varies = (between > np.maximum(_SHARE, _MORE_THAN_CHANCE * by_chance)) & (between < 1 - _SHARE)
    which = np.flatnonzero(plain & varies)
    p = fit.beta.size
    kept = independent_columns(np.column_stack([fit.X, means[:, which]]))
    which = which[kept[kept >= p] - p]
    return which, means[:, which]
