r"""Hierarchical generalised linear models by h-likelihood: two linked sets of weighted regressions.

**Effects.** The random effects v are estimated as if they were coefficients. Each adds one row
to the data, whose response is psi and whose mean is u (see ``random_families``)::

    [ y   ]        [ X  Z ]  [beta]
    [ psi ]  mean  [ 0  I ]  [ v  ]

One step of iteratively reweighted least squares solves, with the working weights W of the
responses and W2 of the augmented rows,

.. math::
    \begin{pmatrix} X'WX & X'WZ \\ Z'WX & Z'WZ + W_2 \end{pmatrix}
    \begin{pmatrix} \beta \\ v \end{pmatrix}
    = \begin{pmatrix} X'Wz \\ Z'Wz + W_2 z_2 \end{pmatrix}.

The factor with most levels makes a diagonal block of Z'WZ + W2, so it is eliminated first; other
factors stand with the columns of X.

**Dispersions.** The hat values q of the augmented regression count how many parameters each row
has used. The deviances d / (1 - q) are responses of a gamma model with log link and weights
(1 - q) / 2, for the responses (phi) and for each random term (lambda). With one constant, this is
``sum d / sum(1 - q)``. For normal responses and effects the whole is REML.

The deviance stands in for the log density (extended quasi-likelihood): exact for normal and nearly
so for large counts, but biased for 0/1 responses and few rows a group. ``hierarchical_exact``
has the marginal likelihood.

Source: Lee and Nelder (1996), JRSS B 58:619; Lee and Nelder (2001), Biometrika 88:987;
Roennegard, Shen and Alam (2010), R Journal 2(2):20.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mixedlab.models.hglm.data import HierarchicalData

Array = NDArray[np.float64]

MAX_STEPS = 1000
TOLERANCE = 1e-10
# Towards a boundary estimate, lambda = 0, log lambda falls by a constant for ever: after so many
# steady steps it leaps.
PATIENCE, LEAP = 20, 5.0
# A small lambda creeps to its estimate by steps in geometric progression: so often, log lambda is
# put where the progression leads (Aitken), and by no more than REACH.
PROGRESSION, REACH = 8, 3.0
# An effect is without variance when the data of a typical level, with information I about it, pull
# it from 0 by no more than this share: lambda I / (1 + lambda I).
NO_VARIANCE = 1e-8


@dataclass
class HLikelihoodFit:
    """Estimates by h-likelihood. ``gamma`` and ``random_gamma`` are in log phi and log lambda."""

    beta: Array
    vcov: Array
    v: list[Array]
    v_sd: list[Array]
    gamma: Array
    gamma_vcov: Array
    random_gamma: list[Array]
    random_gamma_vcov: list[Array]
    phi: Array
    lam: list[Array]
    eta: Array
    hat: Array
    loglik: float  # Laplace: h profiled over v and adjusted by its curvature
    h: float
    n_steps: int
    converged: bool
    singular: bool  # some random term has no variance
    history: list[float] = field(default_factory=list)


def fit_h_likelihood(data: HierarchicalData) -> HLikelihoodFit:
    """Estimate effects and dispersions by h-likelihood."""
    y, family, terms = data.y, data.family, data.terms
    system = _AugmentedSystem(data)
    mu = family.start_mu(y, data.weights)
    eta = family.link.eta(mu)
    v = [np.zeros(t.n_levels) for t in terms]
    phi, first_lambda = np.ones_like(y), _first_lambda(data, eta)
    gamma = np.zeros(data.dispersion_X.shape[1])
    lam = [np.full(t.n_levels, first_lambda) for t in terms]
    random_gamma = [_constant(D, first_lambda) for D in data.random_dispersion_X]
    if not data.phi_known:
        phi *= 0.5 * np.var(y) if family.name == "gaussian" else 0.5
        gamma = _constant(data.dispersion_X, phi[0])

    beta, history, falls, converged = np.zeros(data.X.shape[1]), [], [], False
    for step in range(1, MAX_STEPS + 1):
        old = np.concatenate([eta, gamma, *random_gamma])
        new_beta, new_v = system.solve(eta, v, phi, lam)
        new_eta = system.predictor(new_beta, new_v)
        if step > 1:  # halve steps that leave the link's domain or lower the h-likelihood badly
            new_beta, new_v, new_eta = _halved(
                data, (beta, v, eta), (new_beta, new_v, new_eta), phi, lam
            )
        beta, v, eta = new_beta, new_v, new_eta
        hat, random_hat, *_ = system.leverage(eta, v, phi, lam)
        mu = family.link.mu(eta)
        if not data.phi_known:
            gamma, phi, _ = _dispersion(
                family.deviance(y, mu, data.weights), hat, data.dispersion_X, gamma
            )
        for t, kind in enumerate(data.random):
            coefs, scale, _ = _dispersion(
                kind.deviance(v[t], lam[t]), random_hat[t], data.random_dispersion_X[t],
                random_gamma[t],
            )  # fmt: skip
            random_gamma[t], lam[t] = coefs, kind.lambda_of_scale(scale)
        falls.append([float(np.mean(g)) for g in random_gamma])
        for t in _steadily_falling(falls) if step % PATIENCE == 0 else ():
            random_gamma[t], lam[t] = random_gamma[t] - LEAP, lam[t] * np.exp(-LEAP)
        if step % PROGRESSION == 0 and step % PATIENCE:
            for t, rest in enumerate(_rest_of_the_way(falls)):
                if random_gamma[t].size == 1:
                    random_gamma[t], lam[t] = random_gamma[t] + rest, lam[t] * np.exp(rest)
        new = np.concatenate([eta, gamma, *random_gamma])
        change = float(np.max(np.abs(new - old) / (1 + np.abs(old))))
        history.append(change)
        if change < TOLERANCE or all(system.without_variance(eta, phi, lam)):
            converged = True
            break
    return _finish(data, system, beta, v, eta, phi, gamma, lam, random_gamma, history, converged)


def _finish(data, system, beta, v, eta, phi, gamma, lam, random_gamma, history, converged):
    """Collect what is reported at the solution."""
    hat, random_hat, vcov, v_sd = system.leverage(eta, v, phi, lam)
    mu = data.family.link.mu(eta)
    gamma_vcov = np.zeros((gamma.size, gamma.size))
    if not data.phi_known:
        deviance = data.family.deviance(data.y, mu, data.weights)
        gamma_vcov = _dispersion(deviance, hat, data.dispersion_X, gamma)[2]
    random_vcov = [
        _dispersion(kind.deviance(v[t], lam[t]), random_hat[t], data.random_dispersion_X[t],
                    random_gamma[t])[2]
        for t, kind in enumerate(data.random)
    ]  # fmt: skip
    gone = system.without_variance(eta, phi, lam)
    # Laplace's approximation is constant below the floor, but its terms grow and cancel there.
    floor = [np.maximum(l, f) for l, f in zip(lam, system.floor(eta, phi), strict=True)]
    h = h_likelihood(data, eta, v, phi, floor)
    return HLikelihoodFit(
        beta=beta,
        vcov=vcov,
        v=v,
        v_sd=v_sd,
        gamma=gamma,
        gamma_vcov=gamma_vcov,
        random_gamma=random_gamma,
        random_gamma_vcov=random_vcov,
        phi=phi,
        lam=lam,
        eta=eta,
        hat=hat,
        loglik=h - 0.5 * system.log_curvature(eta, v, phi, floor),
        h=h,
        n_steps=len(history),
        converged=converged,
        singular=any(gone),
        history=history,
    )


def h_likelihood(
    data: HierarchicalData, eta: Array, v: list[Array], phi: Array, lam: list[Array]
) -> float:
    """Log f(y | v) + log f(v): the joint log density of responses and effects."""
    total = np.sum(row_loglik(data, eta, phi))
    return float(
        total + sum(np.sum(k.logpdf(b, l)) for k, b, l in zip(data.random, v, lam, strict=True))
    )


def row_loglik(data: HierarchicalData, eta: Array, phi: Array) -> Array:
    """Log density of each response. A dispersion of its own divides a row's weight.

    With an estimated phi the binomial and the Poisson are quasi-families: then the deviance form
    ``-(log(2 pi phi V(y)) + d / phi) / 2`` stands in (Nelder and Pregibon 1987).
    """
    family = data.family
    if data.phi_known or family.has_dispersion:
        return family.loglik(data.y, eta, data.weights / phi, 1.0)
    deviance = family.deviance(data.y, family.link.mu(eta), data.weights)
    inside = family.start_mu(data.y, data.weights)
    variance = family.unit_variance(inside) / data.weights
    return -0.5 * (np.log(2 * np.pi * phi * variance) + deviance / phi)


class _AugmentedSystem:
    """The normal equations, with the largest factor eliminated.

    ``M`` holds X and the columns of all other factors; ``penalty`` is W2 of those columns.
    """

    def __init__(self, data: HierarchicalData) -> None:
        self.data, self.p = data, data.X.shape[1]
        self.sizes = [t.n_levels for t in data.terms]
        self.large = int(np.argmax(self.sizes))
        self.others = [t for t in range(len(self.sizes)) if t != self.large]
        self.index = data.terms[self.large].index
        self.z = data.terms[self.large].Z[:, 0]
        columns = [data.X]
        for t in self.others:
            term = data.terms[t]
            columns.append(term.Z[:, :1] * (term.index[:, None] == np.arange(term.n_levels)))
        self.M = np.concatenate(columns, axis=1)
        first = np.cumsum([self.p, *(self.sizes[t] for t in self.others)])
        self.slots = {t: slice(first[k], first[k + 1]) for k, t in enumerate(self.others)}

    def predictor(self, beta: Array, v: list[Array]) -> Array:
        """X beta + Z v + offset."""
        eta = self.data.X @ beta + self.data.offset
        for term, b in zip(self.data.terms, v, strict=True):
            eta = eta + term.Z[:, 0] * b[term.index]
        return eta

    def floor(self, eta: Array, phi: Array) -> list[float]:
        """The lambda of each term below which it counts as none."""
        w = self.data.family.fisher_weights(eta, self.data.weights) / phi
        typical = [
            np.median(np.bincount(t.index, w * t.Z[:, 0] ** 2, t.n_levels)) for t in self.data.terms
        ]
        return [NO_VARIANCE / max(float(i), 1e-300) for i in typical]

    def without_variance(self, eta: Array, phi: Array, lam: list[Array]) -> list[bool]:
        """Which terms have lost their variance."""
        return [float(np.max(l)) < f for l, f in zip(lam, self.floor(eta, phi), strict=True)]

    def _factor(self, eta, v, phi, lam):
        """Working weights and the Schur complement S of the large block D."""
        data = self.data
        w = data.family.fisher_weights(eta, data.weights) / phi
        w2 = [
            k.augmented_curvature(b) / k.scale(l)
            for k, b, l in zip(data.random, v, lam, strict=True)
        ]
        J = self.sizes[self.large]
        D = np.bincount(self.index, w * self.z**2, J) + w2[self.large]
        MW = self.M * w[:, None]
        order, starts, present = self._by_group()
        B = np.zeros((J, self.M.shape[1]))
        B[present] = np.add.reduceat((MW * self.z[:, None])[order], starts, axis=0)
        A = self.M.T @ MW
        for t, slot in self.slots.items():
            A[slot, slot] += np.diag(w2[t])
        S = A - B.T @ (B / D[:, None])
        return w, w2, D, B, S, MW

    def _by_group(self) -> tuple[NDArray, NDArray, NDArray]:
        if not hasattr(self, "_groups"):
            order = np.argsort(self.index, kind="stable")
            present, starts = np.unique(self.index[order], return_index=True)
            self._groups = order, starts, present
        return self._groups

    def solve(self, eta, v, phi, lam) -> tuple[Array, list[Array]]:
        """One step of weighted least squares: new beta and v."""
        data = self.data
        w, w2, D, B, S, MW = self._factor(eta, v, phi, lam)
        working = (
            eta - data.offset + (data.y - data.family.link.mu(eta)) / data.family.link.dmu(eta)
        )
        made_up = [  # W2 z2 = W2 v + score
            w2[t] * v[t] + k.augmented_score(v[t], lam[t]) / k.scale(lam[t])
            for t, k in enumerate(data.random)
        ]
        right_large = np.bincount(self.index, w * self.z * working, D.size) + made_up[self.large]
        right = MW.T @ working
        for t, slot in self.slots.items():
            right[slot] += made_up[t]
        coefs = np.linalg.solve(S, right - B.T @ (right_large / D))
        new_v: list[Array] = [np.empty(0)] * len(self.sizes)
        new_v[self.large] = (right_large - B @ coefs) / D
        for t, slot in self.slots.items():
            new_v[t] = coefs[slot]
        return coefs[: self.p], new_v

    def leverage(self, eta, v, phi, lam):
        """Hat values of responses and augmented rows, Cov(beta), and sd of each v given y."""
        w, w2, D, B, S, _ = self._factor(eta, v, phi, lam)
        inverse = np.linalg.inv(S)
        # The variance of row m'a + z b_j is (m - z B_j/D_j)' S^-1 (same) + z^2 / D_j.
        ratio = B / D[:, None]
        rest = self.M - self.z[:, None] * ratio[self.index]
        row = np.einsum("ij,ij->i", rest @ inverse, rest) + self.z**2 / D[self.index]
        variance: list[Array] = [np.empty(0)] * len(self.sizes)
        variance[self.large] = np.einsum("ij,ij->i", ratio @ inverse, ratio) + 1 / D
        for t, slot in self.slots.items():
            variance[t] = np.diag(inverse)[slot]
        hats = [a * b for a, b in zip(w2, variance, strict=True)]
        return w * row, hats, inverse[: self.p, : self.p], [np.sqrt(s) for s in variance]

    def log_curvature(self, eta, v, phi, lam) -> float:
        """Log |(Z'WZ + curvature of log f(v)) / 2 pi|, the adjustment of Laplace's method."""
        data = self.data
        _, w2, D, B, _, _ = self._factor(eta, v, phi, lam)
        exact = [k.curvature(b, l) for k, b, l in zip(data.random, v, lam, strict=True)]
        D = D + exact[self.large] - w2[self.large]
        inner = slice(self.p, None)
        C = self.M[:, inner].T @ (
            self.M[:, inner] * (data.family.fisher_weights(eta, data.weights) / phi)[:, None]
        )
        for t, slot in self.slots.items():
            k = np.arange(slot.start - self.p, slot.stop - self.p)
            C[k, k] += exact[t]
        C = C - B[:, inner].T @ (B[:, inner] / D[:, None])
        count = sum(self.sizes)
        return float(np.sum(np.log(D)) + np.linalg.slogdet(C)[1] - count * np.log(2 * np.pi))


def _dispersion(deviance, hat, D, coefs):
    """Gamma model of deviance / (1 - q) with weights (1 - q) / 2 and log link.

    Returns the coefficients of the log dispersion, the dispersion, and their covariance.
    """
    free = np.clip(1 - hat, 1e-10, 1.0)
    if D.shape[1] == 1 and np.ptp(D) == 0:
        value = max(float(np.sum(deviance) / np.sum(free)), 1e-300)
        return (
            np.array([np.log(value) / D[0, 0]]),
            np.full(deviance.shape, value),
            np.array([[2 / np.sum(free)]]) / D[0, 0] ** 2,
        )
    response = np.maximum(deviance / free, 1e-300)
    for _ in range(100):
        log_mean = D @ coefs
        working = log_mean + np.clip(response * np.exp(-log_mean) - 1, -1e6, 20)
        information = D.T @ (D * (free / 2)[:, None])
        new = np.linalg.solve(information, D.T @ (free / 2 * working))
        done = np.max(np.abs(new - coefs)) < 1e-12 * (1 + np.max(np.abs(coefs)))
        coefs = new
        if done:
            break
    return coefs, np.exp(D @ coefs), np.linalg.inv(information)


def _steadily_falling(falls: list[list[float]]) -> list[int]:
    """Which terms' log lambda falls by steps that do not get smaller: it is on its way to 0."""
    steps = np.diff(np.array(falls[-PATIENCE:]), axis=0)
    steady = (steps < 0).all(axis=0) & (steps[-1] <= 0.98 * steps[0]) & (steps[-1] < -1e-3)
    return np.flatnonzero(steady).tolist()


def _rest_of_the_way(falls: list[list[float]]) -> Array:
    """How far each log lambda still is from its estimate if its steps keep their ratio.

    Aitken's extrapolation; 0 where the last steps are in no slow progression.
    """
    first, second, third = np.diff(np.array(falls[-4:]), axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        before, ratio = second / first, third / second
        rest = third * ratio / (1 - ratio)
    slow = (ratio > 0.5) & (ratio < 1) & (np.abs(ratio - before) < 0.1) & (np.abs(third) > 1e-9)
    return np.where(slow, np.clip(rest, -REACH, REACH), 0.0)


def _halved(data, old, new, phi, lam):
    """Shorten a step until the predictor is in the link's domain and h has not collapsed."""
    start = h_likelihood(data, old[2], old[1], phi, lam)
    for _ in range(30):
        mu = data.family.link.mu(new[2])
        with np.errstate(all="ignore"):
            value = h_likelihood(data, new[2], new[1], phi, lam)
        inside = np.all(data.family.link.valid(new[2])) and np.all(np.isfinite(mu))
        if inside and value >= start - 0.5 * abs(start) * 1e-6 - 1e-9:
            return new
        new = (
            (old[0] + new[0]) / 2,
            [(a + b) / 2 for a, b in zip(old[1], new[1], strict=True)],
            (old[2] + new[2]) / 2,
        )
    return old


def _first_lambda(data: HierarchicalData, eta: Array) -> float:
    """A tenth of the variance of the link-transformed responses, as a start."""
    share = float(np.clip(0.1 * np.var(eta) / data.lambda_unit, 0.01, 1.0))
    return share * data.lambda_unit


def _constant(D: Array, value: float) -> Array:
    """Coefficients of a log-linear model that is constant, if its columns allow one."""
    return np.linalg.lstsq(D, np.full(D.shape[0], np.log(value)), rcond=None)[0]
