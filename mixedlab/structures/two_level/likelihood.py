r"""Gaussian likelihood of several responses in clusters, from sums over clusters.

Row i of cluster j has p responses with mean nu + A x_ij + C w_j. Their covariance splits into
Sigma_W within and Sigma_B between clusters. The deviations from the cluster's means and the
means themselves are independent, so with n_j rows and d_j = ybar_j - nu - A xbar_j - C w_j

    -2 log L = N p log 2 pi + (N - J) log |Sigma_W| + tr Sigma_W^-1 S(A)
               + sum_j [ log |V_j| + n_j d_j' V_j^-1 d_j ],     V_j = Sigma_W + n_j Sigma_B,

where S(A) is the pooled within-cluster matrix of squares of y - A x. Clusters of one size share
V_j, so their d_j enter through one matrix of squares: an evaluation costs as much as there are
*sizes*, whatever the numbers of rows and clusters.

With [I, -nu, -A, -C] = B and T_n the matrix of squares of (ybar, 1, xbar, w) over the J_n
clusters of size n, the derivatives of -2 log L are

    G_n = J_n V_n^-1 - n V_n^-1 B T_n B' V_n^-1
    d / d Sigma_B = sum_n n G_n
    d / d Sigma_W = (N - J) Sigma_W^-1 - Sigma_W^-1 S(A) Sigma_W^-1 + sum_n G_n
    d / d B = 2 sum_n n V_n^-1 B T_n   (for A also 2 Sigma_W^-1 [I, -A] S_(y,x)).

Source: McDonald and Goldstein (1989) Br. J. Math. Stat. Psychol. 42:215; Muthen (1994) Sociol.
Methods Res. 22:376.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.quasi_newton import (
    covariance,
    hessian_by_differences,
    minimise,
    plain,
)

Array = NDArray[np.float64]

_SINGULAR = 1e-13  # share of a variance that the responses before it leave: less is round-off


@dataclass(frozen=True)
class Moments:
    """Mean structure and the two covariance matrices, or derivatives with respect to them.

    Attributes
    ----------
    within, between : ndarray, shape (p, p)
    nu : ndarray, shape (p,)
    A : ndarray, shape (p, k)
    C : ndarray, shape (p, m)
    """

    within: Array
    between: Array
    nu: Array
    A: Array
    C: Array


@dataclass(frozen=True)
class Saturated:
    """The model whose covariances are any matrices L L', so that Sigma_B may be singular.

    Attributes
    ----------
    loglik : float
    within_root, between_root : ndarray, shape (p, p)
        Their lower triangular roots L, up to the signs of columns.
    moments : Moments
    covariance : ndarray, shape (d, d)
        Of the estimated lower triangles, row by row, within and then between, and of nu, A and C.
    """

    loglik: float
    within_root: Array
    between_root: Array
    moments: Moments
    covariance: Array


class ClusterSums:
    """Sums over clusters that the likelihood needs.

    Parameters
    ----------
    y : ndarray, shape (N, p)
    cluster : ndarray of int, shape (N,)
        Cluster of each row, 0 to J - 1.
    x : ndarray, shape (N, k)
        Covariates of rows.
    w : ndarray, shape (J, m)
        Covariates of clusters.
    """

    def __init__(self, y: Array, cluster: NDArray[np.intp], x: Array, w: Array):
        self.n_rows, self.p = y.shape
        self.n_x, self.n_w = x.shape[1], w.shape[1]
        size = np.bincount(cluster)
        self.n_clusters = size.size
        both = np.hstack([y, x])
        order = np.argsort(cluster, kind="stable")
        starts = np.concatenate(([0], np.cumsum(size)[:-1]))
        mean = np.add.reduceat(both[order], starts, axis=0) / size[:, None]
        deviation = both - mean[cluster]
        self.within_squares = deviation.T @ deviation
        row = np.hstack([mean[:, : self.p], np.ones((size.size, 1)), mean[:, self.p :], w])
        self.sizes, which = np.unique(size, return_inverse=True)
        self.n_of_size = np.bincount(which)
        self.squares = np.stack(
            [row[which == k].T @ row[which == k] for k in range(self.sizes.size)]
        )

    def minus_two_loglik(self, m: Moments) -> tuple[float, Moments]:
        """-2 log L and its derivatives.

        Infinite, with derivatives that are NaN, where a covariance is not positive definite.
        """
        p = self.p
        V = m.within + self.sizes[:, None, None] * m.between
        stack = np.concatenate([m.within[None], V])
        try:
            pivots = np.diagonal(np.linalg.cholesky(stack), axis1=1, axis2=2)
        except np.linalg.LinAlgError:
            pivots = np.zeros(1)
        if (pivots**2 <= _SINGULAR * np.diagonal(stack, axis1=1, axis2=2)).any():
            return np.inf, Moments(*(np.full_like(v, np.nan) for v in vars(m).values()))
        log_det = 2 * np.log(pivots).sum(axis=1)
        inverse = np.linalg.inv(stack)
        within_inverse, V_inverse = inverse[0], inverse[1:]

        rows_from = np.hstack([np.eye(p), -m.A])
        S_part = rows_from @ self.within_squares  # d S(A) / d [I, -A] is twice this
        S = S_part @ rows_from.T
        B = np.hstack([np.eye(p), -m.nu[:, None], -m.A, -m.C])
        BT = B @ self.squares
        D = BT @ B.T
        n, J_n = self.sizes[:, None, None], self.n_of_size[:, None, None]
        df = self.n_rows - self.n_clusters
        value = (
            self.n_rows * p * np.log(2 * np.pi)
            + df * log_det[0]
            + np.sum(within_inverse * S)
            + self.n_of_size @ log_det[1:]
            + np.sum(n * V_inverse * D)
        )
        G = J_n * V_inverse - n * V_inverse @ D @ V_inverse
        to_B = 2 * (n * V_inverse @ BT).sum(axis=0)
        to_rows = 2 * within_inverse @ S_part
        slopes = to_B[:, p + 1 : p + 1 + self.n_x] + to_rows[:, p:]
        return float(value), Moments(
            within=df * within_inverse - within_inverse @ S @ within_inverse + G.sum(axis=0),
            between=(n * G).sum(axis=0),
            nu=-to_B[:, p],
            A=-slopes,
            C=-to_B[:, p + 1 + self.n_x :],
        )

    def saturated(self) -> Saturated:
        """Highest log-likelihood over all Sigma_W, Sigma_B >= 0, nu, A and C."""
        p, n_x, n_w = self.p, self.n_x, self.n_w
        lower = np.tril_indices(p)
        cuts = np.cumsum([len(lower[0])] * 2 + [p, p * n_x])

        def unpack(free: Array) -> tuple[Array, Array, Moments]:
            parts = np.split(free, cuts)
            W, B = np.zeros((2, p, p))
            W[lower], B[lower] = parts[:2]
            A, C = parts[3].reshape(p, n_x), parts[4].reshape(p, n_w)
            return W, B, Moments(W @ W.T, B @ B.T, parts[2], A, C)

        def objective(free: Array) -> tuple[float, Array]:
            W, B, moments = unpack(free)
            value, d = self.minus_two_loglik(moments)
            parts = [(2 * d.within @ W)[lower], (2 * d.between @ B)[lower]]
            return 0.5 * value, 0.5 * np.concatenate([*parts, d.nu, d.A.ravel(), d.C.ravel()])

        start = np.concatenate(
            [0.8 * np.eye(p)[lower], 0.6 * np.eye(p)[lower], np.zeros(p * (1 + n_x + n_w))]
        )
        rough = hessian_by_differences(lambda free: objective(free)[1], start)
        found = minimise(plain(objective), start, rough)
        return Saturated(-found.value, *unpack(found.x), covariance(found.hessian))
