r"""Likelihood of a model with one known relationship matrix, as a function of one ratio.

The model is y = X beta + u + e with u ~ N(0, s_g^2 K) and e ~ N(0, s_e^2 I). With K = U D U'
and everything multiplied by U', the rows are independent: row i has variance
s_e^2 (r d_i + 1), where r = s_g^2 / s_e^2. With w_i = 1 / (r d_i + 1), W = diag(w) and

    P = W - W X (X' W X)^-1 X' W,

the profiled log-likelihoods are, up to constants that do not depend on r,

    REML:  -1/2 [ (n - p) log y'P y + sum_i log(r d_i + 1) + log |X' W X| ]
    ML:    -1/2 [    n    log y'P y + sum_i log(r d_i + 1) ].

One more covariate g (a SNP) needs only a = g'P g and b = g'P y at the same r: its coefficient
is b / a, y'P y falls by b^2 / a, and log |X' W X| grows by log a (Schur complement).

**Many SNPs at once.** At a fixed r the weights are common to all SNPs, so a and b for a block
of SNPs are matrix products. In t = log r the functions a, b, y'P y and both log-likelihoods
are analytic in the strip |Im t| < pi: there all w_i lie in one open half-plane, so no Schur
complement of the weighted cross-products can vanish. Interpolation at L Chebyshev nodes of a
window of half-width h then errs by a multiple of rho^-L, rho = pi/h + sqrt(1 + (pi/h)^2)
(Trefethen, Approximation Theory and Approximation Practice, ch. 8). ``N_NODES`` = 16 and
h = 1.35 leave about 1e-11. So "the ratio re-estimated for every SNP" costs a few matrix
products and one small polynomial for each SNP, and no loop over SNPs.

The rotation by the eigenvectors is in Kang et al. (2008) Genetics 178:1709 and in Lippert et
al. (2011) Nature Methods 8:833; the test statistics are those of Zhou and Stephens (2012)
Nature Genetics 44:821.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.errors import DataError

Array = NDArray[np.float64]

# K is scaled to a mean eigenvalue of 1, so these limits mean the same for every K.
LOG_RATIO_LIMIT = float(np.log(1e5))
N_NODES = 16
CENTRES = np.linspace(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT, 18)
HALF_WIDTH = float(CENTRES[1] - CENTRES[0])


@dataclass(frozen=True)
class Spectrum:
    """K / scale = U diag(d) U', with mean(d) = 1.

    Attributes
    ----------
    U : ndarray, shape (n, n)
        Eigenvectors in columns.
    d : ndarray, shape (n,)
        Eigenvalues, none negative.
    scale : float
        Mean eigenvalue of K as given.
    """

    U: Array
    d: Array
    scale: float


def spectrum(K: Array) -> Spectrum:
    """Eigen-decomposition of a relationship matrix.

    Raises
    ------
    DataError
        Where K is not square, symmetric, finite and positive semi-definite.
    """
    from scipy.linalg import eigh

    if K.ndim != 2 or K.shape[0] != K.shape[1]:
        raise DataError(f"K must be square; it has shape {K.shape}.")
    if not np.isfinite(K).all():
        raise DataError("K holds values that are not finite: compute it from complete genotypes.")
    scale = float(np.trace(K)) / len(K)
    if scale <= 0:
        raise DataError("The diagonal of K sums to 0 or less: K is no relationship matrix.")
    if np.abs(K - K.T).max() > 1e-6 * scale:
        raise DataError("K is not symmetric: K[i, j] and K[j, i] differ.")
    d, U = eigh(K / scale, driver="evd", check_finite=False)
    if d[0] < -1e-5 * d[-1]:
        raise DataError(
            f"K is not positive semi-definite: its smallest eigenvalue is {d[0] * scale:.3g}. "
            "No set of relatives has such a matrix; check how it was made."
        )
    return Spectrum(U, np.where(d < 1e-10, 0.0, d), scale)


class Nodes:
    """What the likelihood needs of X and y at each of L ratios.

    Attributes
    ----------
    w : ndarray, shape (L, n)
        Weights 1 / (r d_i + 1).
    Q : ndarray, shape (L, n, p)
        W X C^-T with C C' = X' W X: then P = W - Q Q'.
    Py : ndarray, shape (L, n)
        P y.
    yPy, log_det_V, log_det_XWX : ndarray, shape (L,)
    """

    def __init__(self, d: Array, X: Array, y: Array, ratio: Array):
        self.n, self.p = X.shape
        variance = np.outer(ratio, d) + 1.0
        self.w = 1.0 / variance
        self.log_det_V = np.log(variance).sum(axis=1)
        WX = self.w[:, :, None] * X
        C = np.linalg.cholesky(np.swapaxes(WX, 1, 2) @ X)
        self.log_det_XWX = 2 * np.log(np.diagonal(C, axis1=1, axis2=2)).sum(axis=1)
        self.Q = np.swapaxes(np.linalg.solve(C, np.swapaxes(WX, 1, 2)), 1, 2)
        self.Py = self.w * y - (self.Q @ (np.swapaxes(self.Q, 1, 2) @ y)[..., None])[..., 0]
        self.yPy = self.Py @ y
        # P y and Q side by side, so that SNPs meet both in one product.
        Q = np.moveaxis(self.Q, 1, 0).reshape(self.n, -1)
        self._columns = np.hstack([self.Py.T, Q])

    def of_snps(self, G: Array) -> tuple[Array, Array, Array]:
        """For the rows g of ``G`` (m, n): g'P g, g'P y and g'W g, each of shape (m, L)."""
        n_nodes = len(self.w)
        both = G @ self._columns
        projected, b = both[:, n_nodes:].reshape(len(G), n_nodes, self.p), both[:, :n_nodes]
        total = np.square(G) @ self.w.T
        return total - np.square(projected).sum(axis=2), b, total

    def loglik(self, reml: bool, a: Array | None = None, b: Array | None = None) -> Array:
        """Profiled log-likelihood at each node, constants left out; shape (L,) or (m, L).

        ``a`` and ``b``, from :meth:`of_snps`, add one more covariate to X.
        """
        rss, n_fixed, log_det = self.yPy, self.p, self.log_det_XWX
        if a is not None:
            rss, n_fixed, log_det = rss - b * b / a, self.p + 1, log_det + np.log(a)
        if not reml:
            return -0.5 * (self.n * np.log(rss) + self.log_det_V)
        return -0.5 * ((self.n - n_fixed) * np.log(rss) + self.log_det_V + log_det)


_ANGLES = np.pi * (np.arange(N_NODES) + 0.5) / N_NODES
UNIT_NODES = np.cos(_ANGLES)
# Values at the nodes times this matrix are the coefficients of the Chebyshev series.
_TO_SERIES = (2.0 / N_NODES) * np.cos(np.outer(_ANGLES, np.arange(N_NODES)))
_TO_SERIES[:, 0] *= 0.5


def interpolate(values: Array, x: Array) -> Array:
    """Polynomial through ``values`` (m, L) at the nodes of a window, at one ``x`` (m,) a row."""
    basis = np.cos(np.arange(N_NODES) * np.arccos(np.clip(x, -1, 1))[:, None])
    return ((values @ _TO_SERIES) * basis).sum(axis=1)


def maximise(values: Array) -> tuple[Array, Array]:
    """Highest point in [-1, 1] of the polynomial through each row of ``values``.

    Newton's method on the derivative, inside a bracket that halves whenever a step would
    leave it.

    Returns
    -------
    x : ndarray, shape (m,)
        The place, -1 or 1 where the polynomial still rises at the end.
    curvature : ndarray, shape (m,)
        Second derivative there, with respect to x.
    """
    series = np.polynomial.chebyshev
    # Centred, so that a tall likelihood does not drown its own curvature in round-off.
    coefs = (values - values.mean(axis=1, keepdims=True)) @ _TO_SERIES
    slope = series.chebder(coefs.T)
    bend = series.chebder(slope)
    best = values.argmax(axis=1)
    # Nodes run from right to left; the ends of the window close the outer brackets.
    edges = np.concatenate(([1.0], UNIT_NODES, [-1.0]))
    low, high, x = edges[best + 2], edges[best], UNIT_NODES[best]
    for _ in range(60):
        first = series.chebval(x, slope, tensor=False)
        second = series.chebval(x, bend, tensor=False)
        low = np.where(first > 0, x, low)
        high = np.where(first > 0, high, x)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = x - first / second
        inside = (second < 0) & (step > low) & (step < high)
        moved = np.where(inside, step, 0.5 * (low + high))
        done = np.abs(moved - x).max(initial=0.0) < 1e-12
        x = moved
        if done:
            break
    return x, series.chebval(x, bend, tensor=False)


class Profile:
    """Both log-likelihoods of (X, y) over the ratio, with windows made when they are needed."""

    def __init__(self, d: Array, X: Array, y: Array):
        self.d, self.X, self.y = d, X, y
        self.coarse = self.at(np.exp(CENTRES))
        self._windows: dict[int, Nodes] = {}

    def at(self, ratio: Array) -> Nodes:
        """Return the cross-products at the given ratios."""
        return Nodes(self.d, self.X, self.y, np.asarray(ratio, dtype=float))

    def window(self, k: int) -> Nodes:
        """Return the Chebyshev nodes of the window round ``CENTRES[k]``."""
        if k not in self._windows:
            self._windows[k] = self.at(np.exp(CENTRES[k] + HALF_WIDTH * UNIT_NODES))
        return self._windows[k]

    def peak(self, reml: bool) -> tuple[float, float]:
        """Best ratio for (X, y), and minus the second derivative in log ratio there.

        The ratio is 0 where no positive one is likelier.
        """
        k = int(self.coarse.loglik(reml).argmax())
        x, curvature = maximise(self.window(k).loglik(reml)[None, :])
        ratio = float(np.exp(CENTRES[k] + HALF_WIDTH * x[0]))
        ends = self.at(np.array([0.0, ratio])).loglik(reml)
        if ends[0] >= ends[1]:
            return 0.0, 0.0
        return ratio, float(-curvature[0]) / HALF_WIDTH**2
