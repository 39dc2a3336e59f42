"""Where each random term's parameters lie in the vector ``theta``.

``theta`` holds, term by term, the lower triangle of the relative covariance factor ``Lambda``
column by column (lme4's order), the terms by falling number of levels. Terms on the same
grouping factor, as ``(x || g)`` makes them, share one block-diagonal factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.terms import RandomTerm

Array = NDArray[np.float64]


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
