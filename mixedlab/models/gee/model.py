"""Generalised estimating equations for arrays: check, sort by cluster, solve, report.

Neither pandas nor formulaic is loaded, so a lab can fit marginal models in a browser.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.families import family as find_family
from mixedlab.errors import DataError, DataWarning
from mixedlab.models.gee.fit import CORRECTIONS, GEEFit, SmallSample
from mixedlab.models.gee.solver import Equations, Solution, solve, under_independence
from mixedlab.models.gee.working_correlation import Clusters, WorkingCorrelation, structure


def fit_marginal(
    y: ArrayLike,
    X: ArrayLike,
    cluster: ArrayLike,
    *,
    family: str | Family = "gaussian",
    link: str | None = None,
    correlation: str = "exchangeable",
    position: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    small_sample: SmallSample | None = None,
    max_iter: int = 200,
) -> GEEFit:
    """Fit a marginal model to arrays; see :func:`mixedlab.gee` for tables.

    Parameters
    ----------
    y : array_like, shape (n,)
        Response; proportions for the binomial, with ``weights`` the trials.
    X : array_like, shape (n, p)
        Columns of the linear predictor, linearly independent, the intercept among them.
    cluster : array_like, shape (n,)
        A label for each row.
    family, link, correlation, small_sample, max_iter
        As in :func:`mixedlab.gee`.
    position : array_like, shape (n,), optional
        Place of each row along its cluster; AR(1) and unstructured need it.
    weights, offset : array_like, shape (n,), optional
    names : sequence of str, length p, optional
        Names of the columns of X.

    Raises
    ------
    DataError
        Where a choice is unknown, a position is needed, or there is one cluster.

    Warns
    -----
    DataWarning
        Where the equations did not settle or the correlation left its range.
    """
    if small_sample not in (None, *CORRECTIONS):
        raise DataError(
            f"small_sample must be None, 'mancl-derouen' or 'kauermann-carroll', "
            f"not {small_sample!r}."
        )
    kind = structure(correlation)
    if kind.needs_order and position is None:
        raise DataError(
            f"correlation={kind.name!r} depends on the order of the rows within a cluster: name "
            "the column that gives it, as in order='visit'."
        )
    y, X = np.asarray(y, dtype=float), np.asarray(X, dtype=float)
    if y.ndim != 1 or X.ndim != 2 or len(X) != y.size:
        raise DataError(f"X has shape {X.shape} and y {y.shape}: give one row of X for each y.")
    clusters, order = _sorted_clusters(cluster, position, y.size)
    if clusters.sizes.size < 2:
        raise DataError(
            f"There is one cluster ({clusters.labels[0]!r}): robust standard errors need many."
        )
    # Orthonormal columns: a year counted from 0 is no nearer to the intercept than one from 2000.
    Q, R = np.linalg.qr(X[order])
    size = np.sqrt(np.square(X).sum(axis=0))
    if (np.abs(np.diag(R)) <= 1e-11 * size).any():
        raise DataError(
            "The columns of X are linearly dependent: leave out those that add nothing."
        )
    equations = Equations(
        family=find_family(family, link),
        clusters=clusters,
        order=order,
        X=Q * np.sqrt(y.size),
        y=y[order],
        weights=np.ones(y.size) if weights is None else np.asarray(weights, dtype=float)[order],
        offset=0.0 if offset is None else np.asarray(offset, dtype=float)[order],
    )
    working = kind(clusters)
    # The independence solution first: from farther away, moments of the residuals need not
    # be those of any correlation matrix.
    equations, independence = under_independence(equations, max_iter)
    solution = solve(equations, working, independence.beta, max_iter)
    notes = _notes(equations, working, solution)
    for note in notes:
        warnings.warn(note, DataWarning, stacklevel=3)
    to_coef = np.linalg.inv(R) * np.sqrt(y.size)
    return GEEFit(
        formula="",
        names=tuple(names) if names else tuple(f"x{k + 1}" for k in range(X.shape[1])),
        beta=to_coef @ solution.beta,
        working=working,
        scale=solution.scale,
        family=equations.family,
        dispersion=equations.dispersion,
        small_sample=small_sample,
        converged=solution.converged,
        n_iterations=solution.n_iterations,
        notes=notes,
        groups="cluster",
        n_missing=0,
        equations=equations,
        solution=solution,
        independence=independence,
        to_coef=to_coef,
    )


def _sorted_clusters(
    cluster: ArrayLike, position: ArrayLike | None, n: int
) -> tuple[Clusters, NDArray[np.intp]]:
    """Clusters in the order of their labels, and the rows in that order."""
    labels, index = np.unique(np.asarray(cluster), return_inverse=True)
    if index.size != n:
        raise DataError(f"{index.size} cluster labels for {n} responses.")
    position = None if position is None else np.asarray(position, dtype=float)
    order = np.lexsort((index.ravel(),) if position is None else (position, index.ravel()))
    sizes = np.bincount(index.ravel())
    starts = np.cumsum(sizes) - sizes
    place = None if position is None else position[order]
    return Clusters(tuple(labels.tolist()), starts, sizes, place), order


def _notes(
    equations: Equations, working: WorkingCorrelation, solution: Solution
) -> tuple[str, ...]:
    notes = []
    if not solution.converged:
        far = equations.family.counts_trials and np.abs(equations.eta(solution.beta)).max() > 15
        remedy = (
            "A coefficient runs to infinity: see mixedlab.check_separation."
            if far
            else "Try correlation='independence', another link, or fewer covariates."
        )
        notes.append(
            f"The equations did not settle in {solution.n_iterations} steps, so neither the "
            f"estimates nor their errors can be used. {remedy}"
        )
    if working.limited:
        notes.append(
            f"The estimated {working.name} correlation is outside the range that clusters of "
            f"{equations.clusters.sizes.max()} rows allow; {working.alpha:.4f}, its end, is used. "
            "Coefficients stay valid; another working correlation may be more precise."
        )
    return tuple(notes)
