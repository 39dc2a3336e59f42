"""One random-effects term as arrays: the form in which every model receives ``Z``.

A term ``(x | g)`` adds to row ``i`` the sum over its ``q`` coefficients
``Z[i, k] * b[index[i], k]``. The ``n x (J q)`` indicator matrix that a textbook
would write is never built: ``index`` and the ``n x q`` columns say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


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
