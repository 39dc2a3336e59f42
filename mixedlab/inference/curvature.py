"""Curvature of a linear model's deviance in its variance parameters, to full accuracy.

The optimiser works with average information. Degrees of freedom, the conditional AIC and Wald
intervals of variances need the observed curvature: central differences of the exact gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.profiled import Evaluation, ProfiledDeviance
from mixedlab.engine.quasi_newton import derivatives_along

Array = NDArray[np.float64]

# Eigenvalues below this share of the largest are flat directions: boundary or unidentified.
_FLAT = 1e-7


@dataclass(frozen=True)
class Curvature:
    """The deviance around its minimum as a function of ``(theta, log sigma^2)``.

    theta is on the engine's internal scale. ``hessian`` has theta first, log sigma^2 last.

    Attributes
    ----------
    profiled : ndarray (k, k)
        Second derivatives of the deviance with sigma profiled out.
    hessian : ndarray (k + 1, k + 1)
        Second derivatives of the deviance in all variance parameters.
    vcov_slopes : ndarray (k + 1, p, p)
        Derivatives of the covariance of the fixed effects in them.
    """

    profiled: Array
    hessian: Array
    vcov_slopes: Array

    @classmethod
    def of(cls, problem: ProfiledDeviance, x: Array, here: Evaluation) -> Curvature:
        """Differentiate at the optimum ``x``, where the deviance is ``here``.

        With ``s(theta)`` the best sigma^2 at theta, the deviance at any other is
        ``d(theta) + nu (log(sigma^2 / s) + s / sigma^2 - 1)``: so one gradient of the profiled
        deviance and s at each point give the whole Hessian.
        """
        k, p, nu = x.size, problem.p, problem.nu

        def known(x: Array) -> Array:
            at = problem(x)
            relative = problem.vcov_of(at) / at.sigma2
            return np.concatenate([at.gradient, [np.log(at.sigma2)], relative.ravel()])

        size = 1e-2 * np.maximum(1.0, np.abs(x))
        moved = derivatives_along(known, x, np.diag(size)).reshape(k, k + 1 + p * p) / size[:, None]
        profiled, log_s2 = (moved[:, :k] + moved[:, :k].T) / 2, moved[:, k]
        by_theta = here.sigma2 * moved[:, k + 1 :].reshape(k, p, p)
        slopes = np.concatenate([by_theta, problem.vcov_of(here)[None]])
        hessian = np.empty((k + 1, k + 1))
        hessian[:k, :k] = profiled + nu * np.outer(log_s2, log_s2)
        hessian[k, :k] = hessian[:k, k] = -nu * log_s2
        hessian[k, k] = nu
        return cls(profiled, hessian, slopes)

    @property
    def covariance(self) -> Array:
        """Covariance (k + 1, k + 1) of the estimates, flat directions left out."""
        return invert_curved(self.hessian / 2.0)


def invert_curved(matrix: Array) -> Array:
    """Inverse of a symmetric matrix over the directions where it is clearly positive."""
    scale = np.sqrt(np.abs(np.diag(matrix)))
    scale[scale == 0] = 1.0
    values, axes = np.linalg.eigh(matrix / np.outer(scale, scale))
    curved = values > _FLAT * values.max(initial=0.0)
    axes = axes[:, curved] / scale[:, None]
    return (axes / values[curved]) @ axes.T
