"""Structures of the residual covariance within groups, read from text.

    e ~ N(0, sigma^2 D R(phi) D),    D = diag(w)^(-1/2)

``R`` is the identity where nothing is said. `mixedlab.engine.correlation` turns the rows of
``[y X Z]`` into ones with independent residuals: the model is the usual one on them, and its
criterion grows by ``log|R|``. The parameters are chosen together with the variances of the random
effects, by minimising the criterion profiled over everything else (Pinheiro & Bates, 2000,
*Mixed-Effects Models in S and S-PLUS*, ch. 5).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.correlation import (
    AutoRegressive,
    Clusters,
    Structure,
    Unstructured,
    VarianceByLevel,
)
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError, FormulaError, nearest

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
Index = NDArray[np.intp]

_STRUCTURE = "There is no {} for a model with a residual structure. {}"
UNANSWERED = {
    question: _STRUCTURE.format(what, remedy).strip()
    for question, what, remedy in (
        ("confidence interval of a prediction", "interval of a prediction", ""),
        ("prediction interval", "interval of a prediction", ""),
        ("profile interval", "profile interval", "Use method='wald' or 'bootstrap'."),
        ("satterthwaite", "df='satterthwaite'", "Use df='wald'."),
        ("kenward-roger", "df='kenward-roger'", "Use df='wald'."),
        ("intraclass correlation", "intraclass correlation", ""),
        ("R squared", "R squared", ""),
        ("conditional AIC", "conditional AIC", ""),
    )
}


@dataclass(frozen=True, eq=False)
class ResidualStructure(ABC):
    """A residual covariance ``R(phi)``; ``phi`` is unbounded, zero for independent residuals.

    Attributes
    ----------
    structure : Structure
        What whitens the rows.
    labels : tuple
        Names of the levels or roles, in the order of their numbers.
    group_of_row : ndarray of int, shape (n,), or None
        Rows that are correlated share this number; None where all are independent.
    """

    structure: Structure
    labels: tuple = ()
    group_of_row: Index | None = None

    @property
    def n_params(self) -> int:
        """Length of ``phi``."""
        return self.structure.n_free

    def whiten(self, rows: Array, phi: Array) -> Array:
        """Rows (n, c) turned into ones with independent residuals."""
        return self.structure.whiten(rows, self.structure.parameters(phi))

    def colour(self, rows: Array, phi: Array) -> Array:
        """The inverse of `whiten`: independent residuals turned into these."""
        return self.structure.colour(rows, self.structure.parameters(phi))

    def logdet(self, phi: Array) -> float:
        """``log|R|``."""
        return self.structure.logdet(self.structure.parameters(phi))

    @abstractmethod
    def parameters(self, phi: Array, sigma: float) -> dict[str, float]:
        """Parameters by name, on the scale of the data."""


class AR1(ResidualStructure):
    """First-order autoregression within groups: correlation ``phi ** lag``.

    The lag counts steps of a regular grid of times, so that a missing visit makes a lag of two.
    """

    @classmethod
    def of(cls, time: Array, group: Index, groups: Sequence[object]) -> AR1:
        """From the time and the group of each row; raises where the times are no grid."""
        clusters = Clusters(group, time)
        if not clusters.neighbours[0].size:
            raise DataError("Every group has one row, so an ar1 residual has no pair of rows.")
        tied = clusters.tied_row
        if tied is not None:
            raise DataError(
                f"Group {groups[group[tied]]!r} has two rows at time {time[tied]:g}: an ar1 "
                "residual needs one row for each time and group."
            )
        step = np.diff(np.unique(time)).min(initial=np.inf)
        visit = (time - time.min()) / step
        if np.abs(visit - np.round(visit)).max() > 1e-6:
            raise DataError(
                "The times of an ar1 residual are not on a regular grid: use the number of the "
                "visit, or round the times."
            )
        return cls(AutoRegressive(Clusters(group, np.round(visit))), (), group)

    def parameters(self, phi: Array, sigma: float) -> dict[str, float]:
        """``phi``, the correlation of neighbours, and ``sd``."""
        return {"phi": self.structure.parameters(phi), "sd": sigma}


class Diagonal(ResidualStructure):
    """A variance for each level of a factor; ``sigma`` is the first level's."""

    @classmethod
    def of(cls, level: Index, levels: Sequence[object]) -> Diagonal:
        """From the level of each row; raises where a level has a single row."""
        alone = np.flatnonzero(np.bincount(level) < 2)
        if alone.size:
            raise DataError(
                f"Level {levels[alone[0]]!r} has one row, so its residual variance cannot be "
                "known: join it with another level."
            )
        return cls(VarianceByLevel(level), tuple(levels))

    def parameters(self, phi: Array, sigma: float) -> dict[str, float]:
        """``sd[level]`` for each level."""
        sds = sigma * self.structure.parameters(phi)
        return {f"sd[{level}]": float(sd) for level, sd in zip(self.labels, sds, strict=True)}


class AnyCovariance(ResidualStructure):
    """Any covariance between the roles in a small group, the same in every group.

    ``sigma`` is the standard deviation of the first role. A group may lack some roles.
    """

    @classmethod
    def of(
        cls, role: Index, roles: Sequence[object], group: Index, groups: Sequence[object]
    ) -> AnyCovariance:
        """From the role and the group of each row; raises where a covariance cannot be known."""
        clusters = Clusters(group, role.astype(float))
        tied = clusters.tied_row
        if tied is not None:
            raise DataError(
                f"Group {groups[group[tied]]!r} has two rows with role {roles[role[tied]]!r}: an "
                "unstructured residual needs one row for each role and group."
            )
        structure = Unstructured(clusters)
        why = ""
        if structure.n_pairs == 0:
            why = f"is {roles[0]!r} in every row"
        elif structure.n_pairs > role.size:
            why = f"has {len(roles)} values, so {structure.n_pairs} pairs for {role.size} rows"
        elif structure.never_together is not None:
            one, other = (roles[k] for k in structure.never_together)
            why = f"is never both {one!r} and {other!r} in one group"
        if why:
            raise DataError(
                f"The role of an unstructured residual {why}. A role says which member of its "
                "group a row is, by the same few names in every group: 'patient' and 'partner'."
            )
        return cls(structure, tuple(roles), group)

    def parameters(self, phi: Array, sigma: float) -> dict[str, float]:
        """``sd[role]`` for each role, ``cor[role, role]`` for each pair."""
        R = sigma**2 * self.structure.parameters(phi)
        sd = np.sqrt(np.diag(R))
        out = {f"sd[{role}]": float(s) for role, s in zip(self.labels, sd, strict=True)}
        for i, k in combinations(range(len(sd)), 2):
            name = f"cor[{self.labels[i]}, {self.labels[k]}]"
            out[name] = float(R[i, k] / (sd[i] * sd[k]))
        return out


def refuse_mixing(structure: ResidualStructure, terms: Sequence[RandomTerm]) -> None:
    """Raise where correlated rows lie in different levels of a grouping factor."""
    group = structure.group_of_row
    if group is None:
        return
    for term in terms:
        level_of = np.zeros(group.max() + 1, np.intp)
        level_of[group] = term.index
        if not np.array_equal(level_of[group], term.index):
            raise DataError(
                f"Rows with correlated residuals lie in different levels of {term.group!r}: the "
                "groups of the residual structure must be nested in every grouping factor."
            )


_SPEC = re.compile(r"^\s*(ar1|diag|us)\s*\(\s*([^|()]+?)\s*(?:\|\s*([^|()]+?)\s*)?\)\s*$")


def structure_from(
    text: str, data: pd.DataFrame, rows: Index, terms: Sequence[RandomTerm]
) -> ResidualStructure:
    """Read ``"ar1(time)"``, ``"diag(f)"`` or ``"us(role | couple)"`` with its columns.

    ``"ar1(time)"`` correlates within the finest grouping factor of the random terms;
    ``"ar1(time | group)"`` says which.
    """
    found = _SPEC.match(text)
    if found is None or (found[1] == "us" and found[3] is None):
        raise FormulaError(
            "A residual structure is 'ar1(time)', 'ar1(time | group)', 'diag(factor)' or "
            "'us(role | group)'.",
            text,
        )
    kind, first, second = found.groups()
    if kind == "diag":
        return Diagonal.of(*_coded(data, first, rows))
    if second is not None:
        group, labels = _coded(data, second, rows)
    elif terms:
        finest = max(terms, key=lambda t: t.n_levels)
        group, labels = finest.index, finest.levels
    else:
        raise FormulaError("Say within which groups: 'ar1(time | group)'.", text)
    if kind == "us":
        return AnyCovariance.of(*_coded(data, first, rows), group, labels)
    time = _column(data, first, rows)
    try:
        values = np.asarray(time, dtype=float)
    except (TypeError, ValueError):
        raise DataError(f"The time {first!r} of an ar1 residual must be a number.") from None
    return AR1.of(values, group, labels)


def _column(data: pd.DataFrame, name: str, rows: Index) -> Any:
    if name not in data:
        raise DataError(f"There is no column {name!r} in the data.{nearest(name, data.columns)}")
    column = data[name].iloc[rows]
    missing = int(column.isna().sum())
    if missing:
        raise DataError(
            f"Column {name!r} of the residual structure has {missing} missing values: leave "
            "these rows out."
        )
    return column


def _coded(data: pd.DataFrame, name: str, rows: Index) -> tuple[Index, tuple]:
    """Codes and labels of a column's levels: a categorical's own order, else sorted."""
    column = _column(data, name, rows).astype("category").cat.remove_unused_categories()
    return column.cat.codes.to_numpy().astype(np.intp), tuple(column.cat.categories)
