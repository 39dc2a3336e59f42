"""The augmented regression of h-likelihood, with the largest factor eliminated.

`mixedlab.models.hglm.h_likelihood` has the equations. The factor with most levels makes a diagonal
block D of Z'WZ + W2; other factors stand with the columns of X.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedlab.models.hglm.data import HierarchicalData

Array = NDArray[np.float64]

# An effect is without variance when the data of a typical level, with information I about it, pull
# it from 0 by no more than this share: lambda I / (1 + lambda I).
NO_VARIANCE = 1e-8


class AugmentedSystem:
    """The normal equations, with the largest factor eliminated.

    ``M`` holds X and the columns of all other factors; ``penalty`` is W2 of those columns.
    """

    def __init__(self, data: HierarchicalData) -> None:
        self.data, self.p = data, data.X.shape[1]
        self.sizes = [t.n_levels for t in data.terms]
        self.large = int(np.argmax(self.sizes))
        self.others = [t for t in range(len(self.sizes)) if t != self.large]
        self.index = data.terms[self.large].index
        self.z = data.terms[self.large].Z[:, 0]
        columns = [data.X]
        for t in self.others:
            term = data.terms[t]
            columns.append(term.Z[:, :1] * (term.index[:, None] == np.arange(term.n_levels)))
        self.M = np.concatenate(columns, axis=1)
        first = np.cumsum([self.p, *(self.sizes[t] for t in self.others)])
        self.slots = {t: slice(first[k], first[k + 1]) for k, t in enumerate(self.others)}
        self.order = np.argsort(self.index, kind="stable")
        self.present, self.starts = np.unique(self.index[self.order], return_index=True)

    def floor(self, eta: Array, phi: Array) -> list[float]:
        """The lambda of each term below which it counts as none."""
        w = self.data.family.fisher_weights(eta, self.data.weights) / phi
        typical = [
            np.median(np.bincount(t.index, w * t.Z[:, 0] ** 2, t.n_levels)) for t in self.data.terms
        ]
        return [NO_VARIANCE / max(float(i), 1e-300) for i in typical]

    def without_variance(self, eta: Array, phi: Array, lam: list[Array]) -> list[bool]:
        """Which terms have lost their variance."""
        return [float(np.max(l)) < f for l, f in zip(lam, self.floor(eta, phi), strict=True)]

    def _factor(self, eta, v, phi, lam, cautious=False):
        """Working weights and the Schur complement S of the large block D."""
        data = self.data
        w = data.family.fisher_weights(eta, data.weights) / phi
        w2 = [
            k.augmented_curvature(b) / k.scale(l)
            for k, b, l in zip(data.random, v, lam, strict=True)
        ]
        if cautious:
            observed = -data.family.derivatives(data.y, eta, data.weights / phi)[1]
            w = np.maximum(w, observed)
            curvatures = [k.curvature(b, l) for k, b, l in zip(data.random, v, lam, strict=True)]
            w2 = [np.maximum(a, b) for a, b in zip(w2, curvatures, strict=True)]
        J = self.sizes[self.large]
        D = np.bincount(self.index, w * self.z**2, J) + w2[self.large]
        MW = self.M * w[:, None]
        B = np.zeros((J, self.M.shape[1]))
        B[self.present] = np.add.reduceat((MW * self.z[:, None])[self.order], self.starts, axis=0)
        A = self.M.T @ MW
        for t, slot in self.slots.items():
            A[slot, slot] += np.diag(w2[t])
        S = A - B.T @ (B / D[:, None])
        return w, w2, D, B, S, MW

    def solve(self, eta, v, phi, lam, cautious=False) -> tuple[Array, list[Array]]:
        """One step of weighted least squares: new beta and v.

        A cautious step weighs by the larger of expected and observed information, so that it does
        not leap over the maximum.
        """
        data = self.data
        w, w2, D, B, S, MW = self._factor(eta, v, phi, lam, cautious)
        step = (data.y - data.family.link.mu(eta)) / data.family.link.dmu(eta)
        if cautious:
            expected = data.family.fisher_weights(eta, data.weights) / phi
            step = np.where(w > 0, step * expected / np.where(w > 0, w, 1.0), 0.0)
        working = eta - data.offset + step
        made_up = [  # W2 z2 = W2 v + score
            w2[t] * v[t] + k.augmented_score(v[t], lam[t]) / k.scale(lam[t])
            for t, k in enumerate(data.random)
        ]
        right_large = np.bincount(self.index, w * self.z * working, D.size) + made_up[self.large]
        right = MW.T @ working
        for t, slot in self.slots.items():
            right[slot] += made_up[t]
        coefs = np.linalg.solve(S, right - B.T @ (right_large / D))
        new_v: list[Array] = [np.empty(0)] * len(self.sizes)
        new_v[self.large] = (right_large - B @ coefs) / D
        for t, slot in self.slots.items():
            new_v[t] = coefs[slot]
        return coefs[: self.p], new_v

    def leverage(self, eta, v, phi, lam):
        """Hat values of responses and augmented rows, Cov(beta), and sd of each v given y."""
        w, w2, D, B, S, _ = self._factor(eta, v, phi, lam)
        inverse = np.linalg.inv(S)
        # The variance of row m'a + z b_j is (m - z B_j/D_j)' S^-1 (same) + z^2 / D_j.
        ratio = B / D[:, None]
        rest = self.M - self.z[:, None] * ratio[self.index]
        row = np.einsum("ij,ij->i", rest @ inverse, rest) + self.z**2 / D[self.index]
        variance: list[Array] = [np.empty(0)] * len(self.sizes)
        variance[self.large] = np.einsum("ij,ij->i", ratio @ inverse, ratio) + 1 / D
        for t, slot in self.slots.items():
            variance[t] = np.diag(inverse)[slot]
        hats = [a * b for a, b in zip(w2, variance, strict=True)]
        return w * row, hats, inverse[: self.p, : self.p], [np.sqrt(s) for s in variance]

    def log_curvature(self, eta, v, phi, lam) -> float:
        """Log |(Z'WZ + curvature of log f(v)) / 2 pi|, the adjustment of Laplace's method."""
        data = self.data
        _, w2, D, B, _, _ = self._factor(eta, v, phi, lam)
        exact = [k.curvature(b, l) for k, b, l in zip(data.random, v, lam, strict=True)]
        D = D + exact[self.large] - w2[self.large]
        inner = slice(self.p, None)
        C = self.M[:, inner].T @ (
            self.M[:, inner] * (data.family.fisher_weights(eta, data.weights) / phi)[:, None]
        )
        for t, slot in self.slots.items():
            k = np.arange(slot.start - self.p, slot.stop - self.p)
            C[k, k] += exact[t]
        C = C - B[:, inner].T @ (B[:, inner] / D[:, None])
        count = sum(self.sizes)
        return float(np.sum(np.log(D)) + np.linalg.slogdet(C)[1] - count * np.log(2 * np.pi))
