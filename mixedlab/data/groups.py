"""Code the grouping factors of a formula's bars and make a random term of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedlab.data.columns import factorized, level_numbers
from mixedlab.data.formula import Bar
from mixedlab.data.identifiability import is_confounded_with_residual
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError, FormulaError


@dataclass(frozen=True)
class Grouping:
    """The levels of one grouping factor.

    Attributes
    ----------
    factors : tuple of str
        The columns it is made of.
    labels : tuple of Index
        The labels of each column.
    pairs : tuple of ndarray of int
        For each column after the first, the combinations that occur, in order: the level before
        times the number of labels, plus the label.
    levels : tuple
        One factor keeps its labels; a combination is labelled ``"A:a"``.
    """

    factors: tuple[str, ...]
    labels: tuple[pd.Index, ...]
    pairs: tuple[NDArray[np.int64], ...]
    levels: tuple

    @classmethod
    def learn(cls, factors: tuple[str, ...], table: pd.DataFrame) -> tuple[Grouping, NDArray]:
        """The levels that occur, and the level number of each row."""
        index, first = factorized(table[factors[0]])
        levels, labels, pairs = first.tolist(), [first], []
        for name in factors[1:]:
            inner, found = factorized(table[name])
            index, occurring = pd.factorize(index.astype(np.int64) * len(found) + inner, sort=True)
            outer, inner = np.divmod(occurring, max(len(found), 1))
            levels = [f"{levels[a]}:{found[b]}" for a, b in zip(outer, inner, strict=True)]
            labels.append(found)
            pairs.append(occurring)
        grouping = cls(factors, tuple(labels), tuple(pairs), tuple(levels))
        return grouping, np.asarray(index, dtype=np.intp)

    def find(self, table: pd.DataFrame) -> NDArray[np.intp]:
        """Level number of each new row, -1 for a new level."""
        index = level_numbers(table[self.factors[0]], self.labels[0])
        for name, found, pairs in zip(self.factors[1:], self.labels[1:], self.pairs, strict=True):
            inner = level_numbers(table[name], found)
            pair = np.where((index < 0) | (inner < 0), -1, index * len(found) + inner)
            place = np.minimum(np.searchsorted(pairs, pair), len(pairs) - 1)
            index = np.where(pairs[place] == pair, place, -1)
        return np.asarray(index, dtype=np.intp)


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


def refuse_shared(bars: Sequence[Bar], names: Sequence[tuple[str, ...]], source: str) -> None:
    """Raise where a coefficient varies over the same groups in two terms."""
    seen: dict[tuple[frozenset, str], Bar] = {}
    for bar, columns in zip(bars, names, strict=True):
        for name in columns:
            key = (frozenset(bar.factors), name)
            if key not in seen:
                seen[key] = bar
                continue
            what = "The intercept" if name == "(Intercept)" else repr(name)
            both = f"{seen[key]} and {bar}" if str(seen[key]) != str(bar) else f"{bar} twice"
            raise FormulaError(
                f"{what} varies over {bar.group!r} in two terms, {both}: its two variances cannot "
                "be told apart. Leave it out of one of them; '0 + x' is a slope without an "
                "intercept.",
                source,
                bar.columns.position,
            )


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
