"""Log-likelihood of a generalised linear model without random effects, and start values from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.integrated_likelihood import OUTSIDE, Evaluation

Array = NDArray[np.float64]


class FixedLikelihood:
    """The likelihood that remains when a model has no random term; called as the others are."""

    def __init__(
        self, family: Family, y: Array, X: Array, weights: Array | float, offset: Array
    ) -> None:
        self.family, self.y, self.X = family, y, X
        self.weights, self.offset = weights, offset
        self.constant = float(np.sum(family.constant(y, weights)))

    def __call__(
        self,
        theta: Array,
        beta: Array,
        dispersion: float = 1.0,
        gradient: bool = True,
        start: Evaluation | None = None,
    ) -> Evaluation:
        """Evaluate at one point; theta is empty, and nothing starts anywhere."""
        eta = self.offset + self.X @ beta
        with np.errstate(all="ignore"):
            l, l1 = self.family.value_and_score(self.y, eta, self.weights, dispersion)
        if not (np.isfinite(l.sum()) and np.isfinite(l1).all()):
            return OUTSIDE
        d_log_dispersion = 0.0
        if self.family.has_dispersion:
            d = self.family.dispersion_derivatives(self.y, eta, self.weights, dispersion)
            d_log_dispersion = float(d[0].sum())
        value = float(l.sum()) + self.constant
        return Evaluation(value, np.zeros(0), self.X.T @ l1, d_log_dispersion, eta=eta)

    def modes_by_beta(self, at: Evaluation, dispersion: float) -> list[Array]:
        """No random effects."""
        return []

    def information_of_beta(self, at: Evaluation, dispersion: float) -> Array:
        """Expected information ``X' W X``."""
        W = self.family.fisher_weights(at.eta, self.weights, dispersion)
        return self.X.T @ (np.where(np.isfinite(W), W, 0.0)[:, None] * self.X)


def scoring(
    family: Family,
    y: Array,
    X: Array,
    weights: Array | float,
    offset: Array,
    max_steps: int = 25,
) -> tuple[Array, bool]:
    """Coefficients of the generalised linear model by Fisher scoring, and whether it settled.

    It starts at the best of a step from means near each response, which is nearly there where the
    link takes any mean, and of models of one mean for all rows, which lie inside the range of
    every link. From there the deviance is never allowed to rise, so that every mean stays in its
    range and the result is never worse than one mean for all.

    Source: McCullagh and Nelder (1989), section 2.5.
    """

    def deviance(eta: Array) -> float:
        with np.errstate(all="ignore"):
            l = family.loglik(y, eta, weights, 1.0).sum()
        return -2 * float(l) if np.isfinite(l) else np.inf

    def scored(eta: Array) -> Array:
        """The weighted least-squares fit to the working response at eta."""
        with np.errstate(all="ignore"):
            W = family.fisher_weights(eta, weights)
            working = eta - offset + (y - family.link.mu(eta)) / family.link.dmu(eta)
        good = np.isfinite(W) & np.isfinite(working) & (W > 0)
        WX = X * np.where(good, W, 0.0)[:, None]
        # the pseudo-inverse: saturated rows may leave a column without weight
        return np.linalg.pinv(X.T @ WX, hermitian=True) @ (WX.T @ np.where(good, working, 0.0))

    w = np.broadcast_to(np.asarray(weights, dtype=float), y.shape)
    near = family.link.eta(family.start_mu(y, w))
    beta = scored(near)
    lowest = deviance(offset + X @ beta)
    for level in _one_mean(family, y, w, offset, near):
        if deviance(offset + level) < lowest:
            flat = np.linalg.lstsq(X, level, rcond=None)[0]
            now = deviance(offset + X @ flat)
            if now < lowest:
                beta, lowest = flat, now
    if not np.isfinite(lowest):
        return beta, False
    for _ in range(max_steps):
        step = scored(offset + X @ beta) - beta
        for halving in range(20):
            candidate = beta + step / 2**halving
            now = deviance(offset + X @ candidate)
            if now <= lowest + 1e-9 * abs(lowest):
                break
        else:
            return beta, False
        settled = abs(lowest - now) < 1e-8 * (abs(now) + 0.1)
        beta, lowest = candidate, now
        if settled:
            return beta, True
    return beta, False


def _one_mean(family: Family, y: Array, w: Array, offset: Array, near: Array) -> list[Array]:
    """Linear predictors, less the offset, of models of one mean or one level for all rows."""
    mean = family.start_mu(np.array([np.average(y, weights=w)]), np.array([w.sum()]))
    levels = [np.full(y.size, family.link.eta(mean)[0]) - offset]
    if offset.any():
        levels.append(np.full(y.size, np.average(near - offset, weights=w)))
    return [level for level in levels if np.isfinite(level).all()]
