"""A fitted generalised linear mixed model, and the way to it from arrays.

`fit_generalized` checks the arrays and maximises the likelihood (`JointLikelihood`); the fit is
what was found, and answers every question from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.families import family as family_named
from mixedlab.engine.many_generalized import many_generalized
from mixedlab.engine.quasi_newton import Minimum, covariance, hessian_by_differences
from mixedlab.engine.terms import RandomTerm, check_parameters
from mixedlab.errors import DataError, listed
from mixedlab.inference.explained import pearson_residuals
from mixedlab.inference.questions import Question
from mixedlab.inference.reporting import Summary
from mixedlab.models.checks import column, independent_columns, matrix, random_term
from mixedlab.models.generalized_answers import GeneralizedAnswers
from mixedlab.models.joint_likelihood import JointEvaluation, JointLikelihood
from mixedlab.models.laplace_check import warn_if_laplace_is_off
from mixedlab.models.parameter_vector import ParameterVector
from mixedlab.models.refits import Together, one_factor

Array = NDArray[np.float64]
Penalty = Literal["firth"] | None
OnSeparation = Literal["error", "warn"]


@dataclass(eq=False, repr=False, kw_only=True)
class GeneralizedFit(GeneralizedAnswers):
    """A fitted generalised linear mixed model.

    Attributes
    ----------
    link : str
    nagq : int
        Nodes a dimension; 1 for Laplace.
    parameters : ndarray (d,)
        Entries of the factors Lambda, beta, and the log dispersion where there is one.
    vcov_parameters : ndarray (d, d)
        Inverse of the observed information of all of them; nan for a parameter about which the
        data say nothing.
    problem : JointLikelihood
        The likelihood as a function of ``parameters``.
    found : Minimum
        Where the search ended, in internal units: the evaluation and the Hessian there.
    separating : ndarray (p,) or None
        Direction of the coefficients in which the likelihood has no maximum, where the model was
        fitted all the same.

    See Also
    --------
    MixedFit : the attributes that all mixed fits share.

    Notes
    -----
    ``dispersion`` is that of `mixedlab.engine.families`: phi of a gamma (variance phi mu^2), theta
    of a negative binomial (variance mu + mu^2/theta), the sum of the shapes of a beta-binomial.
    """

    link: str
    nagq: int
    parameters: Array
    vcov_parameters: Array
    problem: JointLikelihood
    found: Minimum[JointEvaluation]
    separating: Array | None = None

    # --- what the linear model has too

    def title(self) -> str:  # noqa: D102  (as in MixedFit)
        how = "Laplace" if self.nagq == 1 else f"adaptive quadrature, {self.nagq} nodes"
        kind = f"{self.family} with {self.link} link"
        if not self.terms:
            return f"Generalised linear model without random effects ({kind})"
        return f"Generalised linear mixed model ({kind}; {how})"

    def summary(self, exponentiate: bool = False) -> Summary:  # noqa: D102  (as in MixedFit)
        out = super().summary(exponentiate)
        lines = list(out.lines)
        if self.response_family.has_dispersion and self.sigma is None:
            lines.append(f"Dispersion: {self.dispersion:.5g}")
            if self.problem.vector.at_limit(self.parameters):
                lines.append(
                    "The dispersion is at its limit: the data show no variation beyond that of "
                    "the plain family."
                )
        if self.separating is not None:
            endless = listed(self.names[k] for k in np.flatnonzero(self.separating))
            lines.append(f"Separated: no finite estimate of {endless}; its size means nothing.")
        if self.problem.prior_sd is not None:
            lines.append(f"Normal prior on the coefficients, sd {self.problem.prior_sd:g}")
        if self.problem.penalty is not None:
            lines.append("Firth's penalty on the fixed part")
        return replace(out, lines=lines)

    def _conditional_covariances(self) -> list[Array]:
        return self.evaluation.mode_covariances()

    @property
    def response_family(self) -> Family:
        """The family as an object: mean, variance and density."""
        return self.problem.family

    @property
    def resid_pearson(self) -> Array:
        """Residuals (n,) divided by the response's conditional standard deviation."""
        return pearson_residuals(self)

    # --- questions

    overdispersion = Question("explained")

    def refit(self, y: ArrayLike) -> GeneralizedFit:  # noqa: D102  (as in MixedFit)
        fit = self._fitted(y, self.X, self.names)
        return replace(fit, design=self.design, formula=self.formula)

    def with_columns(self, X: Array, names: Sequence[str]) -> GeneralizedFit:
        """The same model with other fixed-effects columns, fitted."""
        return self._fitted(self.y, X, names)

    def _fitted(self, y: ArrayLike, X: Array, names: Sequence[str]) -> GeneralizedFit:
        return fit_generalized(
            y,
            X,
            self.terms,
            family=self.response_family,
            nagq=self.nagq,
            weights=self.weights,
            offset=self.offset,
            names=names,
            prior_sd=self.problem.prior_sd,
            penalty=self.problem.penalty,
            separation="error" if self.separating is None else "warn",
        )

    @property
    def at_once(self) -> bool:
        """Whether many responses are fitted together."""
        free = self.problem.prior_sd is None and self.problem.penalty is None
        return free and not self.response_family.has_dispersion and one_factor(self.terms)

    def _together(self, Y: Array) -> tuple[Together, Array, Array, NDArray[np.bool_]]:
        found = many_generalized(
            Y, self.X, self.terms, family=self.response_family, nagq=self.nagq,
            weights=self.weights, offset=self.offset,
            start=None if self.singular else (self.theta, self.beta),
        )  # fmt: skip
        sigma = np.full(Y.shape[1], np.nan)
        return found, sigma, -2.0 * found.loglik, found.converged & ~found.suspect

    def loglik_at(self, parameters: ArrayLike) -> float:
        """Log-likelihood at other ``parameters``: for profiles and pictures."""
        at = np.asarray(parameters, dtype=float)
        return self.problem.at(at, gradient=False, near=self.evaluation).loglik

    def coefficients_first(self, term: int, coefs: Sequence[int]) -> tuple[JointLikelihood, Array]:
        """The same model with some coefficients of a term put first, and its parameters.

        The sd of a term's first coefficient is an entry of the parameters, so that it can be held.
        """
        old = self.terms[term]
        order = [*coefs, *(k for k in range(old.n_coefs) if k not in coefs)]
        names = tuple(old.names[k] for k in order)
        new = replace(old, Z=np.ascontiguousarray(old.Z[:, order]), names=names)
        terms = [new if t == term else other for t, other in enumerate(self.terms)]
        problem = replace(self.problem, terms=tuple(terms))
        factors = self.layout.unpack(self.parameters[: self.theta.size])
        lower = np.linalg.qr(factors[term][order].T, mode="r").T
        factors[term] = lower * np.where(np.diag(lower) < 0, -1.0, 1.0)
        rest = self.parameters[self.theta.size :]
        return problem, np.concatenate([problem.vector.layout.pack(factors), rest])


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
    if separation not in ("error", "warn"):
        raise DataError(f"separation is 'error' or 'warn', not {separation!r}.")
    problem = JointLikelihood(kind, y, X, terms, w, o, nagq, names, prior_sd, penalty)
    return _estimate(
        problem,
        start,
        standard_errors,
        refuse=separation == "error",
        y=y,
        X=X,
        names=names,
        terms=terms,
        weights=None if weights is None else w,
        offset=None if offset is None else o,
    )


def _estimate(
    problem: JointLikelihood,
    start: ArrayLike | None,
    standard_errors: bool,
    refuse: bool,
    **arrays: Any,
) -> GeneralizedFit:
    """Maximise the likelihood, refuse what has no maximum, and make a fit of what was found."""
    kind, vector = problem.family, problem.vector
    free = problem.prior_sd is None and problem.penalty is None and start is None
    direction = None
    if free:
        direction = _separating(problem, problem.fixed_start_runs_away(), refuse)
    first = None if start is None else np.asarray(start, dtype=float)
    found = problem.maximise(first, prove=standard_errors)
    at = found.at.marginal
    x = vector.to_user(found.x)
    theta, beta, dispersion = vector.split(x)
    vcov = vector.covariance_to_user(covariance(found.hessian))
    vcov_beta = vcov[vector.of_beta, vector.of_beta]
    if free and direction is None:
        unknown = standard_errors and not np.isfinite(np.diag(vcov_beta)).all()
        direction = _separating(problem, unknown or problem.is_far(beta), refuse)
    if direction is not None:
        # The search's differences step a standard error wide, which here has no end.
        hessian = hessian_by_differences(lambda z: problem.evaluate(z, found.at).gradient, found.x)
        vcov = vector.covariance_with_endless(hessian, problem.X, direction)
        vcov_beta = vcov[vector.of_beta, vector.of_beta]
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
        separating=direction,
    )


def _unknown(vector: ParameterVector, x: Array, vcov: Array) -> bool:
    """Whether a parameter that is at no boundary has no standard error."""
    known = np.diag(vcov) > 0
    known[: vector.n_theta] |= vector.is_singular(x)
    if vector.at_limit(x):
        known[-1] = True
    return not known.all()


def _separating(problem: JointLikelihood, suspected: bool, refuse: bool) -> Array | None:
    if not suspected:
        return None
    from mixedlab.inference.separation import refuse_or_warn

    return refuse_or_warn(
        problem.family, problem.y, problem.X, problem.weights, problem.names, refuse
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
