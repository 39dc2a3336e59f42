"""The entry to hierarchical generalised linear models: from a formula and a table to a fit."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import ArrayLike

from mixedlab.errors import DataError, MixedlabError, SeparationError, listed
from mixedlab.models.hglm.data import HierarchicalData, hierarchical_data
from mixedlab.models.hglm.fit import HierarchicalFit, Method, fit_hierarchical

if TYPE_CHECKING:
    import pandas as pd


def hglm(
    formula: str,
    data: pd.DataFrame,
    *,
    family: str = "gaussian",
    random_family: str | Sequence[str] | Mapping[str, str] = "gaussian",
    link: str | None = None,
    method: Method = "exact",
    dispersion: str | None = None,
    random_dispersion: str | None = None,
    weights: ArrayLike | str | None = None,
    offset: ArrayLike | str | None = None,
) -> HierarchicalFit:
    """Fit a hierarchical generalised linear model.

    Parameters
    ----------
    formula : str
        ``"y ~ x + (1 | g)"``; several terms by h-likelihood. Each random term has one
        coefficient: write ``(x || g)`` for uncorrelated ones.
    data : DataFrame
    family : {"gaussian", "binomial", "poisson", "gamma"}
        Of y given u. Binomial responses as in ``ml.glmm``.
    random_family : {"gaussian", "beta", "gamma", "inverse_gamma"}, or one for each term
        Of u: one name for all terms, a list in the terms' order, or a dict by grouping factor.
        ``gamma`` and ``inverse_gamma`` multiply a mean with log link and have E u = 1; ``beta``
        goes with binomial responses and has E v = 0; ``gaussian`` has E u = 0. On the inverse
        link of gamma responses ``inverse_gamma`` is the conjugate pair; see the notes.
    link : str, optional
        "identity", "logit" and "log" by default; for the gamma family it is "log" here too,
        because a random effect must not carry the mean below 0.
    method : {"exact", "h-likelihood", "quadrature"}
        ``exact``: marginal likelihood, in closed form for normal-normal, Poisson-gamma,
        gamma-inverse-gamma, and binomial-beta with one mean for each group; by quadrature for
        the rest. ``quadrature`` integrates whether or not there is a closed form.
    dispersion : str, optional
        ``"~ x"``: log-linear model of the dispersion phi of y given u. By default a constant,
        estimated for gaussian and gamma, 1 for binomial and poisson. With a formula the latter
        two become quasi-families, for h-likelihood only.
    random_dispersion : str, optional
        ``"~ z"``: log-linear model of lambda, z constant in each group; h-likelihood with one
        random term.
    weights, offset : array or column name, optional
        Weights divide phi; for proportions they are the trials.

    Returns
    -------
    HierarchicalFit

    Raises
    ------
    MixedlabError
        For pairs of families that do not fit together, or a method that cannot take the terms.

    Notes
    -----
    Binomial-beta has two forms. By h-likelihood and by quadrature ``v = logit u`` is *added* to
    the logit of a row's probability. The closed form, used by ``exact`` where the mean is constant
    within each group, is the beta-binomial: the group's probability is itself beta around its
    mean, so coefficients describe the population average. ``fit.model`` says which was fitted.

    Gamma responses with inverse-gamma effects and ``link="inverse"``: u is inverse gamma with
    E u = 1 (shape 1 + 1/lambda), v its reciprocal, ``1/mu = X beta + v``. Its zero is chosen at
    u = 1, ``v = 1/u - 1``, so that ``X beta`` is 1/mu of a group with u = 1; a zero elsewhere moves
    the intercept and nothing else. On a log link E u = 1 says that effects leave the mean alone.
    Here u is added on the scale of 1/mu, in the units of the response: E u = 1 only says where 1/u
    lies (mean 1 + lambda, variance lambda (1 + lambda)), so that the model depends on the
    response's units, and E y is not ``1 / (X beta)``. With an intercept of 1 alone it is the log
    link's model with intercept 0; any other intercept moves 1/u here and stretches it there.

    Warns
    -----
    UserWarning
        Where a method has not settled, with the reason.

    References
    ----------
    Lee and Nelder (1996), Hierarchical generalized linear models, JRSS B 58:619-678.

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.hglm(
    ...     "y ~ lbase + (1 | subject)",
    ...     ml.load("epil"),
    ...     family="poisson",
    ...     random_family="gamma",
    ... )
    >>> fit.fixef.round(3)
    (Intercept)    0.001
    lbase          1.003
    Name: estimate, dtype: float64
    """
    if method not in get_args(Method):
        raise MixedlabError(
            f"There is no method {method!r}. Choose one of {listed(get_args(Method))}."
        )
    design, prepared = hierarchical_data(
        formula, data, family=family, random=random_family, link=link, dispersion=dispersion,
        random_dispersion=random_dispersion, weights=weights, offset=offset,
    )  # fmt: skip
    try:
        fit = fit_hierarchical(
            prepared, method=method, names=design.names, formula=formula, design=design
        )
    except np.linalg.LinAlgError:
        _refuse_separated(prepared, design, data)
        raise DataError(
            "The model cannot be estimated from these data: the information about its "
            "coefficients is singular. Leave out covariates, or try method='h-likelihood'."
        ) from None
    far = np.abs(fit.X @ fit.beta).max(initial=0.0) > 15 or not np.all(np.isfinite(fit.vcov_beta))
    if far or not fit.converged:
        _refuse_separated(prepared, design, data)
    if not fit.converged:
        warnings.warn(
            f"{fit.method} has not settled, do not use these numbers: {fit.estimates.trouble}.",
            stacklevel=2,
        )
    return fit


def _refuse_separated(prepared: HierarchicalData, design: Any, data: Any) -> None:
    """Raise, in words, where a coefficient has no finite estimate."""
    from mixedlab.data.columns import as_frame
    from mixedlab.inference.separation import describe, separating_direction

    if not prepared.phi_known:
        return
    family = prepared.family
    direction = separating_direction(family, prepared.y, prepared.X, prepared.weights)
    if direction is not None:
        found = describe(direction, design, as_frame(data), family)
        advice = f"{found.what} ml.glmm has what follows."
        raise SeparationError(replace(found, what=advice))
