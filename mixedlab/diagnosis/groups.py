"""The grouping factors: their sizes, their labels, and how one stands in another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mixedlab.diagnosis.finding import SURE, Finding
from mixedlab.diagnosis.suggestions import group_of
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import listed
from mixedlab.inference.contract import MixedModel

_FEW = 5
_MOSTLY = 0.5  # share of the levels with one row above which a variance rests on the others
_LIKE_A_COUNT = 0.8  # share of groups whose labels are the first ones, 1, 2, ..., k


def of_each_factor(fit: MixedModel) -> list[RandomTerm]:
    """One term for each grouping factor."""
    return list({term.group: term for term in reversed(fit.terms)}.values())[::-1]


def means_by_level(term: RandomTerm, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of a column (n,) in each level of a factor, (J,)."""
    count = np.bincount(term.index, minlength=term.n_levels)
    return np.bincount(term.index, weights=x, minlength=term.n_levels) / count


def few_groups(fit: MixedModel) -> list[Finding]:
    """A variance between fewer than five groups is hardly known."""
    return [
        Finding(
            "few groups",
            term.group,
            f"{term.group!r} has {term.n_levels} levels: a variance between so few groups is "
            "hardly known, and intervals that take it as known are too short.",
            f"Put {group_of(fit, term)} in the fixed part, or use df='kenward-roger' for a "
            "linear model.",
        )
        for term in of_each_factor(fit)
        if term.n_levels < _FEW
    ]


def single_rows(fit: MixedModel) -> list[Finding]:
    """Factors most of whose levels have one row; an effect for every row is meant so."""
    found = []
    for term in of_each_factor(fit):
        single = int(np.sum(np.bincount(term.index, minlength=term.n_levels) == 1))
        if single > _MOSTLY * term.n_levels and term.n_levels < fit.n_obs:
            found.append(
                Finding(
                    "single rows",
                    term.group,
                    f"{single} of the {term.n_levels} levels of {term.group!r} have one row: "
                    "what is theirs and what is the row's is told apart by the other "
                    f"{term.n_levels - single} alone.",
                    "Check that the labels are right; if they are, read the two variances as one.",
                )
            )
    return found


def similar_labels(fit: MixedModel) -> list[Finding]:
    """Levels that are one once case and spaces are left aside."""
    factors = {term.group: term.levels for term in fit.terms}
    if fit.design is not None:
        recipe = fit.design.recipe
        factors |= {name: levels for name, levels in recipe.levels.items() if levels is not None}
        for grouping in recipe.groupings.values():
            factors |= dict(zip(grouping.factors, grouping.labels, strict=True))
    found = []
    for name, levels in factors.items():
        alike = [same for same in labels_alike(levels) if ":" not in name]
        if alike:
            pairs = "; ".join(listed(map(repr, same)) for same in alike[:3])
            more = f" and {len(alike) - 3} more" if len(alike) > 3 else ""
            found.append(
                Finding(
                    "similar labels",
                    name,
                    f"levels of {name!r} differ by case or spaces only: {pairs}{more}. Each "
                    "counts as a group of its own.",
                    f"Make them one: data[{name!r}].str.strip().str.lower().",
                )
            )
    return found


def labels_alike(levels: Iterable[object]) -> list[list[str]]:
    """Return the labels that are one once case and spaces are left aside, together."""
    same = defaultdict(list)
    for level in levels:
        if isinstance(level, str):
            same["".join(level.casefold().split())].append(level)
    return [labels for labels in same.values() if len(labels) > 1]


def nested_labels(fit: MixedModel) -> list[Finding]:
    """Factors whose labels start anew in each level of another.

    Class 1 of school A and class 1 of school B then count as one class. The sign is that each
    school has the first so many labels, together with one of two others: rows of one class in one
    school are more alike than the model allows, or what carries the same label has nothing in
    common.
    """
    found = []
    terms = of_each_factor(fit)
    for a, first in enumerate(terms):
        for b in range(a + 1, len(terms)):
            pair = _outer_and_inner(first, terms[b])
            if pair is None:
                continue
            outer, inner = pair
            p = _alike_in_cells(fit, outer, inner)
            empty = _is_zero(fit, inner)
            if p > SURE and not empty:
                continue
            o, i = group_of(fit, outer), group_of(fit, inner)
            why = (
                f"rows of one {inner.group!r} in one {outer.group!r} are more alike than the "
                f"model allows (p = {p:.1e})"
                if p <= SURE
                else f"what shares a label of {inner.group!r} has nothing in common"
            )
            found.append(
                Finding(
                    "nested labels",
                    inner.group,
                    f"the labels of {inner.group!r} ({listed(inner.levels, 3)}) come again in "
                    f"each level of {outer.group!r}, and {why}: they look like labels that start "
                    f"anew in each {outer.group!r}, but count as the same groups throughout.",
                    f"If so, write (1 | {o}/{i}) in place of (1 | {o}) + (1 | {i}).",
                )
            )
    return found


def _outer_and_inner(a: RandomTerm, b: RandomTerm) -> tuple[RandomTerm, RandomTerm] | None:
    """Which of two factors has labels that start anew in the other; None for neither."""
    share = a.group.split(":"), b.group.split(":")
    if set(share[0]) & set(share[1]):
        return None
    cells = np.unique(_cells(a, b))
    if cells.size in (a.n_levels, b.n_levels):  # nested by unique labels already
        return None
    anew = [(o, i) for o, i in ((a, b), (b, a)) if _starts_anew(o, i)]
    # Where each has all labels of the other, the many hold the few.
    return min(anew, key=lambda pair: pair[1].n_levels, default=None)


def _starts_anew(outer: RandomTerm, inner: RandomTerm) -> bool:
    """Whether most levels of ``outer`` have the first so many labels of ``inner``, and no other."""
    o, i = np.divmod(np.unique(_cells(outer, inner)), inner.n_levels)
    count = np.bincount(o, minlength=outer.n_levels)
    last = np.zeros(outer.n_levels, dtype=np.intp)
    np.maximum.at(last, o, i)
    return bool(np.mean(last + 1 == count) >= _LIKE_A_COUNT and np.median(count) > 1)


def _cells(a: RandomTerm, b: RandomTerm) -> NDArray[np.int64]:
    return a.index.astype(np.int64) * b.n_levels + b.index


def _alike_in_cells(fit: MixedModel, outer: RandomTerm, inner: RandomTerm) -> float:
    """P-value of the F-test that residuals have one mean in all combinations of two factors."""
    from scipy.stats import f

    from mixedlab.inference.explained import pearson_residuals

    _, cell = np.unique(_cells(outer, inner), return_inverse=True)
    count = np.bincount(cell)
    residual = pearson_residuals(fit)
    n, k = residual.size, count.size
    if n - k < 10 or k < 3:
        return 1.0
    means = np.bincount(cell, weights=residual) / count
    between = float(count @ (means - residual.mean()) ** 2) / (k - 1)
    within = float(np.sum((residual - means[cell]) ** 2)) / (n - k)
    return float(f.sf(between / max(within, 1e-300), k - 1, n - k))


def _is_zero(fit: MixedModel, of: RandomTerm) -> bool:
    """Whether every variance over a factor is estimated as zero, or as good as."""
    sizes = {True: [], False: []}
    for term, cov in zip(fit.terms, fit.covariances, strict=True):
        sizes[term.group == of.group].append(float(np.einsum("ik,kl,il->", term.Z, cov, term.Z)))
    whole = sum(sizes[True]) + sum(sizes[False])
    return sum(sizes[True]) <= 1e-4 * whole
