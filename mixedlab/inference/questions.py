"""What every fit with coefficients has: its tables, its rows, and the questions it takes.

A question is a function that asks the fit's contract (`mixedlab.inference.contract`); the method
of that name *is* the function, so that all fits have one signature and one documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from importlib import import_module
from types import MethodType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError, listed
from mixedlab.inference.contract import Groups, Parameter, Rows
from mixedlab.inference.reporting import Report
from mixedlab.inference.tables import by_name, names_by_names, normal_quantile, on_rows

if TYPE_CHECKING:
    import pandas as pd

    from mixedlab.data.design import Design

Array = NDArray[np.float64]


class Coefficients(Report):
    """Estimated coefficients and their covariance, as tables."""

    names: tuple[str, ...]
    beta: Array
    vcov_beta: Array

    @cached_property
    def coef(self) -> pd.Series:
        """Coefficients by name."""
        return by_name(self.names, self.beta, "estimate")

    @cached_property
    def se(self) -> pd.Series:
        """Standard errors by name."""
        return by_name(self.names, np.sqrt(np.diag(self.vcov_beta)), "se")

    @cached_property
    def vcov(self) -> pd.DataFrame:
        """Covariance of the coefficients."""
        return names_by_names(self.names, self.vcov_beta)

    def confint(self, level: float = 0.95) -> pd.DataFrame:
        """Wald intervals of the coefficients, with normal quantiles: ``lower, upper``.

        Examples
        --------
        >>> import mixedlab as ml
        >>> ml.latent_context("y", "x", "class", ml.load("classrooms")).confint().round(2)
                 lower  upper
        within    0.26   0.41
        between   0.80   1.29
        context   0.44   0.98
        """
        half = normal_quantile(level) * np.sqrt(np.diag(self.vcov_beta))
        return on_rows({"lower": self.beta - half, "upper": self.beta + half}, list(self.names))

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """The coefficients, a row each, with normal tests and intervals.

        Columns as in `mixedlab.inference.tidying.tidy`.

        Examples
        --------
        >>> import mixedlab as ml
        >>> fit = ml.glmm("incidence / size ~ period + (1 | herd)", ml.load("cbpp"), weights="size")
        >>> ml.marginal_coefs(fit).tidy()[["term", "estimate", "p"]].round(3)
                  term  estimate      p
        0  (Intercept)    -1.289  0.000
        1  period[T.2]    -0.942  0.002
        2  period[T.3]    -1.073  0.001
        3  period[T.4]    -1.512  0.000
        """
        from mixedlab.inference.tidying import tidy_coefficients

        return tidy_coefficients(self, level)


class Question:
    """A function of a module of inference as a method, imported when it is first asked."""

    def __init__(self, module: str) -> None:
        self.module = module

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, fit: Any, owner: type | None = None) -> Callable[..., Any]:
        function = getattr(import_module(f"mixedlab.inference.{self.module}"), self.name)
        return function if fit is None else MethodType(function, fit)


class Questions(Coefficients):
    """A fit of responses in rows that takes questions."""

    y: Array
    X: Array
    terms: Sequence[RandomTerm] = ()
    weights: Array | None
    offset: Array | None
    design: Design | None
    response_family: Family
    fitted_values: Array

    predict = Question("prediction")
    simulate = Question("prediction")
    confint = Question("intervals")
    tests = Question("tests_of_coefs")
    terms_table = Question("tests_of_terms")
    tidy = Question("tidying")
    report = Question("paragraph")
    effects_model = Question("effects_model")
    icc = Question("explained")
    r2 = Question("explained")
    caic = Question("explained")

    @property
    def n_obs(self) -> int:
        """Number of rows fitted."""
        return self.X.shape[0]

    @property
    def residuals(self) -> Array:
        """Response less fitted values (n,)."""
        return self.y - self.fitted_values

    @property
    def index(self) -> pd.Index | None:
        """Index of the table's rows used; None for a fit from arrays."""
        return None if self.design is None else self.design.index

    @property
    def fitted(self) -> pd.Series:
        """Fitted values on the index of the rows used; `fitted_values` as an array."""
        return on_rows(self.fitted_values, self.index, "fitted")

    @property
    def resid(self) -> pd.Series:
        """Residuals on the index of the rows used; `residuals` as an array."""
        return on_rows(self.residuals, self.index, "resid")

    def coefficient_parameters(self, can_be_held: bool = False) -> tuple[Parameter, ...]:
        """The coefficients as named parameters."""
        return tuple(
            Parameter("beta", name, float(value), first=k, can_be_held=can_be_held)
            for k, (name, value) in enumerate(zip(self.names, self.beta, strict=True))
        )

    def rows(self, newdata: Any = None, groups: Groups = "own", new_levels: str = "error") -> Rows:
        """The rows fitted, or those of a new table; see the contract."""
        if newdata is None:
            n = self.n_obs
            offset = np.zeros(n) if self.offset is None else self.offset
            weights = np.ones(n) if self.weights is None else self.weights
            return Rows(self.X, offset, self.terms, weights, self.index)
        if self.design is None:
            raise DataError(
                "This fit was made from arrays, so there is no formula to read new data with: "
                "compute X @ fit.beta" + (" and add the effects in fit.b." if self.terms else ".")
            )
        table = self.design.with_new_groups(newdata) if groups == "any" else newdata
        new = self.design.rebuild(table, groups=groups != "none", missing="mark")
        n, terms = new.X.shape[0], list(new.terms)
        if groups == "own" and new_levels == "error":
            _refuse_new_levels(terms)
        if groups != "none":
            for term in self.terms[len(terms) :]:  # an effect for every row: each is a new level
                terms.append(replace(term, index=np.full(n, -1), Z=np.ones((n, 1))))
        offset = np.zeros(n) if new.offset is None else new.offset
        return Rows(new.X, offset, tuple(terms), np.ones(n), new.index)


def _refuse_new_levels(terms: Sequence[RandomTerm]) -> None:
    for term in terms:
        new = np.flatnonzero(term.index < 0)
        if new.size:
            raise DataError(
                f"The new data have levels of {term.group!r} that the fit has not seen, in rows "
                f"{listed(new, 5)} (counted from 0). Use new_levels='population' to predict them "
                "with an effect of zero."
            )
