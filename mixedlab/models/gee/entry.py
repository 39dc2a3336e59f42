r"""Generalised estimating equations: the effect on the average, whatever the correlation.

The model says E y = mu with g(mu) = X beta, and Var y = phi V(mu) / weights. Rows of a cluster
are correlated; R(alpha) is a guess at how. With D = d mu / d beta and
Sigma = phi A^(1/2) R A^(1/2), A = diag(V(mu) / weights), beta solves

    sum over clusters of  D' Sigma^-1 (y - mu) = 0                 (Liang and Zeger 1986).

phi and alpha are re-estimated by moments between steps (:mod:`mixedlab.models.gee.solver`).
The standard errors are right even where R is wrong (:mod:`mixedlab.models.gee.fit`).

GEE estimates marginal effects: those on the average over clusters. They differ from the
conditional effects of :func:`mixedlab.glmm` wherever the link bends.

References
----------
Liang and Zeger (1986) Biometrika 73:13.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mixedlab.data.columns import as_frame, first_rows, unknown_column
from mixedlab.data.design import build_design
from mixedlab.data.formula import parse
from mixedlab.engine.families import Family
from mixedlab.engine.families import family as find_family
from mixedlab.errors import DataError, DataWarning, FormulaError
from mixedlab.models.gee.fit import GEEFit, SmallSample
from mixedlab.models.gee.model import fit_marginal

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
    """
    kind = find_family(family, link)
    parsed = parse(formula)
    if parsed.bars:
        raise FormulaError(
            "GEE has no random effects: name the clusters with groups=, and leave this term out.",
            parsed.source,
            parsed.bars[0].position,
        )
    table = as_frame(data)
    for what, name in (("groups", groups), ("order", order)):
        if name is not None and not isinstance(name, str):
            raise DataError(f"{what} is the name of a column, not {type(name).__name__}.")
        if name is not None and name not in table.columns:
            raise unknown_column(name, table, formula)
    weights, offset = (np.asarray(v) if _is_array(v) else v for v in (weights, offset))
    gaps = table[[c for c in (groups, order) if c]].isna().any(axis=1).to_numpy()
    if gaps.any():
        warnings.warn(
            f"{gaps.sum()} of {len(table)} rows left out: they have no cluster or no place in "
            f"the order ({first_rows(gaps)}).",
            DataWarning,
            stacklevel=2,
        )
        table = table[~gaps]
        weights, offset = (v[~gaps] if _is_array(v) else v for v in (weights, offset))
    design = build_design(
        formula,
        table,
        weights=weights,
        offset=offset,
        response=_RESPONSE.get(kind.name, "numeric"),
        need_groups=False,
    )
    rows = design.rows
    w = design.trials if design.trials is not None else design.weights
    w = np.ones(rows.size) if w is None else w
    kind.check_response(design.y, w, np.flatnonzero(~gaps)[rows])
    fit = fit_marginal(
        design.y,
        design.X,
        table[groups].iloc[rows],
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


def _is_array(value: Any) -> bool:
    return value is not None and not isinstance(value, str)


def _positions(column: pd.Series, name: str) -> Array:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy(float)
    if not pd.api.types.is_numeric_dtype(column.dtype):
        raise DataError(
            f"order: {name!r} must hold numbers (visits, times) or be a factor whose levels are "
            "in order."
        )
    return column.to_numpy(float)
