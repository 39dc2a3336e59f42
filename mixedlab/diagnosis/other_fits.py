"""The same model fitted to other columns or other rows: what two checks compare a fit with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mixedlab.diagnosis.finding import NotChecked
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import MixedlabError
from mixedlab.inference.contract import MixedModel

Array = NDArray[np.float64]

MOST_ROWS = 20_000
"""Tables with more rows are not fitted again for a diagnosis."""


def refuse_costly(fit: MixedModel) -> None:
    """Say why a model is not fitted again."""
    kind = fit.likelihood_kind
    if kind.residual or set(kind.effects.values()) != {"gaussian"}:
        raise NotChecked("this is done for ml.lmm and ml.glmm without a residual structure.")
    if fit.n_obs > MOST_ROWS:
        raise NotChecked(f"it takes further fits, and the table has over {MOST_ROWS} rows.")


def with_columns(fit: MixedModel, columns: Array) -> MixedModel | None:
    """The same model with further fixed columns; None where it cannot be fitted."""
    return _fitted(fit, np.column_stack([fit.X, columns]), np.arange(fit.n_obs))


def of_rows(fit: MixedModel, rows: NDArray[np.intp]) -> MixedModel | None:
    """The same model fitted to some of the rows; None where it cannot be."""
    return _fitted(fit, fit.X[rows], rows)


def _fitted(fit: MixedModel, X: Array, rows: NDArray[np.intp]) -> MixedModel | None:
    from mixedlab.models.generalized_fit import fit_generalized
    from mixedlab.models.linear import fit_linear

    weights, offset = (None if v is None else v[rows] for v in (fit.weights, fit.offset))
    terms = [_of_rows(term, rows) for term in fit.terms]
    family = fit.response_family
    try:
        if fit.likelihood_kind.integral == "exact" and family.name == "gaussian":
            return fit_linear(
                fit.y[rows], X, terms, reml=fit.reml, weights=weights, offset=offset
            )
        return fit_generalized(
            fit.y[rows], X, terms, family=family, weights=weights, offset=offset
        )
    except MixedlabError:
        return None


def _of_rows(term: RandomTerm, rows: NDArray[np.intp]) -> RandomTerm:
    used, index = np.unique(term.index[rows], return_inverse=True)
    levels: Sequence = tuple(term.levels[k] for k in used)
    return replace(term, index=index.reshape(-1), levels=tuple(levels), Z=term.Z[rows])
