"""The linear mixed model.

    y = X beta + sum_t Z_t b_t + e,  b_t ~ N(0, sigma^2 Lambda_t Lambda_t'),  e ~ N(0, sigma^2 / w)

fitted by maximum likelihood or REML. The likelihood and its derivatives are in
``mixedlab.engine.profiled``; here they are minimised and the result gets the data's units.
Residuals may be correlated or of unequal variance: see ``mixedlab.models.residual``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.terms import RandomTerm, check_parameters
from mixedlab.errors import DataError
from mixedlab.models.checks import column, matrix, random_term
from mixedlab.models.linear_fit import LinearFit, Specification
from mixedlab.models.residual import ResidualStructure, refuse_mixing, structure_from

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LinearFit", "fit_linear", "lmm"]

Array = NDArray[np.float64]


def lmm(
    formula: str,
    data: pd.DataFrame,
    *,
    reml: bool = True,
    weights: ArrayLike | str | None = None,
    offset: ArrayLike | str | None = None,
    residual: str | None = None,
) -> LinearFit:
    """Fit a linear mixed model to a table.

    Parameters
    ----------
    formula : str
        ``"Reaction ~ Days + (Days | Subject)"``: fixed effects, and one bar in parentheses for
        each set of correlated coefficients that vary over the levels of a grouping factor.
        ``(x || g)`` for uncorrelated ones, ``(1 | a/b)`` for b nested in a.
    data : DataFrame
        One row for each observation. Rows with missing values are left out, with a warning.
    reml : bool
        Restricted maximum likelihood (default), or maximum likelihood. Compare models with
        different fixed effects by maximum likelihood.
    weights : array or column name, optional
        Positive; the residual variance of row i is ``sigma**2 / weights[i]``.
    offset : array or column name, optional
        Known part of the mean.
    residual : str, optional
        ``"ar1(time)"``, first-order autoregression within the finest grouping factor, or within
        another by ``"ar1(time | group)"``; ``"diag(f)"``, a variance for each level of f;
        ``"us(role | couple)"``, any covariance between the roles of a small group. The formula
        then needs no random term.

    Returns
    -------
    LinearFit

    Raises
    ------
    FormulaError, DataError
        In words, with the column, term or level.

    References
    ----------
    Bates, Maechler, Bolker & Walker (2015), Fitting linear mixed-effects models using lme4,
    Journal of Statistical Software 67(1).

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    >>> fit.fixef.round(2)
    (Intercept)    251.41
    Days            10.47
    Name: estimate, dtype: float64
    >>> fit.varcorr.round(2)
          group         var1  var2    vcov  sdcor
    0   Subject  (Intercept)  None  612.09  24.74
    1   Subject         Days  None   35.07   5.92
    2   Subject  (Intercept)  Days    9.60   0.07
    3  Residual         None  None  654.94  25.59
    """
    from mixedlab.data.design import build_design

    design = build_design(
        formula,
        data,
        weights=weights,
        offset=offset,
        response="numeric",
        need_groups=residual is None,
    )
    structure = None
    if residual is not None:
        from mixedlab.data.columns import as_frame

        structure = structure_from(residual, as_frame(data), design.rows, design.terms)
    fit = _fitted(
        Specification(
            design.y,
            design.X,
            tuple(design.terms),
            reml,
            design.weights,
            design.offset,
            design.names,
            structure,
        )
    )
    return replace(fit, design=design, formula=design.formula)


def fit_linear(
    y: ArrayLike,
    X: ArrayLike,
    terms: Sequence[RandomTerm],
    *,
    reml: bool = True,
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    start: ArrayLike | None = None,
    residual: ResidualStructure | None = None,
) -> LinearFit:
    """Fit a linear mixed model to arrays; pandas is not imported.

    Parameters
    ----------
    y : array, shape (n,)
    X : array, shape (n, p)
        Fixed-effects columns, the intercept included where it is wanted.
    terms : sequence of RandomTerm
    reml, weights, offset
        As in `lmm`.
    names : sequence of str, optional
        Names of the columns of X.
    start : array, optional
        ``theta`` to start from, in the data's units; by default a moment estimate.
    residual : ResidualStructure, optional
        Correlated residuals, or unequal variances; ``terms`` may then be empty.

    Raises
    ------
    DataError
        Shapes that do not fit, values that are not finite, aliased columns, or a response that
        leaves no residual variance.
    """
    X, names = matrix(X, names)
    n = X.shape[0]
    y = column("y", y, n)
    weights = None if weights is None else column("weights", weights, n)
    offset = None if offset is None else column("offset", offset, n)
    terms = tuple(terms)
    for term in terms:
        random_term(term, n)
    return _fitted(Specification(y, X, terms, reml, weights, offset, names, residual), start)


def _fitted(model: Specification, start: ArrayLike | None = None) -> LinearFit:
    """The fit of a model whose arrays are known to be sound."""
    _check(model)
    return LinearFit.at(model, model.minimise(start))


def _check(model: Specification) -> None:
    """Raise, in words, where these data cannot identify the model."""
    X, weights, terms, residual = model.X, model.weights, model.terms, model.residual
    n, p = X.shape
    if n <= p:
        raise DataError(f"There are {p} fixed effects but only {n} rows: leave some out.")
    if weights is not None and not (weights > 0).all():
        row = int(np.flatnonzero(weights <= 0)[0])
        raise DataError(f"Weights must be positive; row {row} has {weights[row]:g}.")
    if residual is not None:
        refuse_mixing(residual, terms)
    elif not terms:
        raise DataError("There is no random term: give at least one, or fit by least squares.")
    for term in terms:
        if term.n_levels >= n:
            raise DataError(
                f"The grouping factor {term.group!r} has one row for each level: its variance "
                "cannot be told from the residual's. Use a coarser factor or drop the term."
            )
    check_parameters(terms, n)
