"""One random-effects term as arrays: the form in which every model receives ``Z``.

A term ``(x | g)`` adds to row ``i`` the sum over its ``q`` coefficients
``Z[i, k] * b[index[i], k]``. The ``n x (J q)`` indicator matrix that a textbook
would write is never built: ``index`` and the ``n x q`` columns say the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.errors import DataError

# Variances and covariances above this number take minutes.
_MANY = 500


@dataclass(frozen=True)
class RandomTerm:
    """Random coefficients that vary over the levels of one grouping factor.

    Attributes
    ----------
    group : str
        Name of the grouping factor, ``"Subject"`` or ``"batch:cask"``.
    index : ndarray of int, shape (n,)
        Level of each row, 0 to J - 1.
    levels : tuple, length J
        Labels of the levels, in order.
    Z : ndarray of float, shape (n, q)
        The columns whose coefficients vary.
    names : tuple of str, length q
        Names of the coefficients, ``("(Intercept)", "Days")``.

    Notes
    -----
    The q coefficients of a term are correlated. ``(x || g)`` makes one term for each column.
    """

    group: str
    index: NDArray[np.intp]
    levels: tuple
    Z: NDArray[np.float64]
    names: tuple[str, ...]

    @property
    def n_levels(self) -> int:
        """Number of levels J of the grouping factor."""
        return len(self.levels)

    @property
    def n_coefs(self) -> int:
        """Number of random coefficients q a level."""
        return self.Z.shape[1]

    @classmethod
    def from_arrays(
        cls,
        group_of_row: ArrayLike,
        Z: ArrayLike | None = None,
        *,
        group: str = "group",
        names: Sequence[str] | None = None,
    ) -> RandomTerm:
        """Make a term from a label for each row and the columns that vary (default: an intercept).

        Levels are sorted. Raises ``ValueError`` where the lengths differ.
        """
        levels, index = np.unique(np.asarray(group_of_row), return_inverse=True)
        index = index.reshape(-1)
        Z = np.ones((index.size, 1)) if Z is None else np.asarray(Z, dtype=float)
        Z = Z.reshape(index.size, -1) if Z.ndim == 1 and Z.size == index.size else Z
        if Z.ndim != 2 or Z.shape[0] != index.size:
            raise ValueError(
                f"Z has shape {Z.shape}, but there are {index.size} group labels: "
                "give one row of Z for each label."
            )
        if names is None:
            first = "(Intercept)" if np.all(Z[:, 0] == 1) else "z1"
            names = (first, *(f"z{k + 1}" for k in range(1, Z.shape[1])))
        return cls(group, index, tuple(levels.tolist()), Z, tuple(names))


def check_parameters(terms: Sequence[RandomTerm], n: int) -> None:
    """Say in words, before a fit to n rows, that it has too many variances and covariances.

    A covariance matrix of q coefficients has q (q + 1) / 2 of them. As many as rows can't be
    estimated: raises ``DataError``. Some hundreds take minutes: warns.
    """
    counts = [t.n_coefs * (t.n_coefs + 1) // 2 for t in terms]
    total = sum(counts)
    if not terms or (total < n and total <= _MANY):
        return
    worst = terms[int(np.argmax(counts))]
    words = (
        f"The random term on {worst.group!r} has {worst.n_coefs} coefficients a level "
        f"({worst.names[0]!r} to {worst.names[-1]!r}), and so {max(counts)} variances and "
        "covariances"
    )
    remedy = (
        "Let fewer coefficients vary, or with one variance for all: (1 | a:b) for each pair of "
        "levels in place of (b | a)."
    )
    if total >= n:
        raise DataError(f"{words}: more than {n} rows can tell. {remedy}")
    warnings.warn(f"{words}: the fit may take minutes. {remedy}", RuntimeWarning, stacklevel=5)
