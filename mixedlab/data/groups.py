"""Code the grouping factors of a formula's bars and make a random term of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedlab.data.columns import factorized, level_numbers
from mixedlab.data.formula import Bar
from mixedlab.data.identifiability import is_confounded_with_residual
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError


def code_groups(table: pd.DataFrame, bar: Bar) -> tuple[NDArray[np.intp], tuple]:
    """Level number of each row and the labels of the levels.

    One factor keeps its labels; a combination ``a:b`` is labelled ``"A:a"`` and has the levels
    that occur.
    """
    index, labels = factorized(table[bar.factors[0]])
    labels = labels.tolist()
    for name in bar.factors[1:]:
        inner_index, inner_labels = factorized(table[name])
        pairs = index.astype(np.int64) * len(inner_labels) + inner_index
        index, pairs = pd.factorize(pairs, sort=True)
        outer, inner = np.divmod(pairs, len(inner_labels))
        labels = [f"{labels[a]}:{inner_labels[b]}" for a, b in zip(outer, inner, strict=True)]
    return np.asarray(index, dtype=np.intp), tuple(labels)


def find_groups(table: pd.DataFrame, bar: Bar, levels: Sequence) -> NDArray[np.intp]:
    """Level number of each new row among ``levels``, -1 for a new level."""
    labels = table[bar.factors[0]].astype(object)
    for name in bar.factors[1:]:
        labels = labels.astype(str) + ":" + table[name].astype(str).astype(object)
    return level_numbers(labels, pd.Index(levels))


def terms_of(
    bar: Bar, index: NDArray[np.intp], levels: tuple, Z: NDArray[np.float64], names: Sequence[str]
) -> list[RandomTerm]:
    """One term, or one for each column where the bar is ``||``."""
    if bar.correlated:
        return [RandomTerm(bar.group, index, levels, Z, tuple(names))]
    return [
        RandomTerm(bar.group, index, levels, np.ascontiguousarray(Z[:, [k]]), (name,))
        for k, name in enumerate(names)
    ]


def refuse_unidentified(
    term: RandomTerm, weights: NDArray[np.float64] | None, has_residual: bool
) -> None:
    """Raise where the variance of a term cannot be estimated from these groups."""
    if not term.names:
        raise DataError(
            f"Nothing varies over {term.group!r}: '(1 | {term.group})' is an intercept."
        )
    if term.n_levels < 2:
        raise DataError(
            f"Grouping factor {term.group!r} has one level ({term.levels[0]!r}): a variance "
            "between groups needs at least two, better ten. Leave the term out."
        )
    if has_residual and is_confounded_with_residual(term, weights):
        rows = len(term.index) / term.n_levels
        raise DataError(
            f"Grouping factor {term.group!r} has {term.n_levels} levels for {len(term.index)} "
            f"rows, {rows:.3g} a level: the variance of ({' + '.join(term.names)} | {term.group}) "
            "cannot be told apart from the residual variance. Leave the term out, or use groups "
            "with more rows."
        )
