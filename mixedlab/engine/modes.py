"""Modes of many functions of one variable at once, by Newton's method."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_STEPS, _HALVINGS = 100, 60


class LogDensities(Protocol):
    """J log densities of one variable each."""

    def height(self, s: Array) -> Array:
        """Log densities (J,) at s (J,); minus infinity where there is none."""

    def slope_and_curvature(self, s: Array) -> tuple[Array, Array]:
        """Derivative and minus the second derivative; a positive stand-in where that is not."""


def find_modes(
    densities: LogDensities, start: Array, tolerance: float = 1e-6
) -> tuple[Array, Array]:
    """Modes (J,) and the standard deviations (J,) of the normals that match there.

    Each function has its own step, halved until the function does not fall. All take steps until
    the largest, in its own standard deviations, is below ``tolerance``. Functions are finite at 0
    or at ``start``.
    """
    s, h = start, densities.height(start)
    lost = ~np.isfinite(h)
    if lost.any():
        s = np.where(lost, 0.0, s)
        h = densities.height(s)
    for _ in range(_STEPS):
        slope, curvature = densities.slope_and_curvature(s)
        step = slope / curvature
        for _ in range(_HALVINGS):
            new_h = densities.height(s + step)
            worse = ~(new_h >= h - 1e-10 * (1 + np.abs(h)))
            if not worse.any():
                break
            step = np.where(worse, step / 2, step)
        else:
            step, new_h = np.where(worse, 0.0, step), np.where(worse, h, new_h)
        s, h = s + step, new_h
        if np.max(np.abs(step) * np.sqrt(curvature), initial=0.0) < tolerance:
            break
    return s, 1 / np.sqrt(curvature)
