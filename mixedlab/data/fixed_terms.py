"""The terms of a formula's fixed part: which columns of X are theirs, and what they are made of.

A term is a product of factors and covariates. One *contains* another that has the same covariates
and fewer factors: ``a:b`` contains ``a``, and ``a:x`` contains ``x`` but not ``a``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedlab.data.names import restored

if TYPE_CHECKING:
    from mixedlab.data.design import Design


@dataclass(frozen=True)
class FixedTerm:
    """A term of the fixed part.

    Attributes
    ----------
    name : str
        As the formula writes it, ``"age:Sex"``.
    columns : tuple of int
        Its columns in X; none where all are aliased.
    factors, covariates : frozenset of str
        The expressions it is the product of.
    factor_columns : frozenset of str
        The table's columns that its factors are made of.
    n_aliased : int
        Columns that it lost, being combinations of others.
    """

    name: str
    columns: tuple[int, ...]
    factors: frozenset[str] = frozenset()
    covariates: frozenset[str] = frozenset()
    factor_columns: frozenset[str] = frozenset()
    n_aliased: int = 0

    def is_in(self, other: FixedTerm) -> bool:
        """Whether ``other`` contains this term: the same covariates, and more factors."""
        return self.covariates == other.covariates and self.factors < other.factors

    def is_marginal_to(self, other: FixedTerm) -> bool:
        """Whether ``other`` is this term times something, factor or covariate."""
        return (self.factors | self.covariates) < (other.factors | other.covariates)


def fixed_terms(design: Design) -> list[FixedTerm]:
    """The terms of the fixed part in formulaic's order: by degree, the intercept left out."""
    recipe = design.recipe
    spec = recipe.matrices.specs[recipe.formula.fixed.code]
    own = recipe.formula.names
    place = {int(column): k for k, column in enumerate(recipe.kept)}
    found = []
    for term, columns in spec.term_indices.items():
        parts = {factor.expr for factor in term.factors}
        if parts <= {"1"}:
            continue
        factors = frozenset(e for e in parts if e in spec.factor_contrasts)
        used = {v for f in term.factors if f.expr in factors for v in spec.factor_variables[f]}
        found.append(
            FixedTerm(
                restored(str(term), own),
                tuple(place[c] for c in columns if c in place),
                factors,
                frozenset(parts - factors),
                frozenset({restored(str(v), own) for v in used} & set(recipe.levels)),
                sum(c not in place for c in columns),
            )
        )
    return found


def crossed_rows(design: Design, factors: frozenset[str]) -> NDArray[np.float64]:
    """X of a balanced table: all combinations of the levels of some columns, each with p rows.

    The p rows are ones of the table in which no column of X is a combination of others, so that
    covariates keep apart what they keep apart in the table.
    """
    import pandas as pd
    from scipy.linalg import qr

    rows = qr(design.X.T, mode="r", pivoting=True)[1][: design.X.shape[1]]
    table = design.frame.iloc[np.sort(rows)].reset_index(drop=True)
    for name in sorted(factors):
        levels = design.frame[name].drop_duplicates().reset_index(drop=True)
        table = table.drop(columns=name).merge(pd.DataFrame({name: levels}), how="cross")
    return design.rebuild(table, groups=False).X
