"""Small matrices by the thousand: Cholesky and triangular solves on stacks of shape (q, q, J).

With the group last, each step of a q x q algorithm is one numpy operation over all J groups, and
Python loops over q only. ``numpy.linalg`` on (J, q, q) pays a call for each matrix instead.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def cholesky(H: Array) -> Array:
    """Lower factors L, (q, q, J), of the positive definite stack H; nan where H is not."""
    q = H.shape[0]
    L = np.zeros_like(H)
    with np.errstate(invalid="ignore", divide="ignore"):
        for b in range(q):
            L[b, b] = np.sqrt(H[b, b] - (L[b, :b] ** 2).sum(0))
            for a in range(b + 1, q):
                L[a, b] = (H[a, b] - (L[a, :b] * L[b, :b]).sum(0)) / L[b, b]
    return L


def solve_lower(L: Array, g: Array) -> Array:
    """x with L x = g; g is (q, ..., J)."""
    x = np.empty_like(g)
    for a in range(L.shape[0]):
        total = g[a].copy()
        for b in range(a):
            total -= L[a, b] * x[b]
        x[a] = total / L[a, a]
    return x


def solve_upper(L: Array, g: Array) -> Array:
    """x with L' x = g; g is (q, ..., J)."""
    q = L.shape[0]
    x = np.empty_like(g)
    for a in reversed(range(q)):
        total = g[a].copy()
        for b in range(a + 1, q):
            total -= L[b, a] * x[b]
        x[a] = total / L[a, a]
    return x


def solve(L: Array, g: Array) -> Array:
    """x with L L' x = g; g is (q, ..., J)."""
    return solve_upper(L, solve_lower(L, g))


def log_det(L: Array) -> Array:
    """log|L|, (J,)."""
    return np.log(np.einsum("aaj->aj", L)).sum(0)


def inverse(L: Array) -> Array:
    """(L L')^-1, (q, q, J)."""
    identity = np.zeros_like(L)
    for a in range(L.shape[0]):
        identity[a, a] = 1.0
    return solve(L, identity)
