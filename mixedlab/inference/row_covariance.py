"""The covariance of the rows of a fitted linear model: what inference needs of V.

With rows made independent (weighted by ``sqrt(w)``), ``V = I + Z T Z'`` where ``T`` is the
covariance of the random effects over ``sigma^2``. The engine holds V factored, factor after factor
(`mixedlab.engine.system`), in columns of its own: X orthonormal, Z of unit mean square. With C the
conditional covariance of the effects (over ``sigma^2``),

    V^-1 M = M - Z C Z'M,    cov(b | y, beta) = sigma^2 C,    b = C (Z'y - Z'X beta),

and ``C Z'M = T Z'V^-1 M`` comes of one pass back. Nothing here is n x n, nor a full matrix of the
random effects.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.elimination import row_variances
from mixedlab.engine.terms import RandomTerm, lower_triangle
from mixedlab.engine.traces import Direction, directions, traces

Array = NDArray[np.float64]


class RowCovariance:
    """V of a fitted linear model.

    Parameters
    ----------
    fit : LinearModel
    """

    def __init__(self, fit: Any) -> None:
        self.fit, self.problem, self.evaluation = fit, fit.problem, fit.evaluation
        self.system, self.at = fit.problem.system, fit.evaluation.reduced
        self._plan = self.system.plan

    def white(self, columns: Array) -> Array:
        """Rows (n, k) in which residuals are independent and of variance ``sigma^2``."""
        if self.fit.weights is not None:
            columns = columns * np.sqrt(self.fit.weights)[:, None]
        if self.fit.residual is not None:
            columns = self.fit.residual.whiten(columns, self.fit.residual_phi)
        return columns

    @cached_property
    def _of_X(self) -> tuple[Array, Array]:
        """``C Z'X`` and ``Z'V^-1 X`` in the engine's columns, both (p, effects)."""
        return self.system.of_X(self.at)

    @cached_property
    def _VX(self) -> Array:
        """``R^-1 X'V^-1`` (p, n) with ``X'V^-1X = R R'``: free of the basis of X."""
        rows = self.problem.columns_of_X - self._rows(self._of_X[0])
        return self.evaluation.root_inverse @ rows

    @cached_property
    def _Z(self) -> list[Array]:
        return self.system.rows_of_Z()

    def _rows(self, coefficients: Array) -> Array:
        """``Z d`` (k, n) for coefficients (k, effects)."""
        out = np.zeros((len(coefficients), self.problem.n))
        for f, Z in enumerate(self._Z):
            index = self.system.factors[f].index
            for to, d in zip(out, self._plan.by_factor(f, coefficients), strict=True):
                for z, values in zip(Z, d, strict=True):
                    to += z * values[index]
        return out

    @cached_property
    def leverage(self) -> Array:
        """Diagonal of the hat matrix (n,): the derivative of a fitted value in its own y."""
        along_X = np.einsum("pi,pi->i", self._VX, self._VX)
        if not self._Z:
            return along_X
        index = [
            np.broadcast_to(f.index, z.shape)
            for f, z in zip(self.system.factors, self._Z, strict=True)
        ]
        return along_X + row_variances(self._plan, self.at.blocks, index, self._Z)

    def variance_of_rows(self, terms: Sequence[RandomTerm]) -> Array:
        """``z_i'C z_i`` (m,) for rows of the fit's terms, new ones perhaps (a new level: -1)."""
        Z, index = [], []
        for factor in self.system.factors:
            bases = [self.problem.z_bases[t] for t in factor.terms]
            own = [terms[t].Z @ np.linalg.inv(R) for t, R in zip(factor.terms, bases, strict=True)]
            Z.append(np.concatenate(own, axis=1).T)
            index.append(np.broadcast_to(terms[factor.terms[0]].index, Z[-1].shape))
        return row_variances(self._plan, self.at.blocks, index, Z)

    def effects_by_beta(self) -> list[Array]:
        """``C Z'X`` (J, q, p) of each term: how much its predicted effects fall as beta rises."""
        out: list[Array] = [np.empty(0)] * len(self.problem.z_bases)
        basis = np.linalg.inv(self.problem.x_basis)
        for f, factor in enumerate(self.system.factors):
            by_X = self._plan.by_factor(f, basis.T @ self._of_X[0])
            for t, where in zip(factor.terms, factor.columns, strict=True):
                own = by_X[:, where].transpose(2, 1, 0)
                out[t] = np.linalg.solve(self.problem.z_bases[t], own)
        return out

    def moved_by_beta(self, terms: Sequence[RandomTerm]) -> Array:
        """``z_i'C Z'X`` (m, p): how much the predicted ``z_i'b`` falls as beta rises."""
        return sum(
            np.einsum("ik,ikp->ip", np.where(t.index[:, None] >= 0, t.Z, 0.0), by_beta[t.index])
            for t, by_beta in zip(terms, self.effects_by_beta(), strict=True)
        )

    def moved_by_theta(self) -> tuple[Array, Array]:
        """``P V_k P y`` (k, n), V_k the derivative of V in ``theta[k]``, and its product with y."""
        problem, k = self.problem, self.fit.theta.size
        scores = self.evaluation.score.scores
        at = self._by_factor(self.fit.theta)
        d = np.zeros((k, self._plan.n_columns))
        for i in range(k):
            step = self._by_factor(np.eye(k)[i])
            for f, g in enumerate(scores):
                half = step[f] @ at[f].T
                self._plan.by_factor(f, d)[i] = (half + half.T) @ g * problem.y_scale
        by_y = d @ np.concatenate([
            scores[f].ravel() for f in sorted(self._plan.start, key=self._plan.start.get)
        ]) * problem.y_scale  # fmt: skip
        effects, _ = self.system.combination(self.at, d)
        along_X = self.evaluation.root_inverse @ (self._of_X[1] @ d.T)
        return self._rows(d - effects) - along_X.T @ self._VX, by_y

    def _by_factor(self, theta: Array) -> list[Array]:
        layout = self.problem.layout
        return layout.by_factor(layout.unpack(self.problem.from_user(theta)))

    def derivatives(self) -> tuple[Array, Array, Array]:
        """``X'S V_a S X`` (k+1, p, p), ``X'S V_a S V_b S X`` and ``tr(S V_a S V_b)``, ``S = V^-1``.

        V is in units of ``sigma^2`` and linear in its parameters: the entries of each term's T
        and, last, the residual variance, which is 1. From
        ``V = I + sum_b T_b V_b`` follows ``S^2 = S - sum_b T_b S V_b S``, so that the last row of
        each is known from the others.
        """
        found = directions(self.system)
        k, p = len(found), self.problem.p
        basis = np.linalg.inv(self.problem.x_basis)
        R = basis.T @ self._of_X[1]  # Z'V^-1X, one row a column of X
        ER = np.stack([self._direction_times(d, R) for d in found])
        S_ER = self.system.combination(self.at, ER.reshape(k * p, -1))[1].reshape(k, p, -1)
        relative = [Lambda @ Lambda.T for Lambda in self.at.lambdas]
        T = np.array([relative[d.factor][d.row, d.col] for d in found])
        P, Q = np.empty((k + 1, p, p)), np.empty((k + 1, k + 1, p, p))
        P[:k] = ER @ R.T
        Q[:k, :k] = np.einsum("apm,bqm->abpq", ER, S_ER, optimize=True)
        half = np.linalg.inv(self.evaluation.root_inverse).T @ basis
        P[k] = half.T @ half - np.einsum("a,apq->pq", T, P[:k])
        Q[:k, k] = P[:k] - np.einsum("b,abpq->apq", T, Q[:k, :k])
        Q[k, :k] = Q[:k, k].swapaxes(1, 2)
        Q[k, k] = P[k] - np.einsum("b,bpq->pq", T, Q[:k, k])
        once, twice = traces(self.system, self.at)
        tr = np.empty((k + 1, k + 1))
        tr[:k, :k] = twice
        tr[:k, k] = tr[k, :k] = once - twice @ T
        tr[k, k] = self.problem.n - T @ once - T @ tr[:k, k]
        M = self._in_own_units()
        P, tr = np.einsum("ab,bpq->apq", M, P), M @ tr @ M.T
        return P, np.einsum("ab,bcpq,dc->adpq", M, Q, M, optimize=True), tr

    def _in_own_units(self) -> Array:
        """Entries of the engine's T (and the residual variance) by those of the data's, k+1 each.

        The data's are in the order of the terms; ``T = R T_own R'`` for the basis R of a term.
        """
        layout = self.problem.layout
        M, a = np.eye(layout.n_theta + 1), 0
        M[:-1, :-1] = 0.0
        for R, where in zip(self.problem.z_bases, layout.slices, strict=True):
            rows, cols = lower_triangle(len(R))
            for i, j in zip(rows, cols, strict=True):
                half = np.outer(R[:, i], R[:, j])
                moved = half if i == j else half + half.T
                M[a, where] = moved[rows, cols]
                a += 1
        return M

    def _direction_times(self, d: Direction, R: Array) -> Array:
        """``E_a R`` (p, effects) for R (p, effects)."""
        out = np.zeros_like(R)
        own, to = self._plan.by_factor(d.factor, R), self._plan.by_factor(d.factor, out)
        to[:, d.row] = own[:, d.col]
        to[:, d.col] = own[:, d.row]
        return out
