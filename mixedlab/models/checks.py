"""What arrays of every mixed model must be: shapes that fit, finite values, levels that occur."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.terms import RandomTerm, check_parameters
from mixedlab.errors import DataError

if TYPE_CHECKING:
    from mixedlab.models.joint_likelihood import JointLikelihood

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


def check_generalized(problem: JointLikelihood, rows: ArrayLike | None = None) -> None:
    """Raise, in words, where these data cannot identify a generalised model."""
    kind, y, w, terms = problem.family, problem.y, problem.weights, problem.terms
    nagq = problem.nagq
    independent_columns(problem.X, problem.names)
    try:
        kind.check_response(y, np.broadcast_to(w, y.shape), rows)
    except ValueError as error:
        raise DataError(str(error)) from None
    if int(nagq) != nagq or nagq < 1:
        raise DataError(f"nagq is a whole number of nodes from 1 up, not {nagq!r}.")
    groups = list(dict.fromkeys(t.group for t in terms))
    if nagq > 1 and len(groups) > 1:
        raise DataError(
            f"nagq={nagq} needs one grouping factor, but there are {len(groups)}: "
            f"{', '.join(groups)}. Their random effects are joined in one integral of thousands of "
            "dimensions, which quadrature cannot do node by node. Use nagq=1 (Laplace)."
        )
    if nagq > 1:
        q = sum(t.n_coefs for t in terms)
        if float(nagq) ** q > 2e6:
            raise DataError(
                f"nagq={nagq} with {q} random coefficients a level is {nagq}**{q} nodes: "
                "use fewer nodes a dimension."
            )
    check_parameters(terms, y.size)
    for term in terms:
        random_term(term, y.size)
        if kind.counts_trials and np.all(np.asarray(w) == 1):
            _refuse_unidentified_binary(y, term)


def _refuse_unidentified_binary(y: Array, term: RandomTerm) -> None:
    size = np.bincount(term.index, minlength=term.n_levels)
    if size.max() == 1:
        raise DataError(
            f"Each level of {term.group!r} has one 0/1 response: a binary response has no spread "
            f"within a group from which the variance of {term.group!r} could be told. Use groups "
            "with more rows, or leave the term out."
        )
    successes = np.bincount(term.index, weights=y, minlength=term.n_levels)
    if np.all((successes == 0) | (successes == size)):
        raise DataError(
            f"In every level of {term.group!r} the responses are all 0 or all 1: the standard "
            "deviation between levels runs to infinity. Use groups in which the response varies."
        )
