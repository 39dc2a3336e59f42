"""The parts of the inverse that the gradient needs: those where the data have an entry.

With C the conditional covariance of the random effects (over sigma^2), known for later columns,
a factor of the chain adds

    C_fl = -K B C_ll,    C_ff = K + K B C_ll B'K,
    Z_f'V^-1 Z_f = Z_f'V_f^-1 Z_f - h C_ll h',    h = Z_f'V_f^-1 Z_l,

with ``V_f`` the covariance in which the later factors are not in yet, so that one pass back
through the blocks gives all of them (Takahashi, Fagan & Chin, 1973).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.elimination import Elimination
from mixedlab.engine.levels import FactoredLevels, FactoredOrthogonal
from mixedlab.engine.square import FactoredSquare

Array = NDArray[np.float64]
Block = FactoredLevels | FactoredOrthogonal | FactoredSquare


class SelectedInverse(NamedTuple):
    """``C`` in the order of the products (`Elimination`), and by factor the sums ``Z_f'V^-1Z_f``.

    Where only the slopes were asked for, the part of C of the first factor is not filled in.
    """

    C: Array
    slopes: dict[int, Array]


def selected_inverse(
    plan: Elimination, blocks: Sequence[Block], *, whole: bool = False
) -> SelectedInverse:
    """One pass back through the factored blocks; ``whole`` with the first factor's part of C."""
    C = np.empty(plan.flat_size if whole or len(plan.factors) > 1 else 0)
    slopes = {f: np.zeros((plan.factors[f].n_coefs,) * 2) for f in plan.crossed}
    chain = len(plan.stages)
    for square, done in zip(plan.squares, blocks[chain:], strict=True):
        K_inverse, CC = done.inverse()
        C[square.where] = CC.ravel()
        for f in square.parts:
            slopes[f] += done.slope(f, K_inverse, CC)
    for s in reversed(range(chain)):
        stage, done = plan.stages[s], blocks[s]
        slopes[stage.factor] = done.own_precision()
        linked = stage.entries.level.size > 0
        if linked:
            half = stage.entries.half_of(C)
            h, squares = done.cross(), done.cross_squares()
            slopes[stage.factor] -= stage.entries.sandwich(h, C, half, squares)
        if s or whole:
            own = done.covariance()
            if linked:
                KB = done.moved()
                KBC = stage.entries.times(KB, C, half)
                own = own + stage.entries.inner(KBC, KB)
                C[stage.where] = -KBC.ravel()
            C[stage.blocks] = own.ravel()
    return SelectedInverse(C, slopes)
