"""Maximum of the marginal likelihood of a hierarchical model.

The parameters are beta, the coefficients of log phi, and log lambda. They are first rescaled by
the covariance that the h-likelihood fit reports, so that the surface is close to round. BFGS goes
to the top (of a likelihood with few nodes, where it takes quadrature), and Newton steps, with the
Hessian by differences of the analytic gradient, take it to the last digits. The inverse of that
Hessian is the covariance of *all* parameters, so standard errors of beta include that the
dispersions are estimated.

The likelihood without random effects (lambda = 0) is always maximised too: it is the answer when
no lambda above 0 does better.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.models.hglm.data import HierarchicalData
from mixedlab.models.hglm.h_likelihood import HLikelihoodFit
from mixedlab.models.hglm.integrated import Marginal, NoVariance, Quadrature

Array = NDArray[np.float64]
Downhill = Callable[[Array], tuple[float, Array]]

FEW_NODES = 25
NEWTON_STEPS = 20
DIFFERENCE = 1e-4  # of a standard error
LOG_LAMBDA_RANGE = np.array([-30.0, 12.0])  # of lambda over its unit


@dataclass
class ExactFit:
    """Maximum-likelihood estimates. ``vcov`` is for (beta, gamma, log lambda), in that order."""

    beta: Array
    gamma: Array
    lam: float
    vcov: Array
    loglik: float
    loglik_without: float  # maximum at lambda = 0
    converged: bool
    singular: bool
    gradient: float  # largest slope left, in log-likelihood a standard error
    u: Array
    u_sd: Array
    how: str

    @property
    def vcov_beta(self) -> Array:
        """Covariance of the fixed effects."""
        p = self.beta.size
        return self.vcov[:p, :p]


def fit_exact(data: HierarchicalData, marginal: Marginal, start: HLikelihoodFit) -> ExactFit:
    """Maximise ``marginal`` from the estimates by h-likelihood."""
    lam = float(np.clip(start.lam[0][0], 1e-3 * data.lambda_unit, 1e3 * data.lambda_unit))
    first = np.concatenate([start.beta, start.gamma[: _n_phi(data)], [np.log(lam)]])
    scale = _scale(data, start)
    rough = Quadrature(data, FEW_NODES) if isinstance(marginal, Quadrature) else marginal
    full = _climb(_Objective(data, marginal), first, scale, _Objective(data, rough))
    null = NoVariance(data)
    without = _climb(_Objective(data, null, fixed_lambda=True), first[:-1], scale[:-1, :-1])
    singular = without.value >= full.value - 1e-7
    top, form = (without, null) if singular else (full, marginal)

    p, d = data.X.shape[1], _n_phi(data)
    vcov = np.full((p + d + 1, p + d + 1), np.nan)
    k = top.at.size
    vcov[:k, :k] = top.vcov
    lam = 0.0 if singular else float(np.exp(top.at[-1]))
    beta, gamma = top.at[:p], top.at[p : p + d]
    u, u_sd = form.posterior(data.X @ beta + data.offset, _phi(data, gamma), lam)
    return ExactFit(
        beta=beta,
        gamma=gamma,
        lam=lam,
        vcov=vcov,
        loglik=top.value,
        loglik_without=without.value,
        converged=top.converged,
        singular=bool(singular),
        gradient=top.gradient,
        u=u,
        u_sd=u_sd,
        how=form.how,
    )


def loglik_at(
    data: HierarchicalData, marginal: Marginal, beta: Array, gamma: Array, lam: float
) -> float:
    """Marginal log-likelihood at given parameters."""
    if lam <= np.exp(LOG_LAMBDA_RANGE[0]) * data.lambda_unit:
        marginal = NoVariance(data)
    return marginal.value_and_slopes(data.X @ beta + data.offset, _phi(data, gamma), lam).value


def _n_phi(data: HierarchicalData) -> int:
    return 0 if data.phi_known else data.dispersion_X.shape[1]


def _phi(data: HierarchicalData, gamma: Array) -> Array:
    return np.ones_like(data.y) if data.phi_known else np.exp(data.dispersion_X @ gamma)


def _scale(data: HierarchicalData, start: HLikelihoodFit) -> Array:
    """Square root of the covariance of the parameters, as the h-likelihood fit has it."""
    p, d = data.X.shape[1], _n_phi(data)
    out = np.eye(p + d + 1)
    out[:p, :p] = np.linalg.cholesky(start.vcov)
    if d:
        out[p : p + d, p : p + d] = np.linalg.cholesky(start.gamma_vcov)
    out[-1, -1] = float(np.sqrt(np.clip(start.random_gamma_vcov[0][0, 0], 1e-4, 1.0)))
    return out


class _Objective:
    """Log-likelihood and gradient as a function of one parameter vector."""

    def __init__(
        self, data: HierarchicalData, marginal: Marginal, *, fixed_lambda: bool = False
    ) -> None:
        self.data, self.marginal, self.fixed_lambda = data, marginal, fixed_lambda

    def __call__(self, at: Array) -> tuple[float, Array]:
        data, p, d = self.data, self.data.X.shape[1], _n_phi(self.data)
        eta = data.X @ at[:p] + data.offset
        log_lambda = 0.0 if self.fixed_lambda else at[-1]
        low, high = LOG_LAMBDA_RANGE + np.log(data.lambda_unit)
        inside = self.fixed_lambda or low < log_lambda < high
        if not (inside and np.all(data.family.link.valid(eta))):
            return -np.inf, np.zeros_like(at)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            slopes = self.marginal.value_and_slopes(
                eta, _phi(data, at[p : p + d]), float(np.exp(log_lambda))
            )
        if not (np.isfinite(slopes.value) and np.all(np.isfinite(slopes.eta))):
            return -np.inf, np.zeros_like(at)
        gradient = [data.X.T @ slopes.eta]
        if d:
            gradient.append(data.dispersion_X.T @ slopes.log_phi)
        if not self.fixed_lambda:
            gradient.append([slopes.log_lambda])
        gradient = np.concatenate(gradient)
        if not np.all(np.isfinite(gradient)):
            return -np.inf, np.zeros_like(at)
        return slopes.value, gradient


@dataclass
class _Top:
    at: Array
    value: float
    vcov: Array
    gradient: float
    converged: bool


def _climb(
    objective: _Objective, first: Array, scale: Array, rough: _Objective | None = None
) -> _Top:
    """Maximise over ``at = first + scale @ z``; ``rough`` is a cheaper form for most of the way."""
    from scipy.optimize import minimize

    def downhill_of(form: _Objective) -> Downhill:
        def downhill(z: Array) -> tuple[float, Array]:
            value, gradient = form(first + scale @ z)
            return (-value if np.isfinite(value) else 1e300), -scale.T @ gradient

        return downhill

    exact = downhill_of(objective)
    quick = exact if rough is None else downhill_of(rough)
    z = np.zeros(first.size)
    # Where few nodes lead astray, the second round goes all the way with all of them.
    for form in (quick, exact):
        z = minimize(form, z, jac=True, method="BFGS", options={"gtol": 1e-6, "maxiter": 500}).x
        z, value, slope = _newton(exact, z, _hessian(form, z))
        if np.max(np.abs(slope)) < 1e-6:
            break
    left = float(np.max(np.abs(slope)))
    hessian = _hessian(exact, z)
    try:
        np.linalg.cholesky(hessian)
        vcov = scale @ np.linalg.inv(hessian) @ scale.T
    except np.linalg.LinAlgError:
        vcov = np.full_like(hessian, np.nan)
    return _Top(first + scale @ z, -value, vcov, left, left < 1e-4)


def _newton(downhill: Downhill, z: Array, hessian: Array) -> tuple[Array, float, Array]:
    """Newton's steps with one Hessian, while they make the gradient smaller."""
    value, slope = downhill(z)
    size = np.linalg.eigvalsh(hessian)
    for _ in range(NEWTON_STEPS if size[0] > 1e-10 * max(size[-1], 1.0) else 0):
        if np.max(np.abs(slope)) < 1e-9:
            break
        step = -np.linalg.solve(hessian, slope)
        new_value, new_slope = downhill(z + step)
        if np.max(np.abs(new_slope)) > np.max(np.abs(slope)):
            break
        z, value, slope = z + step, new_value, new_slope
    return z, value, slope


def _hessian(downhill: Downhill, z: Array) -> Array:
    """Hessian by central differences of the gradient."""
    H = np.empty((z.size, z.size))
    for k in range(z.size):
        step = np.zeros_like(z)
        step[k] = DIFFERENCE
        H[k] = (downhill(z + step)[1] - downhill(z - step)[1]) / (2 * DIFFERENCE)
    return (H + H.T) / 2
