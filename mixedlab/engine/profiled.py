"""The profiled deviance of the linear mixed model, with gradient and curvature.

The model is ``y = X beta + sum_t Z_t b_t + e`` with ``b_t ~ N(0, sigma^2 Lambda Lambda')`` for
each level and ``e ~ N(0, sigma^2 W^-1)``. With ``V = W^-1 + Z Lambda Lambda' Z'``, ``S = X'V^-1X``
and ``r^2 = (y - X beta)' V^-1 (y - X beta)`` at its minimum over ``beta``,

    d(theta) = log|V| + [log|S|] + nu (1 + log(2 pi r^2 / nu)),    sigma^2 = r^2 / nu,

with ``nu = n`` and without the term in brackets for ML, ``nu = n - p`` and with it for REML
(Bates, Maechler, Bolker & Walker, 2015, J. Stat. Softw. 67(1), eqs. 34 and 41).

Its derivative in ``T = Lambda Lambda'`` is the matrix ``Q`` of `Score.slope`, so that

    d d / d Lambda = 2 Q Lambda,
    d2 d / d Lambda_a d Lambda_b ~ w_ab - w_a w_b / nu + (Q's part),
    w_ab = y'P V_a P V_b P y / sigma^2,   w_a = y'P V_a P y / sigma^2,

the *average* of observed and expected information (Gilmour, Thompson & Cullis, 1995, Biometrics
51, 1440-1450) plus the exact curvature of the map from Lambda to T. At ``Lambda = 0`` the gradient
vanishes always; ``Q`` tells whether 0 is a minimum there: it is if Q has no negative eigenvalue.

Columns are brought to a common scale first: ``X`` to orthonormal columns, each term's ``Z`` to
uncorrelated columns of unit mean square (by a lower triangular change of basis, under which Lambda
stays lower triangular), ``y`` to residuals of unit size. Units and origins of the data then
neither cost a digit nor change the path of the optimiser.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.data.errors import DataError
from mixedlab.engine.layout import Layout
from mixedlab.engine.one_factor import OneFactor, Reduced, Score
from mixedlab.engine.optimise import Minimum, minimise
from mixedlab.engine.terms import RandomTerm

Array = NDArray[np.float64]

# Eigenvalues of T, as a share of the residual variance that a random effect adds to a typical
# row, below which the variance is taken to be zero.
_ZERO_VARIANCE = 1e-7
# A response whose residuals are this small against its size is reproduced up to rounding.
_PERFECT = 1e-13


class PerfectFitError(DataError):
    """The model reproduces the response exactly: there is no residual variance to estimate."""


@dataclass(frozen=True)
class Evaluation:
    """The deviance at ``theta`` (internal scale) and all that was found on the way."""

    value: float
    gradient: Array
    hessian: Array
    sigma2: float
    beta: Array
    root: Array
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
    ) -> None:
        self.n, self.p = X.shape
        self.reml = reml
        self.nu = self.n - self.p if reml else self.n
        self.layout = Layout.of(terms)
        self._root_weights = None if weights is None else np.sqrt(weights)
        self._log_weights = 0.0 if weights is None else float(np.sum(np.log(weights)))
        columns = np.empty((self.p + 1, self.n))
        self.x_basis, logdet_basis = _orthonormal_basis(X, self._root_weights, columns, names)
        self._logdet_x = -2.0 * logdet_basis if reml else 0.0
        self._set_response(y, columns)
        self.z_bases = [_term_basis(t.Z, self._root_weights) for t in terms]
        stacked = []
        for f in self.layout.factors:
            Z = np.empty((f.n_coefs, self.n))
            for t, where in zip(f.terms, f.columns, strict=True):
                np.matmul(np.linalg.inv(self.z_bases[t]).T, terms[t].Z.T, out=Z[where])
            if self._root_weights is not None:
                Z *= self._root_weights
            stacked.append(Z)
        self.system = OneFactor(self.layout.factors[0], stacked[0], columns)
        self._take_off_within()

    def with_response(self, y: Array) -> ProfiledDeviance:
        """The same model for another response; what does not depend on it is shared."""
        other = object.__new__(ProfiledDeviance)
        other.__dict__.update(self.__dict__)
        columns = np.empty((self.p + 1, self.n))
        columns[: self.p] = self._X
        other._set_response(y, columns)
        other.system = self.system.with_response(columns[-1])
        other._take_off_within()
        return other

    def _set_response(self, y: Array, columns: Array) -> None:
        """Put y, less its least-squares fit on X and at unit mean square, in the last row."""
        self._X = columns[: self.p].copy()
        target = columns[-1]
        target[:] = y if self._root_weights is None else y * self._root_weights
        size = float(np.linalg.norm(target))
        self.beta_start = np.zeros(self.p)
        for _ in range(2):
            along = self._X @ target
            target -= along @ self._X
            self.beta_start += along
        left = float(np.linalg.norm(target))
        if left <= _PERFECT * size:
            raise PerfectFitError(
                "The fixed effects alone reproduce the response exactly: nothing is left to "
                "divide between groups and residual."
            )
        self.y_scale = left / np.sqrt(self.n)
        target /= self.y_scale
        self._constant = (
            self.nu * (1.0 + np.log(2 * np.pi) + 2.0 * np.log(self.y_scale))
            - self._log_weights
            + self._logdet_x
        )

    def _take_off_within(self) -> None:
        """Subtract the within-level fit from y, so that r^2 is a sum and never a difference."""
        gram = self.system.outside_gram
        # The columns of X have length 1: a shorter rest than this is rounding.
        share, axes = np.linalg.eigh(gram[:-1, :-1])
        inverse = np.divide(1.0, share, out=np.zeros(self.p), where=share > 1e-12)
        self.beta_within = axes @ (inverse * (axes.T @ gram[:-1, -1]))
        self.system.subtract(self.beta_within)
        if self.system.outside_gram[-1, -1] <= _PERFECT**2 * self.n:
            raise PerfectFitError(
                "Fixed and random effects together reproduce the response exactly: the residual "
                "variance is zero. Is the response constant within groups, or is there one row "
                "for each random effect? Drop the random term, or use the table of group means."
            )

    def __call__(self, theta: Array, sigma2: float | None = None) -> Evaluation:
        """Evaluate at ``theta`` (internal scale); with ``sigma2`` given it is not profiled out."""
        lambdas = [f.lambda_of(theta) for f in self.layout.factors]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            reduced = self.system.reduce(lambdas)
        gram = reduced.gram
        try:
            root = np.linalg.cholesky(gram[:-1, :-1])
        except np.linalg.LinAlgError:
            return _out_of_bounds(theta, reduced)
        cross = np.linalg.solve(root, gram[:-1, -1])
        beta = np.linalg.solve(root.T, cross)
        r2 = float(gram[-1, -1] - cross @ cross)
        value = self._constant + reduced.logdet
        if self.reml:
            value += 2.0 * float(np.sum(np.log(np.diag(root))))
        if sigma2 is None:
            if not r2 > 0:
                return _out_of_bounds(theta, reduced)
            s2 = r2 / self.nu
            value += self.nu * np.log(s2)
        else:
            s2 = sigma2 / self.y_scale**2
            value += self.nu * (np.log(s2) - 1.0) + r2 / s2
        score = self.system.score(reduced, beta, root, s2, self.reml)
        gradient, hessian = self._derivatives(lambdas, score, s2, profiled=sigma2 is None)
        return Evaluation(float(value), gradient, hessian, s2, beta, root, reduced, score)

    def _derivatives(
        self, lambdas: list[Array], score: Score, s2: float, *, profiled: bool
    ) -> tuple[Array, Array]:
        k = self.layout.n_theta
        gradient, from_r2 = np.empty(k), np.empty(k)
        hessian = score.average.copy()
        parts = zip(self.layout.factors, lambdas, score.slope, score.effects, strict=True)
        for f, Lambda, Q, g in parts:
            gradient[f.at] = 2.0 * (Q @ Lambda)[f.rows, f.cols]
            from_r2[f.at] = 2.0 * (g @ (g.T @ Lambda))[f.rows, f.cols] / s2
            same_column = f.cols[:, None] == f.cols[None, :]
            hessian[np.ix_(f.at, f.at)] += 2.0 * Q[np.ix_(f.rows, f.rows)] * same_column
        if profiled:
            hessian -= np.outer(from_r2, from_r2) / self.nu
        return gradient, hessian

    def minimise(self, start: Array | None = None) -> Minimum[Evaluation]:
        """Minimise over theta (internal scale), from ``start`` or a moment estimate.

        A stationary point where some variance is zero is left again if the deviance falls with
        that variance; variances that are zero up to rounding are set to zero.
        """
        if start is None:
            ratio = self.system.moment_start()
            q = self.layout.factors[0].n_coefs
            scale = np.sqrt(max(ratio, 1e-2) / 1.0) if q else 1.0
            start = self.layout.pack([scale * np.eye(q) for q in self.layout.sizes])
        found = minimise(self, start)
        for _ in range(10):
            inside = self._leave_saddle(found.x, found.at)
            if inside is None:
                break
            again = minimise(self, inside)
            if not again.at.value < found.at.value - 1e-8:
                break
            found = again
        return self._set_zero_variances(found)

    def _leave_saddle(self, theta: Array, at: Evaluation) -> Array | None:
        """A lower point near a stationary one where ``Q`` has a negative eigenvalue, or None."""
        lambdas = self.layout.unpack(theta)
        for t, Q in enumerate(self._slope_of_terms(at)):
            T = lambdas[t] @ lambdas[t].T
            variances, axes = np.linalg.eigh(T)
            # Where T is regular, a zero gradient in Lambda is a zero gradient in T.
            axes = axes[:, variances <= 1e-4 * max(1.0, variances[-1])]
            falls, direction = np.linalg.eigh(axes.T @ Q @ axes)
            if not falls.size or falls[0] >= -1e-6:
                continue
            v = axes @ direction[:, 0]
            step = 1.0
            while step > 1e-10:
                moved = list(lambdas)
                moved[t] = factor_of(T + step * np.outer(v, v))
                there = self(self.layout.pack(moved))
                if there.value < at.value - 1e-9:
                    return self.layout.pack(moved)
                step /= 4.0
        return None

    def _slope_of_terms(self, at: Evaluation) -> list[Array]:
        out: list[Array] = [np.empty(0)] * len(self.layout.sizes)
        for f, Q in zip(self.layout.factors, at.score.slope, strict=True):
            for t, where in zip(f.terms, f.columns, strict=True):
                out[t] = Q[where, where]
        return out

    def _set_zero_variances(self, found: Minimum[Evaluation]) -> Minimum[Evaluation]:
        clean, changed = [], False
        for block in self.layout.unpack(found.x):
            values, vectors = np.linalg.eigh(block @ block.T)
            zero = values <= _ZERO_VARIANCE * max(1.0, values[-1])
            changed = changed or bool(zero.any())
            values = np.where(zero, 0.0, values)
            clean.append(factor_of((vectors * values) @ vectors.T) if zero.any() else block)
        if not changed:
            return found
        theta = self.layout.pack(clean)
        at = self(theta)
        # Only a variance that costs nothing to drop is zero.
        if at.value <= found.at.value + 1e-6:
            return Minimum(theta, at, found.converged, found.n_evaluations + 1)
        return found

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
        half = self.x_basis @ np.linalg.inv(at.root).T
        return at.sigma2 * self.y_scale**2 * (half @ half.T)

    def effects_of(self, at: Evaluation) -> list[Array]:
        """Predicted random effects, (J, q) for each term: ``T g`` level by level."""
        return self._by_term(
            [L @ (L.T @ g) for L, g in zip(at.reduced.lambdas, at.score.effects, strict=True)],
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
        return self.layout.pack([np.tril(b) * _signs(b) for b in own])

    def to_user_gradient(self, gradient: Array) -> Array:
        """Gradient with respect to the user's theta from the one in internal theta."""
        blocks = self.layout.unpack(gradient)
        return self.layout.pack([R.T @ b for R, b in zip(self.z_bases, blocks, strict=True)])


def factor_of(T: Array) -> Array:
    """Lower triangular ``Lambda`` with ``Lambda Lambda' = T``, for T positive semidefinite."""
    values, vectors = np.linalg.eigh(T)
    half = vectors * np.sqrt(np.maximum(values, 0.0))
    lower = np.linalg.qr(half.T, mode="r").T
    size = np.abs(lower).max(initial=0.0)
    lower = np.where(np.abs(lower) < 1e-14 * size, 0.0, lower)
    return lower * _signs(lower)


def _signs(block: Array) -> Array:
    return np.where(np.diag(block) < 0, -1.0, 1.0)


def _out_of_bounds(theta: Array, reduced: Reduced) -> Evaluation:
    k = theta.size
    nothing = np.empty(0)
    score = Score([], [], nothing)
    nowhere = np.full(k, np.nan)
    return Evaluation(np.inf, nowhere, np.eye(k), np.nan, nothing, nothing, reduced, score)


def _orthonormal_basis(
    X: Array, root_weights: Array | None, out: Array, names: Sequence[str]
) -> tuple[Array, float]:
    """Write orthonormal columns ``X B`` (as rows) to ``out[:p]``; return ``B`` and log|B|."""
    p = X.shape[1]
    columns = out[:p]
    columns[:] = X.T
    if root_weights is not None:
        columns *= root_weights
    length = np.linalg.norm(columns, axis=1)
    _check_rank(length <= 0, names)
    columns /= length[:, None]
    basis, logdet = np.diag(1.0 / length), -float(np.sum(np.log(length)))
    for _ in range(2):
        gram = columns @ columns.T
        if np.abs(gram - np.eye(p)).max(initial=0.0) < 1e-10:
            break
        # A column without a part of its own leaves rounding on the diagonal.
        R = np.linalg.qr(columns.T, mode="r").T
        _check_rank(np.abs(np.diag(R)) < 1e-10, names)
        R *= np.where(np.diag(R) < 0, -1.0, 1.0)
        inverse = np.linalg.inv(R)
        columns[:] = inverse @ columns
        basis = basis @ inverse.T
        logdet -= float(np.sum(np.log(np.diag(R))))
    return basis, logdet


def _check_rank(aliased: NDArray[np.bool_], names: Sequence[str]) -> None:
    if aliased.any():
        at = int(np.flatnonzero(aliased)[0])
        name = names[at] if at < len(names) else f"number {at + 1}"
        raise DataError(
            f"The fixed-effects column {name!r} is a combination of the columns before it "
            "(or zero throughout): its coefficient is not identified. Drop it."
        )


def _term_basis(Z: Array, root_weights: Array | None) -> Array:
    """Lower triangular ``R`` with ``Z R^-1`` uncorrelated and of unit mean square."""
    if root_weights is not None:
        Z = Z * root_weights[:, None]
    gram = Z.T @ Z / Z.shape[0]
    scale = np.sqrt(np.diag(gram))
    scale[scale == 0] = 1.0
    flipped = (gram / np.outer(scale, scale))[::-1, ::-1]
    try:
        L = np.linalg.cholesky(flipped)
    except np.linalg.LinAlgError:
        return np.diag(scale)
    if np.diag(L).min(initial=1.0) < 1e-6:
        return np.diag(scale)
    return L.T[::-1, ::-1] * scale
