r"""Random intercepts of groups of one size, in closed form, for many responses at once.

With J groups of n rows and ``w = theta^2 / (1 + n theta^2)``, ``V^-1 = I - w Z Z'``. Let S be
cross-products of rows, B those of group sums, ``S_xx = L L'`` and ``L^-1 B_xx L^-T = Q D Q'``.
With ``T = L^-T Q``, ``c = T' S_xy`` and ``e = T' B_xy``,

    rss(w) = S_yy - w B_yy - sum_k (c_k - w e_k)^2 / (1 - w D_k),
    X'V^-1X = T^-T diag(1 - w D) T^-1,    log|V| = J log(1 + n theta^2).

It is the yardstick of `coverage`: what the package answers for one fit after the other, for
thousands in the time of one. A sample of them is held against the package's own answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STEP = 1e-2  # of the differences, as wide as the package's


@dataclass(frozen=True)
class OneWay:
    """The deviances of m responses (columns of Y) as functions of theta (m,) and sigma (m,)."""

    J: int
    n: int
    reml: bool
    D: Array
    T: Array
    log_xx: float
    yy: Array
    between: Array
    c: Array
    e: Array

    @classmethod
    def of(cls, Y: Array, X: Array, J: int, reml: bool) -> OneWay:
        """Rows come group after group."""
        n = len(X) // J
        Xb, Yb = X.reshape(J, n, -1).sum(1), Y.reshape(J, n, -1).sum(1)
        L = np.linalg.cholesky(X.T @ X)
        half = np.linalg.solve(L, Xb.T)
        D, Q = np.linalg.eigh(half @ half.T)
        T = np.linalg.solve(L.T, Q)
        return cls(
            J, n, reml, D, T, 2 * np.log(np.diag(L)).sum(),
            (Y**2).sum(0), (Yb**2).sum(0), T.T @ (X.T @ Y), T.T @ (Xb.T @ Yb),
        )  # fmt: skip

    @property
    def nu(self) -> int:
        """What the residual sum of squares is divided by."""
        return self.J * self.n - (len(self.D) if self.reml else 0)

    def parts(self, theta: Array) -> tuple[Array, Array, Array]:
        """Residual sum of squares, log determinants, and what is left of each axis (p, m)."""
        w = theta**2 / (1 + self.n * theta**2)
        left = 1 - w * self.D[:, None]
        rss = self.yy - w * self.between - ((self.c - w * self.e) ** 2 / left).sum(0)
        logs = self.J * np.log1p(self.n * theta**2)
        return rss, logs + self.reml * (np.log(left).sum(0) + self.log_xx), left

    def deviance(self, theta: Array, sigma: Array | None = None) -> Array:
        """Deviance (or REML criterion), at the best sigma unless one is given."""
        rss, logs, _ = self.parts(theta)
        s2 = rss / self.nu if sigma is None else sigma**2
        return self.nu * np.log(2 * np.pi * s2) + rss / s2 + logs

    def variances(self, theta: Array) -> tuple[Array, Array]:
        """Of the coefficients (p, m), over sigma^2; and the best sigma^2."""
        rss, _, left = self.parts(theta)
        return self.T**2 @ (1 / left), rss / self.nu

    def curvature(self, theta: Array) -> tuple[Array, Array, Array]:
        """At the optimum: covariance (m, 2, 2) of theta and log sigma^2, variances and slopes.

        Slopes (2, p, m) are those of the coefficients' variances in the two.
        """
        second = slope(lambda t: slope(self.deviance, t), theta)
        log_s2 = slope(lambda t: np.log(self.variances(t)[1]), theta)
        relative, s2 = self.variances(theta)
        slopes = np.stack([slope(lambda t: self.variances(t)[0], theta), relative]) * s2
        hessian = np.empty((theta.size, 2, 2))
        hessian[:, 0, 0] = second + self.nu * log_s2**2
        hessian[:, 0, 1] = hessian[:, 1, 0] = -self.nu * log_s2
        hessian[:, 1, 1] = self.nu
        return np.linalg.inv(hessian / 2), relative * s2, slopes


def slope(f: Callable[[Array], Array], at: Array) -> Array:
    """First derivatives by central differences of fourth order."""
    near, far = (f(at + h) - f(at - h) for h in (STEP, 2 * STEP))
    return (8 * near - far) / (12 * STEP)


def lowest(f: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Smallest values of m functions of one number between ``low`` and ``high`` (m,)."""
    best = np.full(low.shape, np.inf)
    for _ in range(5):
        points = np.linspace(low, high, 13)
        values = np.stack([f(point) for point in points])
        at = np.clip(values.argmin(0), 1, len(points) - 2)
        best = np.minimum(best, values.min(0))
        low, high = (np.take_along_axis(points, at[None] + side, 0)[0] for side in (-1, 1))
    return best
