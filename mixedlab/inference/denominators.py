"""Degrees of freedom for the variances having been estimated: Satterthwaite, Kenward-Roger.

``L b`` of k contrasts has covariance ``L V L'``, and ``F = (L b)' (L V L')^-1 (L b) / k`` would be
chi-squared over k if V were known. A *reference* gives the covariance to use, and what
``scale * F`` is compared with: F with k and m degrees of freedom.

References
----------
Satterthwaite (1946), Biometrics Bulletin 2, 110-114; Fai & Cornelius (1996), J. Stat. Comput.
Simul. 54, 363-378. Kenward & Roger (1997), Biometrics 53, 983-997.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixedlab.errors import MixedlabError
from mixedlab.inference.contract import Fit, LinearModel, refuse
from mixedlab.inference.curvature import invert_curved

Array = NDArray[np.float64]
Method = Literal["wald", "satterthwaite", "kenward-roger"]

_POLE = 1e-6  # what is nearer to a pole than this is there


def reference(fit: Fit, method: Method) -> Wald:
    """The reference of a fit's tests by one of the three methods; refused in words."""
    if method not in Method.__args__:
        raise MixedlabError(f"df is 'wald', 'satterthwaite' or 'kenward-roger', not {method!r}.")
    if method == "wald":
        return Wald(fit.vcov_beta)
    refuse(fit, method)
    return Satterthwaite.of(fit) if method == "satterthwaite" else KenwardRoger.of(fit)


@dataclass(frozen=True)
class Wald:
    """The variances taken as known: infinitely many degrees of freedom.

    Attributes
    ----------
    vcov : ndarray, shape (p, p)
        Covariance of the coefficients that tests and intervals use.
    """

    vcov: Array

    @property
    def se(self) -> Array:
        """Standard errors (p,) of the coefficients."""
        return np.sqrt(np.diag(self.vcov))

    @property
    def df(self) -> Array:
        """Degrees of freedom (p,) of each coefficient on its own."""
        return np.array([self.denominator(row[None])[0] for row in np.eye(len(self.vcov))])

    def denominator(self, L: Array) -> tuple[float, float]:
        """Denominator degrees of freedom m of contrasts (k, p), and the scale of F."""
        return np.inf, 1.0

    def F(self, beta: Array, L: Array) -> tuple[float, float]:
        """F of ``L beta = 0`` for contrasts (k, p), scaled, and its denominator's m."""
        m, scale = self.denominator(L)
        estimate = L @ beta
        return scale * float(estimate @ np.linalg.solve(L @ self.vcov @ L.T, estimate)) / len(L), m


@dataclass(frozen=True)
class Satterthwaite(Wald):
    """``2 v^2 / Var(v)`` of a single contrast, v its squared standard error.

    ``Var(v)`` is by the delta method from the observed curvature of the deviance. Several contrasts
    are turned to the axes of ``L V L'``: the sum of k independent t^2 with m_i degrees of freedom
    has mean ``E = sum m_i / (m_i - 2)``, that of ``k F`` with ``m = 2 E / (E - k)``.
    """

    slopes: Array
    covariance: Array

    @classmethod
    def of(cls, fit: LinearModel) -> Satterthwaite:
        """Of a linear model, from the curvature of its deviance."""
        curvature = fit.curvature()
        return cls(fit.vcov_beta, curvature.vcov_slopes, curvature.covariance)

    def denominator(self, L: Array) -> tuple[float, float]:  # noqa: D102
        k = len(L)
        _, axes = np.linalg.eigh(L @ self.vcov @ L.T)
        L = axes.T @ L if k > 1 else L
        v = np.einsum("kp,pq,kq->k", L, self.vcov, L)
        slopes = np.einsum("kp,apq,kq->ak", L, self.slopes, L)
        m = 2.0 * v**2 / np.einsum("ak,ab,bk->k", slopes, self.covariance, slopes)
        if np.ptp(m) < 1e-8 * m[0]:
            return float(m.mean()), 1.0
        if (m <= 2.0).any():
            return 2.0, 1.0  # a mean that does not exist
        E = float(np.sum(m / (m - 2.0)))
        return 2.0 * E / (E - k), 1.0


@dataclass(frozen=True)
class KenwardRoger(Wald):
    """The covariance enlarged for V having been estimated, and F matched by its two moments.

    V is linear in the variances and covariances of the random effects and the residual variance;
    derivatives with respect to them are those of `RowCovariance`, in the notation of Kenward &
    Roger (1997): ``phi`` is the plain covariance, ``W`` that of the variance parameters.
    """

    phi: Array
    P: Array
    W: Array

    @classmethod
    def of(cls, fit: LinearModel) -> KenwardRoger:
        """Of a linear model fitted by REML."""
        pieces, phi = Derivatives.of(fit), fit.vcov_beta
        P, Q, W = pieces.P, pieces.Q, invert_curved(pieces.information(phi))
        # Eq. 5 of the paper; the term with second derivatives of V is zero, V being linear.
        correction = np.einsum("ab,abpq->pq", W, Q - np.einsum("apq,qr,brs->abps", P, phi, P))
        return cls(phi + 2.0 * phi @ correction @ phi, phi, P, W)

    def denominator(self, L: Array) -> tuple[float, float]:
        """Section 3 of the paper, for k contrasts."""
        k, phi, W = len(L), self.phi, self.W
        theta = L.T @ np.linalg.solve(L @ phi @ L.T, L)
        crossed = theta @ phi @ self.P @ phi
        traces = np.trace(crossed, axis1=1, axis2=2)
        A1 = float(traces @ W @ traces)
        A2 = float(np.einsum("ab,apq,bqp->", W, crossed, crossed))
        if A2 <= 0.0:
            return np.inf, 1.0  # the variances do not matter
        B = (A1 + 6.0 * A2) / (2.0 * k)
        g = ((k + 1.0) * A1 - (k + 4.0) * A2) / ((k + 2.0) * A2)
        c1, c2, c3 = (x / (3.0 * k + 2.0 * (1.0 - g)) for x in (g, k - g, k + 2.0 - g))
        # Of F with m degrees of freedom the mean is 1 / (1 - A2 / k) = m / (m - 2), and the
        # variance has poles at 2 and 4: k rho = variance / (2 mean^2) k is kept as a ratio, so that
        # balanced data with exactly 1, 2 or 4 degrees of freedom divide by nothing. At 2 both
        # factors of `ratio` vanish.
        left = 1.0 - A2 / k
        ratio = 1.0 if abs(left) < _POLE else (1.0 - c2 * B) / left
        below, above = ratio**2 * (1.0 - c3 * B), 1.0 + c1 * B
        m = 4.0 + (k + 2.0) * below / (above - below)
        return m, 1.0 if abs(m - 2.0) < _POLE else m * left / (m - 2.0)


@dataclass(frozen=True)
class Derivatives:
    """Derivatives in the variance parameters, the residual variance last.

    ``P[a] = -X'S V_a S X``, ``Q[a, b] = X'S V_a S V_b S X``, ``traces[a, b] = tr(S V_a S V_b)``
    with ``S = V^-1`` and ``V_a = dV / d parameter a``.
    """

    P: Array
    Q: Array
    traces: Array

    def information(self, phi: Array) -> Array:
        """Expected information of the variance parameters under REML."""
        second = np.einsum("pq,abqp->ab", phi, self.Q)
        third = np.einsum("pq,aqr,rs,bsp->ab", phi, self.P, phi, self.P)
        return (self.traces - 2.0 * second + third) / 2.0

    @classmethod
    def of(cls, fit: LinearModel) -> Derivatives:
        """Those of V in units of sigma^2; each ``S`` brings a factor ``1 / sigma^2``."""
        P, Q, traces = fit.row_covariance().derivatives()
        s2 = fit.sigma**2
        return cls(-P / s2**2, Q / s2**3, traces / s2**2)
