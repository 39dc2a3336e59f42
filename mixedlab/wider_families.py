"""Which model takes overdispersion up: an effect for every row, or a wider family?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from mixedlab.errors import DataError
from mixedlab.inference.explained import overdispersion
from mixedlab.models.generalized import glmm

if TYPE_CHECKING:
    import pandas as pd

# The family that has the variation built in.
_WIDER = {"poisson": "negative_binomial", "binomial": "beta_binomial"}


def overdispersion_models(
    formula: str,
    data: pd.DataFrame,
    *,
    family: str = "poisson",
    weights: ArrayLike | str | None = None,
    offset: ArrayLike | str | None = None,
) -> pd.DataFrame:
    """Fit one formula with the plain family, an effect for every row, and the wider family.

    Poisson, Poisson with a normal observation effect, and negative binomial; or binomial, binomial
    with an observation effect, and beta-binomial. All by Laplace's approximation.

    Parameters
    ----------
    formula, data, weights, offset
        As in ``ml.glmm``.
    family : {"poisson", "binomial"}
        The plain one.

    Returns
    -------
    DataFrame
        One row a model: ``loglik``, ``n_params``, ``aic``, ``pearson_ratio``, ``extra`` (the
        observation effect's sd, or the wider family's dispersion), then the coefficients and, with
        a prefix ``se:``, their standard errors. ``attrs["fits"]`` holds the fits.

    Examples
    --------
    >>> import mixedlab as ml
    >>> ml.overdispersion_models("y ~ lbase + (1 | subject)", ml.load("epil")).index.tolist()
    ['poisson', 'poisson + observation effect', 'negative_binomial']
    """
    import pandas as pd

    if family not in _WIDER:
        raise DataError(f"Choose family='poisson' or 'binomial', not {family!r}.")
    common: dict[str, Any] = {"weights": weights, "offset": offset}
    fits = {
        family: glmm(formula, data, family=family, **common),
        f"{family} + observation effect": glmm(
            formula, data, family=family, observation_effect=True, **common
        ),
        _WIDER[family]: glmm(formula, data, family=_WIDER[family], **common),
    }
    rows = []
    for fit in fits.values():
        sd = [
            float(np.sqrt(cov[0, 0]))
            for term, cov in zip(fit.terms, fit.covariances, strict=True)
            if term.group == "observation"
        ]
        extra = sd[0] if sd else (fit.dispersion if fit.response_family.has_dispersion else np.nan)
        row = {
            "loglik": fit.loglik,
            "n_params": fit.n_params,
            "aic": fit.aic,
            "pearson_ratio": overdispersion(fit).ratio,
            "extra": extra,
        }
        row |= dict(fit.fixef) | {f"se:{name}": se for name, se in fit.se.items()}
        rows.append(row)
    table = pd.DataFrame(rows, index=list(fits))
    table.attrs["fits"] = fits
    return table
