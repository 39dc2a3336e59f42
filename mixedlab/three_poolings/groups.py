"""The data group by group, and coefficients of the same columns for all three poolings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError, listed
from mixedlab.inference.contract import MixedModel
from mixedlab.inference.tables import on_rows
from mixedlab.three_poolings.result import Pooled

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

SAME = 1e-9  # a column with less than this share of its length left is a combination of others


@dataclass(frozen=True)
class Groups:
    """The data by group: ``rows[j]`` are the rows of group j; Z holds all terms' columns.

    Where factors are nested, the groups are the levels of the finest.
    """

    y: Array
    offset: Array
    weights: Array
    family: Family
    dispersion: float
    X: Array
    Z: Array
    names: tuple[str, ...]
    z_names: tuple[str, ...]
    factor: str
    levels: tuple
    rows: Sequence[NDArray[np.intp]]
    index: pd.Index

    @classmethod
    def of(cls, fit: MixedModel) -> Groups:
        """The groups of a mixed model.

        Raises
        ------
        DataError
            For grouping factors that are not nested in one another.
        """
        finest = finest_of(fit.terms)
        ends = np.cumsum(np.bincount(finest.index, minlength=finest.n_levels))
        columns = {n: z for t in fit.terms for n, z in zip(t.names, t.Z.T, strict=True)}
        family = fit.response_family
        return cls(
            y=fit.y,
            offset=np.zeros(fit.n_obs) if fit.offset is None else fit.offset,
            weights=np.ones(fit.n_obs) if fit.weights is None else fit.weights,
            family=family,
            # What scales all variances alike is estimated by each pooling for itself.
            dispersion=1.0 if scales(family) else fit.dispersion,
            X=fit.X,
            Z=np.column_stack(list(columns.values())),
            names=tuple(fit.names),
            z_names=tuple(columns),
            factor=finest.group,
            levels=finest.levels,
            rows=np.split(np.argsort(finest.index, kind="stable"), ends[:-1]),
            index=fit.design.index,
        )

    @cached_property
    def C(self) -> Array:
        """Columns of X in terms of those of Z, (q, p): X = Z C; zero where Z does not span."""
        C = np.zeros((self.Z.shape[1], self.X.shape[1]))
        for k, x in enumerate(self.X.T):
            same = np.flatnonzero(np.all(x[:, None] == self.Z, axis=0))
            if same.size:
                C[same[0], k] = 1.0
            else:
                combination = np.linalg.lstsq(self.Z, x, rcond=None)[0]
                if np.linalg.norm(x - self.Z @ combination) < SAME * np.linalg.norm(x):
                    C[:, k] = combination
        return C

    @cached_property
    def shared(self) -> NDArray[np.intp]:
        """Columns of X that Z does not span: their coefficients are the same for all."""
        return np.flatnonzero(~self.C.any(axis=0))

    @property
    def columns(self) -> list[str]:
        """Names of a group's coefficients: in the order of X where they are there."""
        there = {*self.z_names, *(self.names[k] for k in self.shared)}
        ordered = [name for name in self.names if name in there]
        return list(dict.fromkeys([*ordered, *self.z_names]))

    def coefficients(self, shared: Array, own: Array) -> Array:
        """One table (J, columns) of what is the same for all and what varies, (q,) or (J, q)."""
        table = np.empty((len(self.levels), len(self.columns)))
        for k, value in zip(self.shared, shared, strict=True):
            table[:, self.columns.index(self.names[k])] = value
        table[:, [self.columns.index(name) for name in self.z_names]] = own
        return table

    def pooled(self, kind: str, coef: Array, se: Array, eta: Array, sigma: float) -> Pooled:
        """One pooling from its coefficients and its linear predictor (n,), offset included."""
        import pandas as pd

        index = pd.Index(self.levels, name=self.factor)
        tables = [pd.DataFrame(values, index=index, columns=self.columns) for values in (coef, se)]
        fitted = self.family.link.mu(eta)
        values = (("fitted", fitted), ("resid", self.y - fitted))
        return Pooled(kind, *tables, *(on_rows(v, self.index, n) for n, v in values), sigma)


def scales(family: Family) -> bool:
    """Whether the dispersion multiplies the variance, so that no coefficient depends on it."""
    return family.name in ("gaussian", "gamma")


def finest_of(terms: Sequence[RandomTerm]) -> RandomTerm:
    """The term whose levels lie within those of every other."""
    finest = max(terms, key=lambda term: term.n_levels)
    for term in terms:
        pairs = finest.index.astype(np.int64) * term.n_levels + term.index
        if np.unique(pairs).size != finest.n_levels:
            raise DataError(
                f"The formula groups by {listed(dict.fromkeys(t.group for t in terms))}: pooling "
                "compares the groups of one factor, or of factors nested in one another as in "
                "(1 | a/b). Leave one grouping factor in the formula, or combine them as in "
                "(1 | a:b)."
            )
    return finest
