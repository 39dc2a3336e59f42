r"""Marginal models of many data sets of one design: estimating equations solved together.

Generalised estimating equations (Liang and Zeger, 1986, Biometrika 73:13) under an exchangeable
working correlation. With D and e the columns ``d mu / d beta`` and the residuals, both divided by
the response's sd at phi = 1, and k_j rows in cluster j,

    R_j^-1 = [I - c_j 11'] / (1 - alpha),    c_j = alpha / (1 + (k_j - 1) alpha),

so a step needs cross-products of rows and of cluster sums only:

    M = (sum_i D_i D_i' - sum_j c_j D_+j D_+j') / (1 - alpha),    beta += M^-1 D' R^-1 e.

``phi = mean e^2``, and alpha is the mean of ``e_i e_k / phi`` over all pairs of a cluster. As in
``mixedlab.models.gee`` the equations under independence are solved first. Arrays of rows are
(n, m), one column a data set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.families import family as family_named
from mixedlab.engine.groups import Groups, Merged, merge_groups
from mixedlab.errors import DataError

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_CELLS = 32_768  # rows x data sets handled at once: small enough for the processor's cache
_MOST_STEPS = 100
_MARGIN = 1e-6  # how near alpha may come to a value at which R is singular


@dataclass(frozen=True)
class ManyMarginal:
    """The fits of m data sets: ``beta`` (m, p), ``alpha``, ``scale`` and ``converged`` (m,)."""

    beta: Array
    alpha: Array
    scale: Array
    converged: Mask


def many_marginal(
    Y: ArrayLike,
    X: ArrayLike,
    index: ArrayLike,
    *,
    family: str | Family = "gaussian",
) -> ManyMarginal:
    """Fit a marginal model with exchangeable correlation to m responses of one design.

    Parameters
    ----------
    Y : array (n, m)
        Responses on the scale of the mean, one data set a column.
    X : array (n, p)
    index : array of int (n,)
        Cluster of each row, 0 to J - 1.
    family
        As in `mixedlab.gee`; one whose variance has no dispersion of its own.

    Raises
    ------
    DataError
        Where shapes do not fit, no cluster has two rows, or X is rank deficient.
    """
    made = family_named(family)
    y, X, index = np.asarray(Y, dtype=float), np.asarray(X, dtype=float), np.asarray(index)
    if y.ndim != 2 or not len(y) == len(X) == index.size:
        raise DataError(
            f"Y has shape {y.shape}, X {X.shape}, and there are {index.size} clusters of rows: "
            "give a column of Y for each data set, and a row for each cluster label."
        )
    order = np.argsort(index, kind="stable")
    groups = Groups(np.bincount(index))
    if groups.largest < 2:
        raise DataError("Every cluster has one row: there is no pair to take a correlation from.")
    Q, R = np.linalg.qr(X[order])
    if (np.abs(np.diag(R)) <= 1e-11 * np.sqrt((X**2).sum(0))).any():
        raise DataError("The columns of X are linearly dependent: leave one of them out.")
    Q, y = Q * np.sqrt(len(Q)), y[order]
    # Rows of X that are equal may have rows of Q that differ in their last digit.
    merged = merge_groups(y, X[order], groups)
    equations = _Equations(made, Q, groups)
    if merged is not None:
        y, equations = merged.y, equations.of_merged(merged)
    at_once = max(1, _CELLS // len(y))
    parts = [
        equations.solve(y[:, k : k + at_once], slice(k, k + at_once))
        for k in range(0, y.shape[1], at_once)
    ]
    names = ManyMarginal.__dataclass_fields__
    whole = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
    whole["beta"] = np.einsum("mk,pk->mp", whole["beta"], np.linalg.inv(R)) * np.sqrt(index.size)
    return ManyMarginal(**whole)


class _Equations:
    """The design, rows by cluster, X with orthonormal columns times sqrt(n)."""

    def __init__(self, family: Family, X: Array, groups: Groups) -> None:
        self.family, self.X, self.groups = family, X, groups
        self.XX = np.einsum("na,nb->abn", X, X).reshape(-1, len(X))
        self.size = groups.counts[:, None].astype(float)
        self.n, self.n_pairs = len(X), float((self.size * (self.size - 1)).sum()) / 2
        self.counts: Array | None = None  # how many clusters each one stands for

    def of_merged(self, merged: Merged) -> _Equations:
        """The same equations where clusters that are alike stand once."""
        groups = Groups(self.groups.counts[: len(merged.counts)])
        other = _Equations(self.family, self.X[merged.rows], groups)
        other.n, other.n_pairs, other.counts = self.n, self.n_pairs, merged.counts
        return other

    def solve(self, y: Array, part: slice) -> ManyMarginal:
        """Steps for beta between moment estimates of phi and alpha, until both stand still."""
        m, p = y.shape[1], self.X.shape[1]
        link, start = self.family.link, self.family.start_mu(y, np.ones_like(y))
        with np.errstate(all="ignore"):
            beta = np.linalg.lstsq(self.X, link.eta(start), rcond=None)[0].T
        dependent, converged = np.zeros(m, dtype=bool), np.zeros(m, dtype=bool)
        alpha, scale = np.zeros(m), np.ones(m)
        left = np.arange(m)
        for _ in range(_MOST_STEPS):
            n_c = None if self.counts is None else self.counts[:, part][:, left]
            step, M, a, s, ok = self._step(y[:, left], beta[left], dependent[left], n_c)
            alpha[left], scale[left] = a, s
            beta[left[ok]] += step[ok]
            size = np.einsum("ma,mab,mb->m", step, M, step)
            near = ok & (size < 1e-8 * s)
            far = np.abs(self.X @ beta[left].T).max(0) > 1e3
            done = near & dependent[left] & (size < 1e-17 * s)
            converged[left[done]] = True
            dependent[left[near]] = True
            left = left[ok & ~done & ~far]
            if not left.size:
                break
        bad = ~converged
        beta[bad], alpha[bad], scale[bad] = np.nan, np.nan, np.nan
        return ManyMarginal(beta.reshape(m, p), alpha, scale, converged)

    def _step(
        self, y: Array, beta: Array, dependent: Mask, counts: Array | None
    ) -> tuple[Array, Array, Array, Array, Mask]:
        """Step, its information M, alpha, phi, and whether all of it is finite."""
        X, groups, p = self.X, self.groups, self.X.shape[1]
        with np.errstate(all="ignore"):
            eta = X @ beta.T
            mu, slope = self.family.link.mu(eta), self.family.link.dmu(eta)
            root = 1 / np.sqrt(self.family.variance(mu, 1.0, 1.0))
            a, e = slope * root, (y - mu) * root
            sums = groups.sum(e)
            n_c = np.ones_like(sums) if counts is None else counts
            n_i = groups.spread(n_c)
            squares = np.einsum("nm,nm,nm->m", n_i, e, e)
            scale = squares / self.n
            between = np.einsum("jm,jm,jm->m", n_c, sums, sums)
            alpha = 0.5 * (between - squares) / (scale * self.n_pairs)
            low = -1.0 / (groups.largest - 1)
            alpha = np.where(dependent, np.clip(alpha, low + _MARGIN, 1 - _MARGIN), 0.0)
            c = n_c * alpha / (1 + (self.size - 1) * alpha)
            D = np.stack([groups.sum(x[:, None] * a) for x in X.T])
            M = (self.XX @ (n_i * a * a)).reshape(p, p, -1)
            M = (M - np.einsum("ajm,bjm->abm", c * D, D)) / (1 - alpha)
            right = X.T @ (n_i * a * e) - np.einsum("ajm,jm->am", c * D, sums)
            right = right / (1 - alpha)
        M, right = M.transpose(2, 0, 1), right.T
        ok = np.isfinite(M).all((1, 2)) & np.isfinite(right).all(1)
        M = np.where(ok[:, None, None], M, np.eye(p))
        information, axes = np.linalg.eigh(M)
        # The means have reached the end of their range: nothing speaks of some direction.
        ok &= information[:, 0] > 1e-12 * information[:, -1]
        along = np.einsum("mab,ma->mb", axes, right) / np.where(information > 0, information, 1.0)
        return np.einsum("mab,mb->ma", axes, along), M, alpha, scale, ok
