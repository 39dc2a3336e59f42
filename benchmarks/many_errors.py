"""Standard errors of many fits of one design at once, for studies of coverage.

The package finds estimates of many responses together and answers for their errors one fit at a
time. Here both are together: `covariance` for generalised mixed models, from the curvature of the
package's own likelihoods, and `robust_errors` for estimating equations.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.families import family
from mixedlab.engine.groups import Groups
from mixedlab.engine.many_likelihood import ManyLikelihoods
from mixedlab.engine.many_marginal import ManyMarginal
from mixedlab.engine.terms import RandomTerm

Array = NDArray[np.float64]

STEP = 1e-4  # of the differences of exact gradients


def covariance(
    kind: str,
    Y: Array,
    X: Array,
    terms: Sequence[RandomTerm],
    nagq: int,
    theta: Array,
    beta: Array,
) -> Array:
    """Covariance (m, k + p, k + p) of theta and beta: minus the inverse of the Hessian.

    A theta of zero is taken as known.
    """
    problem = ManyLikelihoods(family(kind), Y, X, terms, 1.0, np.zeros(len(X)), nagq)
    at, k, everyone = np.hstack([theta, beta]), theta.shape[1], np.arange(problem.m)
    u = problem(theta, beta, everyone).u

    def gradient(x: Array) -> Array:
        return problem(x[:, :k], x[:, k:], everyone, u).gradient

    units = STEP * np.eye(at.shape[1])
    H = np.stack([gradient(at - h) - gradient(at + h) for h in units], 1) / (2 * STEP)
    H = (H + H.swapaxes(1, 2)) / 2
    for a in range(k):
        known = theta[:, a] == 0
        H[known, a] = H[known, :, a] = 0.0
        H[known, a, a] = np.inf
    known = np.isinf(H)
    out = np.linalg.inv(np.where(known, 1.0, H))
    return np.where(known, 0.0, out)


def robust_errors(
    found: ManyMarginal, successes: Array, trials: Array, X: Array, index: Array
) -> dict[str, Array]:
    """Standard errors (m, p) of exchangeable equations for 0/1 responses.

    Rows of a cluster with the same X are one row here, with its number of ``trials`` (n,) and of
    ``successes`` (n, m); rows come cluster after cluster. *robust* is the sandwich of Liang and
    Zeger (1986); *kauermann-carroll* and *mancl-derouen* divide the scores of a cluster by the
    root and by the whole of one minus its leverage.
    """
    made, groups, n = family("binomial"), Groups(np.bincount(index)), trials[:, None]
    eta = X @ found.beta.T
    mu = made.link.mu(eta)
    root = 1 / np.sqrt(made.variance(mu, 1.0, 1.0))
    D = X.T[:, :, None] * made.link.dmu(eta) * root
    e = (successes - n * mu) * root
    size = groups.sum(n)
    c = found.alpha / (1 + (size - 1) * found.alpha)
    D_sum = np.stack([groups.sum(n * column) for column in D])
    # Of each cluster: its share G of the information, and its score u; last axis the data sets.
    G = np.stack([[groups.sum(n * a * b) for a in D] for b in D])
    G = (G - c * D_sum[:, None] * D_sum) / (1 - found.alpha)
    u = np.stack([groups.sum(column * e) for column in D]) - c * D_sum * groups.sum(e)
    G, u = G.transpose(3, 2, 0, 1), (u / (1 - found.alpha)).transpose(2, 1, 0)
    M = G.sum(1)
    inverse = np.linalg.inv(M)
    half = np.linalg.cholesky(inverse)
    # Where M = I the leverage of a cluster is symmetric.
    inner = half.swapaxes(1, 2)[:, None] @ G @ half[:, None]
    leverage, axes = np.linalg.eigh(inner)
    along = np.einsum("mjka,mjk->mja", axes, np.einsum("mja,mab->mjb", u, half))
    out = {"naive": np.sqrt(found.scale[:, None] * np.einsum("mpp->mp", inverse))}
    for name, power in (("robust", 0.0), ("kauermann-carroll", -0.5), ("mancl-derouen", -1.0)):
        v = np.einsum("mjka,mja->mjk", axes, along * (1 - leverage) ** power)
        v = np.einsum("mjk,mpk->mjp", v, half)
        out[name] = np.sqrt((v**2).sum(1))
    return out
