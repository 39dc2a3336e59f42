r"""Generalised estimating equations: the effect on the average, whatever the correlation.

The model says E y = mu with g(mu) = X beta, and Var y = phi V(mu) / weights. Rows of a cluster
are correlated; R(alpha) is a guess at how. With D = d mu / d beta and
Sigma = phi A^(1/2) R A^(1/2), A = diag(V(mu) / weights), beta solves

    sum over clusters of  D' Sigma^-1 (y - mu) = 0                 (Liang and Zeger 1986).

phi and alpha are re-estimated by moments between steps (:mod:`mixedlab.models.gee.solver`).
The standard errors are right even where R is wrong (:mod:`mixedlab.models.gee.fit`).
`fit_marginal` takes arrays and loads neither pandas nor formulaic, so a lab can fit marginal
models in a browser.

GEE estimates marginal effects: those on the average over clusters. They differ from the
conditional effects of :func:`mixedlab.glmm` wherever the link bends.

References
----------
Liang and Zeger (1986) Biometrika 73:13.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.correlation import (
    AutoRegressive,
    Clusters,
    Correlation,
    Exchangeable,
    Independence,
    Unstructured,
)
from mixedlab.engine.families import Family
from mixedlab.engine.families import family as find_family
from mixedlab.errors import DataError, DataWarning, FormulaError, first_rows, nearest
from mixedlab.models.gee.fit import CORRECTIONS, GEEFit, SmallSample
from mixedlab.models.gee.solver import Equations, Solution, solve, under_independence

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

_RESPONSE = {
    "binomial": "binomial",
    "beta_binomial": "binomial",
    "poisson": "count",
    "negative_binomial": "count",
}


def gee(
    formula: str,
    data: Any,
    groups: str,
    family: str | Family = "gaussian",
    correlation: str = "exchangeable",
    order: str | None = None,
    weights: ArrayLike | str | None = None,
    offset: ArrayLike | str | None = None,
    *,
    link: str | None = None,
    small_sample: SmallSample | None = None,
    max_iter: int = 200,
) -> GEEFit:
    """Fit a marginal model to clustered data by generalised estimating equations.

    Parameters
    ----------
    formula : str
        Response and covariates; no random terms.
    data : DataFrame or dict of columns
    groups : str
        Column of clusters; rows of a cluster may stand anywhere.
    family, link : str
        As for :func:`mixedlab.glmm`. The dispersion of the negative binomial and of the
        beta-binomial is estimated by moments under independence.
    correlation : {"independence", "exchangeable", "ar1", "unstructured"}
        Working correlation within clusters.
    order : str, optional
        Column that places the rows along their cluster: visit, time. AR(1) and unstructured
        need it. With AR(1) the correlation at distance d is alpha^d, so a missed visit leaves
        a gap. A factor counts its levels 0, 1, 2, ...
    weights : array or column name, optional
        Prior weights; for binomial proportions the trials.
    offset : array or column name, optional
    small_sample : {None, "mancl-derouen", "kauermann-carroll"}
        Correction of the robust standard errors for few clusters (below about 50).
    max_iter : int

    Returns
    -------
    GEEFit

    Raises
    ------
    DataError
        Where the order is missing or has ties within a cluster, the response is outside the
        family's range, or a name is unknown.
    FormulaError
        Where the formula does not parse or has a random term.

    Warns
    -----
    DataWarning
        Where rows were left out, the equations did not settle, or the estimated correlation
        had to be moved into the range that a correlation matrix allows.

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.gee("resp ~ age * smoke", ml.load("ohio"), groups="id", family="binomial")
    >>> fit.coef.round(3)
    (Intercept)   -1.900
    age           -0.141
    smoke          0.314
    age:smoke      0.071
    Name: estimate, dtype: float64
    >>> round(fit.correlation, 3)
    0.355
    """
    from mixedlab.data.columns import as_frame, factorized, refuse_unusable
    from mixedlab.data.design import build_design
    from mixedlab.data.formula import parse
    from mixedlab.data.names import unknown_column
    from mixedlab.data.rows import one_a_row

    kind = find_family(family, link)
    parsed = parse(formula)
    if parsed.bars:
        raise FormulaError(
            "GEE has no random effects: name the clusters with groups=, and leave this term out.",
            parsed.source,
            parsed.bars[0].columns.position,
        )
    table = as_frame(data)
    for what, name in (("groups", groups), ("order", order)):
        if not isinstance(name, str) and (what == "groups" or name is not None):
            raise DataError(f"{what} is the name of a column, not {type(name).__name__}.")
        if name is not None and name not in table.columns:
            raise unknown_column(name, table.columns, formula)
    refuse_unusable(table, [c for c in (groups, order) if c])
    gaps = table[[c for c in (groups, order) if c]].isna().any(axis=1).to_numpy()
    if gaps.any():
        warnings.warn(
            f"{gaps.sum()} of {len(table)} rows left out: they have no cluster or no place in "
            f"the order ({first_rows(gaps)}).",
            DataWarning,
            stacklevel=2,
        )
        weights, offset = (
            v if v is None or isinstance(v, str) else one_a_row(v, what, table)[~gaps]
            for what, v in (("weights", weights), ("offset", offset))
        )
        table = table[~gaps]
    design = build_design(
        formula,
        table,
        weights=weights,
        offset=offset,
        response=_RESPONSE.get(kind.name, "numeric"),
        need_groups=False,
    )
    rows = design.rows
    cluster, labels = factorized(table[groups].iloc[rows])
    w = design.trials if design.trials is not None else design.weights
    w = np.ones(rows.size) if w is None else w
    kind.check_response(design.y, w, np.flatnonzero(~gaps)[rows])
    fit = fit_marginal(
        design.y,
        design.X,
        cluster,
        labels=labels.tolist(),
        family=kind,
        correlation=correlation,
        position=None if order is None else _positions(table[order].iloc[rows], order),
        weights=w,
        offset=design.offset,
        names=design.names,
        small_sample=small_sample,
        max_iter=max_iter,
    )
    return replace(
        fit,
        formula=formula,
        groups=groups,
        design=design,
        n_missing=design.n_missing + int(gaps.sum()),
    )


def _positions(column: pd.Series, name: str) -> Array:
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy(float)
    if not pd.api.types.is_numeric_dtype(column.dtype):
        raise DataError(
            f"order: {name!r} must hold numbers (visits, times) or be a factor whose levels are "
            "in order."
        )
    return column.to_numpy(float)


def fit_marginal(
    y: ArrayLike,
    X: ArrayLike,
    cluster: ArrayLike,
    *,
    labels: Sequence[object] | None = None,
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
        A label for each row, or where there are ``labels`` the number of one.
    labels : sequence, optional
        Names of the clusters.
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
    y, X = np.asarray(y, dtype=float), np.asarray(X, dtype=float)
    if y.ndim != 1 or X.ndim != 2 or len(X) != y.size:
        raise DataError(f"X has shape {X.shape} and y {y.shape}: give one row of X for each y.")
    if labels is None:
        labels, cluster = np.unique(np.asarray(cluster), return_inverse=True)
    clusters = Clusters(
        np.asarray(cluster, dtype=np.intp).reshape(-1),
        None if position is None else np.asarray(position, dtype=float),
    )
    if clusters.index.size != y.size:
        raise DataError(f"{clusters.index.size} cluster labels for {y.size} responses.")
    if len(labels) < 2:
        raise DataError(f"There is one cluster ({labels[0]!r}): robust standard errors need many.")
    working = _working(correlation, clusters, labels)
    # Orthonormal columns: a year counted from 0 is no nearer to the intercept than one from 2000.
    Q, R = np.linalg.qr(X)
    size = np.sqrt(np.square(X).sum(axis=0))
    if (np.abs(np.diag(R)) <= 1e-11 * size).any():
        raise DataError(
            "The columns of X are linearly dependent: leave out those that add nothing."
        )
    equations = Equations(
        family=find_family(family, link),
        clusters=clusters,
        X=Q * np.sqrt(y.size),
        y=y,
        weights=np.ones(y.size) if weights is None else np.asarray(weights, dtype=float),
        offset=np.zeros(y.size) if offset is None else np.asarray(offset, dtype=float),
    )
    # The independence solution first: from farther away, moments of the residuals need not
    # be those of any correlation matrix.
    equations, independence = under_independence(equations, max_iter)
    solution = solve(equations, working, equations.at(independence.beta), max_iter)
    notes = _notes(equations, working, solution)
    for note in notes:
        warnings.warn(note, DataWarning, stacklevel=3)
    return GEEFit(
        formula="",
        names=tuple(names) if names else tuple(f"x{k + 1}" for k in range(X.shape[1])),
        X=X,
        equations=equations,
        working=working,
        solution=solution,
        independence=independence,
        to_coef=np.linalg.inv(R) * np.sqrt(y.size),
        small_sample=small_sample,
        notes=notes,
        groups="cluster",
        labels=tuple(labels),
    )


def _working(name: str, clusters: Clusters, labels: Sequence[object]) -> Correlation:
    """The working correlation of a name (``"AR(1)"`` and ``"ar1"`` are the same), if it is known.

    Raises where the clusters cannot tell it.
    """
    known = {s.name: s for s in (Independence, Exchangeable, AutoRegressive, Unstructured)}
    kind = known.get("".join(c for c in str(name).lower() if c.isalnum()))
    if kind is None:
        raise DataError(f"Unknown correlation {name!r}.{nearest(name, known)}")
    if kind.needs_place:
        if clusters.place is None:
            raise DataError(
                f"correlation={kind.name!r} depends on the order of the rows within a cluster: "
                "name the column that gives it, as in order='visit'."
            )
        tied = clusters.tied_row
        if tied is not None:
            raise DataError(
                f"Cluster {labels[clusters.index[tied]]!r} has two rows at the same place "
                f"{clusters.place[tied]:g} of the order: each row of a cluster needs its own."
            )
    if kind is not Independence and clusters.sizes.max() < 2:
        raise DataError(
            "Every cluster has one row, so there is no pair to take a correlation from: "
            "use correlation='independence'."
        )
    working = kind(clusters)
    if kind is Unstructured and working.n_pairs > clusters.index.size:
        raise DataError(
            f"The order has {working.places.size} places, so {working.n_pairs} correlations for "
            f"{clusters.index.size} rows: use correlation='ar1' or 'exchangeable', or an order "
            "with fewer places."
        )
    if kind is Unstructured and working.never_together is not None:
        a, b = working.places[list(working.never_together)]
        raise DataError(
            f"No cluster has rows at both {a:g} and {b:g} of the order, so their correlation is "
            "unknown: use correlation='ar1' or 'exchangeable'."
        )
    return working


def _notes(equations: Equations, working: Correlation, solution: Solution) -> tuple[str, ...]:
    notes = []
    if not solution.converged:
        far = equations.family.counts_trials and np.abs(equations.at(solution.beta).eta).max() > 15
        remedy = (
            "A coefficient runs to infinity: see mixedlab.check_separation."
            if far
            else "Try correlation='independence', another link, or fewer covariates."
        )
        notes.append(
            f"The equations did not settle in {solution.n_iterations} steps, so neither the "
            f"estimates nor their errors can be used. {remedy}"
        )
    if solution.moments.limited:
        largest, alpha = equations.clusters.sizes.max(), solution.moments.alpha
        notes.append(
            f"The estimated {working.name} correlation is outside the range that clusters of "
            f"{largest} rows allow; {alpha:.4f}, its end, is used. "
            "Coefficients stay valid; another working correlation may be more precise."
        )
    return tuple(notes)
