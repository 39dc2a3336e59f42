"""The linear mixed model.

    y = X beta + sum_t Z_t b_t + e,  b_t ~ N(0, sigma^2 Lambda_t Lambda_t'),  e ~ N(0, sigma^2 / w)

fitted by maximum likelihood or REML. The likelihood and its derivatives are in
``mixedlab.engine.profiled``; here they are minimised and the result gets the data's units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.data.errors import DataError
from mixedlab.engine.profiled import Evaluation, ProfiledDeviance
from mixedlab.engine.terms import RandomTerm
from mixedlab.models.fit import MixedFit

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]


def lmm(
    formula: str,
    data: pd.DataFrame,
    *,
    reml: bool = True,
    weights: ArrayLike | str | None = None,
    offset: ArrayLike | str | None = None,
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

    design = build_design(formula, data, weights=weights, offset=offset, response="numeric")
    fit = fit_linear(
        design.y,
        design.X,
        design.terms,
        reml=reml,
        weights=design.weights,
        offset=design.offset,
        names=design.names,
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
    _check(X, names, weights, terms)
    problem = ProfiledDeviance(
        y if offset is None else y - offset,
        X,
        tuple(terms),
        reml=reml,
        weights=weights,
        names=names,
    )
    first = None if start is None else problem.from_user(np.asarray(start, dtype=float))
    arrays = {"y": y, "X": X, "names": names, "weights": weights, "offset": offset}
    return _estimate(problem, first, terms=tuple(terms), **arrays)


def _estimate(problem: ProfiledDeviance, start: Array | None, **arrays: Any) -> LinearFit:
    found = problem.minimise(start)
    at = found.at
    return LinearFit(
        **arrays,
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
        n_params=problem.p + problem.layout.n_theta + 1,
        converged=found.converged,
        singular=problem.is_singular(found.x),
        reml=problem.reml,
    )


@dataclass(eq=False, repr=False, kw_only=True)
class LinearFit(MixedFit):
    """A fitted linear mixed model.

    Attributes
    ----------
    problem : ProfiledDeviance
        The deviance as a function of theta, on the engine's internal scale.
    optimum : ndarray
        theta on that scale.
    evaluation : Evaluation
        The deviance at the optimum with gradient and curvature.

    See Also
    --------
    MixedFit : the attributes that all mixed fits share.
    """

    problem: ProfiledDeviance
    optimum: Array
    evaluation: Evaluation

    def _title(self) -> str:
        return "Linear mixed model"

    def _conditional_covariances(self) -> list[Array]:
        return self.problem.effect_covariances_of(self.evaluation)

    def refit(self, y: ArrayLike) -> LinearFit:
        """Fit the same model to another response (n,), in the order of the rows fitted."""
        y = _column("y", y, self.n_obs)
        problem = self.problem.with_response(y if self.offset is None else y - self.offset)
        kept = ("X", "names", "terms", "weights", "offset", "formula", "design")
        return _estimate(problem, None, y=y, **{name: getattr(self, name) for name in kept})

    def deviance(self, theta: ArrayLike, sigma: float | None = None) -> float:
        """Criterion at another ``theta`` (data's units), beta at its best for it.

        With ``sigma`` given, at that residual standard deviation; otherwise at the best one.
        """
        return self.evaluate(theta, sigma).value

    def evaluate(self, theta: ArrayLike, sigma: float | None = None) -> Evaluation:
        """Everything the engine knows at another ``theta`` (data's units)."""
        return self.problem(self.problem.from_user(theta), None if sigma is None else sigma**2)

    def vcov_at(self, theta: ArrayLike, sigma: float) -> Array:
        """Covariance (p, p) of the fixed effects at given variance parameters."""
        return self.problem.vcov_of(self.evaluate(theta, sigma))

    def fixing(self, coef: int, value: float) -> ProfiledDeviance:
        """The deviance with coefficient number ``coef`` held at ``value``: for profiles.

        Its internal theta is that of ``self.problem``: start from ``self.optimum``.
        """
        y = self.y - value * self.X[:, coef]
        return ProfiledDeviance(
            y if self.offset is None else y - self.offset,
            np.delete(self.X, coef, axis=1),
            self.terms,
            reml=self.reml,
            weights=self.weights,
            names=tuple(np.delete(np.array(self.names, dtype=object), coef)),
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
    X: Array, names: Sequence[str], weights: Array | None, terms: Sequence[RandomTerm]
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
    if not terms:
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
