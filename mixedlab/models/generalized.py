r"""The generalised linear mixed model.

    y_i | b ~ family(mean mu_i, dispersion),   g(mu_i) = o_i + x_i' beta + sum_t z_it' b_t,
    b_t ~ N(0, Lambda_t Lambda_t').

The random effects are integrated out by Laplace's approximation or by adaptive Gauss-Hermite
quadrature (``mixedlab.engine.grouped_likelihood``, ``crossed_likelihood``). Theta, beta and the
dispersion are then estimated *jointly* by maximum likelihood, so that the standard errors come
from the full information matrix and carry the uncertainty of the variances.

Two penalties on beta are offered against separation (``mixedlab.inference.separation``): a normal
prior, ``-sum beta^2 / (2 prior_sd^2)`` over all coefficients but the intercept, and Firth's
``log|X' W X| / 2`` with the weights of the fixed part alone. Source: Firth (1993), *Biometrika*
80, 27-38; Heinze and Schemper (2002), *Statistics in Medicine* 21, 2409-2419.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.families import family as family_named
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError, LaplaceWarning, SeparationError
from mixedlab.models.checks import column, matrix
from mixedlab.models.generalized_fit import GeneralizedFit
from mixedlab.models.joint_likelihood import JointLikelihood

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GeneralizedFit", "LaplaceWarning", "fit_generalized", "glmm"]

Array = NDArray[np.float64]
Penalty = Literal["firth"] | None
OnSeparation = Literal["error", "warn"]

_RESPONSE_KIND = {
    "binomial": "binomial",
    "beta_binomial": "binomial",
    "poisson": "count",
    "negative_binomial": "count",
}


def glmm(
    formula: str,
    data: pd.DataFrame,
    *,
    family: str = "binomial",
    link: str | None = None,
    nagq: int = 1,
    weights: ArrayLike | str | None = None,
    offset: ArrayLike | str | None = None,
    observation_effect: bool = False,
    prior_sd: float | None = None,
    penalty: Penalty = None,
    separation: OnSeparation = "error",
) -> GeneralizedFit:
    """Fit a generalised linear mixed model to a table.

    Parameters
    ----------
    formula : str
        ``"use ~ age + (1 | district)"``, bars as in `mixedlab.lmm`. A binomial response is 0/1, a
        factor with two levels (the second is the success), a proportion with ``weights=`` trials,
        or ``cbind(successes, failures)``.
    data : DataFrame
    family : str
        "gaussian", "binomial", "poisson", "gamma", "negative_binomial" or "beta_binomial".
    link : str, optional
        "logit", "probit", "cloglog", "log", "identity" or "inverse"; by default the family's usual
        one (gamma: inverse).
    nagq : int
        1 is Laplace's approximation. k > 1 is adaptive Gauss-Hermite quadrature with k nodes a
        dimension, for one grouping factor with any number of random coefficients.
    weights : array or column name, optional
        Trials of a binomial response; prior weights for the other families.
    offset : array or column name, optional
        Known part of the linear predictor, on the link's scale.
    observation_effect : bool
        Add a normal random effect for every row, which takes up overdispersion.
    prior_sd : float, optional
        Weak normal prior on every coefficient but the intercept, for a separated response. On the
        coefficients' own scale: 2.5 is usual for a logit and covariates of unit spread.
    penalty : {"firth"}, optional
        Firth's penalty on the fixed part.
    separation : {"error", "warn"}
        What to do where a coefficient has no finite estimate: refuse, or fit all the same and
        warn. The size and standard error of that coefficient then mean nothing, the others are
        right.

    Returns
    -------
    GeneralizedFit

    Raises
    ------
    FormulaError, DataError
        In words, with the column, rows or level.
    SeparationError
        Where a coefficient has no finite estimate, unless ``separation="warn"``.

    Warns
    -----
    SeparationWarning
        Where a coefficient has no finite estimate, with ``separation="warn"``.
    LaplaceWarning
        Where quadrature would move an estimate by more than half its standard error.

    Notes
    -----
    Effects are *conditional*: within one group. `mixedlab.marginal_coefs` gives those on the mean
    over groups. The log-likelihood is full, so fits with different ``nagq`` are on one scale.

    References
    ----------
    Breslow & Clayton (1993), *J. Am. Stat. Assoc.* 88, 9-25; Pinheiro & Chao (2006), *J. Comput.
    Graph. Stat.* 15, 58-81.

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.glmm("incidence / size ~ period + (1 | herd)", ml.load("cbpp"), weights="size")
    >>> fit.confint(exponentiate=True).round(2)
                           lower  upper
    sd (Intercept) | herd   0.37   1.11
    (Intercept)             0.16   0.39
    period[T.2]             0.20   0.68
    period[T.3]             0.17   0.61
    period[T.4]             0.09   0.48
    """
    from mixedlab.data.design import build_design

    kind = family_named(family, link)
    design = build_design(
        formula,
        data,
        weights=weights,
        offset=offset,
        response=_RESPONSE_KIND.get(kind.name, "numeric"),
        need_groups=False,
    )
    terms = list(design.terms)
    if observation_effect:
        terms.append(_observation_term(design.rows))
    try:
        fit = fit_generalized(
            design.y,
            design.X,
            terms,
            family=kind,
            nagq=nagq,
            weights=design.trials if kind.counts_trials else design.weights,
            offset=design.offset,
            names=design.names,
            prior_sd=prior_sd,
            penalty=penalty,
            rows=design.rows,
            separation=separation,
        )
    except SeparationError as error:
        from mixedlab.inference.separation import describe

        direction = np.array(error.separation.direction)
        raise SeparationError(describe(direction, design, data, kind)) from None
    return replace(fit, design=design, formula=design.formula)


def fit_generalized(
    y: ArrayLike,
    X: ArrayLike,
    terms: Sequence[RandomTerm],
    *,
    family: str | Family = "binomial",
    link: str | None = None,
    nagq: int = 1,
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    names: Sequence[str] | None = None,
    prior_sd: float | None = None,
    penalty: Penalty = None,
    start: ArrayLike | None = None,
    rows: ArrayLike | None = None,
    standard_errors: bool = True,
    separation: OnSeparation = "error",
) -> GeneralizedFit:
    """Fit a generalised linear mixed model to arrays; pandas is not imported.

    Parameters
    ----------
    y : array, shape (n,)
        Response on the scale of the mean: a proportion for the binomial families, whose
        ``weights`` are the trials.
    X : array, shape (n, p)
    terms : sequence of RandomTerm
        May be empty.
    start : array, optional
        Parameters to start from: theta, beta and, where there is one, the log dispersion.
    rows : array of int, optional
        Row numbers for messages.
    standard_errors : bool
        False leaves standard errors out (nan), and the check of Laplace's approximation: half the
        time, for a picture that follows a slider.
    family, link, nagq, weights, offset, names, prior_sd, penalty, separation
        As in `glmm`.

    Raises
    ------
    DataError
        Shapes that do not fit, a response outside the family's range, variances that the data
        cannot identify, a separated response, ``nagq`` > 1 with several grouping factors.
    """
    kind = family_named(family, link)
    X, names = matrix(X, names)
    n = X.shape[0]
    y = np.asarray(y, dtype=float)
    if y.shape != (n,):
        raise DataError(f"y has shape {y.shape} and X {X.shape}: give n values and n rows.")
    w = 1.0 if weights is None else np.asarray(weights, dtype=float)
    o = np.zeros(n) if offset is None else column("offset", offset, n)
    if prior_sd is not None and not prior_sd > 0:
        raise DataError(f"prior_sd is a positive number, not {prior_sd!r}.")
    if penalty not in (None, "firth"):
        raise DataError(f"There is no penalty {penalty!r}: choose 'firth' or None.")
    if separation not in ("error", "warn"):
        raise DataError(f"separation is 'error' or 'warn', not {separation!r}.")
    problem = JointLikelihood(kind, y, X, tuple(terms), w, o, nagq, names, prior_sd, penalty)
    return GeneralizedFit.of(
        problem, start, standard_errors=standard_errors, refuse=separation == "error", rows=rows
    )


def _observation_term(rows: NDArray[np.intp]) -> RandomTerm:
    n = rows.size
    return RandomTerm(
        "observation", np.arange(n), tuple(rows.tolist()), np.ones((n, 1)), ("(Intercept)",)
    )
