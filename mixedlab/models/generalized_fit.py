r"""A fitted generalised linear mixed model.

The parameters a are estimated jointly, with covariance C: entries of the factors Lambda, beta, log
dispersion. The linear predictor of a row, given the effects of its group, is
``x'beta + z'b``, where b given beta has the covariance G of the modes and moves with beta by
``-G Z'W X``. Averaged over groups it is

    eta_M = g(mu_M(x'beta, s^2)),   s^2 = z' Lambda Lambda' z,
    d eta_M / d a = (d mu_M / d eta . d eta / d a  +  d mu_M / d s^2 . d s^2 / d a) / g^-1'(eta_M),

with mu_M and its derivatives from `mixedlab.inference.population_averaged`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.integrated_likelihood import Evaluation
from mixedlab.engine.many_generalized import many_generalized
from mixedlab.engine.quasi_newton import Minimum, covariance, hessian_by_differences
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError, listed
from mixedlab.inference.contract import Combination, Held, Likelihood, Moments, Parameter, Rows
from mixedlab.inference.explained import pearson_residuals
from mixedlab.inference.population_averaged import marginal_derivatives, marginal_mean
from mixedlab.inference.questions import Question
from mixedlab.inference.reporting import Summary
from mixedlab.models.checks import check_generalized, column
from mixedlab.models.fit import MixedFit
from mixedlab.models.generalized_held import ParameterHeld
from mixedlab.models.joint_likelihood import JointEvaluation, JointLikelihood
from mixedlab.models.laplace_check import warn_if_laplace_is_off
from mixedlab.models.parameter_vector import ParameterVector
from mixedlab.models.parameters import State, joint_covariance
from mixedlab.models.refits import Together, one_factor

Array = NDArray[np.float64]


@dataclass(eq=False, repr=False, kw_only=True)
class GeneralizedFit(MixedFit):
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

    profiled_kinds: ClassVar[frozenset[str]] = frozenset(
        {"sd", "cor", "sigma", "dispersion", "beta"}
    )

    @classmethod
    def of(
        cls,
        problem: JointLikelihood,
        start: ArrayLike | None = None,
        *,
        standard_errors: bool = True,
        refuse: bool = True,
        rows: ArrayLike | None = None,
    ) -> GeneralizedFit:
        """Maximise the likelihood, refuse what has no maximum, and make a fit of what was found.

        Parameters are those of `fit_generalized`; ``refuse`` a separated response.
        """
        check_generalized(problem, rows)
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
            hessian = hessian_by_differences(
                lambda z: problem.evaluate(z, found.at).gradient, found.x
            )
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
        sigma = float(np.sqrt(dispersion)) if kind.name == "gaussian" else None
        return cls(
            y=problem.y,
            X=problem.X,
            names=tuple(problem.names),
            terms=tuple(problem.terms),
            weights=None if np.ndim(problem.weights) == 0 else problem.weights,
            offset=problem.offset if problem.offset.any() else None,
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
            singular=vector.is_singular(x),
            family=kind.name,
            link=kind.link.name,
            nagq=problem.nagq,
            separating=direction,
        )

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
        fit = self._again(y=column("y", y, self.n_obs))
        return replace(fit, design=self.design, formula=self.formula)

    def with_columns(self, X: Array, names: Sequence[str]) -> GeneralizedFit:
        """The same model with other fixed-effects columns, fitted."""
        return self._again(X=X, names=tuple(names))

    def _again(self, **arrays: Any) -> GeneralizedFit:
        problem = replace(self.problem, **arrays)
        return GeneralizedFit.of(problem, refuse=self.separating is None)

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

    # --- the contract of inference

    @property
    def evaluation(self) -> Evaluation:
        """The likelihood at its maximum: modes, factor and gradient."""
        return self.found.at.marginal

    @cached_property
    def modes_by_beta(self) -> list[Array]:
        """Minus the derivative of each term's modes in beta, (J, q, p)."""
        return self.problem.likelihood.modes_by_beta(self.evaluation, self.dispersion)

    @property
    def unanswered(self) -> Mapping[str, str]:
        """Questions that this fit does not answer, each with the reason."""
        answered = ("profile interval", "marginal coefficients")
        return {q: why for q, why in super().unanswered.items() if q not in answered}

    @property
    def likelihood_kind(self) -> Likelihood:
        """Which likelihood was maximised: Laplace's is exact where the response is normal."""
        made = super().likelihood_kind
        normal = made.family == "gaussian" and made.link == "identity"
        exact = normal or not self.terms
        return made if exact else replace(made, integral=f"nagq={self.nagq}")

    def _dispersions(self) -> list[Parameter]:
        edge = self.problem.vector.at_limit(self.parameters)
        return [
            replace(p, at_boundary=edge, can_be_held=p.can_be_held and not edge)
            for p in super()._dispersions()
        ]

    def parameter_covariance(self) -> Array:
        """Joint covariance of the named parameters on their free scales; NaN: unknown."""
        at, covariance = self.parameters, self.vcov_parameters
        return joint_covariance(self.named_parameters, self._state, at, covariance)

    def _state(self, at: Array) -> State:
        m, p = self.theta.size, self.beta.size
        factors = self.layout.unpack(at[:m])
        log_dispersion = at[-1] if self.problem.vector.has_dispersion else 0.0
        return [L @ L.T for L in factors], log_dispersion, at[m : m + p]

    def hold(self, parameter: Parameter) -> Held:
        """The deviance with a parameter held, for profiles."""
        return ParameterHeld(self, parameter)

    # --- predictions

    def _conditional_variance(self, rows: Rows) -> Array:
        """Variance of ``x'beta + z'b`` about its prediction, on the link's scale."""
        left = rows.X.copy()
        for term, by_beta in zip(rows.terms, self.modes_by_beta, strict=True):
            seen = term.index >= 0
            left[seen] -= np.einsum("ik,ikp->ip", term.Z[seen], by_beta[term.index[seen]])
        fixed = np.einsum("ip,pq,iq->i", left, self.vcov_beta, left)
        return self.evaluation.predictive_variance(rows.terms) + fixed

    def _marginal_moments(self, rows: Rows, variance: bool) -> Moments:
        if variance:
            combination = self.marginal_predictor(rows)
            return Moments(combination.value, combination.variance)
        link, eta = self.response_family.link, rows.fixed_part(self.beta)
        between, _ = self._between_and_slope(rows.terms, rows.n)
        return Moments(link.eta(marginal_mean(link, eta, between)))

    def marginal_predictor(self, rows: Rows) -> Combination:
        """Link of the mean over groups, as a function of all parameters."""
        link, eta = self.response_family.link, rows.fixed_part(self.beta)
        between, by_theta = self._between_and_slope(rows.terms, rows.n)
        value = link.eta(marginal_mean(link, eta, between))
        by_eta, by_between = marginal_derivatives(link, eta, between)
        slope = 1.0 / link.dmu(value)
        m, p = self.theta.size, self.beta.size
        jacobian = np.zeros((rows.n, self.parameters.size))
        jacobian[:, :m] = (slope * by_between)[:, None] * by_theta
        jacobian[:, m : m + p] = (slope * by_eta)[:, None] * rows.X
        return Combination.of(value, jacobian, self.vcov_parameters)

    def _between_and_slope(self, terms: Sequence[RandomTerm], n: int) -> tuple[Array, Array]:
        """``s^2 = sum_t |Lambda_t' z_t|^2`` (n,), and its derivative in theta (n, m)."""
        m = self.theta.size
        between, slope = np.zeros(n), np.zeros((n, m))
        factors = self.layout.unpack(self.parameters[:m])
        for term, L, where in zip(terms, factors, self.layout.slices, strict=True):
            v = term.Z @ L
            between += (v**2).sum(1)
            cols, rows = np.triu_indices(term.n_coefs)
            slope[:, where] = 2 * term.Z[:, rows] * v[:, cols]
        return between, slope


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
