r"""One-way REML in closed form, or of one number: for labs that refit while you drag.

**Balanced.** Same design matrix Z (n rows, q columns, own intercept) in each of J groups,
``y_j = Z (beta + b_j) + e_j``. Each group's own least squares coefficients ``c_j`` and its residual
sum of squares are sufficient, and independent:

.. math:: c_j \sim N(\beta,\; T + \sigma^2 (Z'Z)^{-1}), \qquad
          \textstyle\sum_j RSS_j / \sigma^2 \sim \chi^2_{J(n-q)}.

With ``Z'Z = R'R`` the whitened ``R c_j`` has covariance ``R T R' + sigma^2 I``. Let ``d_k`` be the
eigenvalues of their sample covariance (divisor J - 1). The REML estimate of ``R T R'`` keeps the
eigenvectors and has eigenvalues ``max(d_k - sigma^2, 0)``; directions in which the groups differ
no more than noise does (``d_k < sigma^2``) are pooled with the residuals into ``sigma^2``. So the
variance between groups is the variance of their own coefficients, less what noise explains.

**Balanced, intercept alone.** The mean squares between groups, MSB, and within them, MSW, have the
expectations ``sigma^2 + n sigma_b^2`` and ``sigma^2``. REML's estimates set both to what was seen:

.. math:: \hat\sigma^2 = MSW, \qquad \hat\sigma_b^2 = (MSB - MSW) / n,

and where that is negative the peak lies at the wall, ``sigma_b^2 = 0``, and all rows share one
variance. ML divides the sum of squares between by J and not by J - 1, so it meets the wall sooner.
With p columns of X that do not vary within groups, MSB is about the line through the means, on
J - p degrees of freedom.

One slope and a random intercept, for any x, needs the sums of squares within groups (W) and
between them (B) alone: with ``lambda = sigma^2 / (sigma^2 + n sigma_b^2)`` in (0, 1] the slope is

.. math:: \hat\beta(\lambda) = \frac{W_{xy} + \lambda B_{xy}}{W_{xx} + \lambda B_{xx}},

a blend of the slope within, ``W_xy / W_xx``, and the slope between, ``B_xy / B_xx``.

**Groups of any size** ``n_j`` with a random intercept alone: with ``g = sigma_b^2 / sigma^2`` and
``v_j = 1 + n_j g``, up to a constant,

.. math:: -2 \log L = (N - 1) \log\Big(W + \sum_j n_j (\bar y_j - \mu)^2 / v_j\Big)
          + \sum_j \log v_j + \log \sum_j n_j / v_j,

where W is the sum of squares within groups and mu the generalised least squares mean.

References
----------
Amemiya (1985), "What should be done when an estimated between-group covariance matrix is not
nonnegative definite?", The American Statistician 39, 112-117.
Maddala (1971), "The use of variance components models in pooling cross section and time series
data", Econometrica 39, 341-358.
Searle, Casella and McCulloch (1992), *Variance Components*, section 3.8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RandomCoefficients:
    """A REML fit of ``y ~ Z + (Z | group)`` to balanced data.

    Attributes
    ----------
    beta : ndarray, shape (q,)
    own : ndarray, shape (J, q)
        Each group's own least squares coefficients.
    cov : ndarray, shape (q, q)
        Covariance of the random coefficients.
    sigma : float
        Residual standard deviation.
    criterion : float
        The REML criterion, -2 times the restricted log-likelihood.
    blup : ndarray, shape (J, q)
        Each group's coefficients as the model predicts them, ``beta + b_j``.
    """

    beta: Array
    own: Array
    cov: Array
    sigma: float
    criterion: float
    blup: Array


def random_coefficients(y: Array, Z: Array) -> RandomCoefficients:
    """Fit random coefficients to responses of shape (J, n) at the same rows Z, shape (n, q)."""
    (J, n), q = y.shape, Z.shape[1]
    Q, R = np.linalg.qr(Z)
    white = y @ Q  # R c_j, one row a group
    rss = float(np.sum((y - white @ Q.T) ** 2))
    centre = white.mean(axis=0)
    away = white - centre
    d, U = np.linalg.eigh(away.T @ away / (J - 1))  # ascending
    sigma2, df = rss / (J * (n - q)), J * (n - q)
    for dk in d:
        if dk >= sigma2:
            break
        sigma2 = (sigma2 * df + (J - 1) * dk) / (df + J - 1)
        df += J - 1
    spread = np.maximum(d, sigma2)  # eigenvalues of R T R' + sigma^2 I
    keep = (U * (1 - sigma2 / spread)) @ U.T
    inverse = np.linalg.inv(R)
    nu = J * n - q
    criterion = (
        nu * (1 + np.log(2 * np.pi))
        + J * (n - q) * np.log(sigma2)
        + (J - 1) * np.sum(np.log(spread))
        + q * np.log(J)
        + 2 * np.sum(np.log(np.abs(np.diag(R))))
    )
    return RandomCoefficients(
        beta=inverse @ centre,
        own=white @ inverse.T,
        cov=inverse @ (U * (spread - sigma2)) @ U.T @ inverse.T,
        sigma=float(np.sqrt(sigma2)),
        criterion=float(criterion),
        blup=(centre + away @ keep) @ inverse.T,
    )


@dataclass(frozen=True)
class BalancedOneWay:
    """A fit of a random intercept to groups of equal size, or many such fits.

    Attributes
    ----------
    n_groups, n_rows : int
        Groups, and rows in each.
    between, within : float or ndarray
        Mean squares; arrays where many data sets were given.
    reml : bool
    n_fixed : int
        Fixed effects, p: of the intercept and of predictors that are the same for a whole group.
    """

    n_groups: int
    n_rows: int
    between: float | Array
    within: float | Array
    reml: bool
    n_fixed: int = 1

    @property
    def _excess(self) -> float | Array:
        """The variance between groups, n times, before the wall at 0."""
        J, p = self.n_groups, self.n_fixed
        return self.between * (1 if self.reml else (J - p) / J) - self.within

    @property
    def var_group(self) -> float | Array:
        """Variance between groups."""
        return np.maximum(self._excess, 0) / self.n_rows

    @property
    def var_rows(self) -> float | Array:
        """Variance within groups: of all rows together where the groups' is 0."""
        J, n, p = self.n_groups, self.n_rows, self.n_fixed
        total = (J - p) * self.between + J * (n - 1) * self.within
        return np.where(self._excess > 0, self.within, total / (J * n - p * self.reml))

    @property
    def icc(self) -> float | Array:
        """Share of the variance that lies between groups."""
        return self.var_group / (self.var_group + self.var_rows)

    @property
    def keep(self) -> float | Array:
        """Share of its distance from the mean of all that a group's mean keeps."""
        return self.n_rows * self.var_group / (self.n_rows * self.var_group + self.var_rows)

    @property
    def pair_correlation(self) -> float | Array:
        """Correlation of all pairs of rows of one group: the ICC by mean squares, below 0 too."""
        return (self.between - self.within) / (self.between + (self.n_rows - 1) * self.within)

    def log_likelihood(self, icc: Array) -> Array:
        """Return the log likelihood of each share between groups, up to a constant.

        It is profiled: the residual variance is the best for that share. ``icc`` has shape (K,)
        and values below 1; one data set only.
        """
        J, n, p = self.n_groups, self.n_rows, self.n_fixed
        lost = p * self.reml
        spread = 1 + n * icc / (1 - icc)
        misfit = J * (n - 1) * self.within + (J - p) * self.between / spread
        return -((J * n - lost) * np.log(misfit) + (J - lost) * np.log(spread)) / 2


def balanced_one_way(y: Array) -> BalancedOneWay:
    """Fit a random intercept alone by REML to responses (J, n), or many such sets (..., J, n)."""
    J, n = y.shape[-2:]
    means = y.mean(axis=-1, keepdims=True)
    between = n * np.sum((means[..., 0] - y.mean(axis=(-2, -1))[..., None]) ** 2, axis=-1) / (J - 1)
    within = np.sum((y - means) ** 2, axis=(-2, -1)) / (J * (n - 1))
    return BalancedOneWay(J, n, between, within, reml=True)


@dataclass(frozen=True)
class RandomIntercept:
    """A REML fit of ``y ~ x + (1 | group)`` to groups of equal size.

    ``weight_between`` is the share of the slope that comes from differences between groups.
    """

    slope: float
    sd_group: float
    sigma: float
    weight_between: float


@dataclass(frozen=True)
class SumsOfSquares:
    """Sums of squares and products of x and y; times n where they are of group means."""

    xx: float
    xy: float
    yy: float

    @property
    def slope(self) -> float:
        """The least squares slope; 0 where x does not vary."""
        return self.xy / self.xx if self.xx > 0 else 0.0

    def plus(self, other: SumsOfSquares, weight: float | Array = 1.0) -> SumsOfSquares:
        """Add another's sums, weighted."""
        return SumsOfSquares(
            self.xx + weight * other.xx, self.xy + weight * other.xy, self.yy + weight * other.yy
        )


def within_and_between(x: Array, y: Array) -> tuple[SumsOfSquares, SumsOfSquares]:
    """Split the sums of squares about the grand mean; x and y have shape (J, n)."""
    x_mean, y_mean = x.mean(axis=1, keepdims=True), y.mean(axis=1, keepdims=True)
    within = _sums(x - x_mean, y - y_mean)
    between = _sums(x_mean - x.mean(), y_mean - y.mean())
    n = x.shape[1]
    return within, SumsOfSquares(n * between.xx, n * between.xy, n * between.yy)


def random_intercept(
    within: SumsOfSquares, between: SumsOfSquares, n_groups: int, n_rows: int
) -> RandomIntercept:
    """Fit one slope with a random intercept; ``n_rows`` is the number in each group."""
    nu = n_groups * n_rows - 2

    def criterion(log_lambda: Array) -> Array:
        total = within.plus(between, np.exp(log_lambda))
        rss = total.yy - total.xy**2 / total.xx
        return nu * np.log(rss) - (n_groups - 1) * log_lambda + np.log(total.xx)

    # One number to be found, on a log scale; there can be two valleys, so look everywhere first.
    weight = float(np.exp(_lowest(criterion, -16.0, 0.0, (161, *(41,) * 6))))
    total = within.plus(between, weight)
    sigma2 = (total.yy - total.xy**2 / total.xx) / nu
    return RandomIntercept(
        slope=total.slope,
        sd_group=float(np.sqrt(sigma2 * (1 / weight - 1) / n_rows)),
        sigma=float(np.sqrt(sigma2)),
        weight_between=weight * between.xx / total.xx,
    )


def _sums(x: Array, y: Array) -> SumsOfSquares:
    return SumsOfSquares(float(np.sum(x * x)), float(np.sum(x * y)), float(np.sum(y * y)))


def reml_icc(size: NDArray, mean: Array, within: float) -> float:
    """Estimate the ICC, g / (1 + g), by REML; 0 where the variance between is estimated as 0.

    Parameters
    ----------
    size, mean : ndarray (J,)
        Rows and mean of each group.
    within : float
        Sum of squares of all rows about their group's mean.
    """
    icc = _lowest(lambda at: reml_criterion(at, size, mean, within), 0.0, 0.99, (101,) * 3)
    # A rounding error above 0 is 0: the criterion is flat there to the last digit.
    return icc if icc > 1e-5 else 0.0


def reml_criterion(icc: Array, size: NDArray, mean: Array, within: float) -> Array:
    """Return -2 log restricted likelihood at each ICC, up to a constant."""
    v = 1 + np.outer(icc / (1 - icc), size)
    mu = (size * mean / v).sum(axis=1) / (size / v).sum(axis=1)
    misfit = within + (size * (mean - mu[:, None]) ** 2 / v).sum(axis=1)
    return (
        (size.sum() - 1) * np.log(misfit) + np.log(v).sum(axis=1) + np.log((size / v).sum(axis=1))
    )


def _lowest(
    criterion: Callable[[Array], Array], low: float, high: float, points: Sequence[int]
) -> float:
    """Where a function of one number is lowest, on a grid that is made finer each time."""
    for n in points:
        grid = np.linspace(low, high, n)
        best = int(criterion(grid).argmin())
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, n - 1)]
    return float(grid[best])
