"""The parts of the inverse that the gradient needs: those where the data have an entry.

With ``C`` the conditional covariance of the random effects (over sigma^2), known for the later
columns, a stage adds

    C_fl = -P'(W_B C_ll),    C_ff = P'(I + W_B C_ll W_B')P,
    Z_f'V^-1 Z_f = A - W_A'W_A - h C_ll h',    h = B - W_A'W_B,

so that one pass back through the stages gives all of them (Takahashi, Fagan & Chin, 1973).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.dense_squares import inverse_from_root, lambda_times, trace_in_square
from mixedlab.engine.elimination import Elimination, Stage

if TYPE_CHECKING:
    from mixedlab.engine.several_factors import Eliminated, ReducedSeveral

Array = NDArray[np.float64]


def selected_inverse(
    plan: Elimination, at: ReducedSeveral, *, all_stages: bool = False
) -> tuple[Array, dict[int, Array], dict[int, Array]]:
    """Conditional covariances where needed, and the sum over levels of ``Z_f'V^-1 Z_f``.

    Returns C in the order of ``flat``, the sums by factor, and C's diagonal blocks (q, q, J)
    by factor (of the first factor only with ``all_stages``).
    """
    C, slopes, blocks = np.empty(plan.flat_size), {}, {}
    for f in plan.crossed:
        q, J = plan.factors[f].n_coefs, plan.factors[f].n_levels
        slopes[f], blocks[f] = np.zeros((q, q)), np.empty((q, q, J))
    for square, done in zip(plan.squares, at.squares, strict=True):
        K_inverse = inverse_from_root(done.root)
        half = lambda_times(square, at.lambdas, K_inverse)
        CC = lambda_times(square, at.lambdas, half.T)
        C[square.where] = CC.ravel()
        for f, parts in square.parts.items():
            slopes[f] += trace_in_square(at.lambdas[f], parts, done, K_inverse, CC)
            for k, part in enumerate(parts):
                levels = square.columns[part] - plan.start[f] - k * plan.factors[f].n_levels
                for m, other in enumerate(parts):
                    blocks[f][k, m, levels] = np.diagonal(CC[part, other])
    for s in reversed(range(len(plan.stages))):
        stage, done = plan.stages[s], at.stages[s]
        f, q = stage.factor, len(done.W_B)
        h = done.B.copy()
        for m in range(q):
            for k in range(q):
                h[m] -= done.W_A[k, m][stage.level] * done.W_B[k]
        own = np.sum(done.A, axis=2) - np.einsum("kmj,knj->mn", done.W_A, done.W_A)
        half = np.take(C, stage.target)
        half[stage.itself] *= 0.5
        slopes[f] = own - _pair_sum(stage, done, h, half, C)
        if s or all_stages:
            WC = _times_later(stage, done.W_B, half, C)
            inner = np.empty_like(done.P)
            for k in range(q):
                for m in range(q):
                    inner[k, m] = np.bincount(stage.level, WC[k] * done.W_B[m], done.P.shape[2])
                inner[k, k] += 1.0
            blocks[f] = np.einsum("kmj,klj,lnj->mnj", done.P, inner, done.P, optimize=q > 1)
            if s:
                C[stage.blocks] = blocks[f].ravel()
                C[stage.entries] = -apply(done.P.transpose(1, 0, 2), WC, stage.level).ravel()
    return C, slopes, blocks


def apply(P: Array, B: Array, level: NDArray[np.intp]) -> Array:
    """``P_j B`` entry by entry: P (q, q, J), B (q, nnz)."""
    out = np.empty_like(B)
    for k in range(len(B)):
        out[k] = P[k, 0][level] * B[0]
        for m in range(1, len(B)):
            out[k] += P[k, m][level] * B[m]
    return out


def _pair_sum(stage: Stage, done: Eliminated, h: Array, half: Array, C: Array) -> Array:
    """Sum over levels of ``h_j C h_j'``; ``half`` is C for each pair, halved where a is b."""
    q = len(h)
    out = np.zeros((q, q))
    if done.products is not None:
        # With one coefficient, h is B times a number for each level.
        share = 1.0 - done.W_A[0, 0] * done.P[0, 0]
        product = np.repeat(share**2, stage.pairs_of_level) * done.products
        out[0, 0] = 2.0 * np.vdot(product, half)
    for m in range(q if done.products is None else 0):
        for n in range(m + 1):
            product = np.take(h[m], stage.a) * np.take(h[n], stage.b)
            if m != n:
                product += np.take(h[n], stage.a) * np.take(h[m], stage.b)
                out[m, n] = np.vdot(product, half)
            else:
                out[m, n] = 2.0 * np.vdot(product, half)
            out[n, m] = out[m, n]
    for square, entries, row, column, n_rows in stage.dense_rows:
        CC = C[square.where].reshape(square.size, square.size)
        dense = np.zeros((q, n_rows, square.size))
        dense[:, row, column] = h[:, entries]
        for m in range(q):
            times = dense[m] @ CC
            for n in range(q):
                out[m, n] += np.vdot(times, dense[n])
    return out


def _times_later(stage: Stage, W: Array, half: Array, C: Array) -> Array:
    """``W_j C_ll`` at the entries of each level."""
    out = np.empty_like(W)
    for k, w in enumerate(W):
        out[k] = np.bincount(stage.a, w[stage.b] * half, w.size)
        out[k] += np.bincount(stage.b, w[stage.a] * half, w.size)
    for square, entries, row, column, n_rows in stage.dense_rows:
        CC = C[square.where].reshape(square.size, square.size)
        for k, w in enumerate(W):
            dense = np.zeros((n_rows, square.size))
            dense[row, column] = w[entries]
            out[k, entries] += (dense @ CC)[row, column]
    return out
