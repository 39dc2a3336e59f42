"""Tests of the fixed effects: Wald, Satterthwaite, Kenward-Roger.

A ratio of estimate and standard error is normal only when the variances are known. Both
corrections refer it to t with fewer degrees of freedom; Kenward and Roger also enlarge the
standard error, for the variances having been estimated.

References
----------
Satterthwaite (1946), Biometrics Bulletin 2, 110-114; Fai & Cornelius (1996), J. Stat. Comput.
Simul. 54, 363-378. Kenward & Roger (1997), Biometrics 53, 983-997.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from mixedlab.errors import MixedlabError
from mixedlab.inference.contract import Fit, LinearModel, answers, refuse
from mixedlab.inference.curvature import invert_curved

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
Method = Literal["wald", "satterthwaite", "kenward-roger"]

_POLE = 1e-6  # what is nearer to 1 than this is 1


def tests(fit: Fit, df: Method | None = None) -> pd.DataFrame:  # noqa: PT028
    """Test each coefficient against zero.

    Parameters
    ----------
    fit : Fit
    df : {"satterthwaite", "kenward-roger", "wald"}, optional
        How the reference distribution is chosen: t with approximate degrees of freedom, or
        normal. The first two are for linear models, Kenward-Roger for REML fits. By default
        Satterthwaite's where they can be had, otherwise Wald's.

    Returns
    -------
    DataFrame
        One row a coefficient: ``estimate, se, df, t, p`` (``z`` for Wald, ``df`` infinite);
        ``attrs["df"]`` names the method.
    """
    import pandas as pd
    from scipy import stats

    if df is None:
        df = "satterthwaite" if answers(fit, "satterthwaite") else "wald"
    found = approximation(fit, df)
    ratio = fit.beta / found.se
    p = 2.0 * stats.t.sf(np.abs(ratio), found.df)  # normal where df is infinite
    columns = {"estimate": fit.beta, "se": found.se, "df": found.df}
    columns |= {"z" if df == "wald" else "t": ratio, "p": p}
    table = pd.DataFrame(columns, index=list(fit.names))
    table.attrs["df"] = df
    return table


@dataclass(frozen=True)
class Approximation:
    """Standard errors and degrees of freedom of the fixed effects, each of shape (p,)."""

    se: Array
    df: Array


def approximation(fit: Fit, df: Method) -> Approximation:
    """Standard errors and degrees of freedom by one of the three methods."""
    se = np.sqrt(np.diag(fit.vcov_beta))
    if df == "wald":
        return Approximation(se, np.full(se.shape, np.inf))
    if df not in ("satterthwaite", "kenward-roger"):
        raise MixedlabError(f"df is 'wald', 'satterthwaite' or 'kenward-roger', not {df!r}.")
    refuse(fit, df)
    return Approximation(se, satterthwaite(fit)) if df == "satterthwaite" else kenward_roger(fit)


def satterthwaite(fit: LinearModel) -> Array:
    """Degrees of freedom ``2 v^2 / Var(v)`` of each coefficient, v its squared standard error.

    ``Var(v)`` is by the delta method from the observed curvature of the deviance.
    """
    curvature = fit.curvature()
    slopes = np.diagonal(curvature.vcov_slopes, axis1=1, axis2=2)
    variance = np.einsum("ap,ab,bp->p", slopes, curvature.covariance, slopes)
    return 2.0 * np.diag(fit.vcov_beta) ** 2 / variance


def kenward_roger(fit: LinearModel) -> Approximation:
    """Adjusted standard errors and degrees of freedom of each coefficient.

    V is linear in the variances and covariances of the random effects and the residual
    variance; derivatives with respect to them are those of `RowCovariance`, in the notation of
    Kenward & Roger (1997), section 2.
    """
    pieces = _Derivatives.of(fit)
    phi, P, Q, I = fit.vcov_beta, pieces.P, pieces.Q, pieces.information(fit.vcov_beta)
    W = invert_curved(I)
    # Eq. 5 of the paper; the term with second derivatives of V is zero, V being linear.
    correction = np.einsum("ab,abpq->pq", W, Q - np.einsum("apq,qr,brs->abps", P, phi, P))
    adjusted = phi + 2.0 * phi @ correction @ phi
    df = np.empty(len(phi))
    for k in range(len(phi)):
        theta = np.zeros_like(phi)
        theta[k, k] = 1.0 / phi[k, k]
        df[k] = _denominator_df(theta, phi, P, W)
    return Approximation(np.sqrt(np.diag(adjusted)), df)


def _denominator_df(theta: Array, phi: Array, P: Array, W: Array) -> float:
    """Denominator degrees of freedom of a test with one numerator degree (section 3)."""
    traces = np.einsum("pq,aqp->a", theta @ phi, P @ phi)
    A1 = float(traces @ W @ traces)
    crossed = np.einsum("pq,aqr->apr", theta @ phi, P @ phi)
    A2 = float(np.einsum("ab,apq,bqp->", W, crossed, crossed))
    B = (A1 + 6.0 * A2) / 2.0
    g = (2.0 * A1 - 5.0 * A2) / (3.0 * A2) if A2 else 0.0
    c1, c2, c3 = (x / (3.0 + 2.0 * (1.0 - g)) for x in (g, 1.0 - g, 3.0 - g))
    # Of F with m degrees of freedom the mean is 1 / (1 - A2) = m / (m - 2), and the variance has
    # poles at 2 and 4: rho = variance / (2 mean^2) is kept as a ratio, so that balanced data with
    # exactly 1, 2 or 4 degrees of freedom divide by nothing. At 2 both factors of `ratio` vanish.
    ratio = 1.0 if abs(1.0 - A2) < _POLE else (1.0 - c2 * B) / (1.0 - A2)
    below, above = ratio**2 * (1.0 - c3 * B), 1.0 + c1 * B
    return 4.0 + 3.0 * below / (above - below)


@dataclass(frozen=True)
class _Derivatives:
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
    def of(cls, fit: LinearModel) -> _Derivatives:
        """Those of V in units of sigma^2; each ``S`` brings a factor ``1 / sigma^2``."""
        P, Q, traces = fit.row_covariance().derivatives()
        s2 = fit.sigma**2
        return cls(-P / s2**2, Q / s2**3, traces / s2**2)
