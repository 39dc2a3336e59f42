r"""Minimise a smooth function of some parameters, given its exact gradient but no Hessian.

The function is mostly minus a log-likelihood. Quasi-Newton steps (BFGS) lead near the minimum:

    B step = -gradient,      B <- B - (B s)(B s)' / s'B s + c c' / s'c,

with s the step taken and c the change of the gradient. There the Hessian is taken by central
differences of the gradient, which does three things at once: it proves that the point is a
minimum, it sharpens the point by Newton's step, and its inverse is the covariance of *all*
parameters jointly.

A function is given as ``evaluate(x, near)``. It returns a value that has ``value`` (infinite where
x is not allowed: then the step is shortened) and ``gradient``, and may hold whatever else is known
there. ``near`` is the evaluation of a point close by, or None: a function that iterates itself may
start from it. `plain` makes one of a function that returns the pair (value, gradient).

Source: Nocedal and Wright, *Numerical Optimization* (2006), chapters 3 and 6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_DIFFERENCE = 0.01  # step of the differences, in standard errors
_NEAR = 1e-5  # fall of the function below which quasi-Newton steps leave off
_DONE = 1e-9  # fall below which Newton's step is not worth taking
_MOST = 30  # evaluations for each parameter, five more counted, after which no round begins
_STALLED = 10  # steps in a row that kept less than a thousandth of their promise: an edge is near


class Evaluation(Protocol):
    """What is known of the function at a point, at least."""

    @property
    def value(self) -> float: ...  # noqa: D102
    @property
    def gradient(self) -> Array: ...  # noqa: D102


E = TypeVar("E", bound=Evaluation)
Evaluate = Callable[[Array, E | None], E]


@dataclass(frozen=True)
class Point:
    """A value and a gradient: the least an evaluation can be."""

    value: float
    gradient: Array


@dataclass(frozen=True)
class Minimum(Generic[E]):
    """Where the function is lowest.

    Attributes
    ----------
    x : ndarray (d,)
    at : evaluation
        The function's at x.
    hessian : ndarray (d, d)
        Second derivatives at x; nan where the function is not defined around it.
    converged : bool
        The gradient vanishes as far as rounding allows and no direction leads down.
    n_evaluations : int
    """

    x: Array
    at: E
    hessian: Array
    converged: bool
    n_evaluations: int

    @property
    def value(self) -> float:
        """The function at x."""
        return self.at.value


def plain(objective: Callable[[Array], tuple[float, Array]]) -> Evaluate[Point]:
    """The function ``x -> (value, gradient)`` in the form that is minimised here."""
    return lambda x, near: Point(*objective(x))


def minimise(
    evaluate: Evaluate[E],
    start: Array,
    curvature: Array,
    *,
    near: E | None = None,
    lower: Array | None = None,
    rounds: int = 8,
) -> Minimum[E]:
    """Minimise from ``start`` and prove that it is a minimum.

    Parameters
    ----------
    evaluate : callable
        See the module's docstring.
    start : ndarray (d,)
        A point where the function is finite.
    curvature : ndarray (d, d)
        A first guess of the Hessian; only its scale matters.
    near : evaluation, optional
        Near the start.
    lower : ndarray (d,), optional
        Bounds, -inf where there is none. The function must exist a little below them, because the
        Hessian is taken by differences.
    rounds : int
        Of quasi-Newton steps, each ended by a Hessian and Newton's step.
    """
    count = 0

    def counted(x: Array, near: E | None) -> E:
        nonlocal count
        count += 1
        return evaluate(x, near)

    x = np.array(start, dtype=float)
    at = counted(x, near)
    converged, hessian = False, np.asarray(curvature, dtype=float)
    for _ in range(rounds if np.isfinite(at.value) else 0):
        before = at.value
        x, at = _quasi_newton(counted, x, at, _definite(hessian), lower, _NEAR)
        hessian = hessian_by_differences(
            lambda moved, at=at: counted(moved, at).gradient, x, _inverse_root(hessian)
        )
        if not np.isfinite(hessian).all():
            break
        free = _free(x, at.gradient, lower)
        down = _way_down(hessian, free)
        if down is not None:
            moved = _along(counted, x, at, down, lower)
            if moved is not None:
                x, at = moved
                continue
        step, gain = _newton_step(hessian, at.gradient, free)
        noise, refused = _DONE + 1e-13 * abs(at.value), False
        if gain > noise:
            new_x = _above(x + step, lower)
            new = counted(new_x, at)
            refused = not new.value <= at.value + noise
            if not refused:
                x, at = new_x, new
                gain = _newton_step(hessian, at.gradient, _free(x, at.gradient, lower))[1]
        if gain <= 10 * noise:
            converged = True
            break
        # no way on, or none worth it: at the edge of the range
        stuck = refused and before - at.value < 1e-7 * (1 + abs(before))
        if stuck or count > _MOST * (x.size + 5):
            break
    return Minimum(x, at, hessian, converged, count)


def descend(
    evaluate: Evaluate[E],
    start: Array,
    curvature: Array,
    *,
    near: E | None = None,
    lower: Array | None = None,
    enough: float = _DONE,
) -> tuple[Array, E]:
    """The lowest point and its evaluation, without proof: for profiles, which need no more.

    Steps end when the fall that they promise is below ``enough``; other parameters as in
    `minimise`.
    """
    x = np.array(start, dtype=float)
    at = evaluate(x, near)
    if not np.isfinite(at.value):
        return x, at
    return _quasi_newton(evaluate, x, at, _definite(curvature), lower, enough)


def _quasi_newton(evaluate, x, at, B, lower, enough, max_steps: int = 200):
    """BFGS with backtracking until the promised fall is not worth it."""
    stalled = 0
    for _ in range(max_steps):
        step, gain = _newton_step(B, at.gradient, _free(x, at.gradient, lower))
        if gain < enough or stalled == _STALLED:
            break
        moved = _line_search(evaluate, x, at, step, lower)
        if moved is None:
            break
        stalled = stalled + 1 if at.value - moved[1].value < 1e-3 * gain else 0
        s, change = moved[0] - x, moved[1].gradient - at.gradient
        along = float(s @ change)
        if along > 1e-10 * np.sqrt(float(s @ s) * float(change @ change)):
            Bs = B @ s
            B = B - np.outer(Bs, Bs) / float(s @ Bs) + np.outer(change, change) / along
        x, at = moved
    return x, at


def _newton_step(B: Array, gradient: Array, free: NDArray[np.bool_]) -> tuple[Array, float]:
    """The step of the free parameters where the curvature is B, and the fall it promises."""
    if free.all():
        step = -_inverse(B) @ gradient
    else:
        step = np.zeros_like(gradient)
        step[free] = -_inverse(B[np.ix_(free, free)]) @ gradient[free]
    return step, -0.5 * float(gradient @ step)


def _line_search(evaluate, x, at, step, lower):
    """Shorten the step by interpolation until it falls as the slope promises (Armijo)."""
    length = 1.0
    for _ in range(30):
        new_x = _above(x + length * step, lower)
        new = evaluate(new_x, at)
        slope = float(at.gradient @ (new_x - x))
        if np.isfinite(new.value) and new.value <= at.value + 1e-4 * slope:
            return new_x, new
        if np.isfinite(new.value):
            curve = 2 * (new.value - at.value - slope)
            best = -slope / curve if curve > 0 else 0.5
            length *= float(np.clip(best, 0.1, 0.5))
        else:
            length *= 0.25
    return None


# --- bounds


def _above(x: Array, lower: Array | None) -> Array:
    return x if lower is None else np.maximum(x, lower)


def _free(x: Array, gradient: Array, lower: Array | None) -> NDArray[np.bool_]:
    """All parameters but those that rest on their bound and would go below it."""
    if lower is None:
        return np.ones(x.size, dtype=bool)
    return ~((x <= lower) & (gradient > 0))


# --- the Hessian


def derivatives_along(f: Callable[[Array], Array], x: Array, directions: Array) -> Array:
    """Central differences of an array-valued ``f`` along each column of ``directions``.

    A step is a hundredth of its column, and less where f is not finite that far. The result has
    one more axis than f, the first, for the columns; nan where f is finite on no step.
    """
    found = []
    for direction in directions.T:
        h = _DIFFERENCE
        for _ in range(6):
            slope = (f(x + h * direction) - f(x - h * direction)) / (2 * h)
            if np.isfinite(slope).all():
                break
            h /= 10
        found.append(slope)
    return np.array(found)


def hessian_by_differences(
    gradient: Callable[[Array], Array], x: Array, directions: Array | None = None
) -> Array:
    """Hessian by central differences of the gradient, symmetric.

    Parameters
    ----------
    gradient : callable
        x -> the gradient (d,), not finite where the function is not defined.
    x : ndarray (d,)
    directions : ndarray (d, d), optional
        Independent columns, best a root R of the inverse Hessian, ``R R' = H^-1``: then each is a
        standard error long. By default a hundredth of each parameter (at least 0.001).

    Returns
    -------
    ndarray (d, d)
        All nan where the function is not defined around x.
    """
    if x.size == 0:
        return np.zeros((0, 0))
    if directions is None:
        directions = np.diag(1e-2 * np.maximum(np.abs(x), 0.1))
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = derivatives_along(gradient, x, directions) @ directions
    if not np.isfinite(scaled).all():
        return np.full((x.size, x.size), np.nan)
    back = np.linalg.inv(directions)
    hessian = back.T @ (0.5 * (scaled + scaled.T)) @ back
    return 0.5 * (hessian + hessian.T)


def covariance(hessian: Array) -> Array:
    """Inverse of the Hessian; directions without curvature are left out (they stay unknown).

    The parameters that such a direction moves get nan on the diagonal.
    """
    if not np.isfinite(hessian).all():
        return np.full_like(hessian, np.nan)
    values, vectors, scale = _axes(hessian)
    known = values > 1e-9
    inverse = (vectors[:, known] / values[known]) @ vectors[:, known].T
    unknown = _flat(hessian) | ((vectors[:, ~known] ** 2).sum(1) > 1e-3)
    inverse = inverse / np.outer(scale, scale)
    inverse[unknown, unknown] = np.nan
    return inverse


def _axes(hessian: Array) -> tuple[Array, Array, Array]:
    """Eigenvalues and axes of the Hessian scaled to a unit diagonal, and the scale.

    A parameter that the function does not depend on counts as having unit curvature.
    """
    flat = _flat(hessian)
    scale = np.sqrt(np.where(flat, 1.0, np.abs(np.diag(hessian))))
    scaled = hessian / np.outer(scale, scale)
    scaled[flat, flat] = 1.0
    values, vectors = np.linalg.eigh(scaled)
    return values, vectors, scale


def _flat(hessian: Array) -> NDArray[np.bool_]:
    return np.abs(np.diag(hessian)) < 1e-12


def _bounded(hessian: Array) -> tuple[Array, Array, Array]:
    """Like `_axes`, with negative curvatures turned and the flattest ones bounded."""
    if not np.isfinite(hessian).all():
        hessian = np.eye(hessian.shape[0])
    values, vectors, scale = _axes(hessian)
    return np.maximum(np.abs(values), 1e-6), vectors, scale


def _definite(hessian: Array) -> Array:
    values, vectors, scale = _bounded(hessian)
    return (vectors * values) @ vectors.T * np.outer(scale, scale)


def _inverse(hessian: Array) -> Array:
    values, vectors, scale = _bounded(hessian)
    return (vectors / values) @ vectors.T / np.outer(scale, scale)


def _inverse_root(hessian: Array) -> Array:
    return np.linalg.cholesky(_inverse(hessian))


def _way_down(hessian: Array, free: NDArray[np.bool_]) -> Array | None:
    """A direction of clearly negative curvature, about a standard error long, if there is one."""
    if not free.any():
        return None
    values, vectors, scale = _axes(hessian[np.ix_(free, free)])
    if values[0] > -1e-4:
        return None
    down = np.zeros(free.size)
    down[free] = vectors[:, 0] / scale
    return down


def _along(evaluate, x, at, direction, lower):
    """The first point along +-direction that is clearly lower, or None."""
    for length in (1.0, 0.3, 0.1):
        for sign in (1, -1):
            new_x = _above(x + sign * length * direction, lower)
            new = evaluate(new_x, at)
            if new.value < at.value - 1e-8 * (1 + abs(at.value)):
                return new_x, new
    return None
