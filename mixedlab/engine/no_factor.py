"""The system without random effects: generalised least squares, for a residual structure alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.one_factor import Reduced, Score

Array = NDArray[np.float64]


class NoFactor:
    """No random effects: ``V`` is the identity. Has the methods of `OneFactor`."""

    factors = ()

    def __init__(self, columns: Array) -> None:
        self._columns = columns
        self._gram = columns @ columns.T

    @property
    def y_outside(self) -> float:
        """Sum of squares of ``y`` (already less its fit on X)."""
        return float(self._gram[-1, -1])

    def take_off_within(self) -> Array:
        """Nothing is taken off ``y``."""
        return np.zeros(len(self._columns) - 1)

    def moment_start(self) -> Array:
        """No variance ratios."""
        return np.zeros(0)

    def reduce(self, lambdas: list[Array]) -> Reduced:
        """The cross-products as they are."""
        return Reduced(0.0, self._gram, lambdas, np.empty(0))

    def score(
        self, at: Reduced, beta: Array, root: Array, sigma2: float, restricted: bool
    ) -> Score:
        """Nothing to derive."""
        return Score([], [], [], np.zeros((0, 0)))
