r"""Marginal likelihoods of generalised models of many data sets of one design, and their gradients.

Formulas and code are those of ``mixedlab.engine.grouped_likelihood``, its arrays with a last axis,
one place a data set: rows are (n, m), groups (J, m). What is different is how modes are found: of
all groups of all data sets together, and data sets whose modes are found leave the loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.grouped_likelihood import AtNodes, GroupedEffects, GroupedLikelihood
from mixedlab.engine.groups import Groups, merge_groups
from mixedlab.engine.integrated_likelihood import Evaluation, NodeSums
from mixedlab.engine.quadrature import product_rule
from mixedlab.engine.terms import RandomTerm

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

_CELLS = 32_768  # rows x data sets handled at once: small enough for the processor's cache
_NEWTON_STEPS = 100


@dataclass(frozen=True)
class Values:
    """Log-likelihoods (m,), minus infinity where out of range, and their gradients (m, d).

    ``u`` (q, J, m) are the modes, where an evaluation near by starts.
    """

    loglik: Array
    gradient: Array
    u: Array


class ManyLikelihoods:
    """Log-likelihoods of m data sets as functions of theta and beta.

    Parameters
    ----------
    family : Family
        Without a dispersion.
    y : ndarray (n, m)
    X : ndarray (n, p)
    terms : sequence of RandomTerm
        All of the same grouping factor; every level has a row.
    weights : ndarray (n,) or 1.0
    offset : ndarray (n,)
    nagq : int
        Nodes a dimension.
    """

    def __init__(
        self,
        family: Family,
        y: Array,
        X: Array,
        terms: Sequence[RandomTerm],
        weights: Array | float,
        offset: Array,
        nagq: int = 1,
    ) -> None:
        self.together = _Together(family, y, X, terms, weights, offset, nagq)
        self.m, self.n_theta = y.shape[1], self.together.layout.n_theta
        self.factor = self.together.design.factor

    def with_nodes(self, nagq: int) -> ManyLikelihoods:
        """The same by another number of nodes a dimension."""
        other = copy(self)
        other.together = self.together.with_nodes(nagq)
        return other

    def _parts(self, theta: Array, beta: Array, which: Indices, u: Array | None):
        """Some data sets at a time, their parameters and a start."""
        at_once = max(1, _CELLS // len(self.together.y))
        shape = self.together.no_effects().shape
        for k in range(0, which.size, at_once):
            some = slice(k, k + at_once)
            first = np.zeros((*shape, which[some].size)) if u is None else u[..., some]
            part = self.together.only(which[some])
            yield part, theta[some].T, beta[some].T, Evaluation(-np.inf, u=first)

    def __call__(self, theta: Array, beta: Array, which: Indices, u: Array | None = None) -> Values:
        """Evaluate the data sets numbered ``which`` at theta (m, k) and beta (m, p).

        ``u`` (q, J, m) are modes near by, by default 0.
        """
        loglik, gradient, modes = [], [], []
        with np.errstate(all="ignore"):
            for part, *point, start in self._parts(theta, beta, which, u):
                at = part(*point, start=start)
                if at.u is None:
                    d, m = np.concatenate(point).shape
                    at = replace(start, loglik=np.full(m, -np.inf), d_theta=np.zeros((d, m)))
                slopes = (
                    at.d_theta if at.d_beta is None else np.concatenate([at.d_theta, at.d_beta])
                )
                good = np.isfinite(at.loglik) & np.isfinite(slopes).all(0)
                loglik.append(np.where(good, at.loglik, -np.inf))
                gradient.append(slopes.T)
                modes.append(np.where(good, at.u, start.u))
        return Values(*map(np.concatenate, (loglik, gradient)), np.concatenate(modes, axis=-1))

    def information_of_beta(self, theta: Array, beta: Array, u: Array | None = None) -> Array:
        """Information (m, p, p) about beta of all data sets; nan where one is out of range."""
        out = []
        with np.errstate(all="ignore"):
            for part, *point, start in self._parts(theta, beta, np.arange(self.m), u):
                at = part(*point, gradient=False, start=start)
                p, m = point[1].shape
                unknown = at.u is None
                found = np.full((p, p, m), np.nan) if unknown else part.information_of_beta(at, 1.0)
                out.append(found.transpose(2, 0, 1))
        return np.concatenate(out)


class _Together(GroupedLikelihood):
    """The likelihood of arrays with an axis of data sets; what is out of range is nan."""

    def __init__(self, family, y, X, terms, weights, offset, nagq):
        w = weights[:, None] if np.ndim(weights) else weights
        super().__init__(family, y, X, terms, w, offset[:, None], nagq)
        groups, rows, copies = self.design.groups, slice(None), None
        design = [z for z in self.design.Z if z is not None]
        design = [self.X, *design, self.offset, np.broadcast_to(self.weights, self.offset.shape)]
        merged = merge_groups(self.y, np.column_stack(design), groups)
        if merged is not None:
            rows, copies = merged.rows, merged.counts
            groups, self.y = Groups(groups.counts[: len(copies)]), merged.y
        self.X, self.offset = np.ascontiguousarray(self.X[rows]), self.offset[rows]
        self.weights = self.weights[rows] if np.ndim(weights) else weights
        Z = [None if z is None else z[rows, None] for z in self.design.Z]
        self.design = replace(self.design, groups=groups, Z=Z, copies=copies)

    def with_nodes(self, nagq: int) -> _Together:
        """The same by another number of nodes a dimension."""
        other = copy(self)
        other.nodes, other.node_weights = product_rule(nagq, len(self.design.Z))
        return other

    def only(self, which: Indices) -> _Together:
        """The likelihoods of some data sets."""
        other, design = copy(self), self.design
        other.y, other.constant = self.y[:, which], self.constant[which]
        if design.copies is not None:
            other.design = replace(design, copies=design.copies[:, which])
        return other

    def over_nodes(self, V, u, eta, H, peak, dispersion) -> NodeSums | None:
        if self.node_weights.size == 1:
            return None
        sums = None
        for z, weight in zip(self.nodes.T, self.node_weights, strict=True):
            at = AtNodes.of(
                V, self.family, self.y, self.weights, dispersion, u, eta, H.L, peak,
                z[:, None, None], np.log(weight) + 0.5 * (z @ z),
            )  # fmt: skip
            if sums is None:
                sums = at
                continue
            for total, part in zip(sums.arrays(), at.arrays(), strict=True):
                total += part
        return sums.normalised(V)

    def _modes(self, V, fixed, dispersion, start) -> tuple[Array, Array]:
        """Modes u (q, J, m) and eta (n, m) there, by Newton's method; nan where there are none."""
        u = start.u.copy()
        eta = fixed + V.spread(u)
        slope = self.family.derivatives(self.y, eta, self.weights, 1.0)[0]
        cold = ~np.isfinite(slope).all(0)
        if cold.any():  # the last modes do not suit this point
            u[:, :, cold] = 0.0
            eta[:, cold] = fixed[:, cold]
        left, going, here = np.arange(u.shape[2]), np.ones(u.shape[2], dtype=bool), self
        now = (fixed, u.copy(), eta.copy())  # of those that are left
        for _ in range(_NEWTON_STEPS):
            new_u, new_eta, worst = here._newton_step(V, *now)
            # What is found stays as it is, so that no data set depends on its neighbours.
            u[:, :, left[going]], eta[:, left[going]] = new_u[..., going], new_eta[:, going]
            going &= worst >= 1e-10  # the step just taken squares what was left
            if not going.any():
                return u, eta
            now = (now[0], new_u, new_eta)
            if 2 * np.count_nonzero(going) <= going.size:
                left, here = left[going], self.only(left[going])
                V = replace(V, Lam=V.Lam[..., going])
                now = tuple(part[..., going] for part in now)
                going = going[going]
        eta[:, left[going]] = np.nan
        return u, eta

    def _newton_step(
        self, V: GroupedEffects, fixed: Array, u: Array, eta: Array
    ) -> tuple[Array, Array, Array]:
        """New u and eta, and each data set's largest Newton decrement before the step."""
        l1, l2, _ = self.family.derivatives(self.y, eta, self.weights, 1.0)
        W = -l2
        if (W < 0).any():
            # keep the step uphill where the log density is not concave
            W = np.where(W >= 0, W, self.family.fisher_weights(eta, self.weights, 1.0))
        g = V.collect(l1) - u
        step = V.factor(W).solve(g)
        worst = (step * g).sum(0).max(0)
        if (worst > 0.05).any():  # far from the mode a full step may overshoot
            value = self._penalised(V, eta, u, 1.0)
            (u, eta, _), _ = self._halve(V, fixed, u, step, value, 1.0, far=worst > 0.05)
            return u, eta, worst
        u = u + step
        return u, fixed + V.spread(u), worst
