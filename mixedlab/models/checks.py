"""What arrays of every mixed model must be: shapes that fit, finite values, levels that occur."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError

Array = NDArray[np.float64]


def matrix(X: ArrayLike, names: Sequence[str] | None) -> tuple[Array, tuple[str, ...]]:
    """X (n, p) as floats, and names of its columns (x1, x2, ... where none are given)."""
    X = np.asarray(X, dtype=float)
    if X.ndim != 2:
        raise DataError(f"X has shape {X.shape}; give a matrix, one column for each coefficient.")
    p = X.shape[1]
    names = tuple(f"x{k + 1}" for k in range(p)) if names is None else tuple(names)
    if len(names) != p:
        raise DataError(f"There are {len(names)} names for the {p} columns of X.")
    finite = np.isfinite(X)
    if not finite.all():  # by columns only then: numpy is slow along the short side of a matrix
        broken = np.flatnonzero(~finite.all(axis=0))
        raise DataError(f"Column {names[broken[0]]!r} of X has missing or infinite values.")
    return X, names


def column(what: str, values: ArrayLike, n: int) -> Array:
    """Values (n,) as floats; raises where there are too many, too few, or gaps."""
    values = np.asarray(values, dtype=float)
    if values.shape != (n,):
        raise DataError(f"{what} has shape {values.shape}; there are {n} rows in X.")
    finite = np.isfinite(values)
    if not finite.all():
        bad = np.flatnonzero(~finite)
        raise DataError(
            f"{what} has {bad.size} values that are missing or infinite, the first in row "
            f"{bad[0]}: leave these rows out."
        )
    return values


def random_term(term: RandomTerm, n: int) -> None:
    """Raise where a random term does not fit n rows, is not finite, or has no second level."""
    group = term.group
    if term.index.shape != (n,):
        raise DataError(f"The random term on {group!r} has {term.index.size} rows, X has {n}.")
    if not np.isfinite(term.Z).all():
        raise DataError(f"A column of the random term on {group!r} is not finite.")
    if term.n_levels < 2:
        raise DataError(
            f"The grouping factor {group!r} has one level: a variance between groups needs at "
            "least two."
        )
    empty = np.flatnonzero(np.bincount(term.index, minlength=term.n_levels) == 0)
    if empty.size:
        raise DataError(
            f"Level {term.levels[empty[0]]!r} of {group!r} has no rows (and {empty.size - 1} "
            "others): make the random term from the levels that occur."
        )


def independent_columns(X: Array, names: Sequence[str]) -> None:
    """Raise where a combination of X's columns is zero."""
    scaled = X / np.maximum(np.sqrt((X**2).sum(axis=0)), 1e-300)
    if X.shape[1] and np.linalg.eigvalsh(scaled.T @ scaled)[0] < 1e-12:
        raise DataError(
            f"The columns {', '.join(names)} of X are linearly dependent: leave one of them out."
        )
