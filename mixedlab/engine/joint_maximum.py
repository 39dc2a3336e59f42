r"""Maximise a log-likelihood over all its parameters, given its exact gradient but no Hessian.

Quasi-Newton steps (BFGS) lead near the maximum. There the Hessian is taken by central differences
of the gradient, which does three things at once: it proves that the point is a maximum, it sharpens
the point by Newton's step, and its inverse is the covariance of *all* parameters jointly.

Steps are measured in units in which the first guess of the Hessian is the identity, so that the
scale of a covariate does not matter. Where the likelihood cannot be evaluated (a mean out of range)
it is minus infinity, and the step is shortened; that is why this is not a library's line search.

Source: Nocedal and Wright, *Numerical Optimization* (2006), chapters 3 and 6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Objective = Callable[[Array], tuple[float, Array]]

_DIFFERENCE = 0.01  # step of the differences, in standard errors
_NEAR = 1e-5  # gain in log-likelihood below which quasi-Newton steps leave off
_DONE = 1e-9  # gain below which Newton's step is not worth taking


@dataclass(frozen=True)
class Maximum:
    """Where the objective is lowest (it is minus a log-likelihood).

    Attributes
    ----------
    x, value, gradient
        The point, the objective and its gradient there.
    hessian : ndarray (d, d)
        Of the objective, at x.
    converged : bool
        The gradient vanishes as far as rounding allows and no direction leads down.
    n_evaluations : int
    """

    x: Array
    value: float
    gradient: Array
    hessian: Array
    converged: bool
    n_evaluations: int


def maximise(objective: Objective, start: Array, curvature: Array, rounds: int = 8) -> Maximum:
    """Minimise ``objective`` (minus a log-likelihood) from ``start``.

    Parameters
    ----------
    objective : callable
        x -> (value, gradient); value infinite where x is not allowed.
    start : ndarray (d,)
        A point where the objective is finite.
    curvature : ndarray (d, d)
        A first guess of the Hessian; only its scale matters.
    """
    count = 0

    def counted(x: Array) -> tuple[float, Array]:
        nonlocal count
        count += 1
        return objective(x)

    x = np.asarray(start, dtype=float)
    value, gradient = counted(x)
    inverse = _inverse(curvature)
    converged, hessian = False, curvature
    for _ in range(rounds):
        x, value, gradient = _quasi_newton(counted, x, value, gradient, inverse)
        hessian = hessian_by_differences(counted, x, _inverse_root(hessian))
        inverse = _inverse(hessian)
        step = -inverse @ gradient
        gain = -0.5 * float(gradient @ step)
        saddle = _way_down(hessian)
        if saddle is not None:
            moved = _along(counted, x, value, saddle)
            if moved is not None:
                x, value, gradient = moved
                continue
        noise = _DONE + 1e-13 * abs(value)
        if gain > noise:
            new_value, new_gradient = counted(x + step)
            if new_value <= value + noise:
                x, value, gradient = x + step, new_value, new_gradient
                gain = 0.5 * float(gradient @ inverse @ gradient)
        if gain <= 10 * noise:
            converged = True
            break
    return Maximum(x, value, gradient, hessian, converged, count)


def climb(objective: Objective, start: Array, curvature: Array) -> tuple[Array, float]:
    """The point and value of the lowest objective, without proof: for profiles, which need no more.

    ``curvature`` is the Hessian nearby.
    """
    value, gradient = objective(start)
    if not np.isfinite(value):
        return start, value
    x, value, _ = _quasi_newton(objective, start, value, gradient, _inverse(curvature), _DONE)
    return x, value


def _quasi_newton(objective, x, value, gradient, inverse, enough=_NEAR, max_steps: int = 200):
    """BFGS with backtracking until the promised gain is not worth it."""
    for _ in range(max_steps):
        step = -inverse @ gradient
        slope = float(gradient @ step)
        if -0.5 * slope < enough:
            break
        moved = _line_search(objective, x, value, step, slope)
        if moved is None:
            break
        new_x, new_value, new_gradient = moved
        s, change = new_x - x, new_gradient - gradient
        along = float(s @ change)
        if along > 1e-10 * np.sqrt(float(s @ s) * float(change @ change)):
            carried = inverse @ change
            inverse = (
                inverse
                + (1 + change @ carried / along) * np.outer(s, s) / along
                - (np.outer(carried, s) + np.outer(s, carried)) / along
            )
        x, value, gradient = new_x, new_value, new_gradient
    return x, value, gradient


def _line_search(objective, x, value, step, slope):
    """Shorten the step by interpolation until it gains what the slope promises (Armijo)."""
    length = 1.0
    for _ in range(30):
        new_value, gradient = objective(x + length * step)
        if np.isfinite(new_value) and new_value <= value + 1e-4 * length * slope:
            return x + length * step, new_value, gradient
        if np.isfinite(new_value):
            curve = 2 * (new_value - value - length * slope)
            best = -slope * length**2 / curve if curve > 0 else length / 2
            length = float(np.clip(best, 0.1 * length, 0.5 * length))
        else:
            length *= 0.25
    return None


def hessian_by_differences(objective: Objective, x: Array, root: Array) -> Array:
    """Hessian by central differences of the gradient along the columns of ``root``.

    ``root root'`` is about the inverse Hessian, so each column is about a standard error long.
    """
    d = x.size
    scaled = np.empty((d, d))
    for k in range(d):
        h, found = _DIFFERENCE, None
        for _ in range(6):
            up, down = objective(x + h * root[:, k]), objective(x - h * root[:, k])
            if np.isfinite(up[0]) and np.isfinite(down[0]):
                found = root.T @ (up[1] - down[1]) / (2 * h)
                break
            h /= 10
        scaled[:, k] = np.nan if found is None else found
    if not np.isfinite(scaled).all():
        return np.full((d, d), np.nan)
    back = np.linalg.inv(root)
    hessian = back.T @ (0.5 * (scaled + scaled.T)) @ back
    return 0.5 * (hessian + hessian.T)


def _axes(hessian: Array) -> tuple[Array, Array, Array]:
    """Eigenvalues and axes of the Hessian scaled to a unit diagonal, and the scale.

    A parameter that the objective does not depend on counts as having unit curvature.
    """
    flat = _flat(hessian)
    scale = np.sqrt(np.where(flat, 1.0, np.abs(np.diag(hessian))))
    scaled = hessian / np.outer(scale, scale)
    scaled[flat, flat] = 1.0
    values, vectors = np.linalg.eigh(scaled)
    return values, vectors, scale


def _flat(hessian: Array) -> NDArray[np.bool_]:
    return np.abs(np.diag(hessian)) < 1e-12


def _inverse(hessian: Array) -> Array:
    """Inverse of the Hessian with its negative curvatures turned and the flattest ones bounded."""
    if not np.isfinite(hessian).all():
        return np.eye(hessian.shape[0])
    values, vectors, scale = _axes(hessian)
    values = np.maximum(np.abs(values), 1e-6)
    return (vectors / values) @ vectors.T / np.outer(scale, scale)


def _inverse_root(hessian: Array) -> Array:
    return np.linalg.cholesky(_inverse(hessian))


def _way_down(hessian: Array) -> Array | None:
    """A direction of clearly negative curvature, about a standard error long, if there is one."""
    if not np.isfinite(hessian).all():
        return None
    values, vectors, scale = _axes(hessian)
    if values[0] > -1e-4:
        return None
    return vectors[:, 0] / scale


def _along(objective, x, value, direction):
    """The first point along +-direction that is clearly lower, or None."""
    for length in (1.0, 0.3, 0.1):
        for sign in (1, -1):
            new_x = x + sign * length * direction
            new_value, gradient = objective(new_x)
            if new_value < value - 1e-8 * (1 + abs(value)):
                return new_x, new_value, gradient
    return None


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
