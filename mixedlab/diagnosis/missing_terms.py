"""What the model leaves out: a bend, slopes that differ, size of groups, correlation in time.

Each is put into the model, which is fitted again: a column is tested by its coefficient, a variance
or an autocorrelation by the likelihood ratio. What is certain but small is not told.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mixedlab.data.matrices import independent_columns
from mixedlab.diagnosis.finding import SURE_OF_MANY, Finding, NotChecked
from mixedlab.diagnosis.groups import means_by_level, of_each_factor
from mixedlab.diagnosis.other_fits import refuse_costly, steps_of, with_terms
from mixedlab.diagnosis.suggestions import column_of, group_of, written
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError, MixedlabError
from mixedlab.inference.contract import MixedModel

Array = NDArray[np.float64]

_LEAST_GROUPS = 6
_MUCH = 0.1  # of a residual sd, or of the link's unit: a smaller effect is not told
_WITHIN = 0.05  # share of a column's variance within groups for its slope to be seen there
_UNEQUAL = 0.2  # sd of the log of the sizes of groups that count as unequal
_NEIGHBOURS = 30


def bends(fit: MixedModel) -> list[Finding]:
    """Numbers whose square has a coefficient of its own."""
    refuse_costly(fit)
    found, looked = [], False
    for k, name in enumerate(fit.names):
        x = fit.X[:, k]
        if ":" in name or column_of(fit, name) is None or np.unique(x).size < 3:
            continue
        unit = (x - x.mean()) / x.std()
        tested = _coefficient(fit, unit**2, f"square of {name}")
        if tested is None:
            continue
        looked = True
        p, size, wider = tested
        if p < SURE_OF_MANY and size > _MUCH:
            ends = np.quantile(unit, [0.1, 0.9])
            slopes = (wider.beta[k] + 2 * wider.beta[-1] * ends / x.std()).tolist()
            found.append(
                Finding(
                    "bent",
                    name,
                    f"the slope of {name} is {slopes[0]:.3g} where it is small and "
                    f"{slopes[1]:.3g} where it is large (p = {p:.1e}), not {fit.beta[k]:.3g} "
                    "throughout.",
                    f"Add I({written(fit, name)}**2), or a spline, bs({written(fit, name)}, df=4); "
                    "ml.pictures.effect(fit, data, x) shows the bend.",
                )
            )
    if not looked:
        raise NotChecked("no number in the fixed part has a square of its own.")
    return found


def cluster_size(fit: MixedModel) -> list[Finding]:
    """Factors whose large groups have other responses than their small ones."""
    refuse_costly(fit)
    found, looked = [], False
    for term in of_each_factor(fit):
        size = np.bincount(term.index, minlength=term.n_levels)
        if term.n_levels < _LEAST_GROUPS + fit.beta.size or np.std(np.log(size)) < _UNEQUAL:
            continue
        tested = _coefficient(
            fit, np.log(size)[term.index], f"log size of {term.group}", term.n_levels
        )
        if tested is None:
            continue
        looked = True
        p, effect, wider = tested
        if p < SURE_OF_MANY and effect > _MUCH:
            more = "larger" if wider.beta[-1] > 0 else "smaller"
            found.append(
                Finding(
                    "informative size",
                    term.group,
                    f"groups of {term.group!r} with more rows have {more} responses (p = {p:.1e}): "
                    "a mean over rows is another than a mean over groups, and the effects of small "
                    "groups are drawn towards the wrong mean.",
                    f"Make the number of rows a covariate, data.groupby({term.group!r})"
                    f"[{term.group!r}].transform('size'), and ask why groups are large.",
                )
            )
    if not looked:
        raise NotChecked("no factor has groups of unequal size, and enough of them.")
    return found


def _coefficient(
    fit: MixedModel, column: Array, name: str, groups: int | None = None
) -> tuple[float, float, MixedModel] | None:
    """P-value and size of one more column's coefficient, and the wider fit; None: it has none."""
    from scipy.stats import t as student

    X = np.column_stack([fit.X, column])
    if independent_columns(X).size < X.shape[1]:
        return None
    try:
        wider = fit.with_columns(X, [*fit.names, name])
    except MixedlabError:
        return None
    groups = min(t.n_levels for t in fit.terms) if groups is None and fit.terms else groups
    df = max((fit.n_obs if groups is None else groups) - X.shape[1], 3)
    statistic = abs(wider.beta[-1]) / np.sqrt(wider.vcov_beta[-1, -1])
    own = column - fit.X @ np.linalg.lstsq(fit.X, column, rcond=None)[0]
    family = fit.response_family
    unit = fit.sigma if family.name == "gaussian" and family.link.name == "identity" else 1.0
    return float(2 * student.sf(statistic, df)), abs(wider.beta[-1]) * own.std() / unit, wider


def differing_slopes(fit: MixedModel) -> list[Finding]:
    """Columns with one slope for all groups, whose slopes differ from group to group."""
    from scipy.stats import chi2

    refuse_costly(fit)
    found, looked = [], False
    for term, k, deviation in _held_slopes(fit):
        name = fit.names[k]
        slope = RandomTerm(term.group, term.index, term.levels, deviation[:, None], (name,))
        wider = with_terms(fit, [*fit.terms, slope])
        if wider is None:
            continue
        looked = True
        p = 0.5 * float(chi2.sf(max(fit.criterion - wider.criterion, 0.0), 1))
        sd = float(np.sqrt(wider.covariances[-1][0, 0]))
        if p < SURE_OF_MANY:
            found.append(
                Finding(
                    "differing slopes",
                    name,
                    f"the slope of {name} differs between the groups of {term.group!r}, with a "
                    f"standard deviation of {sd:.3g} (p = {p:.1e}), and the model holds it the "
                    "same: its standard error is too small.",
                    f"Write ({written(fit, name)} | {group_of(fit, term)}).",
                )
            )
    if not looked:
        raise NotChecked("no column varies within the groups of a factor and has one slope there.")
    return found


def _held_slopes(fit: MixedModel) -> Iterator[tuple[RandomTerm, int, Array]]:
    """A factor, a column that varies within its groups, and its deviation from their means."""
    for term in of_each_factor(fit):
        varying = {n for t in fit.terms if t.group == term.group for n in t.names}
        if term.n_levels < _LEAST_GROUPS or term.n_levels > fit.n_obs / 2:
            continue
        for k, name in enumerate(fit.names):
            if name in varying or ":" in name or name == "(Intercept)":
                continue
            x = fit.X[:, k]
            deviation = x - means_by_level(term, x)[term.index]
            if np.var(deviation) > _WITHIN * np.var(x) > 0:
                yield term, k, deviation


def autocorrelation(fit: MixedModel) -> list[Finding]:
    """Rows of one group that are alike the closer they are in time."""
    from scipy.stats import chi2

    kind = fit.likelihood_kind
    if kind.residual or kind.integral != "exact" or fit.response_family.name != "gaussian":
        raise NotChecked("this is done for ml.lmm without a residual structure.")
    refuse_costly(fit)
    at = _time(fit)
    if at is None:
        raise NotChecked(
            "no number in the model counts the rows of a group in whole steps, as time does."
        )
    name, term, structure = at
    wider = with_terms(fit, fit.terms, structure)
    if wider is None:
        raise NotChecked("the model with ar1 residuals could not be fitted.")
    p = float(chi2.sf(max(fit.criterion - wider.criterion, 0.0), 1))
    phi = wider.residual_parameters["phi"]
    if p > SURE_OF_MANY or abs(phi) < _MUCH:
        return []
    return [
        Finding(
            "autocorrelated",
            name,
            f"residuals of one {term.group!r} have a correlation of {phi:.2f} from one {name} to "
            f"the next (p = {p:.1e}): the model takes them for independent, and standard errors "
            "are wrong.",
            f"Fit residual='ar1({written(fit, name)})', or let the slope of {name} vary.",
        )
    ]


def _time(fit: MixedModel):
    """A column that stands at each whole step at most once in a group, and its ar1 structure."""
    terms = [t for t in fit.terms if t.n_levels <= fit.n_obs / 2]
    if not terms:
        return None
    finest = max(terms, key=lambda term: term.n_levels)
    columns = dict(zip(fit.names, fit.X.T, strict=True))
    for term in fit.terms:
        columns |= dict(zip(term.names, term.Z.T, strict=True))
    for name, x in columns.items():
        if ":" in name or column_of(fit, name) is None or np.unique(x).size < 4:
            continue
        try:
            structure = steps_of(x, finest)
        except DataError:
            continue
        clusters = structure.structure.clusters
        later, before = clusters.neighbours
        steps = clusters.place[later] - clusters.place[before]
        if later.size >= _NEIGHBOURS and np.median(steps) <= 2:
            return name, finest, structure
    return None
