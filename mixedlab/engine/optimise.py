"""Minimise a smooth function of a few parameters by Newton steps in a trust region.

The curvature need not be exact nor positive definite: each step solves

    (|H| + mu I) step = -gradient,

where ``|H|`` has the absolute eigenvalues of ``H``, so that a saddle repels (Dauphin et al.,
2014, "Identifying and attacking the saddle point problem", NeurIPS 27), and ``mu >= 0`` is the
least that keeps the step within a radius. The radius shrinks where a step does not lower the
function as promised and grows where it does (Nocedal & Wright, 2006, *Numerical Optimization*,
algorithm 4.1).

A point may be anything: ``move`` takes a step from it, in coordinates that the point itself
chooses, so that the coordinates can follow a curved valley. So are covariances ``T`` moved.
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

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.system import Score
from mixedlab.engine.terms import Layout

Array = NDArray[np.float64]


class Evaluation(Protocol):
    """What is known of the function at a point."""

    value: float
    gradient: Array
    hessian: Array


Point = list[tuple[Array, Array]]
"""For each term a frame F and a lower triangular L, with ``T = (F L)(F L)'``."""

P = TypeVar("P")
E = TypeVar("E", bound=Evaluation)


@dataclass(frozen=True)
class Minimum(Generic[P, E]):
    """A point where no step lowers the function by more than ``tol``."""

    x: P
    at: E
    converged: bool
    n_evaluations: int


def minimise(
    evaluate: Callable[[P], E],
    start: P,
    move: Callable[[P, Array], P] = lambda x, step: x + step,
    *,
    tol: float = 1e-10,
    max_evaluations: int = 300,
) -> Minimum[P, E]:
    """Minimise from ``start`` until a Newton step promises less than ``tol``.

    Parameters
    ----------
    evaluate : callable
        Gives value, gradient and (approximate) Hessian at a point; a value that is not finite
        marks a point out of bounds.
    start : point
        Where the value is finite.
    move : callable
        ``move(point, step)`` is the point a step away; by default their sum.
    tol : float
        Absolute decrease of the function that is worth a step; wider where the function is so
        large that rounding hides it.
    """
    x, here = start, evaluate(start)
    n_evaluations, radius = 1, np.inf
    while True:
        noise = tol + 8 * np.finfo(float).eps * abs(here.value)
        scale, axes = np.linalg.eigh(here.hessian)
        scale = np.abs(scale)
        # An axis without curvature would get an endless step.
        scale = np.maximum(scale, 1e-9 * max([*scale.tolist(), 1e-291]))
        slope = axes.T @ here.gradient
        if 0.5 * (slope @ (slope / scale)) <= noise:
            return Minimum(x, here, True, n_evaluations)
        while True:
            step = -slope / (scale + _damping(slope, scale, radius))
            promised = -(slope @ step) - 0.5 * (step @ (scale * step))
            if promised <= noise * 1e-3 or n_evaluations >= max_evaluations:
                return Minimum(x, here, bool(promised <= noise), n_evaluations)
            trial = move(x, axes @ step)
            there = evaluate(trial)
            n_evaluations += 1
            gained = here.value - there.value
            length = math.sqrt(step @ step)
            if math.isfinite(there.value) and gained >= 1e-4 * promised - noise * 0.1:
                break
            radius = 0.3 * length
        x, here = trial, there
        if gained > 0.75 * promised:
            radius = max(radius, 3.0 * length)
        elif gained < 0.25 * promised:
            radius = 0.5 * length


def _damping(slope: Array, scale: Array, radius: float) -> float:
    """The least ``mu`` with ``|slope / (scale + mu)| <= radius``."""
    mu = 0.0
    # Newton's method on 1/|step(mu)|, which is nearly linear and concave: it never overshoots.
    for _ in range(50):
        step = slope / (scale + mu)
        length = math.sqrt(step @ step)
        if length <= 1.01 * radius:
            break
        mu += (length / radius - 1.0) * length**2 / float(step @ (step / (scale + mu)))
    return mu


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
