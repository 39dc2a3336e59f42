"""Generalised linear mixed models of many data sets of one design, fitted together.

The log-likelihoods of ``many_likelihood`` are maximised over theta and beta jointly by quasi-Newton
steps (BFGS with backtracking; Nocedal and Wright, *Numerical Optimization*, 2006, chapters 3 and
6), every data set with a curvature and a step length of its own, all evaluated together; what is
finished is not evaluated again. Quadrature starts from Laplace's maximum and its curvature.

The likelihood is even in each column of Lambda, so its gradient vanishes where a column is zero,
whatever the data. There the values decide: a small column is put to zero if that costs nothing,
and a zero column is left again if a small step from it gains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.families import family as family_named
from mixedlab.engine.many_fixed import many_fixed
from mixedlab.engine.many_likelihood import ManyLikelihoods
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]
Objective = Callable[[Array, Indices], tuple[Array, Array]]

_FIRST_SD = 0.7  # standard deviation of a random effect's part of eta to start from
_NEAR = 1e-4  # gain in log-likelihood below which Laplace's maximum is left for quadrature's
_DONE = 1e-10  # gain below which a step is not worth taking
_AT_ZERO = 2e-3  # a scaled column of Lambda below this is tried at 0
_OFF_ZERO = 0.05  # where a zero column is tried again
_FAR = 12.0  # a linear predictor this far out means probabilities of 0 or 1 to five digits


@dataclass(frozen=True)
class ManyGeneralized:
    """The fits of m data sets.

    Attributes
    ----------
    beta : ndarray (m, p)
    theta : ndarray (m, k)
        Relative covariance factors as in `MixedFit.theta`.
    loglik : ndarray (m,)
    converged, singular : ndarray of bool (m,)
    suspect : ndarray of bool (m,)
        Fitted values at the end of their range, or 0/1 responses that do not vary within any
        group: an estimate may not exist. Look at such a data set alone.
    """

    beta: Array
    theta: Array
    loglik: Array
    converged: Mask
    singular: Mask
    suspect: Mask

    def __len__(self) -> int:
        return len(self.loglik)


def many_generalized(
    Y: ArrayLike,
    X: ArrayLike,
    terms: Sequence[RandomTerm],
    *,
    family: str | Family = "binomial",
    link: str | None = None,
    nagq: int = 1,
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    start: tuple[ArrayLike, ArrayLike] | None = None,
) -> ManyGeneralized:
    """Fit a generalised linear mixed model with one grouping factor to m responses.

    Parameters
    ----------
    Y : array (n, m)
        Responses on the scale of the mean, one data set a column; binomial ones are proportions,
        whose ``weights`` are the trials.
    X : array (n, p)
    terms : sequence of RandomTerm
        All of the same grouping factor; every level has a row.
    family, link
        As in `mixedlab.glmm`; a family without a dispersion.
    nagq : int
        1 is Laplace's approximation; k > 1 adaptive quadrature with k nodes a dimension.
    weights, offset : array (n,), optional
    start : (theta, beta), optional
        Where all start; by default each from its model without random effects.

    Raises
    ------
    DataError
        Shapes that do not fit, or a family that has a dispersion.
    """
    kind = family_named(family, link)
    if kind.has_dispersion:
        raise DataError(
            f"The {kind.name} family has a dispersion, which is not fitted for many data sets at "
            "once: fit them one by one."
        )
    y, X, n = np.asarray(Y, dtype=float), np.asarray(X, dtype=float), terms[0].index.size
    if y.ndim != 2 or not len(y) == len(X) == n:
        raise DataError(
            f"Y has shape {y.shape}, X {X.shape}, and there are {n} levels of rows: give a column "
            "of Y for each data set, and a row for each level."
        )
    w = 1.0 if weights is None else np.asarray(weights, dtype=float)
    o = np.zeros(n) if offset is None else np.asarray(offset, dtype=float)
    # Inside, every column has a mean square of 1, so that its unit costs no digit.
    x_scale, z_scales = _root_mean_square(X), [_root_mean_square(t.Z) for t in terms]
    scaled = [replace(t, Z=t.Z / scale) for t, scale in zip(terms, z_scales, strict=True)]
    problem = ManyLikelihoods(kind, y, X / x_scale, scaled, w, o)
    theta_scale = np.concatenate(z_scales)[problem.factor.rows]
    if start is None:
        x, runs_away = _start(problem)
    else:
        first = np.concatenate([np.asarray(start[0]) * theta_scale, np.asarray(start[1]) * x_scale])
        x, runs_away = np.tile(first, (problem.m, 1)), np.zeros(problem.m, dtype=bool)
    x, value, converged = _Fitting(problem).maximise(x, nagq)
    theta, beta = x[:, : problem.n_theta], x[:, problem.n_theta :]
    sign = _signs(problem, theta)
    runs_away |= np.abs(X @ (beta / x_scale).T).max(0, initial=0.0) > 15
    if kind.name == "binomial" and np.all(w == 1):
        runs_away |= _all_alike(problem)
    return ManyGeneralized(
        beta=beta / x_scale,
        theta=theta * sign / theta_scale + 0.0,
        loglik=value,
        converged=converged,
        singular=_singular(problem, theta),
        suspect=runs_away,
    )


def _start(problem: ManyLikelihoods) -> tuple[Array, Mask]:
    """Coefficients without random effects and modest variances; and whether they run away."""
    rows = problem.together
    weights = rows.design.copied_rows(np.broadcast_to(rows.weights, rows.y.shape))
    plain = many_fixed(rows.y, rows.X, rows.family, weights=weights, offset=rows.offset)
    beta, settled = plain.beta, plain.converged
    layout = problem.together.layout
    first = layout.pack([np.eye(q) * _FIRST_SD / q for q in layout.sizes])
    eta = rows.X @ beta.T
    far = np.abs(eta - np.median(eta, axis=0)).max(0, initial=0.0) > _FAR
    # A start far out would take the others' evaluations along.
    beta = np.where((far | ~settled)[:, None], np.clip(np.nan_to_num(beta), -5.0, 5.0), beta)
    return np.hstack([np.tile(first, (problem.m, 1)), beta]), far | ~settled


class _Fitting:
    """The maxima of a problem's log-likelihoods; parameters are (m, d): theta, then beta."""

    def __init__(self, problem: ManyLikelihoods) -> None:
        self.problem = problem
        self.u = np.zeros((*problem.together.no_effects().shape, problem.m))  # the last modes

    def objective(self, x: Array, which: Indices) -> tuple[Array, Array]:
        """Minus the log-likelihoods (m,), and their gradients (m, d)."""
        k = self.problem.n_theta
        at = self.problem(x[:, :k], x[:, k:], which, self.u[..., which])
        self.u[..., which] = at.u
        return -at.loglik, -at.gradient

    def maximise(self, x: Array, nagq: int) -> tuple[Array, Array, Mask]:
        """Parameters, log-likelihoods, and which of them are maxima."""
        problem = self.problem
        whole = np.arange(problem.m)
        inverse = self._first_inverse(x)
        if nagq > 1:
            rough, value, inverse, _ = quasi_newton_many(
                self.objective, x, inverse, whole, enough=_NEAR
            )
            self.problem = problem.with_nodes(nagq)
            x = np.where(np.isfinite(value)[:, None], rough, x)
        x, value, inverse, converged = quasi_newton_many(self.objective, x, inverse, whole)
        self._settle_at_zero(x, value)
        self._leave_zero(x, value, inverse, converged)
        return x, -value, converged & np.isfinite(value)

    def _first_inverse(self, x: Array) -> Array:
        """Inverse of a first Hessian (m, d, d).

        The information about beta given the random effects; for theta differences of gradients.
        """
        problem, k, whole = self.problem, self.problem.n_theta, np.arange(self.problem.m)
        inverse = np.zeros((whole.size, x.shape[1], x.shape[1]))
        here = self.objective(x, whole)[1]
        for a in range(k):
            there = self.objective(x + 1e-4 * (np.arange(x.shape[1]) == a), whole)[1]
            curvature = np.abs(there[:, a] - here[:, a]) / 1e-4
            inverse[:, a, a] = 1.0 / np.maximum(np.nan_to_num(curvature, posinf=0.0), 1.0)
        information = problem.information_of_beta(x[:, :k], x[:, k:], self.u)
        trace = np.einsum("mpp->m", information)[:, None, None]
        information += np.maximum(1e-8 * trace, 1e-12) * np.eye(x.shape[1] - k)
        inverse[:, k:, k:] = np.linalg.inv(np.nan_to_num(information, nan=1.0))
        return inverse

    def _columns(self, x: Array) -> list[tuple[Indices, Array]]:
        """For each column of Lambda its places in theta, and its largest entry (m,)."""
        cols = self.problem.factor.cols
        places = [np.flatnonzero(cols == c) for c in range(cols[-1] + 1)]
        return [(at, np.abs(x[:, at]).max(1)) for at in places]

    def _settle_at_zero(self, x: Array, value: Array) -> None:
        """Put columns of Lambda that are as good as zero exactly there."""
        trial = x.copy()
        for at, size in self._columns(x):
            trial[np.ix_(size < _AT_ZERO, at)] = 0.0
        which = np.flatnonzero((trial != x).any(1))
        if not which.size:
            return
        there, _ = self.objective(trial[which], which)
        good = there <= value[which] + 1e-7 * (1 + 1e-6 * np.abs(value[which]))
        x[which[good]], value[which[good]] = trial[which[good]], there[good]

    def _leave_zero(self, x: Array, value: Array, inverse: Array, converged: Mask) -> None:
        """Go on from where a column of Lambda is zero and a step from it gains."""
        for at, size in self._columns(x):
            which = np.flatnonzero((size < _AT_ZERO) & np.isfinite(value))
            if not which.size:
                continue
            trial = x[which]
            trial[:, at[0]] = _OFF_ZERO
            there, _ = self.objective(trial, which)
            gains = there < value[which] - 1e-8 * (1 + np.abs(value[which]))
            if not gains.any():
                continue
            which, trial = which[gains], trial[gains]
            new, there, _, done = quasi_newton_many(self.objective, trial, inverse[which], which)
            better = there < value[which]
            which = which[better]
            x[which], value[which], converged[which] = new[better], there[better], done[better]


def quasi_newton_many(
    objective: Objective, x: Array, inverse: Array, which: Indices, enough: float = _DONE
) -> tuple[Array, Array, Array, Mask]:
    """Minimise functions numbered ``which`` from x (m, d), by BFGS with backtracking.

    Parameters
    ----------
    objective : callable
        (points, numbers) -> (values, gradients); infinite where a point is not allowed.
    inverse : ndarray (m, d, d)
        First guesses of the inverse Hessians.
    enough : float
        A promised gain that is not worth a step.

    Returns
    -------
    x, value, inverse, converged
    """
    x, inverse = x.copy(), inverse.copy()
    value, gradient = objective(x, which)
    converged = np.zeros(len(x), dtype=bool)
    step = -np.einsum("mab,mb->ma", inverse, gradient)
    length, tries = np.ones(len(x)), np.zeros(len(x), dtype=int)
    left = np.flatnonzero(np.isfinite(value))
    for _ in range(500):
        slope = np.einsum("ma,ma->m", gradient[left], step[left])
        done = -0.5 * slope < enough + 1e-14 * np.abs(value[left])
        converged[left[done]] = True
        left, slope = left[~done], slope[~done]
        if not left.size:
            break
        trial = x[left] + length[left, None] * step[left]
        there, new_gradient = objective(trial, which[left])
        good = np.isfinite(there) & (there <= value[left] + 1e-4 * length[left] * slope)
        moved = left[good]
        s, change = trial[good] - x[moved], new_gradient[good] - gradient[moved]
        inverse[moved] = _bfgs(inverse[moved], s, change)
        x[moved], value[moved], gradient[moved] = trial[good], there[good], new_gradient[good]
        step[moved] = -np.einsum("mab,mb->ma", inverse[moved], gradient[moved])
        length[moved], tries[moved] = 1.0, 0
        bad = left[~good]
        length[bad] = _shorter(length[bad], value[bad], there[~good], slope[~good])
        tries[bad] += 1
        # A step that rounding will not let gain any more ends where it is.
        stuck = tries[left] > 30
        near = -0.5 * slope < 1e-7 * (1 + np.abs(value[left]))
        converged[left[stuck & near]] = True
        left = left[~stuck]
    return x, value, inverse, converged


def _bfgs(inverse: Array, s: Array, change: Array) -> Array:
    """Updated inverse Hessians (m, d, d); as they were where a step shows no curvature."""
    along = np.einsum("ma,ma->m", s, change)
    size = np.sqrt((s**2).sum(1) * (change**2).sum(1))
    carried = np.einsum("mab,mb->ma", inverse, change)
    curved = along > 1e-10 * size
    one = np.where(curved, along, 1.0)[:, None, None]
    twist = s[:, :, None] * carried[:, None]
    grown = (1 + np.einsum("ma,ma->m", change, carried)[:, None, None] / one) / one
    new = inverse + grown * s[:, :, None] * s[:, None] - (twist + twist.swapaxes(1, 2)) / one
    return np.where(curved[:, None, None], new, inverse)


def _shorter(length: Array, value: Array, there: Array, slope: Array) -> Array:
    """Lengths where a parabola through the last values is lowest, within a tenth and a half."""
    with np.errstate(all="ignore"):
        curve = 2 * (there - value - length * slope)
        best = np.where(curve > 0, -slope * length**2 / curve, length / 2)
    return np.where(np.isfinite(there), np.clip(best, 0.1 * length, 0.5 * length), 0.25 * length)


def _root_mean_square(X: Array) -> Array:
    scale = np.sqrt(np.mean(X**2, axis=0))
    return np.where(scale > 0, scale, 1.0)


def _signs(problem: ManyLikelihoods, theta: Array) -> Array:
    """Signs (m, k) that turn Lambda's columns so that no diagonal is negative."""
    diagonal = np.einsum("qqm->mq", problem.together.design.lambda_of(theta.T))
    return np.where(diagonal < 0, -1.0, 1.0)[:, problem.factor.cols]


def _singular(problem: ManyLikelihoods, theta: Array) -> Mask:
    """Whether some combination of a term's coefficients has variance zero."""
    out = np.zeros(len(theta), dtype=bool)
    Lam = problem.together.design.lambda_of(theta.T).transpose(2, 0, 1)
    for where in problem.factor.columns:
        values = np.linalg.svd(Lam[:, where, where], compute_uv=False)
        out |= values[:, -1] < 1e-4 * np.maximum(1.0, values[:, 0])
    return out


def _all_alike(problem: ManyLikelihoods) -> Mask:
    """Whether the 0/1 responses of every group are all 0 or all 1."""
    groups, y = problem.together.design.groups, problem.together.y
    successes, counts = groups.sum(y), groups.counts[:, None]
    return ((successes == 0) | (successes == counts)).all(0)
