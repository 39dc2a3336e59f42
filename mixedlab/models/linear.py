"""The linear mixed model.

    y = X beta + sum_t Z_t b_t + e,  b_t ~ N(0, sigma^2 Lambda_t Lambda_t'),  e ~ N(0, sigma^2 / w)

fitted by maximum likelihood or REML. The likelihood and its derivatives are in
``mixedlab.engine.profiled``; here they are minimised and the result gets the data's units.
Residuals may be correlated or of unequal variance: see ``mixedlab.models.residual``.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.optimise import Minimum
from mixedlab.engine.profiled import Evaluation, ProfiledDeviance
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError
from mixedlab.models.linear_fit import LinearFit
from mixedlab.models.residual import ResidualStructure, refuse_mixing, structure_from

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LinearFit", "Specification", "fit_linear", "lmm"]

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
    fit = fit_linear(
        design.y,
        design.X,
        design.terms,
        reml=reml,
        weights=design.weights,
        offset=design.offset,
        names=design.names,
        residual=structure,
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
    X = np.asarray(X, dtype=float)
    if X.ndim != 2:
        raise DataError(f"X has shape {X.shape}; give a matrix, one column for each coefficient.")
    n, p = X.shape
    y = _column("y", y, n)
    weights = None if weights is None else _column("weights", weights, n)
    offset = None if offset is None else _column("offset", offset, n)
    names = tuple(f"x{k + 1}" for k in range(p)) if names is None else tuple(names)
    if len(names) != p:
        raise DataError(f"There are {len(names)} names for the {p} columns of X.")
    terms = tuple(terms)
    _check(X, names, weights, terms, residual)
    return Specification(y, X, terms, reml, weights, offset, names, residual).fit(start)


@dataclass(frozen=True)
class Specification:
    """The data and structure of a model, before and apart from its fit."""

    y: Array
    X: Array
    terms: tuple[RandomTerm, ...]
    reml: bool
    weights: Array | None
    offset: Array | None
    names: tuple[str, ...]
    residual: ResidualStructure | None

    def fit(self, start: ArrayLike | None = None) -> LinearFit:
        """Minimise the criterion, from ``start`` in the data's units or a moment estimate."""
        phi = np.zeros(0) if self.residual is None else self.best_residual()
        problem = self.problem(phi)
        first = None if start is None else problem.from_user(np.asarray(start, dtype=float))
        return self.at(problem, problem.minimise(first), phi)

    def refit(self, fit: LinearFit, y: ArrayLike) -> LinearFit:
        """The same model for another response, from where the last fit ended."""
        y = _column("y", y, self.y.size)
        model = replace(self, y=y)
        if self.residual is not None:
            return model.fit()
        problem = fit.problem.with_response(y if self.offset is None else y - self.offset)
        # A response from the same model has its minimum nearby; at a boundary start afresh.
        start = None if fit.singular else fit.optimum
        return model.at(problem, problem.minimise(start), fit.residual_phi)

    def problem(self, phi: Array) -> ProfiledDeviance:
        """The deviance over theta, at these parameters of the residual structure."""
        y = self.y if self.offset is None else self.y - self.offset
        if self.residual is None:
            return ProfiledDeviance(
                y, self.X, self.terms, reml=self.reml, weights=self.weights, names=self.names
            )
        root = np.ones(y.size) if self.weights is None else np.sqrt(self.weights)

        def white(rows: Array) -> Array:
            return self.residual.whiten(rows * root[:, None], phi)

        return ProfiledDeviance(
            white(y[:, None])[:, 0],
            white(self.X),
            [replace(term, Z=white(term.Z)) for term in self.terms],
            reml=self.reml,
            names=self.names,
            logdet_residual=self.residual.logdet(phi) - 2.0 * float(np.sum(np.log(root))),
        )

    def best_residual(self) -> Array:
        """Parameters of the residual structure that minimise the profiled criterion."""
        from scipy.optimize import minimize

        theta: list[Array | None] = [None]

        def criterion(phi: Array) -> float:
            problem = self.problem(phi)
            start = None if theta[0] is None else problem.from_user(theta[0])
            found = problem.minimise(start)
            theta[0] = problem.to_user(found.x)
            return found.at.value

        def slope(phi: Array) -> Array:
            steps = 1e-4 * np.eye(phi.size)
            return np.array([criterion(phi + s) - criterion(phi - s) for s in steps]) / 2e-4

        found = minimize(
            criterion, np.zeros(self.residual.n_params), jac=slope, options={"gtol": 1e-4}
        )
        return found.x

    def at(
        self, problem: ProfiledDeviance, found: Minimum[Array, Evaluation], phi: Array
    ) -> LinearFit:
        """The fit at a minimum, in the data's units."""
        at = found.at
        if not found.converged:
            warnings.warn(
                "The fit did not converge: the criterion could still be lowered. Are there more "
                "random coefficients than the data can tell apart? Try fewer.",
                RuntimeWarning,
                stacklevel=5,
            )
        return LinearFit(
            y=self.y,
            X=self.X,
            names=self.names,
            terms=self.terms,
            weights=self.weights,
            offset=self.offset,
            specification=self,
            problem=problem,
            optimum=found.x,
            evaluation=at,
            beta=problem.beta_of(at),
            vcov_beta=problem.vcov_of(at),
            theta=problem.to_user(found.x),
            sigma=float(np.sqrt(at.sigma2)) * problem.y_scale,
            dispersion=at.sigma2 * problem.y_scale**2,
            b=problem.effects_of(at),
            criterion=at.value,
            n_params=problem.p + problem.layout.n_theta + 1 + phi.size,
            converged=found.converged,
            singular=problem.is_singular(found.x),
            reml=self.reml,
            residual=self.residual,
            residual_phi=phi,
        )


def _column(what: str, values: ArrayLike, n: int) -> Array:
    values = np.asarray(values, dtype=float)
    if values.shape != (n,):
        raise DataError(f"{what} has shape {values.shape}; there are {n} rows in X.")
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise DataError(
            f"{what} has {bad.size} values that are missing or infinite, the first in row "
            f"{bad[0]}: leave these rows out."
        )
    return values


def _check(
    X: Array,
    names: Sequence[str],
    weights: Array | None,
    terms: Sequence[RandomTerm],
    residual: ResidualStructure | None,
) -> None:
    n, p = X.shape
    if n <= p:
        raise DataError(f"There are {p} fixed effects but only {n} rows: leave some out.")
    if not np.isfinite(X).all():
        at = int(np.flatnonzero(~np.isfinite(X).all(axis=0))[0])
        raise DataError(f"Column {names[at]!r} of X has missing or infinite values.")
    if weights is not None and not (weights > 0).all():
        row = int(np.flatnonzero(weights <= 0)[0])
        raise DataError(f"Weights must be positive; row {row} has {weights[row]:g}.")
    if residual is not None:
        refuse_mixing(residual, terms)
    elif not terms:
        raise DataError("There is no random term: give at least one, or fit by least squares.")
    for term in terms:
        if term.index.shape != (n,):
            raise DataError(
                f"The random term on {term.group!r} has {term.index.size} rows, X has {n}."
            )
        if not np.isfinite(term.Z).all():
            raise DataError(f"A column of the random term on {term.group!r} is not finite.")
        if term.n_levels < 2:
            raise DataError(
                f"The grouping factor {term.group!r} has one level: a variance between groups "
                "needs at least two."
            )
        if term.n_levels >= n:
            raise DataError(
                f"The grouping factor {term.group!r} has one row for each level: its variance "
                "cannot be told from the residual's. Use a coarser factor or drop the term."
            )
