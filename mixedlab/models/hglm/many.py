r"""H-likelihood fits of many data sets of one design, iterated together.

The equations are those of ``mixedlab.models.hglm.h_likelihood`` with one random intercept and
constant dispersions. Arrays gain a last axis, one place a data set: rows are (n, m), levels (J, m).
With ``D = Z'WZ + W2`` diagonal, ``B = X'WZ`` and the Schur complement ``S = X'WX - B D^-1 B'``,

    beta = S^-1 (X'Wz - B D^-1 r),    v = D^-1 (r - B' beta),    r = Z'Wz + W2 z2,

and the variances, over phi, of what hat values need are

    Var v_j = 1 / D_j + b_j' S^-1 b_j,    b_j = B_j / D_j,
    Var eta_i = (x_i - b_j)' S^-1 (x_i - b_j) + 1 / D_j.

Steps for effects and for dispersions alternate, with the leaps and extrapolations of one fit, until
both stand still; data sets that are finished drop out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine import blocks
from mixedlab.engine.families import Family
from mixedlab.engine.groups import Groups
from mixedlab.engine.random_families import RandomFamily
from mixedlab.models.hglm.augmented_system import NO_VARIANCE
from mixedlab.models.hglm.h_likelihood import (
    LEAP,
    MAX_STEPS,
    PATIENCE,
    PROGRESSION,
    TOLERANCE,
    rest_of_the_way,
    steadily_falling,
)

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_CELLS = 32_768  # rows x data sets handled at once: small enough for the processor's cache


@dataclass(frozen=True)
class ManyHLikelihood:
    """The fits of m data sets.

    Attributes
    ----------
    beta, se : ndarray (m, p)
    phi, lam : ndarray (m,)
        Dispersions of the responses and of the effects.
    converged, singular : ndarray of bool (m,)
        A data set that did not settle has nan; one without variance of the effects is singular.
    """

    beta: Array
    se: Array
    phi: Array
    lam: Array
    converged: Mask
    singular: Mask


def many_h_likelihood(
    Y: ArrayLike,
    X: ArrayLike,
    index: ArrayLike,
    family: Family,
    effects: RandomFamily,
    *,
    weights: ArrayLike | float = 1.0,
) -> ManyHLikelihood:
    """Fit a hierarchical model with one random intercept to m responses by h-likelihood.

    Parameters
    ----------
    Y : array (n, m)
        One data set a column; binomial responses are proportions, whose ``weights`` are trials.
    X : array (n, p)
    index : array of int (n,)
        Level of each row, 0 to J - 1.
    family, effects
        Of the responses, with its link; of the random effects.
    weights : array (n,) or number
    """
    y, X, index = np.asarray(Y, dtype=float), np.asarray(X, dtype=float), np.asarray(index)
    order = np.argsort(index, kind="stable")
    w = np.broadcast_to(np.asarray(weights, dtype=float), len(y))[order, None]
    y, X, counts, at_once = y[order], X[order], np.bincount(index), max(1, _CELLS // len(y))
    parts = [
        _Iteration(y[:, k : k + at_once], X, counts, family, effects, w).run()
        for k in range(0, y.shape[1], at_once)
    ]
    names = ManyHLikelihood.__dataclass_fields__
    return ManyHLikelihood(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


class _Iteration:
    """The state of all data sets that have not yet settled; names are those of the module's text.

    ``left`` (m,) numbers them; ``W`` and ``score`` are weights and first derivatives of the rows at
    phi = 1, ``falls`` the log scale of the effects at each step so far.
    """

    def __init__(self, y, X, counts, family, effects, weights) -> None:
        self.X, self.family, self.effects = X, family, effects
        self.groups, self.weights = Groups(counts), weights
        self.XX = np.einsum("na,nb->abn", X, X).reshape(-1, len(X))
        self.phi_known = not family.has_dispersion
        m = y.shape[1]
        self.y, self.left = y, np.arange(m)
        mu = family.start_mu(y, np.broadcast_to(weights, y.shape))
        self.eta = family.link.eta(mu)
        self.v = np.zeros((counts.size, m))
        has_unit = family.link.name in ("identity", "inverse")
        spread = np.var(self.eta, axis=0)
        unit = np.where(has_unit & (spread > 0), spread, 1.0)
        self.lam = np.clip(0.1 * spread / unit, 0.01, 1.0) * unit
        self.phi = np.ones(m)
        if not self.phi_known:
            self.phi = 0.5 * np.var(y, axis=0) if family.name == "gaussian" else np.full(m, 0.5)
        self.beta = np.zeros((X.shape[1], m))
        self.falls: list[Array] = []

    def run(self) -> ManyHLikelihood:
        """Steps until all have settled, or are given up."""
        m, p = self.y.shape[1], self.X.shape[1]
        beta, se = np.full((m, p), np.nan), np.full((m, p), np.nan)
        phi, lam = np.full(m, np.nan), np.full(m, np.nan)
        converged, singular = np.zeros(m, dtype=bool), np.zeros(m, dtype=bool)
        with np.errstate(all="ignore"):
            self._weigh()
            for step in range(1, MAX_STEPS + 1):
                change = self._step(step)
                gone = self._without_variance()
                done = (change < TOLERANCE) | gone
                if done.any():
                    at = self.left[done]
                    beta[at], phi[at], lam[at] = self.beta.T[done], self.phi[done], self.lam[done]
                    se[at] = self._standard_errors()[done]
                    converged[at], singular[at] = True, gone[done]
                stay = ~done & np.isfinite(change)
                if not stay.any():
                    break
                if not stay.all():
                    self._keep(stay)
        return ManyHLikelihood(beta, se, phi, lam, converged, singular)

    def _keep(self, stay: Mask) -> None:
        for name in ("y", "eta", "v", "beta", "W", "score"):
            setattr(self, name, getattr(self, name)[:, stay])
        for name in ("left", "lam", "phi"):
            setattr(self, name, getattr(self, name)[stay])
        self.falls = [fall[stay] for fall in self.falls]

    def _step(self, number: int) -> Array:
        """One step for the effects, one for the dispersions; the largest change (m,)."""
        old_eta, old_phi, old = self.eta, self.phi, self._log_scale()
        self._solve()
        self._weigh()
        self._dispersions()
        self.falls.append(self._log_scale())
        moved = np.zeros_like(self.lam)
        if number % PATIENCE == 0:
            moved = -LEAP * steadily_falling(self.falls)
        elif number % PROGRESSION == 0:
            moved = rest_of_the_way(self.falls)
        self.lam = self.lam * np.exp(moved)
        changes = [
            np.max(np.abs(self.eta - old_eta) / (1 + np.abs(old_eta)), axis=0),
            np.abs(self.falls[-1] + moved - old) / (1 + np.abs(old)),
            np.abs(np.log(self.phi / old_phi)) / (1 + np.abs(np.log(old_phi))),
        ]
        return np.max(changes, axis=0)

    def _log_scale(self) -> Array:
        return np.log(self.effects.scale(self.lam))

    def _weigh(self) -> None:
        """Weights and scores of the rows at eta, with phi = 1."""
        link = self.family.link
        mu, slope = link.mu(self.eta), link.dmu(self.eta)
        over = slope / self.family.variance(mu, self.weights)
        self.mu, self.W, self.score = mu, slope * over, over * (self.y - mu)

    def _factor(self) -> tuple[Array, Array, Array, Array]:
        """W2, D, b = B / D, and the inverse of the Cholesky factor of S."""
        p = len(self.beta)
        W = self.W / self.phi
        w2 = self.effects.augmented_curvature(self.v) / self.effects.scale(self.lam)
        D = self.groups.sum(W) + w2
        b = np.stack([self.groups.sum(x[:, None] * W) for x in self.X.T]) / D
        S = np.einsum("kn,nm->km", self.XX, W).reshape(p, p, -1)
        S = S - np.einsum("ajm,bjm,jm->abm", b, b, D)
        return w2, D, b, blocks.solve_lower(blocks.cholesky(S), _identity(p, W.shape[1]))

    def _solve(self) -> None:
        """One step of weighted least squares for beta and v."""
        w2, D, b, inverse = self._factor()
        Wz = (self.W * self.eta + self.score) / self.phi
        pull = self.effects.augmented_score(self.v, self.lam) / self.effects.scale(self.lam)
        r = self.groups.sum(Wz) + w2 * self.v + pull  # W2 z2 = W2 v + score
        right = np.einsum("np,nm->pm", self.X, Wz) - np.einsum("pjm,jm->pm", b, r)
        half = np.einsum("abm,bm->am", inverse, right)
        self.beta = np.einsum("abm,am->bm", inverse, half)
        self.v = r / D - np.einsum("pjm,pm->jm", b, self.beta)
        self.eta = np.einsum("np,pm->nm", self.X, self.beta) + self.groups.spread(self.v)

    def _dispersions(self) -> None:
        """Deviances over what the effects have left free of them."""
        w2, D, b, inverse = self._factor()
        along = np.einsum("abm,bjm->ajm", inverse, b)
        hat = w2 * (1 / D + (along**2).sum(0))
        free = np.clip(1 - hat, 1e-10, 1.0).sum(0)
        if not self.phi_known:
            deviance = self.family.deviance(self.y, self.mu, self.weights)
            # All hat values add up to the number of coefficients and effects.
            n_free = len(self.y) - len(self.beta) - free
            self.phi = np.maximum(deviance.sum(0) / n_free, 1e-300)
        mean = np.maximum(self.effects.deviance(self.v, self.lam).sum(0) / free, 1e-300)
        self.lam = np.maximum(self.effects.lambda_of_mean_deviance(mean), 1e-300)

    def _without_variance(self) -> Mask:
        """Which have lost the variance of their effects."""
        information = self.groups.sum(self.W) / self.phi
        gone = self.lam * information.min(0) < NO_VARIANCE
        typical = np.median(information[:, gone], axis=0)
        gone[gone] = self.lam[gone] * np.maximum(typical, 1e-300) < NO_VARIANCE
        return gone

    def _standard_errors(self) -> Array:
        inverse = self._factor()[3]
        return np.sqrt((inverse**2).sum(0)).T


def _identity(p: int, m: int) -> Array:
    return np.repeat(np.eye(p)[:, :, None], m, axis=2)
