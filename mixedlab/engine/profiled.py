"""The profiled deviance of the linear mixed model, with gradient and curvature.

The model is ``y = X beta + sum_t Z_t b_t + e`` with ``b_t ~ N(0, sigma^2 Lambda Lambda')`` for
each level and ``e ~ N(0, sigma^2 W^-1)``. With ``V = W^-1 + Z Lambda Lambda' Z'``, ``S = X'V^-1X``
and ``r^2 = (y - X beta)' V^-1 (y - X beta)`` at its minimum over ``beta``,

    d(theta) = log|V| + [log|S|] + nu (1 + log(2 pi r^2 / nu)),    sigma^2 = r^2 / nu,

with ``nu = n`` and without the term in brackets for ML, ``nu = n - p`` and with it for REML
(Bates, Maechler, Bolker & Walker, 2015, J. Stat. Softw. 67(1), eqs. 34 and 41).

`system` finds ``log|V|`` and r^2 and what their derivatives need; `optimise` has the derivatives
in Lambda. At ``Lambda = 0`` the gradient vanishes always; the derivative Q in
``T = Lambda Lambda'`` tells whether 0 is a minimum there: it is if Q has no negative eigenvalue.

Columns are brought to a common scale first: ``X`` to orthonormal columns, each term's ``Z`` to
uncorrelated columns of unit mean square (by a lower triangular change of basis, under which Lambda
stays lower triangular), ``y`` to residuals of unit size. Units and origins of the data then
neither cost a digit nor change the path of the optimiser.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.blocks import orthonormal_basis, term_basis
from mixedlab.engine.optimise import Minimum, Point, derivatives, framed, lower_factor, minimise
from mixedlab.engine.system import RandomEffects, Reduced, Score
from mixedlab.engine.terms import Layout, RandomTerm
from mixedlab.errors import PerfectFitError

Array = NDArray[np.float64]

# Eigenvalues of T, as a share of the residual variance that a random effect adds to a typical
# row, below which the variance is taken to be zero.
_ZERO_VARIANCE = 1e-7
# A response whose residuals are this small against its size is reproduced up to rounding.
_PERFECT = 1e-13
# A residual variance (the response's is 1) that several factors' sums cannot tell from zero.
_ROUNDING = 1e-11


_NO_RESIDUAL = (
    "Fixed and random effects together reproduce the response exactly: the residual variance is "
    "zero. Is the response constant within groups, or are there as many random effects as rows? "
    "Drop a random term, or fit the table of group means."
)


@dataclass(frozen=True)
class Evaluation:
    """The deviance at ``theta`` (internal scale) and all that was found on the way."""

    value: float
    gradient: Array
    hessian: Array
    sigma2: float
    beta: Array
    root_inverse: Array
    reduced: Reduced
    score: Score


class ProfiledDeviance:
    """The profiled deviance d(theta) of one data set.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Response, offset already taken off.
    X : ndarray, shape (n, p)
        Fixed-effects columns, of full column rank.
    terms : sequence of RandomTerm
    reml : bool
        Restricted likelihood.
    weights : ndarray, shape (n,), optional
        Positive: the residual variance of row i is ``sigma^2 / weights[i]``.
    names : sequence of str
        Names of the columns of X, for messages.
    logdet_residual : float
        ``log|R|``, where y, X and Z have already been brought to independent residuals.

    Raises
    ------
    DataError
        Where X is rank deficient.
    PerfectFitError
        Where the residual variance is zero up to rounding.
    """

    def __init__(
        self,
        y: Array,
        X: Array,
        terms: Sequence[RandomTerm],
        *,
        reml: bool,
        weights: Array | None = None,
        names: Sequence[str] = (),
        logdet_residual: float = 0.0,
    ) -> None:
        self.n, self.p = X.shape
        self.reml = reml
        self.nu = self.n - self.p if reml else self.n
        self.layout = Layout.of(terms)
        self._root_weights = None if weights is None else np.sqrt(weights)
        self._logdet_residual = logdet_residual
        if weights is not None:
            self._logdet_residual -= float(np.sum(np.log(weights)))
        columns = np.empty((self.p + 1, self.n))
        self.x_basis, logdet_basis = orthonormal_basis(X, self._root_weights, columns, names)
        self._logdet_x = -2.0 * logdet_basis if reml else 0.0
        self._X = X
        self._set_response(y, columns[-1], columns[:-1])
        self.z_bases = [term_basis(t.Z, self._root_weights) for t in terms]
        stacked = []
        for f in self.layout.factors:
            Z = np.empty((f.n_coefs, self.n))
            for t, where in zip(f.terms, f.columns, strict=True):
                np.matmul(np.linalg.inv(self.z_bases[t]).T, terms[t].Z.T, out=Z[where])
            if self._root_weights is not None:
                Z *= self._root_weights
            stacked.append(Z)
        self.system = RandomEffects(self.layout.factors, stacked, columns)
        self._take_off_within()

    def with_response(self, y: Array) -> ProfiledDeviance:
        """The same model for another response; what does not depend on it is shared."""
        other = object.__new__(ProfiledDeviance)
        other.__dict__.update(self.__dict__)
        target = np.empty(self.n)
        other._set_response(y, target, self.columns_of_X)
        other.system = self.system.with_response(target)
        other._take_off_within()
        return other

    @property
    def columns_of_X(self) -> Array:
        """Orthonormal columns (p, n), times root weights; made anew, since n may be millions."""
        columns = self.x_basis.T @ self._X.T
        return columns if self._root_weights is None else columns * self._root_weights

    def _set_response(self, y: Array, target: Array, columns_of_X: Array) -> None:
        """Put y, less its least-squares fit on X and at unit mean square, in ``target``."""
        target[:] = y if self._root_weights is None else y * self._root_weights
        size = float(np.linalg.norm(target))
        self.beta_start = np.zeros(self.p)
        for _ in range(2):
            along = columns_of_X @ target
            target -= along @ columns_of_X
            self.beta_start += along
            left = float(np.linalg.norm(target))
            if left > 0.1 * size:  # no more than a digit is lost
                break
        if left <= _PERFECT * size:
            raise PerfectFitError(
                "The fixed effects alone reproduce the response exactly: nothing is left to "
                "divide between groups and residual."
            )
        self.y_scale = left / float(np.sqrt(self.n))
        target /= self.y_scale
        self._constant = (
            self.nu * (1.0 + np.log(2 * np.pi) + 2.0 * np.log(self.y_scale))
            + self._logdet_residual
            + self._logdet_x
        )

    def _take_off_within(self) -> None:
        self.beta_within = self.system.take_off_within()
        # With one factor this is a lower bound of r^2: where there is one, nothing is lost.
        outside = self.system.outside_gram[-1, -1]
        if len(self.layout.factors) == 1 and outside <= _PERFECT**2 * self.n:
            self._refuse_perfect_fit()

    def _refuse_perfect_fit(self) -> None:
        """Raise where the deviance falls without end, given that X and Z reproduce y.

        As ``T = t T_0`` grows, ``log|V|`` rises by ``rank(Z) log t``, the REML term falls by the
        part of X that lies in the span of Z, and ``nu log r^2`` falls by ``nu log t``: together
        by ``(n - rank[X Z]) log t`` for REML and ``(n - rank Z) log t`` for ML. Columns that span
        all rows reproduce any y, and the likelihood has its maximum all the same.
        """
        if not self.system.spans_rows(with_X=self.reml):
            raise PerfectFitError(_NO_RESIDUAL)

    def __call__(self, theta: Array, sigma2: float | None = None) -> Evaluation:
        """Evaluate at ``theta`` (internal scale); with ``sigma2`` given it is not profiled out."""
        lambdas = self.layout.unpack(theta)
        return self._evaluate([(np.eye(len(L)), L) for L in lambdas], sigma2)

    def _evaluate(self, point: Point, sigma2: float | None = None) -> Evaluation:
        """Evaluate where each term's ``T = (F L)(F L)'``; derivatives are those in L."""
        frames = self.layout.by_factor([F for F, _ in point])
        lambdas = self.layout.by_factor([F @ L for F, L in point])
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            try:
                reduced = self.system.reduce(lambdas)
                root_inverse = np.linalg.inv(np.linalg.cholesky(reduced.gram[:-1, :-1]))
            except np.linalg.LinAlgError:
                return self._out_of_bounds()
        cross = root_inverse @ reduced.gram[:-1, -1]
        beta = cross @ root_inverse
        r2 = float(reduced.gram[-1, -1] - cross @ cross)
        if not r2 > 0:
            return self._out_of_bounds()
        value = self._constant + reduced.logdet
        if self.reml:
            value -= 2.0 * float(np.log(root_inverse.diagonal()).sum())
        if sigma2 is None:
            s2 = r2 / self.nu
            value += self.nu * np.log(s2)
        else:
            s2 = sigma2 / self.y_scale**2
            value += self.nu * (np.log(s2) - 1.0) + r2 / s2
        score = self.system.score(reduced, beta, root_inverse, s2, self.reml)
        nu = self.nu if sigma2 is None else np.inf
        gradient, hessian = derivatives(self.layout, frames, lambdas, score, s2, nu)
        return Evaluation(float(value), gradient, hessian, s2, beta, root_inverse, reduced, score)

    def _out_of_bounds(self) -> Evaluation:
        k, nothing = self.layout.n_theta, np.empty(0)
        score = Score([], [], [], nothing)
        nowhere = np.full(k, np.nan)
        return Evaluation(np.inf, nowhere, np.eye(k), np.nan, nothing, nothing, None, score)

    def minimise(self, start: Array | None = None) -> Minimum[Array, Evaluation]:
        """Minimise over theta (internal scale), from ``start`` or a moment estimate.

        A stationary point where some variance is zero is left again if the deviance falls with
        that variance; variances that are zero up to rounding are set to zero.
        """
        if start is None:
            start = np.empty(self.layout.n_theta)
            for f, ratio in zip(self.layout.factors, self.system.moment_start(), strict=True):
                start[f.at] = (f.rows == f.cols) * np.sqrt(max(ratio, 1e-2))
        begin = [framed(L) for L in self.layout.unpack(start)]
        found = self._lowest(begin)
        # Where factors are crossed so small an r^2 is rounding; one factor has no such limit.
        if len(self.layout.factors) > 1 and found.at.sigma2 < _ROUNDING:
            self._refuse_perfect_fit()
            found = self._lowest(begin, floor=_ROUNDING)
        return self._finish(found)

    def _lowest(self, start: Point, floor: float = 0.0) -> Minimum[Point, Evaluation]:
        """Descend, and again from every saddle; no further than to a sigma^2 of ``floor``."""

        def evaluate(point: Point) -> Evaluation:
            at = self._evaluate(point)
            return at if not at.sigma2 < floor else self._out_of_bounds()

        found = self._descend(evaluate, start)
        for _ in range(10):
            inside = self._leave_saddle(found.x, found.at)
            if inside is None:
                break
            again = self._descend(evaluate, inside)
            if not again.at.value < found.at.value - 1e-8:
                break
            found = again
        return found

    def _descend(
        self, evaluate: Callable[[Point], Evaluation], start: Point
    ) -> Minimum[Point, Evaluation]:
        def move(point: Point, step: Array) -> Point:
            steps = self.layout.unpack(step)
            return [framed(L + s, F) for (F, L), s in zip(point, steps, strict=True)]

        # What rounding in a sum over the rows may hide; free of the response's unit.
        return minimise(evaluate, start, move, tol=1e-11 + 3e-13 * self.n)

    def _leave_saddle(self, point: Point, at: Evaluation) -> Point | None:
        """A lower point near a stationary one where ``Q`` has a negative eigenvalue, or None."""
        for t, Q in enumerate(self._slope_of_terms(at)):
            F, L = point[t]
            sd = np.diag(L)
            # Where T is regular, a zero gradient in L is a zero gradient in T.
            axes = F[:, sd**2 <= 1e-4 * max(1.0, sd.max() ** 2)]
            falls, direction = np.linalg.eigh(axes.T @ Q @ axes)
            if not falls.size or falls[0] >= -1e-6:
                continue
            v = axes @ direction[:, 0]
            step = 1.0
            while step > 1e-10:
                moved = list(point)
                moved[t] = framed(np.column_stack([F * sd, np.sqrt(step) * v]))
                if self._evaluate(moved).value < at.value - 1e-9:
                    return moved
                step /= 4.0
        return None

    def _slope_of_terms(self, at: Evaluation) -> list[Array]:
        out: list[Array] = [np.empty(0)] * len(self.layout.sizes)
        for f, Q in zip(self.layout.factors, at.score.slope, strict=True):
            for t, where in zip(f.terms, f.columns, strict=True):
                out[t] = Q[where, where]
        return out

    def _finish(self, found: Minimum[Point, Evaluation]) -> Minimum[Array, Evaluation]:
        """The minimum in theta, with variances that are zero up to rounding set to zero."""
        blocks, zeros = [], False
        for F, L in found.x:
            sd = np.diag(L)
            zero = sd**2 <= _ZERO_VARIANCE * max(1.0, sd.max() ** 2)
            zeros = zeros or bool(zero.any())
            blocks.append(lower_factor(F * np.where(zero, 0.0, sd)))
        theta = self.layout.pack(blocks)
        if zeros:
            at = self(theta)
            # Only a variance that costs nothing to drop is zero.
            if at.value <= found.at.value + 1e-6:
                return Minimum(theta, at, found.converged, found.n_evaluations + 1)
            theta = self.layout.pack([lower_factor(F @ L) for F, L in found.x])
        # T is as it was: only the coordinates of the derivatives change.
        lambdas = self.layout.unpack(theta)
        frames = self.layout.by_factor([np.eye(len(L)) for L in lambdas])
        lambdas = self.layout.by_factor(lambdas)
        gradient, hessian = derivatives(
            self.layout, frames, lambdas, found.at.score, found.at.sigma2, self.nu
        )
        at = replace(found.at, gradient=gradient, hessian=hessian)
        return Minimum(theta, at, found.converged, found.n_evaluations)

    def is_singular(self, theta: Array) -> bool:
        """Whether some combination of one term's random effects has variance zero."""
        for block in self.layout.unpack(theta):
            variances = np.linalg.eigvalsh(block @ block.T)
            if variances[0] <= _ZERO_VARIANCE * max(1.0, variances[-1]):
                return True
        return False

    def beta_of(self, at: Evaluation) -> Array:
        """Fixed effects (p,) in the data's units."""
        inside = at.beta + self.beta_within
        return self.x_basis @ (self.beta_start + self.y_scale * inside)

    def vcov_of(self, at: Evaluation) -> Array:
        """Covariance (p, p) of the fixed effects, ``sigma^2 (X'V^-1X)^-1``."""
        half = self.x_basis @ at.root_inverse.T
        return at.sigma2 * self.y_scale**2 * (half @ half.T)

    def effects_of(self, at: Evaluation) -> list[Array]:
        """Predicted random effects, (J, q) for each term: ``T g`` level by level."""
        return self._by_term(
            at.score.effects,
            lambda R, b: (self.y_scale * np.linalg.solve(R, b)).T,
        )

    def effect_covariances_of(self, at: Evaluation) -> list[Array]:
        """Conditional covariances of the random effects, (J, q, q) for each term."""
        scale = at.sigma2 * self.y_scale**2

        def own_units(R: Array, C: Array) -> Array:
            inverse = np.linalg.inv(R)
            return scale * (inverse @ C @ inverse.T)

        out: list[Array] = [np.empty(0)] * len(self.layout.sizes)
        covariances = self.system.relative_covariances(at.reduced)
        for f, C in zip(self.layout.factors, covariances, strict=True):
            for t, where in zip(f.terms, f.columns, strict=True):
                out[t] = own_units(self.z_bases[t], C[:, where, where])
        return out

    def _by_term(
        self, by_factor: Sequence[Array], own_units: Callable[[Array, Array], Array]
    ) -> list[Array]:
        out: list[Array] = [np.empty(0)] * len(self.layout.sizes)
        for f, values in zip(self.layout.factors, by_factor, strict=True):
            for t, where in zip(f.terms, f.columns, strict=True):
                out[t] = own_units(self.z_bases[t], values[where])
        return out

    def from_user(self, theta: Array) -> Array:
        """Internal theta from the theta of the data's own units."""
        blocks = self.layout.unpack(np.asarray(theta, dtype=float))
        return self.layout.pack([R @ b for R, b in zip(self.z_bases, blocks, strict=True)])

    def to_user(self, theta: Array) -> Array:
        """Theta in the data's own units, diagonals not negative."""
        blocks = self.layout.unpack(theta)
        own = [np.linalg.solve(R, b) for R, b in zip(self.z_bases, blocks, strict=True)]
        return self.layout.pack([np.tril(b) * np.where(np.diag(b) < 0, -1.0, 1.0) for b in own])
