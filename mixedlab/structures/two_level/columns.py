"""Columns of a table with clusters, checked and standardised for a two-level likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedlab.data.columns import as_frame, numbers_of, refuse_unusable
from mixedlab.errors import DataError, nearest

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Standardised:
    """Columns less their mean, divided by their standard deviation.

    Attributes
    ----------
    scaled : ndarray, shape (rows, columns)
    origin, unit : ndarray, shape (columns,)
        Mean and standard deviation.
    """

    scaled: Array
    origin: Array
    unit: Array

    @classmethod
    def of(cls, values: Array, names: Sequence[str]) -> Standardised:
        """Standardise; raises ``DataError`` for a constant column."""
        origin, unit = values.mean(axis=0), values.std(axis=0)
        constant = unit <= 1e-12 * np.abs(values).max(axis=0, initial=0.0)
        if constant.any():
            name = names[int(np.flatnonzero(constant)[0])]
            raise DataError(f"Column {name!r} is constant: leave it out.")
        return cls((values - origin) / unit, origin, unit)


@dataclass(frozen=True)
class ClusteredColumns:
    """Complete rows of a table: responses y and covariates x of rows, covariates w of clusters.

    Attributes
    ----------
    y, x, w : Standardised
        ``w`` has one row a cluster.
    cluster : ndarray of int, shape (N,)
    labels : Index
        Names of the clusters.
    n_missing : int
        Rows left out.
    """

    y: Standardised
    x: Standardised
    w: Standardised
    cluster: NDArray[np.intp]
    labels: pd.Index
    n_missing: int

    @classmethod
    def read(
        cls,
        df: Any,
        groups: str,
        y: Sequence[str],
        x: Sequence[str] = (),
        w: Sequence[str] = (),
    ) -> ClusteredColumns:
        """Take the named columns; raises ``DataError`` naming what cannot be used."""
        table = as_frame(df)
        used = [*y, *x, *w]
        if groups not in table.columns:
            raise DataError(f"There is no column {groups!r}.{nearest(groups, table.columns)}")
        refuse_unusable(table, [groups])
        twice = {name for name in used if used.count(name) > 1}
        if twice:
            raise DataError(f"Column {twice.pop()!r} is named twice.")
        values = np.column_stack([numbers_of(table, name).to_numpy() for name in used])
        if np.isinf(values).any():
            name = used[int(np.argwhere(np.isinf(values))[0, 1])]
            raise DataError(f"Column {name!r} holds infinite values: replace them or leave out.")
        complete = ~np.isnan(values).any(axis=1) & table[groups].notna().to_numpy()
        values = values[complete]
        cluster, labels = pd.factorize(table[groups][complete], sort=True)
        if len(labels) < 3:
            raise DataError(f"{groups!r} has {len(labels)} groups: two levels need many.")
        size = np.bincount(cluster)
        if size.max() == 1:
            raise DataError(
                f"Every group of {groups!r} has one row: nothing tells within from between."
            )
        n_y, n_x = len(y), len(x)
        first = np.unique(cluster, return_index=True)[1]
        w_rows = values[:, n_y + n_x :]
        differs = w_rows != w_rows[first][cluster]
        if differs.any():
            row, column = np.argwhere(differs)[0]
            raise DataError(
                f"Covariate {w[column]!r} varies within group {labels[cluster[row]]!r}: a "
                "covariate between groups has one value a group. Use its group mean, or list it "
                "under within=."
            )
        return cls(
            Standardised.of(values[:, :n_y], y),
            Standardised.of(values[:, n_y : n_y + n_x], x),
            Standardised.of(w_rows[first], w),
            cluster,
            labels,
            int(len(table) - complete.sum()),
        )
