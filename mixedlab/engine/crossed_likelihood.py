r"""Laplace's marginal likelihood for nested and crossed grouping factors.

All random effects u are one block. ``mixedlab.engine.integrated_likelihood`` has the formulas; all
that the gradient needs of H^-1 are the vectors ``h_i = H^-1 v_i`` at the row's own levels, since
with ``K = -H^-1 / 2``

    v_i' K v_i = -v_i' h_i / 2,      2 Z' W V K = -sum_i W_i z_i h_i'.

`mixedlab.engine.weighted_system` factors H and finds them.

Source: Bates, Maechler, Bolker and Walker (2015), *J. Stat. Software* 67(1), for the model and its
Laplace approximation; the order of elimination is that of the documentation of MixedModels.jl.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.elimination import row_variances
from mixedlab.engine.families import Family
from mixedlab.engine.integrated_likelihood import IntegratedLikelihood
from mixedlab.engine.terms import Layout, RandomTerm
from mixedlab.engine.weighted_system import WeightedFactor, WeightedSystem

Array = NDArray[np.float64]


class CrossedLikelihood(IntegratedLikelihood):
    """Log-likelihood of (theta, beta, dispersion) by Laplace for any set of random-effects terms.

    Parameters are those of `mixedlab.engine.grouped_likelihood.GroupedLikelihood`, but the terms
    may have different grouping factors.
    """

    def __init__(
        self,
        family: Family,
        y: Array,
        X: Array,
        terms: Sequence[RandomTerm],
        weights: Array | float,
        offset: Array,
    ) -> None:
        super().__init__(family, y, X, terms, weights, offset)
        self.terms = tuple(terms)
        self.system = WeightedSystem(terms, self.layout)

    def effects(self, theta: Array) -> CrossedEffects:
        """V at theta."""
        return CrossedEffects(self.terms, self.layout, self.system, self.layout.unpack(theta))

    def no_effects(self) -> Array:
        """U = 0, (all effects, 1)."""
        return np.zeros((sum(t.n_coefs * t.n_levels for t in self.terms), 1))


@dataclass(frozen=True, eq=False)
class CrossedEffects:
    """``V = Z Lambda``: see `mixedlab.engine.integrated_likelihood.Effects`."""

    terms: tuple[RandomTerm, ...]
    layout: Layout
    system: WeightedSystem
    Lam: list[Array]

    def split(self, u: Array) -> list[Array]:
        """The part of each term, (q, J)."""
        ends = np.cumsum([t.n_coefs * t.n_levels for t in self.terms])[:-1]
        parts = np.split(u[:, 0], ends)
        return [u_r.reshape(t.n_coefs, -1) for u_r, t in zip(parts, self.terms, strict=True)]

    def spread(self, u: Array) -> Array:  # noqa: D102
        return sum(
            (t.Z.T * (L @ u_r)[:, t.index]).sum(0)
            for t, L, u_r in zip(self.terms, self.Lam, self.split(u), strict=True)
        )

    def sums(self, x: Array) -> Array:  # noqa: D102
        return join([
            np.stack([np.bincount(t.index, z * x, t.n_levels) for z in t.Z.T]) for t in self.terms
        ])  # fmt: skip

    def collect(self, x: Array) -> Array:  # noqa: D102
        return join([L.T @ s for L, s in zip(self.Lam, self.split(self.sums(x)), strict=True)])

    def total(self, x: Array) -> Array:  # noqa: D102
        return np.array([x.sum()])

    def over_blocks(self, by_block: Array) -> Array:  # noqa: D102
        return by_block.sum()

    def counted(self, x: Array) -> Array:  # noqa: D102
        return x

    def d_theta(self, sums: Array, u: Array) -> Array:  # noqa: D102
        pairs = zip(self.split(sums), self.split(u), strict=True)
        return self.layout.pack([s @ u_r.T for s, u_r in pairs])

    def factorise(self, W: Array) -> CrossedFactor | None:  # noqa: D102
        found = self.system.factorise(W, self.Lam)
        return None if found is None else CrossedFactor(self, found, W)


@dataclass(frozen=True, eq=False)
class CrossedFactor:
    """``H = I + V'WV``, factored: see `mixedlab.engine.integrated_likelihood.Factor`."""

    effects: CrossedEffects
    found: WeightedFactor
    W: Array

    def half_log_det(self) -> Array:  # noqa: D102
        return np.array([0.5 * self.found.log_det])

    def solve(self, g: Array) -> Array:  # noqa: D102
        return join(self.found.solve(self.effects.split(g)))

    def scale_terms(self, S: Array | None) -> tuple[Array, Array]:  # noqa: D102
        V, h = self.effects, self.found.rows()  # one (q_r, n) for each term
        leverage = sum((v_r * h_r).sum(0) for v_r, h_r in zip(self.found.v, h, strict=True))
        d_Lam = [-(t.Z.T * self.W) @ h_r.T for t, h_r in zip(V.terms, h, strict=True)]
        return -0.5 * leverage, V.layout.pack(d_Lam)

    def by_term(self, u: Array) -> list[Array]:  # noqa: D102
        V = self.effects
        return [(L @ u_r).T for L, u_r in zip(V.Lam, V.split(u), strict=True)]

    def covariances(self) -> list[Array]:  # noqa: D102
        of_u = self.found.level_blocks()
        return [
            np.einsum("ab,bcj,dc->jad", L, B, L)
            for L, B in zip(self.effects.Lam, of_u, strict=True)
        ]

    def predictive_variance(self, terms: Sequence[RandomTerm]) -> Array:
        """Variance of ``sum_t z_t' b_t`` for any rows (a new level: -1)."""
        v = [L.T @ t.Z.T for L, t in zip(self.effects.Lam, terms, strict=True)]
        system = self.found.system
        index = system.by_factor([np.broadcast_to(t.index, t.Z.T.shape) for t in terms])
        new = sum(
            np.where(t.index < 0, (v_r**2).sum(0), 0.0) for v_r, t in zip(v, terms, strict=True)
        )
        return new + row_variances(system.plan, self.found.blocks, index, system.by_factor(v))


def join(parts: list[Array]) -> Array:
    """One column of all effects from each term's (q, J)."""
    return np.concatenate([part.ravel() for part in parts])[:, None]
