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
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.families import family as family_named
from mixedlab.engine.quasi_newton import covariance
from mixedlab.engine.terms import RandomTerm, check_parameters
from mixedlab.errors import DataError
from mixedlab.models.checks import column, independent_columns, matrix, random_term
from mixedlab.models.generalized_fit import GeneralizedFit
from mixedlab.models.joint_likelihood import JointLikelihood
from mixedlab.models.laplace_check import LaplaceWarning, warn_if_laplace_is_off
from mixedlab.models.parameter_vector import ParameterVector

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GeneralizedFit", "LaplaceWarning", "fit_generalized", "glmm"]

Array = NDArray[np.float64]
Penalty = Literal["firth"] | None

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

    Returns
    -------
    GeneralizedFit

    Raises
    ------
    FormulaError, DataError
        In words, with the column, rows or level.
    SeparationError
        Where a coefficient has no finite estimate.

    Warns
    -----
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
        )
    except DataError as error:
        found = getattr(error, "separation", None)
        if found is None:
            raise
        from mixedlab.inference.separation import SeparationError, describe

        direction = np.array(found.direction)
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
    family, link, nagq, weights, offset, names, prior_sd, penalty
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
    independent_columns(X, names)
    w = 1.0 if weights is None else np.asarray(weights, dtype=float)
    o = np.zeros(n) if offset is None else column("offset", offset, n)
    try:
        kind.check_response(y, np.broadcast_to(w, y.shape), rows)
    except ValueError as error:
        raise DataError(str(error)) from None
    terms = tuple(terms)
    _check_random_part(kind, y, w, terms, nagq)
    if prior_sd is not None and not prior_sd > 0:
        raise DataError(f"prior_sd is a positive number, not {prior_sd!r}.")
    if penalty not in (None, "firth"):
        raise DataError(f"There is no penalty {penalty!r}: choose 'firth' or None.")
    problem = JointLikelihood(kind, y, X, terms, w, o, nagq, names, prior_sd, penalty)
    return _estimate(
        problem,
        start,
        standard_errors,
        y=y,
        X=X,
        names=names,
        terms=terms,
        weights=None if weights is None else w,
        offset=None if offset is None else o,
    )


def _estimate(
    problem: JointLikelihood, start: ArrayLike | None, standard_errors: bool, **arrays: Any
) -> GeneralizedFit:
    """Maximise the likelihood, refuse what has no maximum, and make a fit of what was found."""
    kind, vector = problem.family, problem.vector
    free = problem.prior_sd is None and problem.penalty is None and start is None
    if free:
        _refuse_separated(problem, problem.fixed_start_runs_away())
    first = None if start is None else np.asarray(start, dtype=float)
    found = problem.maximise(first, prove=standard_errors)
    at = found.at.marginal
    x = vector.to_user(found.x)
    theta, beta, dispersion = vector.split(x)
    vcov = vector.covariance_to_user(covariance(found.hessian))
    vcov_beta = vcov[vector.of_beta, vector.of_beta]
    if free:
        unknown = standard_errors and not np.isfinite(np.diag(vcov_beta)).all()
        _refuse_separated(problem, unknown or problem.is_far(beta))
    if not at.finite:
        raise DataError(
            f"The likelihood of a {kind.name} model with {kind.link.name} link could not be "
            "evaluated: no start value keeps every mean inside the family's range. Use the "
            "family's usual link, or rescale the covariates."
        )
    if standard_errors:
        warn_if_laplace_is_off(problem, x, vcov, at)
    singular = vector.is_singular(x)
    sigma = float(np.sqrt(dispersion)) if kind.name == "gaussian" else None
    return GeneralizedFit(
        **arrays,
        problem=problem,
        found=found,
        parameters=x,
        vcov_parameters=vcov,
        beta=beta,
        vcov_beta=vcov_beta,
        theta=theta if sigma is None else theta / sigma,
        sigma=sigma,
        dispersion=dispersion,
        b=at.modes(),
        criterion=-2 * at.loglik,
        n_params=x.size,
        converged=found.converged and not (standard_errors and _unknown(vector, x, vcov)),
        singular=singular,
        family=kind.name,
        link=kind.link.name,
        nagq=problem.nagq,
    )


def _unknown(vector: ParameterVector, x: Array, vcov: Array) -> bool:
    """Whether a parameter that is at no boundary has no standard error."""
    known = np.diag(vcov) > 0
    known[: vector.n_theta] |= vector.is_singular(x)
    if vector.at_limit(x):
        known[-1] = True
    return not known.all()


def _refuse_separated(problem: JointLikelihood, suspected: bool) -> None:
    if not suspected:
        return
    from mixedlab.inference.separation import SeparationError, runaway, separating_direction

    direction = separating_direction(problem.family, problem.y, problem.X, problem.weights)
    if direction is not None:
        raise SeparationError(runaway(direction, problem.names))


def _observation_term(rows: NDArray[np.intp]) -> RandomTerm:
    n = rows.size
    return RandomTerm(
        "observation", np.arange(n), tuple(rows.tolist()), np.ones((n, 1)), ("(Intercept)",)
    )


def _check_random_part(
    kind: Family, y: Array, w: Array | float, terms: Sequence[RandomTerm], nagq: int
) -> None:
    if int(nagq) != nagq or nagq < 1:
        raise DataError(f"nagq is a whole number of nodes from 1 up, not {nagq!r}.")
    groups = list(dict.fromkeys(t.group for t in terms))
    if nagq > 1 and len(groups) > 1:
        raise DataError(
            f"nagq={nagq} needs one grouping factor, but there are {len(groups)}: "
            f"{', '.join(groups)}. Their random effects are joined in one integral of thousands of "
            "dimensions, which quadrature cannot do node by node. Use nagq=1 (Laplace)."
        )
    if nagq > 1:
        q = sum(t.n_coefs for t in terms)
        if float(nagq) ** q > 2e6:
            raise DataError(
                f"nagq={nagq} with {q} random coefficients a level is {nagq}**{q} nodes: "
                "use fewer nodes a dimension."
            )
    check_parameters(terms, y.size)
    for term in terms:
        random_term(term, y.size)
        if kind.counts_trials and np.all(np.asarray(w) == 1):
            _refuse_unidentified_binary(y, term)


def _refuse_unidentified_binary(y: Array, term: RandomTerm) -> None:
    size = np.bincount(term.index, minlength=term.n_levels)
    if size.max() == 1:
        raise DataError(
            f"Each level of {term.group!r} has one 0/1 response: a binary response has no spread "
            f"within a group from which the variance of {term.group!r} could be told. Use groups "
            "with more rows, or leave the term out."
        )
    successes = np.bincount(term.index, weights=y, minlength=term.n_levels)
    if np.all((successes == 0) | (successes == size)):
        raise DataError(
            f"In every level of {term.group!r} the responses are all 0 or all 1: the standard "
            "deviation between levels runs to infinity. Use groups in which the response varies."
        )
