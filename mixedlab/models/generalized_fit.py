"""A fitted generalised linear mixed model: what it has beyond every mixed fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.many_generalized import many_generalized
from mixedlab.engine.quasi_newton import Minimum
from mixedlab.inference.explained import pearson_residuals
from mixedlab.models.generalized_answers import GeneralizedAnswers
from mixedlab.models.joint_likelihood import JointEvaluation, JointLikelihood
from mixedlab.models.refits import Together, one_factor, stacked

Array = NDArray[np.float64]


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

    # --- what the linear model has too

    def _title(self) -> str:
        how = "Laplace" if self.nagq == 1 else f"adaptive quadrature, {self.nagq} nodes"
        kind = f"{self.family} with {self.link} link"
        if not self.terms:
            return f"Generalised linear model without random effects ({kind})"
        return f"Generalised linear mixed model ({kind}; {how})"

    def summary(self):  # noqa: D102  (documented in MixedFit)
        out = super().summary()
        lines = list(out.lines)
        if self.response_family.has_dispersion and self.sigma is None:
            lines.append(f"Dispersion: {self.dispersion:.5g}")
            if self.problem.vector.at_limit(self.parameters):
                lines.append(
                    "The dispersion is at its limit: the data show no variation beyond that of "
                    "the plain family."
                )
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

    @cached_property
    def weights_or_trials(self) -> Array:
        """Prior weights or trials (n,); ones where there are none."""
        return np.ones(self.n_obs) if self.weights is None else self.weights

    @property
    def resid_pearson(self) -> Array:
        """Residuals (n,) divided by the response's conditional standard deviation."""
        return pearson_residuals(self)

    # --- questions

    def refit(self, y: ArrayLike) -> GeneralizedFit:
        """Fit the same model to another response (n,), in the order of the rows fitted."""
        kept = ("X", "terms", "weights", "offset", "names")
        from mixedlab.models.generalized import fit_generalized

        fit = fit_generalized(
            y,
            family=self.response_family,
            nagq=self.nagq,
            prior_sd=self.problem.prior_sd,
            penalty=self.problem.penalty,
            **{name: getattr(self, name) for name in kept},
        )
        return replace(fit, design=self.design, formula=self.formula)

    @property
    def at_once(self) -> bool:
        """Whether many responses are fitted together."""
        free = self.problem.prior_sd is None and self.problem.penalty is None
        return free and not self.response_family.has_dispersion and one_factor(self.terms)

    def _together(self, Y: Array) -> tuple[Together, Array, Array, NDArray[np.bool_]]:
        Z, sizes = stacked(self.terms)
        found = many_generalized(
            Y, self.X, self.terms[0].index, Z, family=self.response_family, nagq=self.nagq,
            sizes=sizes, weights=self.weights, offset=self.offset,
            start=None if self.singular else (self.theta, self.beta),
        )  # fmt: skip
        sigma = np.full(Y.shape[1], np.nan)
        return found, sigma, -2.0 * found.loglik, found.converged & ~found.suspect

    def loglik_at(self, parameters: ArrayLike) -> float:
        """Log-likelihood at other ``parameters``: for profiles and pictures."""
        at = np.asarray(parameters, dtype=float)
        return self.problem.at(at, gradient=False, near=self.evaluation).loglik

    def coefficient_first(self, term: int, coef: int) -> tuple[JointLikelihood, Array]:
        """The same model with one coefficient of a term put first, and its parameters.

        The sd of a term's first coefficient is an entry of the parameters, so that it can be held.
        """
        old = self.terms[term]
        order = [coef, *(k for k in range(old.n_coefs) if k != coef)]
        names = tuple(old.names[k] for k in order)
        new = replace(old, Z=np.ascontiguousarray(old.Z[:, order]), names=names)
        terms = [new if t == term else other for t, other in enumerate(self.terms)]
        problem = replace(self.problem, terms=tuple(terms))
        factors = self.layout.unpack(self.parameters[: self.theta.size])
        lower = np.linalg.qr(factors[term][order].T, mode="r").T
        factors[term] = lower * np.where(np.diag(lower) < 0, -1.0, 1.0)
        rest = self.parameters[self.theta.size :]
        return problem, np.concatenate([problem.vector.layout.pack(factors), rest])

    def overdispersion(self) -> Any:
        """Pearson's statistic; see `mixedlab.inference.dispersion.overdispersion`."""
        from mixedlab.inference.dispersion import overdispersion

        return overdispersion(self)
