r"""Solving estimating equations for marginal means: arrays only.

With D = d mu / d beta and A = diag(V(mu) / weights), rows are first divided by their sd at
phi = 1, then each cluster is multiplied by a root of R^-1 (:mod:`working_correlation`). D becomes
D*, y - mu becomes r*, and the equations of Liang and Zeger (1986, Biometrika 73:13) read
D*' r* = 0. A step adds M^-1 D*' r* to beta, M = D*' D*; phi and alpha follow by moments.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.families import Family
from mixedlab.errors import DataError
from mixedlab.models.gee.working_correlation import Clusters, Independence, WorkingCorrelation

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Equations:
    """The data, sorted by cluster, and what the equations need at a given beta.

    Attributes
    ----------
    order : ndarray of int, shape (n,)
        Row of the data at each place.
    X, y, weights, offset : ndarray
        In sorted order, X with orthonormal columns times sqrt(n). For binomial kinds y is a
        proportion and weights are trials.
    dispersion : float
        Theta of the negative binomial, kappa of the beta-binomial; else 1.
    """

    family: Family
    clusters: Clusters
    order: NDArray[np.intp]
    X: Array
    y: Array
    weights: Array
    offset: Array | float
    dispersion: float = 1.0

    def in_data_order(self, rows: Array) -> Array:
        """Undo the sorting."""
        out = np.empty_like(rows)
        out[self.order] = rows
        return out

    def eta(self, beta: Array) -> Array:
        """Linear predictor."""
        return self.X @ beta + self.offset

    def mean(self, beta: Array) -> Array:
        """Mean mu."""
        return self.family.link.mu(self.eta(beta))

    def standardised(self, beta: Array) -> tuple[Array, Array]:
        """D and y - mu, divided by the sd at phi = 1: A^(-1/2) D and the Pearson residuals."""
        eta = self.eta(beta)
        mu, slope = self.family.link.mu(eta), self.family.link.dmu(eta)
        sd = np.sqrt(self.family.variance(mu, self.weights, self.dispersion))
        return self.X * (slope / sd)[:, None], (self.y - mu) / sd

    def whitened(self, beta: Array, working: WorkingCorrelation) -> tuple[Array, Array]:
        """D* and r*: standardised rows times a root of R^-1."""
        D, e = self.standardised(beta)
        both = working.whiten(np.column_stack([D, e]))
        return both[:, :-1], both[:, -1]

    def allows(self, beta: Array) -> bool:
        """Whether every mean is one that the family can have."""
        eta = self.eta(beta)
        if not (np.isfinite(eta).all() and self.family.link.valid(eta).all()):
            return False
        with np.errstate(all="ignore"):
            mu = self.mean(beta)
            variance = self.family.variance(mu, self.weights, self.dispersion)
        # Means beyond 1e100 are a search gone astray; their squares would overflow.
        return bool((np.abs(mu) < 1e100).all() and ((variance > 0) & (variance < 1e200)).all())


def _start(equations: Equations) -> Array:
    """Weighted least squares on the linearised response, at means near the responses."""
    link, family, w = equations.family.link, equations.family, equations.weights
    mu = family.start_mu(equations.y, w)
    eta = link.eta(mu)
    with np.errstate(all="ignore"):
        root = link.dmu(eta) / np.sqrt(family.variance(mu, w, equations.dispersion))
    root = np.where(np.isfinite(root), root, 0.0)
    working = eta - equations.offset + (equations.y - mu) / link.dmu(eta)
    beta = np.linalg.lstsq(equations.X * root[:, None], working * root, rcond=None)[0]
    if equations.allows(beta):
        return beta
    # A flat start: the mean of all responses for every row, as far as X can give it.
    middle = link.eta(np.average(mu, weights=w))
    return np.linalg.lstsq(equations.X, middle - equations.offset + 0 * mu, rcond=None)[0]


@dataclass(frozen=True)
class Solution:
    """Where the steps ended; ``scale`` is phi there."""

    beta: Array
    scale: float
    converged: bool
    n_iterations: int


def solve(
    equations: Equations, working: WorkingCorrelation, beta: Array, max_iter: int
) -> Solution:
    """Steps for beta between moment estimates of phi and alpha, until both stand still."""
    if not equations.allows(beta):
        raise DataError(
            f"With link {equations.family.link.name!r} no start gives means that the "
            f"{equations.family.name} family can have: choose another link."
        )
    n_steps, converged = 0, False
    while n_steps < max_iter and not converged:
        scale = _moments(equations, working, beta)
        D, r = equations.whitened(beta, working)
        M = D.T @ D
        information, axes = np.linalg.eigh(M)
        if not information[0] > 1e-12 * information[-1]:
            break  # the means have reached the end of their range: nothing speaks of some direction
        step = axes @ ((axes.T @ (D.T @ r)) / information)
        # Still in units of the naive standard error, and still on the scale of the link: where a
        # coefficient runs to infinity the errors grow with it, and only the second one moves.
        moved, eta = np.abs(equations.X @ step).max(), np.abs(equations.eta(beta)).max()
        still = step @ M @ step < 1e-18 * scale
        converged = bool(still and moved < 1e-6 * max(eta, 1.0))
        halvings = 0
        while halvings < 30 and not equations.allows(beta + step):
            step, halvings = step / 2, halvings + 1
        if halvings == 30:
            break
        beta, n_steps = beta + step, n_steps + 1
    return Solution(beta, _moments(equations, working, beta), converged, n_steps)


def _moments(equations: Equations, working: WorkingCorrelation, beta: Array) -> float:
    """Return phi at beta, and let the working correlation estimate alpha."""
    _, e = equations.standardised(beta)
    scale = float(np.mean(e * e))
    residual = np.mean((equations.y - equations.mean(beta)) ** 2)
    if residual <= 1e-22 * np.mean(equations.y**2):
        raise DataError("The covariates fit every response exactly: nothing is left to model.")
    working.estimate(e, scale)
    return scale


def under_independence(equations: Equations, max_iter: int) -> tuple[Equations, Solution]:
    """Solve with R = I, and set the dispersion where the family has one.

    The negative binomial and the beta-binomial have a dispersion that shapes the variance:
    it makes the Pearson statistic n - p. Whatever is left goes into phi.
    """
    independence = Independence(equations.clusters)
    solution = solve(equations, independence, _start(equations), max_iter)
    if equations.family.name in ("negative_binomial", "beta_binomial"):
        for _ in range(20):
            before = equations.dispersion
            equations = replace(equations, dispersion=_dispersion(equations, solution.beta))
            solution = solve(equations, independence, solution.beta, max_iter)
            if abs(np.log(equations.dispersion / before)) < 1e-10:
                break
    return equations, solution


def _dispersion(equations: Equations, beta: Array) -> float:
    """Dispersion at which the Pearson statistic is n - p, between 1e-4 and 1e8."""
    from scipy.optimize import brentq

    mu = equations.mean(beta)
    df = mu.size - beta.size

    def excess(log_dispersion: float) -> float:
        variance = equations.family.variance(mu, equations.weights, np.exp(log_dispersion))
        return float(np.sum((equations.y - mu) ** 2 / variance)) - df

    # More dispersion means less variance, so the statistic rises with it.
    low, high = np.log(1e-4), np.log(1e8)
    if excess(low) > 0:
        return 1e-4
    return 1e8 if excess(high) < 0 else float(np.exp(brentq(excess, low, high, xtol=1e-12)))
