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
so for large counts, but biased for 0/1 responses and few rows a group. Inverse-gamma effects have
the exact mean of their deviance. ``exact`` has the marginal likelihood.

The alternation has a fixed point or runs away: inverse-gamma effects may ask for more variance than
their family has (lambda to infinity), and phi may go to 0. Then `Estimates.trouble` says so.

Source: Lee and Nelder (1996), JRSS B 58:619; Lee and Nelder (2001), Biometrika 88:987;
Roennegard, Shen and Alam (2010), R Journal 2(2):20.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.fixed_likelihood import scoring
from mixedlab.engine.random_families import LARGEST_LAMBDA, RandomFamily
from mixedlab.models.hglm.augmented_system import AugmentedSystem
from mixedlab.models.hglm.data import (
    Estimates,
    HierarchicalData,
    block_diagonal,
    predictor,
    runs_away,
)

Array = NDArray[np.float64]

MAX_STEPS = 1000
TOLERANCE = 1e-10
LOOK = 4  # steps after which variances are looked at: one that is lost will not return
# Towards a boundary estimate, lambda = 0, log lambda falls by a constant for ever: after so many
# steady steps it leaps.
PATIENCE, LEAP = 20, 5.0
# A small lambda creeps to its estimate by steps in geometric progression: so often, log lambda is
# put where the progression leads (Aitken), and by no more than REACH.
PROGRESSION, REACH = 8, 3.0
STRIDE = 1.0  # log lambda moves no further in one step
REGROWTH = 1.02  # of the share of a step that is taken, once halved


@dataclass(frozen=True)
class _State:
    """Where the alternation stands."""

    beta: Array
    v: list[Array]
    eta: Array
    gamma: Array
    log_lambda: list[Array]
    phi: Array
    lam: list[Array]
    cautious: bool  # whether a step has leapt over the maximum
    # of each log lambda: its way to go, the share of it taken, and whether it turned back
    last_step: list[tuple[float, float, bool]]

    @property
    def watched(self) -> Array:
        """What must stop changing."""
        return np.concatenate([self.eta, self.gamma, *self.log_lambda])

    def moved(self, t: int, by: float, data: HierarchicalData) -> _State:
        """The same with log lambda of term t moved."""
        log_lambda, lam, last = list(self.log_lambda), list(self.lam), list(self.last_step)
        log_lambda[t] = log_lambda[t] + by * _constant(data.random_dispersion_X[t], np.e)
        lam[t] = lam[t] * np.exp(by)
        if by:
            last[t] = (0.0, last[t][1], False)
        return replace(self, log_lambda=log_lambda, lam=lam, last_step=last)


def fit_h_likelihood(data: HierarchicalData, tolerance: float = TOLERANCE) -> Estimates:
    """Estimate effects and dispersions by h-likelihood.

    Steps end when none moves a predictor or a log dispersion by more than ``tolerance``, relative
    to one more than its size.
    """
    system = AugmentedSystem(data)
    state, trouble, falls = _start(data), "", []
    for step in range(1, MAX_STEPS + 1):
        old, old_state = state.watched, state
        try:
            with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
                new = _effects(data, system, state, first=step == 1)
                # Dispersions say nothing before the effects are near where they belong.
                near = step == 1 or np.max(np.abs(new.eta - state.eta)) < 1
                state = _dispersions(data, system, new) if near else new
        except np.linalg.LinAlgError:
            trouble = "the information about the coefficients became singular"
        if trouble or not np.all(np.isfinite(state.watched)):
            state, trouble = old_state, trouble or "it ran to numbers that are not finite"
            break
        falls.append([float(np.mean(g)) for g in state.log_lambda])
        if step % PATIENCE == 0:
            for t in np.flatnonzero(steadily_falling(falls)):
                state = state.moved(t, -LEAP, data)
        elif step % PROGRESSION == 0:
            for t, rest in enumerate(rest_of_the_way(falls)):
                if state.log_lambda[t].size == 1 and state.last_step[t][1] == 1.0:
                    state = state.moved(t, rest, data)
        change = np.max(np.abs(state.watched - old) / (1 + np.abs(old)))
        if change < tolerance:
            break
        if step % LOOK == 0 and all(system.without_variance(state.eta, state.phi, state.lam)):
            break
    else:
        trouble = f"estimates still changed after {MAX_STEPS} steps"
    return _finish(data, system, state, step, trouble or _edge(data, state))


def _start(data: HierarchicalData) -> _State:
    y, family = data.y, data.family
    eta = family.link.eta(family.start_mu(y, data.weights))
    phi, gamma = np.ones_like(y), np.zeros(0)
    if not data.phi_known:
        first_phi = 0.5 * np.var(y) if family.name == "gaussian" else 0.5
        phi, gamma = np.full_like(y, first_phi), _constant(data.dispersion_X, first_phi)
    # a tenth of the variance of the link-transformed responses
    unit = data.lambda_unit
    lam = float(np.clip(0.1 * np.var(eta) / unit, 0.01, 1.0)) * unit
    return _State(
        beta=np.zeros(data.X.shape[1]),
        v=[np.zeros(t.n_levels) for t in data.terms],
        eta=eta,
        gamma=gamma,
        log_lambda=[_constant(D, lam) for D in data.random_dispersion_X],
        phi=phi,
        lam=[np.full(t.n_levels, lam) for t in data.terms],
        cautious=False,
        last_step=[(0.0, 1.0, False)] * len(data.terms),
    )


def _effects(data: HierarchicalData, system: AugmentedSystem, at: _State, first: bool) -> _State:
    """Coefficients and effects by one step of weighted least squares.

    Once a step has left the link's domain or lowered the h-likelihood, steps are cautious ones, and
    halved where they do so again. The first starts from
    the responses, which no coefficients give; where it fails, the model without effects is taken.
    """
    beta, v = system.solve(at.eta, at.v, at.phi, at.lam, at.cautious)
    eta = predictor(data, beta, v)
    before = -np.inf if first else h_likelihood(data, at.eta, at.v, at.phi, at.lam)
    for _ in range(30):
        value = h_likelihood(data, eta, v, at.phi, at.lam)
        if np.isfinite(value) and value >= before - 1e-11 * abs(before) - 1e-9:
            return replace(at, beta=beta, v=v, eta=eta)
        if first:
            beta, _ = scoring(data.family, data.y, data.X, data.weights, data.offset)
            return replace(at, beta=beta, eta=data.X @ beta + data.offset)
        if not at.cautious:
            return _effects(data, system, replace(at, cautious=True), first)
        beta, eta = (at.beta + beta) / 2, (at.eta + eta) / 2
        v = [(a + b) / 2 for a, b in zip(at.v, v, strict=True)]
    return at


def _dispersions(data: HierarchicalData, system: AugmentedSystem, at: _State) -> _State:
    """Phi and each lambda by one gamma regression of deviances."""
    gamma, phi = at.gamma, at.phi
    hat, random_hat, *_ = system.leverage(at.eta, at.v, at.phi, at.lam)
    if not data.phi_known:
        deviance = data.family.deviance(data.y, data.family.link.mu(at.eta), data.weights)
        gamma, phi, _ = _dispersion(deviance, hat, data.dispersion_X, gamma)
    log_lambda, lam, last = [], [], []
    for t, kind in enumerate(data.random):
        deviance = kind.deviance(at.v[t], at.lam[t])
        coefs, values, _ = _dispersion(
            deviance, random_hat[t], data.random_dispersion_X[t], at.log_lambda[t], kind
        )
        # The effects follow a leap of lambda by wild steps: it takes a stride at a time, and only
        # part of the way where it keeps turning back.
        way = np.log(values / at.lam[t])
        far = float(way[np.argmax(np.abs(way))])
        before, share, turned_before = at.last_step[t]
        turned = far * before < 0 and abs(far) > abs(before) / 2
        share = share / 2 if turned and turned_before else min(1.0, REGROWTH * share)
        part = min(share, STRIDE / max(abs(far), 1e-300))
        log_lambda.append(at.log_lambda[t] + part * (coefs - at.log_lambda[t]))
        lam.append(at.lam[t] * np.exp(part * way))
        last.append((far or before, share, turned))
    return replace(at, gamma=gamma, phi=phi, log_lambda=log_lambda, lam=lam, last_step=last)


def _edge(data: HierarchicalData, at: _State) -> str:
    """What ran away, in words."""
    for term, kind, lam in zip(data.terms, data.random, at.lam, strict=True):
        if kind.name == "inverse_gamma" and np.max(lam) >= LARGEST_LAMBDA:
            return runs_away(term)
    return ""


def _finish(
    data: HierarchicalData, system: AugmentedSystem, at: _State, n_steps: int, trouble: str
) -> Estimates:
    """Collect what is reported at the solution."""
    hat, random_hat, vcov_beta, v_sd = system.leverage(at.eta, at.v, at.phi, at.lam)
    blocks = [vcov_beta]
    if not data.phi_known:
        deviance = data.family.deviance(data.y, data.family.link.mu(at.eta), data.weights)
        blocks.append(_dispersion(deviance, hat, data.dispersion_X, at.gamma)[2])
    for t, kind in enumerate(data.random):
        deviance = kind.deviance(at.v[t], at.lam[t])
        D, coefs = data.random_dispersion_X[t], at.log_lambda[t]
        blocks.append(_dispersion(deviance, random_hat[t], D, coefs, kind)[2])
    # Laplace's approximation is constant below the floor, but its terms grow and cancel there.
    floors = system.floor(at.eta, at.phi)
    floor = [np.maximum(l, f) for l, f in zip(at.lam, floors, strict=True)]
    h = h_likelihood(data, at.eta, at.v, at.phi, floor)
    kinds = data.random
    return Estimates(
        beta=at.beta,
        gamma=at.gamma,
        log_lambda=at.log_lambda,
        vcov=block_diagonal(blocks),
        phi=at.phi,
        lam=at.lam,
        b=at.v,
        b_sd=v_sd,
        u=[k.u(v) for k, v in zip(kinds, at.v, strict=True)],
        u_sd=[np.abs(k.slope(v)) * sd for k, v, sd in zip(kinds, at.v, v_sd, strict=True)],
        loglik=h - 0.5 * system.log_curvature(at.eta, at.v, at.phi, floor),
        converged=not trouble,
        singular=any(system.without_variance(at.eta, at.phi, at.lam)),
        how="h-likelihood; log-likelihood by Laplace's method",
        n_steps=n_steps,
        trouble=trouble,
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


def _dispersion(
    deviance: Array, hat: Array, D: Array, coefs: Array, kind: RandomFamily | None = None
) -> tuple[Array, Array, Array]:
    """Gamma model of deviance / (1 - q) with weights (1 - q) / 2 and log link.

    Returns the coefficients of the log dispersion, the dispersion, and their covariance. The mean
    is the dispersion itself, or what ``kind`` makes of it.
    """
    free = np.clip(1 - hat, 1e-10, 1.0)
    if D.shape[1] == 1 and np.ptp(D) == 0:
        value, slope = max(float(np.sum(deviance) / np.sum(free)), 1e-300), 1.0
        if kind is not None:
            value = max(float(kind.lambda_of_mean_deviance(value)), 1e-300)
            slope = float(kind.mean_deviance(np.array(value))[1])
        return (
            np.array([np.log(value) / D[0, 0]]),
            np.full(deviance.shape, value),
            np.array([[2 / np.sum(free)]]) / (D[0, 0] * slope) ** 2,
        )
    response = np.maximum(deviance / free, 1e-300)
    for _ in range(100):
        log_value = D @ coefs
        mean, slope = np.exp(log_value), np.ones_like(log_value)
        if kind is not None:
            mean, slope = kind.mean_deviance(mean)
        working = log_value + np.clip(response / mean - 1, -1e6, 20) / slope
        weights = free / 2 * slope**2
        information = D.T @ (D * weights[:, None])
        new = np.linalg.solve(information, D.T @ (weights * working))
        done = np.max(np.abs(new - coefs)) < 1e-12 * (1 + np.max(np.abs(coefs)))
        coefs = new
        if done:
            break
    return coefs, np.exp(D @ coefs), np.linalg.inv(information)


def steadily_falling(falls: Sequence[Array]) -> NDArray[np.bool_]:
    """Where log lambda falls by steps that do not get smaller: it is on its way to 0."""
    steps = np.diff(np.array(falls[-PATIENCE:]), axis=0)
    last, first = steps[-1], steps[0]
    return (steps < 0).all(axis=0) & (last <= 0.98 * first) & (last < -1e-3)


def rest_of_the_way(falls: Sequence[Array]) -> Array:
    """How far each log lambda still is from its estimate if its steps keep their ratio.

    Aitken's extrapolation; 0 where the last steps are in no slow progression.
    """
    first, second, third = np.diff(np.array(falls[-4:]), axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        before, ratio = second / first, third / second
        rest = third * ratio / (1 - ratio)
    slow = (ratio > 0.5) & (ratio < 1) & (np.abs(ratio - before) < 0.1) & (np.abs(third) > 1e-9)
    return np.where(slow, np.clip(rest, -REACH, REACH), 0.0)


def _constant(D: Array, value: float) -> Array:
    """Coefficients of a log-linear model that is constant, if its columns allow one."""
    return np.linalg.lstsq(D, np.full(D.shape[0], np.log(value)), rcond=None)[0]
