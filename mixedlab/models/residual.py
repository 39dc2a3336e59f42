"""Structures of the residual covariance within groups.

    e ~ N(0, sigma^2 D R(phi) D),    D = diag(w)^(-1/2)

``R`` is the identity where nothing is said. Each structure here knows, for given parameters, a
matrix ``H`` with ``H R H' = I`` that acts on the rows of one group at a time. The rows of
``H [y X Z]`` then have independent residuals: the model is the usual one on them, and its
criterion grows by ``log|R|``. The parameters are chosen together with the variances of the random
effects, by minimising the criterion profiled over everything else (Pinheiro & Bates, 2000,
*Mixed-Effects Models in S and S-PLUS*, ch. 5).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError, FormulaError, nearest

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
Index = NDArray[np.intp]


class ResidualStructure(ABC):
    """A residual covariance ``R(phi)``; ``phi`` is unbounded, zero for independent residuals."""

    n_params: int
    group_of_row: Index | None = None
    """Rows that are correlated share this number; None where all are independent."""

    @abstractmethod
    def whiten(self, rows: Array, phi: Array) -> Array:
        """``H rows``: rows (n, c) turned into ones with independent residuals."""

    @abstractmethod
    def colour(self, rows: Array, phi: Array) -> Array:
        """``H^-1 rows``, the inverse of `whiten`: independent residuals turned into these."""

    @abstractmethod
    def logdet(self, phi: Array) -> float:
        """``log|R|``."""

    @abstractmethod
    def parameters(self, phi: Array, sigma: float) -> dict[str, float]:
        """Parameters by name, on the scale of the data."""


class AR1(ResidualStructure):
    """First-order autoregression within groups: correlation ``phi ** lag``.

    Parameters
    ----------
    time : ndarray, shape (n,)
        Times on a regular grid; the lag counts steps of the grid, so that a missing visit
        makes a lag of two.
    group : ndarray of int, shape (n,)
        Group of each row.
    labels : sequence
        Labels of the groups, for messages.
    """

    n_params = 1

    def __init__(self, time: Array, group: Index, labels: Sequence[object]) -> None:
        self.group_of_row = group
        self.order = np.lexsort((time, group))
        later = np.flatnonzero(np.diff(group[self.order]) == 0) + 1
        gaps = np.diff(time[self.order])[later - 1]
        if (gaps <= 0).any():
            row = self.order[later[np.argmin(gaps)]]
            raise DataError(
                f"Group {labels[group[row]]!r} has two rows at time {time[row]:g}: an ar1 "
                "residual needs one row for each time and group."
            )
        step = np.diff(np.unique(time)).min(initial=np.inf)
        lags = gaps / step
        if lags.size and np.abs(lags - np.round(lags)).max() > 1e-6:
            raise DataError(
                "The times of an ar1 residual are not on a regular grid: use the number of the "
                "visit, or round the times."
            )
        self.later, self.lags = later, np.round(lags)

    def _correlation(self, phi: Array) -> Array:
        return np.tanh(phi[0]) ** self.lags

    def whiten(self, rows: Array, phi: Array) -> Array:
        """Each row less its prediction from the row before, at unit variance."""
        rho = self._correlation(phi)
        sorted_rows = rows[self.order]
        out = sorted_rows.copy()
        out[self.later] -= rho[:, None] * sorted_rows[self.later - 1]
        out[self.later] /= np.sqrt(1.0 - rho**2)[:, None]
        back = np.empty_like(out)
        back[self.order] = out
        return back

    def colour(self, rows: Array, phi: Array) -> Array:
        """Each row from the row before and an innovation of its own."""
        rho = self._correlation(phi)
        out = rows[self.order]
        for at, r in zip(self.later, rho, strict=True):
            out[at] = r * out[at - 1] + np.sqrt(1.0 - r**2) * out[at]
        back = np.empty_like(out)
        back[self.order] = out
        return back

    def logdet(self, phi: Array) -> float:
        """Sum of the log variances of the innovations."""
        return float(np.sum(np.log1p(-(self._correlation(phi) ** 2))))

    def parameters(self, phi: Array, sigma: float) -> dict[str, float]:
        """``phi``, the correlation of neighbours, and ``sd``."""
        return {"phi": float(np.tanh(phi[0])), "sd": sigma}


class Diagonal(ResidualStructure):
    """A variance for each level of a factor; ``sigma`` is the first level's.

    Parameters
    ----------
    index : ndarray of int, shape (n,)
        Level of each row.
    levels : sequence
        Labels of the levels.
    """

    def __init__(self, index: Index, levels: Sequence[object]) -> None:
        self.index, self.levels = index, levels
        self.counts = np.bincount(index, minlength=len(levels))
        self.n_params = len(levels) - 1

    def _log_ratio(self, phi: Array) -> Array:
        return np.append(0.0, phi)

    def whiten(self, rows: Array, phi: Array) -> Array:
        """Rows over their level's standard deviation (relative to the first level's)."""
        return rows * np.exp(-self._log_ratio(phi))[self.index][:, None]

    def colour(self, rows: Array, phi: Array) -> Array:
        """Rows times their level's standard deviation."""
        return rows * np.exp(self._log_ratio(phi))[self.index][:, None]

    def logdet(self, phi: Array) -> float:
        """Twice the sum of the log ratios of standard deviations."""
        return 2.0 * float(self.counts @ self._log_ratio(phi))

    def parameters(self, phi: Array, sigma: float) -> dict[str, float]:
        """``sd[level]`` for each level."""
        sds = sigma * np.exp(self._log_ratio(phi))
        return {f"sd[{level}]": float(sd) for level, sd in zip(self.levels, sds, strict=True)}


class Unstructured(ResidualStructure):
    """Any covariance between the roles in a small group, the same in every group.

    ``R = C C'`` with C lower triangular and ``C[0, 0] = 1``, so that ``sigma`` is the standard
    deviation of the first role. A group may lack some roles.

    Parameters
    ----------
    role : ndarray of int, shape (n,)
        Role of each row in its group.
    roles : sequence
        Labels of the roles.
    group : ndarray of int, shape (n,)
        Group of each row.
    labels : sequence
        Labels of the groups, for messages.
    """

    def __init__(
        self, role: Index, roles: Sequence[object], group: Index, labels: Sequence[object]
    ) -> None:
        self.group_of_row, self.roles = group, roles
        m = len(roles)
        self.n_params = m * (m + 1) // 2 - 1
        row_of = np.full((len(labels), m), -1)
        row_of[group, role] = np.arange(role.size)
        twice = np.flatnonzero(row_of[group, role] != np.arange(role.size))
        if twice.size:
            at = twice[0]
            raise DataError(
                f"Group {labels[group[at]]!r} has two rows with role {roles[role[at]]!r}: an "
                "unstructured residual needs one row for each role and group."
            )
        patterns, which = np.unique(row_of >= 0, axis=0, return_inverse=True)
        self.blocks = [
            (np.flatnonzero(pattern), row_of[which.reshape(-1) == k][:, pattern])
            for k, pattern in enumerate(patterns)
            if pattern.any()
        ]

    def _covariance(self, phi: Array) -> Array:
        m = len(self.roles)
        C = np.zeros((m, m))
        C[np.tril_indices(m, -1)] = phi[m - 1 :]
        C[np.diag_indices(m)] = np.exp(np.append(0.0, phi[: m - 1]))
        return C @ C.T

    def _act(self, rows: Array, phi: Array, *, inverse: bool) -> Array:
        R = self._covariance(phi)
        out = np.empty_like(rows)
        for present, at in self.blocks:
            root = np.linalg.cholesky(R[np.ix_(present, present)])
            out[at] = (np.linalg.inv(root) if inverse else root) @ rows[at]
        return out

    def whiten(self, rows: Array, phi: Array) -> Array:
        """The inverse Cholesky factor of each group's covariance times its rows."""
        return self._act(rows, phi, inverse=True)

    def colour(self, rows: Array, phi: Array) -> Array:
        """The Cholesky factor of each group's covariance times its rows."""
        return self._act(rows, phi, inverse=False)

    def logdet(self, phi: Array) -> float:
        """Sum over groups."""
        R = self._covariance(phi)
        return sum(
            len(at) * float(np.linalg.slogdet(R[np.ix_(present, present)])[1])
            for present, at in self.blocks
        )

    def parameters(self, phi: Array, sigma: float) -> dict[str, float]:
        """``sd[role]`` for each role, ``cor[role, role]`` for each pair."""
        R = sigma**2 * self._covariance(phi)
        sd = np.sqrt(np.diag(R))
        out = {f"sd[{role}]": float(s) for role, s in zip(self.roles, sd, strict=True)}
        for i, k in combinations(range(len(sd)), 2):
            name = f"cor[{self.roles[i]}, {self.roles[k]}]"
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
        return Diagonal(*_coded(data, first, rows))
    if second is not None:
        group, labels = _coded(data, second, rows)
    elif terms:
        finest = max(terms, key=lambda t: t.n_levels)
        group, labels = finest.index, finest.levels
    else:
        raise FormulaError("Say within which groups: 'ar1(time | group)'.", text)
    if kind == "us":
        return Unstructured(*_coded(data, first, rows), group, labels)
    time = _column(data, first, rows)
    try:
        values = np.asarray(time, dtype=float)
    except (TypeError, ValueError):
        raise DataError(f"The time {first!r} of an ar1 residual must be a number.") from None
    return AR1(values, group, labels)


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
