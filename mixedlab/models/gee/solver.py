r"""Solving estimating equations for marginal means: arrays only.

With D = d mu / d beta and A = diag(V(mu) / weights), rows are first divided by their sd at
phi = 1, then whitened by the working correlation (`mixedlab.engine.correlation`). D becomes
D*, y - mu becomes r*, and the equations of Liang and Zeger (1986, Biometrika 73:13) read
D*' r* = 0. A step adds M^-1 D*' r* to beta, M = D*' D*; phi and alpha follow by moments.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.correlation import Clusters, Correlation, Independence
from mixedlab.engine.families import Family
from mixedlab.engine.fixed_likelihood import scoring
from mixedlab.errors import DataError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moments:
    """What the residuals at some beta say of their spread.

    Attributes
    ----------
    scale : float
        phi, the mean squared Pearson residual.
    alpha : float, ndarray or None
        Parameter of the working correlation.
    limited : bool
        Whether alpha was moved back to where R is a correlation matrix.
    """

    scale: float
    alpha: Any
    limited: bool


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What the equations are made of at one beta.

    Attributes
    ----------
    beta, eta, mu : ndarray
        Coefficients (p,), linear predictor and means (n,).
    D : ndarray, shape (n, p)
        A^(-1/2) d mu / d beta.
    e : ndarray, shape (n,)
        Pearson residuals A^(-1/2) (y - mu).
    """

    beta: Array
    eta: Array
    mu: Array
    D: Array
    e: Array

    def moments(self, working: Correlation) -> Moments:
        """Phi and alpha from the residuals."""
        scale = float(np.mean(self.e * self.e))
        return Moments(scale, *working.by_moments(self.e, scale))

    def whitened(self, working: Correlation, alpha: Any) -> tuple[Array, Array]:
        """D* and r*: rows times a root of R(alpha)^-1."""
        both = working.whiten(np.column_stack([self.D, self.e]), alpha)
        return both[:, :-1], both[:, -1]


@dataclass(frozen=True, eq=False)
class Equations:
    """The data and the family.

    Attributes
    ----------
    X, y, weights, offset : ndarray
        X has orthonormal columns times sqrt(n). For binomial kinds y is a proportion and weights
        are trials.
    dispersion : float
        Theta of the negative binomial, kappa of the beta-binomial; else 1.
    """

    family: Family
    clusters: Clusters
    X: Array
    y: Array
    weights: Array
    offset: Array
    dispersion: float = 1.0

    def at(self, beta: Array) -> Evaluation | None:
        """Means and standardised rows; None where a mean is none that the family can have."""
        link = self.family.link
        eta = self.X @ beta + self.offset
        if not (np.isfinite(eta).all() and link.valid(eta).all()):
            return None
        with np.errstate(all="ignore"):
            mu = link.mu(eta)
            variance = self.family.variance(mu, self.weights, self.dispersion)
        # Means beyond 1e100 are a search gone astray; their squares would overflow.
        if not ((np.abs(mu) < 1e100) & (variance > 0) & (variance < 1e200)).all():
            return None
        sd = np.sqrt(variance)
        return Evaluation(beta, eta, mu, self.X * (link.dmu(eta) / sd)[:, None], (self.y - mu) / sd)


@dataclass(frozen=True, eq=False)
class Solution:
    """Where the steps ended, and the moments there."""

    beta: Array
    moments: Moments
    converged: bool
    n_iterations: int


def solve(
    equations: Equations, working: Correlation, start: Evaluation | None, max_iter: int
) -> Solution:
    """Steps for beta between moment estimates of phi and alpha, until both stand still."""
    if start is None:
        raise DataError(
            f"With link {equations.family.link.name!r} no start gives means that the "
            f"{equations.family.name} family can have: choose another link."
        )
    here, n_steps, converged = start, 0, False
    while n_steps < max_iter and not converged:
        moments = here.moments(working)
        D, r = here.whitened(working, moments.alpha)
        M = D.T @ D
        information, axes = np.linalg.eigh(M)
        if not information[0] > 1e-12 * information[-1]:
            break  # the means have reached the end of their range: nothing speaks of some direction
        step = axes @ ((axes.T @ (D.T @ r)) / information)
        # Still in units of the naive standard error, and still on the scale of the link: where a
        # coefficient runs to infinity the errors grow with it, and only the second one moves.
        moved = np.abs(equations.X @ step).max()
        still = step @ M @ step < 1e-18 * moments.scale
        converged = bool(still and moved < 1e-6 * max(np.abs(here.eta).max(), 1.0))
        trials = (equations.at(here.beta + step / 2**k) for k in range(30))
        there = next((trial for trial in trials if trial is not None), None)
        if there is None:
            break
        here, n_steps = there, n_steps + 1
    if np.mean((equations.y - here.mu) ** 2) <= 1e-22 * np.mean(equations.y**2):
        raise DataError("The covariates fit every response exactly: nothing is left to model.")
    return Solution(here.beta, here.moments(working), converged, n_steps)


def under_independence(equations: Equations, max_iter: int) -> tuple[Equations, Solution]:
    """Solve with R = I, and set the dispersion where the family has one.

    The negative binomial and the beta-binomial have a dispersion that shapes the variance:
    it makes the Pearson statistic n - p. Whatever is left goes into phi.
    """
    independence, e = Independence(equations.clusters), equations
    start, _ = scoring(e.family, e.y, e.X, e.weights, e.offset, max_steps=0)
    solution = solve(equations, independence, equations.at(start), max_iter)
    if equations.family.name in ("negative_binomial", "beta_binomial"):
        for _ in range(20):
            before = equations.dispersion
            mu = equations.at(solution.beta).mu
            equations = replace(equations, dispersion=_dispersion(equations, mu))
            solution = solve(equations, independence, equations.at(solution.beta), max_iter)
            if abs(np.log(equations.dispersion / before)) < 1e-10:
                break
    return equations, solution


def _dispersion(equations: Equations, mu: Array) -> float:
    """Dispersion at which the Pearson statistic is n - p, between 1e-4 and 1e8."""
    from scipy.optimize import brentq

    df = mu.size - equations.X.shape[1]

    def excess(log_dispersion: float) -> float:
        variance = equations.family.variance(mu, equations.weights, np.exp(log_dispersion))
        return float(np.sum((equations.y - mu) ** 2 / variance)) - df

    # More dispersion means less variance, so the statistic rises with it.
    low, high = np.log(1e-4), np.log(1e8)
    if excess(low) > 0:
        return 1e-4
    return 1e8 if excess(high) < 0 else float(np.exp(brentq(excess, low, high, xtol=1e-12)))
