"""The random-effects system with one grouping factor: independent levels, in closed form.

Within level j take the QR decomposition ``Z_j = Q_j U_j`` once. With ``T = Lambda Lambda'``,

    V_j = I + Z_j T Z_j' = Q_j N_j Q_j' + (I - Q_j Q_j'),    N_j = I + U_j T U_j',

so ``|V_j| = |N_j|``, and all that the likelihood needs of the data are the small ``U_j`` and
``b_j = Q_j' [X_j y_j]`` of each level and the cross-products ``E`` of what ``[X y]`` has
outside the span of ``Z_j``: with ``N_j = L_j L_j'``,

    [X y]' V^-1 [X y] = E + sum_j (L_j^-1 b_j)' (L_j^-1 b_j).

Each evaluation costs O(J q^2 (q + p)), whatever the number of rows. No large number is ever
subtracted from another, so a variance ratio of 1e16 loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.blocks import (
    cholesky,
    identity_plus_square,
    orthogonalise,
    remove,
    solve_lower,
)
from mixedlab.engine.layout import Factor

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """How the deviance changes with the covariance of the random effects.

    With ``P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1`` (for ML: ``V^-1`` in the traces):

    Attributes
    ----------
    slope : list of ndarray (q, q), one a factor
        Derivative of the deviance with respect to ``T = Lambda Lambda'``: the sum over levels
        of ``Z'PZ - Z'Py (Z'Py)' / sigma^2``.
    scores : list of ndarray (q, J), one a factor
        ``g = Z'Py``.
    effects : list of ndarray (q, J), one a factor
        Predicted random effects ``T g``.
    average : ndarray (k, k)
        ``y'P V_a P V_b P y / sigma^2``, with ``V_a`` the derivative of V in the entry of ``T``
        that is at the place of ``theta[a]`` in Lambda.
    """

    slope: list[Array]
    scores: list[Array]
    effects: list[Array]
    average: Array


@dataclass(frozen=True)
class Reduced:
    """What is left when the random effects are integrated out: ``log|V|`` and ``[X y]'V^-1[X y]``.

    ``whitened`` holds ``L_j^-1 [U_j b_j]`` with the columns as rows, shape (q + p + 1, q J).
    """

    logdet: float
    gram: Array
    lambdas: list[Array]
    whitened: Array


def directions(factor: Factor, g: Array) -> Array:
    """Coefficients ``d_a`` (k, q, J) with ``V_a P y = Z d_a``, from ``g = Z'Py``.

    ``V_a`` is the derivative of V in entry ``(rows[a], cols[a])`` of the symmetric ``T``.
    """
    k = np.arange(factor.rows.size)
    d = np.zeros((factor.rows.size, *g.shape))
    d[k, factor.rows] = g[factor.cols]
    d[k, factor.cols] = g[factor.rows]
    return d


class OneFactor:
    """Random effects of one grouping factor; see the module's text.

    Parameters
    ----------
    factor : Factor
        Levels of the rows and layout of the parameters.
    Z : ndarray, shape (q, n)
        The columns that vary, one a row of the array; overwritten.
    columns : ndarray, shape (p + 1, n)
        The columns of ``X`` and last ``y``, one a row of the array; overwritten.
    """

    def __init__(self, factor: Factor, Z: Array, columns: Array) -> None:
        self.factor = factor
        self.factors = (factor,)
        q, J = factor.n_coefs, factor.n_levels
        U = orthogonalise(factor.index, J, Z)
        self._stack = np.empty((q, q + columns.shape[0], J))
        self._stack[:, :q] = U
        self._Z, self._outside = Z, columns
        for m in range(columns.shape[0]):
            self._project(m)
        self.outside_gram = columns @ columns.T

    def _project(self, m: int) -> None:
        for k in range(self.factor.n_coefs):
            self._stack[k, self.factor.n_coefs + m] = remove(
                self.factor.index, self.factor.n_levels, self._Z[k], self._outside[m]
            )

    def take_off_within(self) -> Array:
        """Subtract from ``y`` its least-squares fit within levels; return the coefficients.

        r^2 is then a sum of squares and never a difference of large ones.
        """
        # The columns of X have length 1: a shorter rest than this is rounding.
        share, axes = np.linalg.eigh(self.outside_gram[:-1, :-1])
        inverse = np.divide(1.0, share, out=np.zeros(share.size), where=share > 1e-12)
        coefs = axes @ (inverse * (axes.T @ self.outside_gram[:-1, -1]))
        q = self.factor.n_coefs
        self._outside[-1] -= coefs @ self._outside[:-1]
        self._stack[:, -1] -= np.einsum("p,qpj->qj", coefs, self._stack[:, q:-1])
        self._refresh_gram()
        return coefs

    @property
    def y_outside(self) -> float:
        """Sum of squares of ``y`` outside the span of ``Z``: a lower bound of r^2."""
        return float(self.outside_gram[-1, -1])

    def with_response(self, y: Array) -> OneFactor:
        """The same system for another ``y`` (n,); shares all that does not depend on it."""
        other = object.__new__(OneFactor)
        other.factor, other.factors, other._Z = self.factor, self.factors, self._Z
        other._outside = np.vstack([self._outside[:-1], y])
        other._stack = self._stack.copy()
        other._project(len(other._outside) - 1)
        other.outside_gram = self.outside_gram.copy()
        other._refresh_gram()
        return other

    def _refresh_gram(self) -> None:
        with_y = self._outside @ self._outside[-1]
        self.outside_gram[-1] = with_y
        self.outside_gram[:, -1] = with_y

    def moment_start(self) -> Array:
        """Variance ratio of each factor that a comparison of mean squares suggests."""
        q = self.factor.n_coefs
        U = self._stack[:, :q]
        rank = np.count_nonzero(U.diagonal())
        dof = self._outside.shape[1] - rank
        inside = float(np.sum(self._stack[:, -1] ** 2))
        within = float(self.outside_gram[-1, -1])
        if dof <= 0 or within <= 0:
            return np.ones(1)
        return np.maximum([(inside * dof / within - rank) / float(np.sum(U**2))], 0.0)

    def reduce(self, lambdas: list[Array]) -> Reduced:
        """Integrate the random effects out, for ``Lambda`` of the factor."""
        q = self.factor.n_coefs
        F = np.matmul(lambdas[0].T, self._stack[:, :q])
        L = cholesky(identity_plus_square(F))
        logdet = 2.0 * sum(float(np.sum(np.log(L[k, k]))) for k in range(q))
        solved = solve_lower(L, self._stack.copy())
        whitened = solved.transpose(1, 0, 2).reshape(solved.shape[1], -1)
        data = whitened[q:]
        return Reduced(logdet, self.outside_gram + data @ data.T, lambdas, whitened)

    def score(
        self, at: Reduced, beta: Array, root: Array, sigma2: float, restricted: bool
    ) -> Score:
        """Derivatives at ``at``, given ``beta`` and ``root``, the Cholesky factor of X'V^-1X."""
        q, J = self.factor.n_coefs, self.factor.n_levels
        U, X, y = at.whitened[:q], at.whitened[q:-1], at.whitened[-1]
        U3 = U.reshape(q, q, J)
        g = np.einsum("mij,ij->mj", U3, (y - beta @ X).reshape(q, J))
        slope = U @ U.T - g @ g.T / sigma2
        root_inverse = np.linalg.inv(root)
        X = root_inverse @ X
        if restricted:
            H = np.einsum("mij,pij->mpj", U3, X.reshape(-1, q, J)).reshape(q, -1)
            slope -= H @ H.T
        Lambda, f = at.lambdas[0], self.factor
        d = directions(f, g)
        moved = np.einsum("mij,amj->aij", U3, d).reshape(f.rows.size, -1)
        along_X = X @ moved.T
        average = np.empty((f.at.size, f.at.size))
        average[np.ix_(f.at, f.at)] = (moved @ moved.T - along_X.T @ along_X) / sigma2
        return Score([slope], [g], [Lambda @ (Lambda.T @ g)], average)

    def relative_covariances(self, at: Reduced) -> list[Array]:
        """Conditional covariance of the random effects over sigma^2, one (J, q, q) a factor."""
        q = self.factor.n_coefs
        Lambda = at.lambdas[0]
        F = np.matmul(Lambda.T, self._stack[:, :q]).transpose(2, 0, 1)
        M = np.swapaxes(F, 1, 2) @ F + np.eye(q)
        half = Lambda @ np.linalg.inv(M)
        return [half @ Lambda.T]
