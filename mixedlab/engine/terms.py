"""Random-effects terms as arrays, and where the parameters of each lie in the vector ``theta``.

A term ``(x | g)`` adds to row ``i`` the sum over its ``q`` coefficients
``Z[i, k] * b[index[i], k]``. The ``n x (J q)`` indicator matrix that a textbook
would write is never built: ``index`` and the ``n x q`` columns say the same.

``theta`` holds, term by term, the lower triangle of the relative covariance factor ``Lambda``
column by column (lme4's order), the terms by falling number of levels. Terms on the same
grouping factor, as ``(x || g)`` makes them, share one block-diagonal factor.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.errors import DataError

Array = NDArray[np.float64]
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


@cache
def lower_triangle(q: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of a q x q lower triangle, column by column."""
    columns, rows = np.triu_indices(q)
    return rows, columns


@dataclass(frozen=True)
class Factor:
    """The terms on one grouping factor, side by side.

    Attributes
    ----------
    terms : tuple of int
        Positions of the terms in the order given.
    index, n_levels
        Level of each row and number of levels.
    columns : tuple of slice
        Where each term's coefficients lie among the factor's ``q``.
    rows, cols, at : ndarray of int, shape (k,)
        Parameter ``theta[at[i]]`` is entry ``(rows[i], cols[i])`` of the factor's ``Lambda``.
    """

    terms: tuple[int, ...]
    index: NDArray[np.intp]
    n_levels: int
    columns: tuple[slice, ...]
    rows: NDArray[np.intp]
    cols: NDArray[np.intp]
    at: NDArray[np.intp]

    @property
    def n_coefs(self) -> int:
        """Number of coefficients q a level, over all terms."""
        return self.columns[-1].stop

    def lambda_of(self, theta: Array) -> Array:
        """The relative covariance factor ``Lambda`` (q, q), block diagonal over the terms."""
        out = np.zeros((self.n_coefs, self.n_coefs))
        out[self.rows, self.cols] = theta[self.at]
        return out


@dataclass(frozen=True)
class Layout:
    """The parameters of all terms: ``slices`` into theta, and the grouping ``factors``.

    ``slices`` follow the order in which the terms were given; ``factors`` come by falling number
    of random coefficients in all.
    """

    sizes: tuple[int, ...]
    slices: tuple[slice, ...]
    factors: tuple[Factor, ...]

    @property
    def n_theta(self) -> int:
        """Length of theta."""
        return sum(q * (q + 1) // 2 for q in self.sizes)

    @classmethod
    def of(cls, terms: Sequence[RandomTerm]) -> Layout:
        """Lay out the parameters of ``terms``."""
        sizes = tuple(t.n_coefs for t in terms)
        slices: list[slice] = [slice(0)] * len(terms)
        start = 0
        for t in sorted(range(len(terms)), key=lambda t: -terms[t].n_levels):
            stop = start + sizes[t] * (sizes[t] + 1) // 2
            slices[t] = slice(start, stop)
            start = stop
        factors = [_factor(terms, members, slices) for members in _by_factor(terms)]
        factors.sort(key=lambda f: -f.n_levels * f.n_coefs)
        return cls(sizes, tuple(slices), tuple(factors))

    def unpack(self, theta: Array) -> list[Array]:
        """``Lambda`` (q, q) of each term, in the order given."""
        out = []
        for q, where in zip(self.sizes, self.slices, strict=True):
            block = np.zeros((q, q))
            block[lower_triangle(q)] = theta[where]
            out.append(block)
        return out

    def by_factor(self, by_term: Sequence[Array]) -> list[Array]:
        """Block diagonal matrix of each factor from the matrices (q, q) of all terms."""
        out = []
        for f in self.factors:
            if len(f.terms) == 1:
                out.append(by_term[f.terms[0]])
                continue
            whole = np.zeros((f.n_coefs, f.n_coefs))
            for t, where in zip(f.terms, f.columns, strict=True):
                whole[where, where] = by_term[t]
            out.append(whole)
        return out

    def pack(self, lambdas: Sequence[Array]) -> Array:
        """``theta`` from ``Lambda`` of each term; the inverse of ``unpack``."""
        theta = np.empty(self.n_theta)
        for block, where in zip(lambdas, self.slices, strict=True):
            theta[where] = block[lower_triangle(block.shape[0])]
        return theta


def _by_factor(terms: Sequence[RandomTerm]) -> list[list[int]]:
    members: list[list[int]] = []
    for t, term in enumerate(terms):
        for others in members:
            first = terms[others[0]]
            if first.group == term.group and np.array_equal(first.index, term.index):
                others.append(t)
                break
        else:
            members.append([t])
    return members


def _factor(terms: Sequence[RandomTerm], members: list[int], slices: Sequence[slice]) -> Factor:
    columns, rows, cols, at = [], [], [], []
    start = 0
    for t in members:
        q = terms[t].n_coefs
        r, c = lower_triangle(q)
        columns.append(slice(start, start + q))
        rows.append(r + start)
        cols.append(c + start)
        at.append(np.arange(slices[t].start, slices[t].stop))
        start += q
    first = terms[members[0]]
    return Factor(
        tuple(members),
        first.index,
        first.n_levels,
        tuple(columns),
        np.concatenate(rows),
        np.concatenate(cols),
        np.concatenate(at),
    )
