r"""What a generalised linear mixed model answers to the questions of inference.

Its parameters a are estimated jointly, with covariance C: entries of the factors Lambda, beta, log
dispersion. The linear predictor of a row, given the effects of its group, is
``x'beta + z'b``, where b given beta has the covariance G of the modes and moves with beta by
``-G Z'W X``. Averaged over groups it is

    eta_M = g(mu_M(x'beta, s^2)),   s^2 = z' Lambda Lambda' z,
    d eta_M / d a = (d mu_M / d eta . d eta / d a  +  d mu_M / d s^2 . d s^2 / d a) / g^-1'(eta_M),

with mu_M and its derivatives from `mixedlab.inference.population_averaged`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.terms import RandomTerm
from mixedlab.inference.contract import Combination, Held, Likelihood, Moments, Parameter, Rows
from mixedlab.inference.population_averaged import marginal_derivatives, marginal_mean
from mixedlab.models.fit import MixedFit
from mixedlab.models.parameters import State, joint_covariance

if TYPE_CHECKING:
    from mixedlab.engine.integrated_likelihood import Evaluation
    from mixedlab.engine.quasi_newton import Minimum
    from mixedlab.models.joint_likelihood import JointEvaluation, JointLikelihood

Array = NDArray[np.float64]


class GeneralizedAnswers(MixedFit):
    """The contract of inference for a generalised fit, whose fields its subclass holds."""

    nagq: int
    parameters: Array
    vcov_parameters: Array
    problem: JointLikelihood
    found: Minimum[JointEvaluation]

    profiled_kinds: ClassVar[frozenset[str]] = frozenset(
        {"sd", "cor", "sigma", "dispersion", "beta"}
    )

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


class ParameterHeld:
    """The deviance of a generalised fit with one of its own parameters held.

    A fixed effect is one of the parameters, and so is the logarithm of the dispersion; an sd is
    once its coefficient comes first in its term. A correlation r of a term's first two
    coefficients holds the second's row of Lambda to ``s (r, sqrt(1 - r^2))``, s free.
    """

    def __init__(self, fit: GeneralizedAnswers, parameter: Parameter) -> None:
        self.problem, self.parameters = fit.problem, fit.parameters
        self.hessian, self.near = fit.found.hessian, fit.found.at
        self.kind = parameter.kind
        if parameter.kind == "beta":
            self.index = fit.theta.size + parameter.first
            self.first_step = float(np.sqrt(fit.vcov_beta[parameter.first, parameter.first])) / 3
        elif parameter.kind in ("dispersion", "sigma"):
            self.index = fit.parameters.size - 1
            known = np.sqrt(fit.vcov_parameters[-1, -1])
            log_se = min(float(known), 1.0) if np.isfinite(known) else 1.0
            self.first_step = parameter.estimate * log_se / 6
        else:
            self._put_first(fit, parameter)
        # A penalised fit's criterion leaves the penalty out; the profile has it throughout.
        self.lowest = self.minimum(parameter.estimate, self.start())[0]

    def _put_first(self, fit: GeneralizedAnswers, parameter: Parameter) -> None:
        """Order the term's coefficients so that the entries of Lambda that matter come first."""
        term, k = fit.terms[parameter.term], parameter.first
        first = [k] if parameter.kind == "sd" else [k, parameter.second]
        if first != list(range(len(first))):
            self.problem, self.parameters = fit.coefficients_first(parameter.term, first)
            x = self.problem.vector.from_user(self.parameters)
            self.near = self.problem.evaluate(x)
            self.hessian = self.problem.curvature(x, self.near)
        self.index = self.problem.vector.layout.slices[parameter.term].start
        if parameter.kind == "cor":
            q = term.n_coefs
            self.row = [self.index + 1, self.index + q]  # of the second coefficient, by columns
            spread = 1.0 - parameter.estimate**2
            self.first_step = max(spread, 0.05) / np.sqrt(term.n_levels) / 3
            return
        size = np.sqrt(np.mean(term.Z[:, k] ** 2))
        noise = (fit.sigma or 1.0) / size / np.sqrt(fit.n_obs / term.n_levels)
        self.first_step = max(parameter.estimate, noise) / np.sqrt(2.0 * term.n_levels) / 3

    def start(self) -> Array:
        """All parameters at the estimate."""
        return self.parameters

    def minimum(self, value: float, start: Array) -> tuple[float, Array]:
        """Lowest deviance with the parameter at ``value``, and all parameters there."""
        near = start, self.hessian, self.near
        if self.kind == "cor":
            unit = np.eye(start.size)
            along = unit[self.row].T @ (value, np.sqrt(max(1.0 - value**2, 0.0)))
            basis = np.column_stack([along, np.delete(unit, self.row, axis=1)])
            loglik, parameters = self.problem.maximise_within(np.zeros(start.size), basis, *near)
        else:
            if self.kind in ("dispersion", "sigma"):
                value = (2.0 if self.kind == "sigma" else 1.0) * np.log(max(value, 1e-300))
            loglik, parameters = self.problem.maximise_fixing(self.index, value, *near)
        return -2.0 * loglik, parameters
