"""The system ``H = I + V'WV`` of all random effects of a generalised model, at weights W.

It is the linear model's (`system`) with the rows of ``V = Z Lambda`` for those of Z, weights that
change with every step to the mode, and ``T = I``: the same elimination, the same blocks. W may be
negative where a log density is not concave; H then may fail to be positive definite.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.elimination import Block, Elimination, covariance_times, selected_inverse
from mixedlab.engine.system import factor_blocks
from mixedlab.engine.terms import Layout, RandomTerm

Array = NDArray[np.float64]

_LARGEST = 400_000_000  # products to be kept


class WeightedSystem:
    """What is the same at all weights: the plan of the elimination.

    Raises ``MemoryError`` in words where crossed factors need too large a matrix.
    """

    def __init__(self, terms: Sequence[RandomTerm], layout: Layout) -> None:
        self.terms, self.layout = tuple(terms), layout
        self.plan = Elimination(layout.factors)
        if self.plan.flat_size > _LARGEST:
            raise MemoryError(
                "Crossed factors with so many levels need a dense matrix of "
                f"{self.plan.flat_size * 8 / 1e9:.1f} GB. Fit fewer crossed levels, or drop a "
                "factor."
            )

    def factorise(self, W: Array, Lam: Sequence[Array]) -> WeightedFactor | None:
        """Factor H at weights W (n,); None where H is not positive definite."""
        v = [L.T @ t.Z.T for t, L in zip(self.terms, Lam, strict=True)]
        rows = self.by_factor(v)
        identity = [np.eye(f.n_coefs) for f in self.layout.factors]
        blocks = [*self.plan.stages, *self.plan.squares]
        with np.errstate(invalid="ignore", divide="ignore"):
            try:
                done = factor_blocks(blocks, self.plan.products(rows, W), identity)
            except np.linalg.LinAlgError:
                return None
            log_det = sum(block.logdet for block in done)
        return WeightedFactor(self, v, done, log_det) if np.isfinite(log_det) else None

    def by_factor(self, by_term: Sequence[Array]) -> list[Array]:
        """Arrays (q, ...) of the terms put together by grouping factor."""
        return [np.concatenate([by_term[t] for t in f.terms]) for f in self.layout.factors]

    def by_term(self, by_factor: Sequence[Array]) -> list[Array]:
        """The inverse of `by_factor`."""
        out: list[Array] = [np.empty(0)] * len(self.terms)
        for f, values in zip(self.layout.factors, by_factor, strict=True):
            for t, where in zip(f.terms, f.columns, strict=True):
                out[t] = values[where]
        return out


@dataclass(frozen=True, eq=False)
class WeightedFactor:
    """H, factored: its log determinant, solves, and the wanted parts of its inverse.

    ``v`` holds the rows of V of each term, (q, n).
    """

    system: WeightedSystem
    v: list[Array]
    blocks: list[Block]
    log_det: float

    def solve(self, g: Sequence[Array]) -> list[Array]:
        """``H^-1 g``, in and out one (q, J) array for each term."""
        plan = self.system.plan
        s = np.zeros((1, plan.n_columns))
        for f, values in enumerate(self.system.by_factor(g)):
            plan.by_factor(f, s)[0] = values
        found = covariance_times(plan, self.blocks, s)
        return self.system.by_term([plan.by_factor(f, found)[0] for f in range(len(plan.factors))])

    @cached_property
    def _inverse(self) -> Array:
        return selected_inverse(self.system.plan, self.blocks, whole=True).C

    def rows(self) -> list[Array]:
        """``H^-1 v_i`` at the row's own levels, one (q, n) array for each term."""
        plan = self.system.plan
        v = self.system.by_factor(self.v)
        out = [np.zeros_like(v_f) for v_f in v]
        for (f, g), places in plan.places.items():
            index = plan.factors[f].index if f == g else plan.links[f, g].pair_of_row
            at = self._inverse[places][:, :, index]
            out[f] += np.einsum("kmn,mn->kn", at, v[g])
            if f != g:
                out[g] += np.einsum("kmn,kn->mn", at, v[f])
        return self.system.by_term(out)

    def level_blocks(self) -> list[Array]:
        """The diagonal block of H^-1 at each level, one (q, q, J) stack for each term."""
        plan = self.system.plan
        out: list[Array] = [np.empty(0)] * len(self.system.terms)
        for f, factor in enumerate(plan.factors):
            whole = self._inverse[plan.places[f, f]]
            for t, where in zip(factor.terms, factor.columns, strict=True):
                out[t] = whole[where, where]
        return out
