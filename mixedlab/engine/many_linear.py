"""Linear mixed models of many data sets of one design, fitted together.

The criteria of all data sets are minimised at once (``many_profiled``, ``many_minimise``); what is
decided at the boundary, and how, is as in ``mixedlab.engine.profiled``, so that the results are
those of one fit after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.many_design import Design
from mixedlab.engine.many_minimise import Minima, eigen, minimise_many, put, rows
from mixedlab.engine.many_profiled import At, ManyProfiled, Points
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

_ZERO_VARIANCE = 1e-7  # as in `mixedlab.engine.profiled`
_CELLS = 40_000  # numbers in one array of a chunk: small enough for the processor's cache


@dataclass(frozen=True)
class ManyLinear:
    """The fits of m data sets.

    Attributes
    ----------
    beta : ndarray (m, p)
    vcov_beta : ndarray (m, p, p)
    theta : ndarray (m, k)
        Relative covariance factors as in `MixedFit.theta`.
    sigma, criterion : ndarray (m,)
        Residual standard deviation; REML criterion or -2 log-likelihood.
    converged, singular : ndarray of bool (m,)
        A data set that the model reproduces exactly has not converged, and its numbers are nan.
    """

    beta: Array
    vcov_beta: Array
    theta: Array
    sigma: Array
    criterion: Array
    converged: NDArray[np.bool_]
    singular: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.sigma)


def many_linear(
    Y: ArrayLike,
    X: ArrayLike,
    terms: Sequence[RandomTerm],
    *,
    reml: bool = True,
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    start: ArrayLike | None = None,
) -> ManyLinear:
    """Fit a linear mixed model with one grouping factor to m data sets of n rows.

    Parameters
    ----------
    Y : array (n, m)
        Responses, one data set a column.
    X : array (n, p)
    terms : sequence of RandomTerm
        All of the same grouping factor.
    reml, weights, offset
        As in `mixedlab.lmm`; the same for all data sets.
    start : array (k,), optional
        ``theta`` from which all start, in the data's units; by default each starts from a
        comparison of its mean squares.

    Raises
    ------
    DataError
        Where shapes do not fit, or X is rank deficient.
    """
    y, X, n = np.asarray(Y, dtype=float), np.asarray(X, dtype=float), terms[0].index.size
    if y.ndim != 2 or not len(y) == len(X) == n:
        raise DataError(
            f"Y has shape {np.shape(Y)}, X {X.shape}, and there are {n} levels of rows: give a "
            "column of Y for each data set, and a row for each level."
        )
    if offset is not None:
        y = y - np.asarray(offset, dtype=float)[:, None]
    design = Design(X, terms, reml, weights)
    at_once = max(1, _CELLS // max(design.count.size * design.q, 20))
    parts = [
        _Fitting(design, design.summaries(y[:, k : k + at_once])).fit(start)
        for k in range(0, y.shape[1], at_once)
    ]
    names = ManyLinear.__dataclass_fields__
    return ManyLinear(*(np.concatenate([getattr(p, name) for p in parts]) for name in names))


class _Fitting(ManyProfiled):
    """The minima of the criteria, and the fits there."""

    def fit(self, start: Array | None) -> ManyLinear:
        """Minimise every criterion and return the fits in the data's units."""
        found = minimise_many(self.evaluate, self.start(start), self.move, tol=self.tol)
        self._leave_saddles(found)
        L = self._settle(found)
        d, data, at = self.design, self.data, found.at
        own = np.linalg.solve(d.z_basis, L)
        own = own * np.where(np.einsum("mkk->mk", own) < 0, -1.0, 1.0)[:, None, :]
        half = d.x_basis @ at.root.transpose(0, 2, 1)
        scale = at.sigma2 * data.y_scale**2
        inside = data.beta_start + data.y_scale[:, None] * (at.beta + data.beta_within)
        bad = ~np.isfinite(at.value) | data.perfect
        at.value[bad] = scale[bad] = inside[bad] = own[bad] = np.nan
        found.converged[bad] = False
        return ManyLinear(
            beta=inside @ d.x_basis.T,
            vcov_beta=scale[:, None, None] * (half @ half.transpose(0, 2, 1)),
            theta=own[:, d.rows, d.cols] + 0.0,
            sigma=np.sqrt(scale),
            criterion=at.value,
            converged=found.converged,
            singular=self._singular(L) & ~bad,
        )

    def _leave_saddles(self, found: Minima) -> None:
        """Go on from stationary points where a variance is zero and the criterion falls with it.

        The derivative in T decides, since that in Lambda vanishes at zero whatever the data.
        """
        x, at = found.x, found.at
        for _ in range(10):
            inside = self._lower_points(x, at)
            if inside is None:
                return
            which, start = inside
            again = minimise_many(
                lambda points, some, which=which: self.evaluate(points, which[some]),
                start, self.move, tol=self.tol,
            )  # fmt: skip
            better = again.at.value < at.value[which] - 1e-8
            if not better.any():
                return
            put(x, which[better], rows(again.x, better))
            put(at, which[better], rows(again.at, better))
            found.converged[which[better]] = again.converged[better]

    def _lower_points(self, x: Points, at: At) -> tuple[Indices, Points] | None:
        """Data sets at a saddle, and a lower point near each."""
        which, starts = [], []
        for where in self.design.columns:
            sd = np.einsum("mkk->mk", x.L)[:, where]
            F = x.F[:, where, where]
            # Where T is regular, a zero gradient in L is a zero gradient in T.
            flat = sd**2 <= 1e-4 * np.maximum(1.0, sd.max(1) ** 2)[:, None]
            near = np.flatnonzero(flat.any(1) & np.isfinite(at.value))
            if not near.size:
                continue
            axes = F[near] * flat[near][:, None, :]
            falls, direction = eigen(
                axes.transpose(0, 2, 1) @ at.slope[near][:, where, where] @ axes
            )
            down = falls[:, 0] < -1e-6
            near, v = near[down], np.einsum("mab,mb->ma", axes[down], direction[down, :, 0])
            step = np.ones(near.size)
            while near.size and step.max() > 1e-10:
                half = (x.F[near] @ x.L[near])[:, where, where]
                T = half @ half.transpose(0, 2, 1) + step[:, None, None] * (
                    v[:, :, None] * v[:, None]
                )
                values, vectors = eigen(T)
                start = rows(x, near)
                start.F[:, where, where] = vectors[:, :, ::-1]
                root = np.sqrt(np.maximum(values[:, ::-1], 0.0))
                start.L[:, where, where] = np.eye(root.shape[1]) * root[:, None, :]
                lower = self.evaluate(start, near).value < at.value[near] - 1e-9
                which.append(near[lower])
                starts.append(rows(start, lower))
                near, v, step = near[~lower], v[~lower], step[~lower] / 4.0
        if not which or not sum(w.size for w in which):
            return None
        which, first = np.unique(np.concatenate(which), return_index=True)
        together = Points(*(np.concatenate([getattr(s, f) for s in starts]) for f in ("F", "L")))
        return which, rows(together, first)

    def _settle(self, found: Minima) -> Array:
        """Lower triangular Lambda (m, q, q), with variances zero where they are so to rounding."""
        x, at, d = found.x, found.at, self.design
        L, dropped, zeros = np.zeros_like(x.L), x.L.copy(), np.zeros(len(x.L), dtype=bool)
        for where in d.columns:
            sd = np.einsum("mkk->mk", x.L)[:, where]
            zero = sd**2 <= _ZERO_VARIANCE * np.maximum(1.0, sd.max(1) ** 2)[:, None]
            zeros |= zero.any(1)
            dropped[:, where, where] *= ~zero[:, None, :]
        which = np.flatnonzero(zeros & np.isfinite(at.value))
        if which.size:
            there = self.evaluate(Points(x.F[which], dropped[which]), which)
            # Only a variance that costs nothing to drop is zero.
            good = there.value <= at.value[which] + 1e-6
            x.L[which[good]] = dropped[which[good]]
            put(at, which[good], rows(there, good))
        for where in d.columns:
            half = (x.F @ x.L)[:, where, where]
            lower = np.abs(half)
            if half.shape[1] > 1:
                lower = np.linalg.qr(half.transpose(0, 2, 1), mode="r").transpose(0, 2, 1)
                lower = lower * np.where(np.einsum("mkk->mk", lower) < 0, -1.0, 1.0)[:, None, :]
                small = np.abs(lower) < 1e-14 * np.abs(lower).max((1, 2))[:, None, None]
                lower = np.where(small, 0.0, lower)
            L[:, where, where] = lower
        return L

    def _singular(self, L: Array) -> NDArray[np.bool_]:
        """Whether some combination of one term's random effects has variance zero."""
        out = np.zeros(len(L), dtype=bool)
        for where in self.design.columns:
            block = L[:, where, where]
            variances = eigen(block @ block.transpose(0, 2, 1))[0]
            out |= variances[:, 0] <= _ZERO_VARIANCE * np.maximum(1.0, variances[:, -1])
        return out
