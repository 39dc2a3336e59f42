"""The model fitted to fewer rows, or with other random terms: what checks compare a fit with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mixedlab.diagnosis.finding import NotChecked
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import MixedlabError
from mixedlab.inference.contract import MixedModel

if TYPE_CHECKING:
    from mixedlab.models.residual import ResidualStructure

Array = NDArray[np.float64]

MOST_ROWS = {"exact": 200_000, "approximate": 20_000}
"""Tables with more rows are not fitted again for a diagnosis: of linear models, and of others."""


def refuse_costly(fit: MixedModel) -> None:
    """Say why a model is not fitted again."""
    kind = fit.likelihood_kind
    if kind.residual or set(kind.effects.values()) != {"gaussian"}:
        raise NotChecked("this is done for ml.lmm and ml.glmm without a residual structure.")
    most = MOST_ROWS["exact" if kind.integral == "exact" else "approximate"]
    if fit.n_obs > most:
        raise NotChecked(f"it takes further fits, and the table has over {most} rows.")


def of_rows(fit: MixedModel, rows: NDArray[np.intp]) -> MixedModel | None:
    """The same model fitted to some of the rows; None where it cannot be."""
    weights, offset = (None if v is None else v[rows] for v in (fit.weights, fit.offset))
    terms = [_of_rows(term, rows) for term in fit.terms]
    return _fitted(fit, fit.y[rows], fit.X[rows], terms, weights=weights, offset=offset)


def with_terms(
    fit: MixedModel, terms: Sequence[RandomTerm], residual: ResidualStructure | None = None
) -> MixedModel | None:
    """The same columns and rows with other random terms; None where that cannot be fitted."""
    kept = {"weights": fit.weights, "offset": fit.offset}
    if residual is not None:
        kept["residual"] = residual
    return _fitted(fit, fit.y, fit.X, terms, **kept)


def steps_of(time: Array, term: RandomTerm) -> ResidualStructure:
    """Residuals whose correlation falls with the steps of a column; raises where it is no grid."""
    from mixedlab.models.residual import AR1

    return AR1.of(time, term.index, term.levels)


def _fitted(
    fit: MixedModel, y: Array, X: Array, terms: Sequence[RandomTerm], **kept: Any
) -> MixedModel | None:
    from mixedlab.models.generalized import fit_generalized
    from mixedlab.models.linear import fit_linear

    family = fit.response_family
    try:
        if fit.likelihood_kind.integral == "exact" and family.name == "gaussian":
            return fit_linear(y, X, terms, reml=fit.reml, **kept)
        return fit_generalized(y, X, terms, family=family, nagq=fit.nagq, **kept)
    except MixedlabError:
        return None


def _of_rows(term: RandomTerm, rows: NDArray[np.intp]) -> RandomTerm:
    used, index = np.unique(term.index[rows], return_inverse=True)
    levels = tuple(term.levels[k] for k in used)
    return replace(term, index=index.reshape(-1), levels=levels, Z=term.Z[rows])
