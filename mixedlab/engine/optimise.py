"""Minimise a smooth function of a few parameters by damped Newton steps.

The curvature need not be exact nor positive definite: each step solves

    (|H| + mu I) step = -gradient,

where ``|H|`` has the absolute eigenvalues of ``H``, so that a saddle repels, and the damping
``mu`` grows while a step fails to lower the function (Levenberg; Dauphin et al., 2014,
"Identifying and attacking the saddle point problem", NeurIPS 27).

A point may be anything: ``move`` takes a step from it, in coordinates that the point itself
chooses, so that the coordinates can follow a curved valley.
"""

from __future__ import annotations

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
        Absolute decrease of the function that is worth a step. Rounding in the function itself
        widens it for large values.
    """
    x, here = start, evaluate(start)
    n_evaluations, damping = 1, 0.0
    while True:
        noise = tol + 8 * np.finfo(float).eps * abs(here.value)
        scale, axes = np.linalg.eigh(here.hessian)
        scale = np.abs(scale)
        # An axis without curvature would get an endless step.
        scale = np.maximum(scale, 1e-9 * max(scale.max(initial=0.0), 1e-300))
        slope = axes.T @ here.gradient
        if 0.5 * np.sum(slope**2 / scale) <= noise:
            return Minimum(x, here, True, n_evaluations)
        while True:
            step = -slope / (scale + damping)
            promised = -np.sum(slope * step) - 0.5 * np.sum(scale * step**2)
            if promised <= noise * 1e-3 or n_evaluations >= max_evaluations:
                return Minimum(x, here, promised <= noise, n_evaluations)
            trial = move(x, axes @ step)
            there = evaluate(trial)
            n_evaluations += 1
            gained = here.value - there.value
            if np.isfinite(there.value) and gained >= 1e-4 * promised - noise * 0.1:
                break
            damping = max(4.0 * damping, 0.5 * float(np.median(scale)))
        x, here = trial, there
        damping = 0.0 if gained > 0.5 * promised else damping / 4.0
