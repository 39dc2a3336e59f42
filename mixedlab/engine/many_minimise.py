"""Minimise many smooth functions of a few parameters at once, each by its own Newton steps.

The method is that of ``mixedlab.engine.optimise``, with one more axis: every function has its own
point, curvature and trust radius, all evaluations are made together, and a function that is
finished is not evaluated again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]


class Evaluations(Protocol):
    """What is known of m functions at m points: ``value`` (m,), ``gradient`` (m, k), Hessian."""

    value: Array
    gradient: Array
    hessian: Array


def put(into: Any, where: Indices, values: Any) -> None:
    """Overwrite the rows ``where`` of all arrays of a dataclass (axis 0 is the function's)."""
    for name in into.__dataclass_fields__:
        getattr(into, name)[where] = getattr(values, name)


@dataclass
class Minima:
    """Where the steps ended: points, evaluations there, and which of them are minima."""

    x: Any
    at: Any
    converged: Mask


def minimise_many(
    evaluate: Callable[[Any, Indices], Evaluations],
    start: Any,
    move: Callable[[Any, Array], Any],
    *,
    tol: float,
    max_rounds: int = 200,
) -> Minima:
    """Minimise from ``start`` until no function's Newton step promises more than ``tol``.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(points, which)`` evaluates the functions numbered ``which`` at their points;
        an infinite value marks a point out of bounds.
    start : dataclass of arrays
        Points, the function's axis first.
    move : callable
        ``move(points, steps)`` gives the points a step away; steps are (m, k).
    tol : float
        Decrease that is worth a step.
    """
    m = len(getattr(start, next(iter(start.__dataclass_fields__))))
    x, here = start, evaluate(start, np.arange(m))
    radius = np.full(m, np.inf)
    converged = np.zeros(m, dtype=bool)
    active = np.flatnonzero(np.isfinite(here.value))
    for _ in range(max_rounds):
        noise = tol + 8 * np.finfo(float).eps * np.abs(here.value[active])
        scale, axes = eigen(here.hessian[active])
        scale = np.abs(scale)
        # An axis without curvature would get an endless step.
        scale = np.maximum(scale, 1e-9 * np.maximum(scale.max(axis=1), 1e-300)[:, None])
        slope = np.einsum("mab,ma->mb", axes, here.gradient[active])
        step = -slope / (scale + damping(slope, scale, radius[active])[:, None])
        promised = -(slope * step).sum(1) - 0.5 * (scale * step**2).sum(1)
        done = (0.5 * (slope**2 / scale).sum(1) <= noise) | (promised <= noise * 1e-3)
        converged[active[done]] = True
        go = ~done
        active, noise, promised = active[go], noise[go], promised[go]
        if not active.size:
            break
        step = np.einsum("mab,mb->ma", axes[go], step[go])
        trial = move(rows(x, active), step)
        there = evaluate(trial, active)
        with np.errstate(invalid="ignore"):
            gained = here.value[active] - there.value
        length = np.sqrt((step**2).sum(1))
        good = np.isfinite(there.value) & (gained >= 1e-4 * promised - noise * 0.1)
        r = radius[active]
        r = np.where(gained > 0.75 * promised, np.maximum(r, 3.0 * length), r)
        r = np.where(gained < 0.25 * promised, 0.5 * length, r)
        radius[active] = np.where(good, r, 0.3 * length)
        put(x, active[good], rows(trial, good))
        put(here, active[good], rows(there, good))
    return Minima(x, here, converged)


def rows(values: Any, which: Any) -> Any:
    """The rows ``which`` of all arrays of a dataclass."""
    kind = type(values)
    return kind(*(getattr(values, name)[which] for name in values.__dataclass_fields__))


def eigen(matrices: Array) -> tuple[Array, Array]:
    """Eigenvalues (m, k) and eigenvectors (m, k, k) of symmetric matrices (m, k, k)."""
    if matrices.shape[1] == 1:
        return matrices[:, :, 0], np.ones_like(matrices)
    return np.linalg.eigh(matrices)


def damping(slope: Array, scale: Array, radius: Array) -> Array:
    """For each function the least ``mu`` with ``|slope / (scale + mu)| <= radius``."""
    mu = np.zeros(radius.size)
    for _ in range(50):
        step = slope / (scale + mu[:, None])
        length = np.sqrt((step**2).sum(1))
        long = length > 1.01 * radius
        if not long.any():
            break
        s, l = step[long], length[long]
        bend = (s**2 / (scale[long] + mu[long, None])).sum(1)
        mu[long] += (l / radius[long] - 1.0) * l**2 / bend
    return mu
