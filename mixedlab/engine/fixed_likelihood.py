"""Log-likelihood of a generalised linear model without random effects, and start values from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.grouped_likelihood import Evaluation

Array = NDArray[np.float64]


class FixedLikelihood:
    """The likelihood that remains when a model has no random term; called as the others are."""

    def __init__(
        self, family: Family, y: Array, X: Array, weights: Array | float, offset: Array
    ) -> None:
        self.family, self.y, self.X = family, y, X
        self.weights, self.offset = weights, offset

    def __call__(
        self, theta: Array, beta: Array, dispersion: float = 1.0, gradient: bool = True
    ) -> Evaluation:
        """Evaluate at one point; theta is empty."""
        eta = self.offset + self.X @ beta
        with np.errstate(all="ignore"):
            l, l1 = self.family.value_and_score(self.y, eta, self.weights, dispersion)
        out = Evaluation(float(l.sum()))
        if not (out.finite and np.isfinite(l1).all()):
            return Evaluation(-np.inf)
        self.eta = eta
        out.d_theta = np.zeros(0)
        out.d_beta = self.X.T @ l1
        if self.family.has_dispersion:
            d = self.family.dispersion_derivatives(self.y, eta, self.weights, dispersion)
            out.d_log_dispersion = float(d[0].sum())
        return out

    def modes(self) -> list[Array]:
        """No random effects."""
        return []

    def mode_covariances(self) -> list[Array]:
        """No random effects."""
        return []

    def predictive_variance(self, terms: list) -> Array | float:
        """No random effects."""
        return 0.0

    def solve_modes(self, W: Array, x: Array) -> list[Array]:
        """No random effects."""
        return []


def scoring(
    family: Family,
    y: Array,
    X: Array,
    weights: Array | float,
    offset: Array,
    max_steps: int = 25,
) -> tuple[Array, bool]:
    """Coefficients of the generalised linear model by Fisher scoring, and whether it settled.

    McCullagh and Nelder (1989), section 2.5. Deviance is not allowed to rise.
    """
    w = np.broadcast_to(np.asarray(weights, dtype=float), y.shape)
    eta = family.link.eta(family.start_mu(y, w))
    deviance, beta = np.inf, np.zeros(X.shape[1])
    for _ in range(max_steps):
        with np.errstate(all="ignore"):
            d = family.link.dmu(eta)
            W = family.fisher_weights(eta, weights)
            working = eta - offset + (y - family.link.mu(eta)) / d
        good = np.isfinite(W) & np.isfinite(working) & (W > 0)
        W, working = np.where(good, W, 0.0), np.where(good, working, 0.0)
        WX = X * W[:, None]
        # the pseudo-inverse: saturated rows may leave a column without weight
        step = np.linalg.pinv(X.T @ WX, hermitian=True) @ (WX.T @ working) - beta
        for halving in range(12):
            candidate = beta + step / 2**halving
            eta_new = offset + X @ candidate
            with np.errstate(all="ignore"):
                l = family.loglik(y, eta_new, weights, 1.0)
                new_deviance = -2 * float(l.sum())
            if np.isfinite(new_deviance) and new_deviance <= deviance + 1e-9 * abs(deviance):
                break
        else:
            return beta, False
        settled = abs(deviance - new_deviance) < 1e-8 * (abs(new_deviance) + 0.1)
        beta, eta, deviance = candidate, eta_new, new_deviance
        if settled:
            return beta, True
    return beta, False
