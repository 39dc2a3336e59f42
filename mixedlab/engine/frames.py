"""Coordinates in which the covariance T of the random effects is moved.

The derivative of the deviance in ``T = Lambda Lambda'`` is the matrix ``Q`` of `Score.slope`, so
that

    d d / d Lambda = 2 Q Lambda,
    d2 d / d Lambda_a d Lambda_b ~ w_ab - w_a w_b / nu + (Q's part),
    w_ab = y'P V_a P V_b P y / sigma^2,   w_a = y'P V_a P y / sigma^2,

the *average* of observed and expected information (Gilmour, Thompson & Cullis, 1995, Biometrics
51, 1440-1450) plus the exact curvature of the map from Lambda to T.

Each term's T is moved by a lower triangular L in the frame F of T's own eigenvectors, largest
first: ``T = (F L)(F L)'``. (In the frame of the data, where the first coefficient's variance nears
zero, many Lambda give nearly the same T, and steps crawl along a curved valley.)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.layout import Layout
from mixedlab.engine.system import Score

Array = NDArray[np.float64]
Point = list[tuple[Array, Array]]
"""For each term a frame F and a lower triangular L, with ``T = (F L)(F L)'``."""


def derivatives(
    layout: Layout,
    frames: list[Array],
    lambdas: list[Array],
    score: Score,
    s2: float,
    nu: float,
) -> tuple[Array, Array]:
    """Gradient (k,) and average-information Hessian (k, k) in L, where ``T = (F L)(F L)'``.

    ``frames`` and ``lambdas`` (``F L``) are by factor; ``nu`` is infinite where sigma^2 is held.
    """
    k = layout.n_theta
    gradient, from_r2 = np.empty(k), np.empty(k)
    to_T, curved = np.zeros((k, k)), np.zeros((k, k))
    parts = zip(layout.factors, frames, lambdas, score.slope, score.scores, strict=True)
    for f, F, Lambda, Q, g in parts:
        r, c, at = f.rows, f.cols, f.at
        FQ = F.T @ Q
        gradient[at] = 2.0 * (FQ @ Lambda)[r, c]
        from_r2[at] = (2.0 / s2) * (F.T @ (g @ g.T) @ Lambda)[r, c]
        # How the entries of T = (F L)(F L)' move with those of L, and T's second derivative.
        block, r1, c1 = (at[:, None], at), r[:, None], c[:, None]
        to_T[block] = F[r1, r] * Lambda[c1, c] + Lambda[r1, c] * F[c1, r]
        # An entry on the diagonal moves by both halves of the product rule at once.
        curved[block] = 2.0 * (FQ @ F)[r1, r] * (c1 == c)
    hessian = to_T.T @ score.average @ to_T + curved
    hessian -= from_r2[:, None] * (from_r2 / nu)
    return gradient, hessian


def lower_factor(half: Array) -> Array:
    """Lower triangular ``Lambda``, diagonal not negative, with ``Lambda Lambda' = half half'``."""
    lower = np.linalg.qr(half.T, mode="r").T
    lower = np.where(np.abs(lower) < 1e-14 * np.abs(lower).max(initial=0.0), 0.0, lower)
    return lower * np.where(np.diag(lower) < 0, -1.0, 1.0)


def framed(half: Array, frame: Array | None = None) -> tuple[Array, Array]:
    """Eigenvectors F of ``T = half half'`` (in ``frame``) and ``L = diag(sd)``, largest first."""
    if half.shape == (1, 1):
        return (np.eye(1) if frame is None else frame), np.abs(half)
    vectors, sd, _ = np.linalg.svd(half, full_matrices=False)
    return (vectors if frame is None else frame @ vectors), np.diag(sd)
