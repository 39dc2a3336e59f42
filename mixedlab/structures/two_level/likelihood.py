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

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


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
        """-2 log L and its derivatives; infinite where a covariance is not positive definite."""
        p = self.p
        V = m.within + self.sizes[:, None, None] * m.between
        stack = np.concatenate([m.within[None], V])
        try:
            roots = np.linalg.cholesky(stack)
        except np.linalg.LinAlgError:
            return np.inf, m
        log_det = 2 * np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1)
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

    def saturated(self) -> tuple[float, Moments]:
        """Highest log-likelihood over all Sigma_W, Sigma_B >= 0, nu, A, C, and where it is.

        Both covariances are L L', so that Sigma_B may be singular.
        """
        p, n_x, n_w = self.p, self.n_x, self.n_w
        lower = np.tril_indices(p)

        def unpack(free: Array) -> tuple[Array, Array, Moments]:
            parts = np.split(free, np.cumsum([len(lower[0])] * 2 + [p, p * n_x]))
            roots = [np.zeros((p, p)), np.zeros((p, p))]
            for root, values in zip(roots, parts, strict=False):
                root[lower] = values
            W, B = roots
            A, C = parts[3].reshape(p, n_x), parts[4].reshape(p, n_w)
            return W, B, Moments(W @ W.T, B @ B.T, parts[2], A, C)

        def objective(free: Array) -> tuple[float, Array]:
            W, B, moments = unpack(free)
            value, d = self.minus_two_loglik(moments)
            parts = [(2 * d.within @ W)[lower], (2 * d.between @ B)[lower]]
            return value, np.concatenate([*parts, d.nu, d.A.ravel(), d.C.ravel()])

        start = np.zeros(2 * len(lower[0]) + p * (1 + n_x + n_w))
        diagonal = np.flatnonzero(lower[0] == lower[1])
        start[diagonal] = 0.8
        start[len(lower[0]) + diagonal] = 0.6
        free, value, _ = minimise(objective, start, np.full(start.size, -np.inf))
        return -0.5 * value, unpack(free)[2]


Objective = Callable[[Array], tuple[float, Array]]


def minimise(objective: Objective, start: Array, lower: Array) -> tuple[Array, float, Array]:
    """Minimise under lower bounds: L-BFGS-B, then Newton steps for the last digits.

    Returns
    -------
    x : ndarray
        Parameters at the minimum.
    value : float
    hessian : ndarray
        Second derivatives there, by central differences of the gradient.
    """
    from scipy.optimize import minimize

    bounds = [(low if np.isfinite(low) else None, None) for low in lower]
    options = {"maxiter": 5000, "maxfun": 20000, "ftol": 1e-13, "gtol": 1e-7, "maxcor": 30}
    x = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    value, gradient = objective(x)
    for _ in range(8):
        H = hessian(objective, x)
        # Parameters that rest on a bound and want to go below it stay there.
        free = ~((x <= lower) & (gradient > 0))
        step = np.zeros_like(x)
        H_free = H[np.ix_(free, free)]
        values, axes = np.linalg.eigh(H_free)
        size = np.maximum(np.abs(values), 1e-10 * np.abs(values).max())
        step[free] = -axes @ ((axes.T @ gradient[free]) / size)
        for _ in range(20):
            moved = np.maximum(x + step, lower)
            new_value, new_gradient = objective(moved)
            if new_value <= value:
                break
            step = step / 2
        else:
            break
        gained = value - new_value
        x, value, gradient = moved, new_value, new_gradient
        if gained < 1e-10:
            break
    return x, value, hessian(objective, x)


def hessian(objective: Objective, x: Array) -> Array:
    """Central differences of the gradient, made symmetric."""
    columns = []
    for k, value in enumerate(x):
        h = 1e-5 * max(abs(value), 0.1)
        ahead, behind = x.copy(), x.copy()
        ahead[k] += h
        behind[k] -= h
        columns.append((objective(ahead)[1] - objective(behind)[1]) / (2 * h))
    H = np.array(columns)
    return 0.5 * (H + H.T)
