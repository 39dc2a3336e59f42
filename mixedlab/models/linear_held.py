"""Standard deviations and correlations of a linear model as parameters of its deviance.

What a reader asks about is sd, correlation and sigma; what the engine knows is the deviance in
``T = cov(b) / sigma^2``. A parameter is held fixed by elimination. Write ``T = M M'`` with the
coefficients in an order that puts the parameter's first: then fixing an sd fixes ``M[0, 0]``, and
fixing a correlation fixes the direction of row 1. All other entries of M stay free, whatever
their signs, so that the rest is minimised without constraints.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.optimise import lower_factor
from mixedlab.engine.profiled import Evaluation, ProfiledDeviance
from mixedlab.engine.quasi_newton import descend, hessian_by_differences, plain
from mixedlab.inference.contract import LinearModel, Parameter

Array = NDArray[np.float64]

# Deviances are wanted to this accuracy: then zeta = 2 is right to 3e-8.
_TOLERANCE = 1e-7


class VarianceHeld:
    """The deviance with one sd, correlation or sigma held: minimised over all other parameters.

    The free entries are those of each term's M, with rows in units of the columns' root mean
    square, and ``log sigma`` unless sigma itself is held.
    """

    def __init__(self, fit: LinearModel, problem: ProfiledDeviance, parameter: Parameter) -> None:
        self.fit, self.problem, self.parameter = fit, problem, parameter
        self.orders = [np.arange(t.n_coefs) for t in fit.terms]
        if parameter.term >= 0:
            head = list(dict.fromkeys([parameter.first, parameter.second]))
            rest = [k for k in self.orders[parameter.term] if k not in head]
            self.orders[parameter.term] = np.array(head + rest)
        self.scales = [
            np.sqrt(np.mean(t.Z**2, axis=0))[order]
            for t, order in zip(fit.terms, self.orders, strict=True)
        ]
        self.lowest = fit.criterion
        self.first_step = self._first_step()

    def _first_step(self) -> float:
        """About a third of a standard error, as many rows and groups would give."""
        fit, parameter = self.fit, self.parameter
        if parameter.kind == "sigma":
            return fit.sigma / np.sqrt(2.0 * fit.n_obs) / 3
        term = fit.terms[parameter.term]
        if parameter.kind == "cor":
            return max(1.0 - parameter.estimate**2, 0.1) / np.sqrt(term.n_levels) / 3
        size = np.sqrt(np.mean(term.Z[:, parameter.first] ** 2))
        noise = fit.sigma / size / np.sqrt(fit.n_obs / term.n_levels)
        return max(parameter.estimate, noise) / np.sqrt(2.0 * term.n_levels) / 3

    def start(self) -> Array:
        """The free entries at the estimate, zero variances moved off zero."""
        fit, parts = self.fit, []
        for t, (cov, order) in enumerate(zip(fit.covariances, self.orders, strict=True)):
            scale = self.scales[t]
            M = _root(cov[np.ix_(order, order)] / fit.sigma**2) * scale[:, None]
            # At zero the gradient vanishes: a variance that should grow would stay there.
            M[np.diag_indices_from(M)] = np.maximum(np.diag(M), 0.03)
            parts.append(self._free_of(t, M))
        if self.parameter.kind != "sigma":
            parts.append(np.array([np.log(fit.sigma)]))
        return np.concatenate(parts)

    def minimum(self, value: float, start: Array) -> tuple[float, Array]:
        """Lowest deviance with the parameter at ``value``, and the free entries there."""
        objective = plain(lambda free: self.deviance(value, free))
        free, at = descend(objective, start, self._curvature, enough=_TOLERANCE)
        return at.value, free

    @cached_property
    def _curvature(self) -> Array:
        """Second derivatives in the free entries at the estimate, to begin each search with."""
        at = self.parameter.estimate
        return hessian_by_differences(lambda free: self.deviance(at, free)[1], self.start())

    def deviance(self, value: float, free: Array) -> tuple[float, Array]:
        """Deviance and its gradient in the free entries, with the parameter at ``value``."""
        fit, problem, held = self.fit, self.problem, self.parameter
        sigma = value if held.kind == "sigma" else float(np.exp(free[-1]))
        if not 1e-150 < sigma < 1e150:
            return np.inf, np.full_like(free, np.nan)
        matrices, at = [], 0
        for t, q in enumerate(fit.layout.sizes):
            n_free = q * (q + 1) // 2 - (t == held.term)
            matrices.append(self._matrix(t, free[at : at + n_free], value, sigma))
            at += n_free
        lambdas = []
        for M, order, scale in zip(matrices, self.orders, self.scales, strict=True):
            own = np.empty_like(M)
            own[order] = M / scale[:, None]
            ordered = np.all(order[:-1] < order[1:])
            lambdas.append(own if ordered else lower_factor(own))
        s2 = (sigma / problem.y_scale) ** 2
        point = problem(problem.from_user(fit.layout.pack(lambdas)), sigma**2)
        if not np.isfinite(point.value):
            return np.inf, np.full_like(free, np.nan)
        parts, by_first = [], 0.0
        slopes = self._slopes(point)
        for t, (M, Q, R) in enumerate(zip(matrices, slopes, problem.z_bases, strict=True)):
            order, scale = self.orders[t], self.scales[t]
            inverse = np.diag(1.0 / scale)
            own = inverse @ (R.T @ Q @ R)[np.ix_(order, order)] @ inverse
            in_M = 2.0 * own @ M
            parts.append(self._free_gradient(t, in_M, value))
            if t == held.term and held.kind == "sd":
                by_first = -in_M[0, 0] * M[0, 0]  # M[0, 0] = sd / sigma falls as sigma grows
        if held.kind != "sigma":
            by_residual = problem.nu - _residual_sum(point) / s2
            parts.append(np.array([2.0 * by_residual + by_first]))
        return point.value, np.concatenate(parts)

    def _slopes(self, point: Evaluation) -> list[Array]:
        """Derivative of the deviance in T of each term, in the order given."""
        slopes: list[Array] = [np.empty(0)] * len(self.fit.terms)
        for f, Q in zip(self.fit.layout.factors, point.score.slope, strict=True):
            for t, where in zip(f.terms, f.columns, strict=True):
                slopes[t] = Q[where, where]
        return slopes

    # The free entries of M, row by row: what is left of row 0 (sd held) or row 1 (correlation).

    def _matrix(self, t: int, free: Array, value: float, sigma: float) -> Array:
        q = self.fit.layout.sizes[t]
        M = np.zeros((q, q))
        rows, cols = np.tril_indices(q)
        if t != self.parameter.term:
            M[rows, cols] = free
        elif self.parameter.kind == "sd":
            M[0, 0] = value / sigma * self.scales[t][0]
            M[rows[1:], cols[1:]] = free
        else:
            M[0, 0] = free[0]
            M[1, :2] = free[1] * np.array([value, np.sqrt(max(1.0 - value**2, 0.0))])
            M[rows[3:], cols[3:]] = free[2:]
        return M

    def _free_of(self, t: int, M: Array) -> Array:
        rows, cols = np.tril_indices(len(M))
        if t != self.parameter.term:
            return M[rows, cols]
        if self.parameter.kind == "sd":
            return M[rows[1:], cols[1:]]
        return np.concatenate([[M[0, 0], np.hypot(*M[1, :2])], M[rows[3:], cols[3:]]])

    def _free_gradient(self, t: int, in_M: Array, value: float) -> Array:
        rows, cols = np.tril_indices(len(in_M))
        if t != self.parameter.term:
            return in_M[rows, cols]
        if self.parameter.kind == "sd":
            return in_M[rows[1:], cols[1:]]
        along = in_M[1, 0] * value + in_M[1, 1] * np.sqrt(max(1.0 - value**2, 0.0))
        return np.concatenate([[in_M[0, 0], along], in_M[rows[3:], cols[3:]]])


class CoefficientHeld:
    """The deviance with one fixed effect held, minimised over all other parameters.

    Its column moves to the offset; the engine's theta keeps its meaning.
    """

    def __init__(self, fit: LinearModel, optimum: Array, parameter: Parameter) -> None:
        k = parameter.first
        self.optimum, self.column = optimum, fit.X[:, k]
        self.lowest = fit.criterion
        self.first_step = float(np.sqrt(fit.vcov_beta[k, k])) / 3
        self.y = fit.y if fit.offset is None else fit.y - fit.offset
        self.problem = ProfiledDeviance(
            self.y - fit.beta[k] * self.column,
            np.delete(fit.X, k, axis=1),
            fit.terms,
            reml=fit.reml,
            weights=fit.weights,
            names=fit.names[:k] + fit.names[k + 1 :],
        )

    def start(self) -> Array:
        """The engine's theta at the estimate."""
        return self.optimum

    def minimum(self, value: float, start: Array) -> tuple[float, Array]:
        """Lowest deviance with the coefficient at ``value``, and the engine's theta there."""
        found = self.problem.with_response(self.y - value * self.column).minimise(start)
        return found.at.value, found.x


def _residual_sum(point: Evaluation) -> float:
    gram = point.reduced.gram
    cross = point.root_inverse @ gram[:-1, -1]
    return float(gram[-1, -1] - cross @ cross)


def _root(T: Array) -> Array:
    """Lower triangular L with ``L L' = T``, for T positive semidefinite."""
    values, vectors = np.linalg.eigh(T)
    return lower_factor(vectors * np.sqrt(np.maximum(values, 0.0)))
