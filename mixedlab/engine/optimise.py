"""Minimise a smooth function of a few parameters by Newton steps in a trust region.

The curvature need not be exact nor positive definite: each step solves

    (|H| + mu I) step = -gradient,

where ``|H|`` has the absolute eigenvalues of ``H``, so that a saddle repels (Dauphin et al.,
2014, "Identifying and attacking the saddle point problem", NeurIPS 27), and ``mu >= 0`` is the
least that keeps the step within a radius. The radius shrinks where a step does not lower the
function as promised and grows where it does (Nocedal & Wright, 2006, *Numerical Optimization*,
algorithm 4.1).

A point may be anything: ``move`` takes a step from it, in coordinates that the point itself
chooses, so that the coordinates can follow a curved valley.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Evaluation(Protocol):
    """What is known of the function at a point."""

    value: float
    gradient: Array
    hessian: Array


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
