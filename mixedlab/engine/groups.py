"""Rows in the order of their groups: sums over groups, and groups that are alike.

Arrays of rows are (n, ...), of groups (J, ...): what follows may count data sets or nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


class Groups:
    """Groups by their numbers of rows: sums over groups, and back."""

    def __init__(self, counts: Indices) -> None:
        self.counts, self.largest = counts, int(counts.max())
        self.starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        self.equal = bool((counts == counts[0]).all())

    def sum(self, x: Array) -> Array:
        """Sums (J, ...) of rows (n, ...)."""
        if self.equal and x.ndim > 1:
            return x.reshape(self.counts.size, -1, *x.shape[1:]).sum(1)
        return np.add.reduceat(x, self.starts, axis=0)

    def spread(self, b: Array) -> Array:
        """Rows (n, ...) from groups (J, ...)."""
        return np.repeat(b, self.counts, axis=0)


@dataclass(frozen=True)
class Merged:
    """Responses in which groups that are alike stand once.

    Attributes
    ----------
    y : ndarray (n, m)
        The responses of K groups each, in the order of the rows of any group.
    rows : ndarray of int (n,)
        Rows of the design that go with them.
    counts : ndarray (K, m)
        How many groups of a data set each one stands for; 0 where it has fewer than K kinds.
    """

    y: Array
    rows: Indices
    counts: Array


def merge_groups(y: Array, design: Array, groups: Groups) -> Merged | None:
    """Merge the groups of a data set whose responses are the same; None where that saves little.

    Only where all groups have the same rows of the ``design`` (n, c), as in a trial with planned
    visits: 100 patients with seven 0/1 responses have some 30 patterns, and equal groups have
    equal likelihoods.
    """
    J, m = groups.counts.size, y.shape[1]
    if not groups.equal or J < 4:
        return None
    per = groups.largest
    blocks = design.reshape(J, per, -1)
    if not (blocks == blocks[0]).all():
        return None
    by_group = y.reshape(J, per, m)
    # A key of each pattern: a combination with weights that no two patterns will share.
    key = np.einsum("r,jrm->jm", np.random.default_rng(0).uniform(1, 2, per), by_group)
    order = np.argsort(key, axis=0, kind="stable")
    key = np.take_along_axis(key, order, axis=0)
    kind = np.concatenate([np.zeros((1, m), dtype=int), (np.diff(key, axis=0) != 0).cumsum(0)])
    K = int(kind[-1].max()) + 1
    if K > 0.75 * J:
        return None
    column = np.arange(m)
    counts = np.zeros((K, m))
    np.add.at(counts, (kind, column), 1.0)
    first = np.zeros((K, m), dtype=np.intp)
    first[kind[::-1], column] = order[::-1]
    merged = by_group.transpose(1, 0, 2)[:, first, column].transpose(1, 0, 2)
    # Nothing is merged that is not the same.
    again = np.empty_like(by_group)
    again[order.ravel(), :, np.tile(column, J)] = merged[kind.ravel(), :, np.tile(column, J)]
    if not np.array_equal(again, by_group):
        return None
    return Merged(merged.reshape(K * per, m), np.arange(K * per), counts)
