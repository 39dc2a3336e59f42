"""What every fitted mixed model has: arrays, tables made from them on demand, and questions.

A model computes arrays; the tables (`fixef`, `varcorr`, `ranef`, ...) are made when they are
first asked for, and only then is pandas imported. What is asked *of* a fit (intervals, tests,
predictions) lives in ``mixedlab.inference``, and its methods in `Questions`; the members here that
are not tables are what those questions ask for, the contract of ``mixedlab.inference.contract``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.families import Family
from mixedlab.engine.families import family as family_named
from mixedlab.engine.terms import Layout, RandomTerm
from mixedlab.inference.contract import Kind, Likelihood, Moments, Parameter, Rows
from mixedlab.inference.questions import Questions
from mixedlab.inference.reporting import Summary
from mixedlab.inference.tables import effects_by_group, variances_and_correlations
from mixedlab.models.parameters import random_parameters
from mixedlab.models.refits import Refitting

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

_LINEAR = "for linear mixed models, fitted by ml.lmm."
_INSTEAD = "Use df='wald' or confint(method='bootstrap')."
_NOT_HERE = {
    "satterthwaite": f"Satterthwaite degrees of freedom are {_LINEAR} {_INSTEAD}",
    "kenward-roger": f"Kenward-Roger degrees of freedom are {_LINEAR} {_INSTEAD}",
    "conditional AIC": f"The conditional AIC is {_LINEAR} Use aic.",
    "leverage": f"Leverages are {_LINEAR}",
    "profile interval": "Profiles are for fits by ml.lmm and ml.glmm: use method='wald' or "
    "method='bootstrap'.",
    "marginal coefficients": "Marginal coefficients are for glmm fits.",
}


@dataclass(eq=False, repr=False, kw_only=True)
class MixedFit(Refitting, Questions):
    """A fitted mixed model; the base of the linear, generalised and hierarchical ones.

    Attributes
    ----------
    y : ndarray, shape (n,)
        Response as fitted (proportions for binomial trials).
    X : ndarray, shape (n, p)
        Fixed-effects columns; ``names`` are theirs.
    terms : tuple of RandomTerm
        Random terms in the order given.
    weights, offset : ndarray, shape (n,), or None
    design : Design or None
        What the formula made of the table; None for a fit from arrays.
    beta : ndarray, shape (p,)
        Fixed effects.
    vcov_beta : ndarray, shape (p, p)
        Their covariance.
    theta : ndarray
        Relative covariance factors: lower triangles column by column, the terms by falling
        number of levels.
    sigma : float or None
        Residual standard deviation, None where the family has none.
    dispersion : float
        What multiplies the variance function; ``sigma**2`` for a linear model.
    b : list of ndarray, one a term, shape (J, q)
        Predicted random effects.
    criterion : float
        ``-2 loglik``, or the REML criterion.
    n_params : int
        Estimated parameters, for AIC and BIC.
    converged : bool
    singular : bool
        Some combination of random effects has variance zero.
    reml : bool
    family : str
        Name of the response's family.
    """

    y: Array
    X: Array
    names: tuple[str, ...]
    terms: tuple[RandomTerm, ...]
    beta: Array
    vcov_beta: Array
    theta: Array
    sigma: float | None
    dispersion: float
    b: list[Array]
    criterion: float
    n_params: int
    converged: bool = True
    singular: bool = False
    reml: bool = False
    family: str = "gaussian"
    formula: str = ""
    weights: Array | None = None
    offset: Array | None = None
    design: Any = field(default=None)

    profiled_kinds: ClassVar[frozenset[str]] = frozenset()
    """Kinds of parameters that have a profile."""

    # ---- arrays -------------------------------------------------------------------------

    @cached_property
    def layout(self) -> Layout:
        """Where each term's parameters lie in ``theta``, and which terms share a factor."""
        return Layout.of(self.terms)

    @property
    def factors(self) -> list[Array]:
        """Relative covariance factor ``Lambda`` (q, q) of each term, in the order given."""
        return self.layout.unpack(self.theta)

    @property
    def covariances(self) -> list[Array]:
        """Covariance (q, q) of each term's random effects, in the order given."""
        scale = 1.0 if self.sigma is None else self.sigma**2
        return [scale * L @ L.T for L in self.factors]

    @cached_property
    def b_covariances(self) -> list[Array]:
        """Conditional covariance of each term's random effects given y, shape (J, q, q)."""
        return self._conditional_covariances()

    def _conditional_covariances(self) -> list[Array]:
        raise NotImplementedError

    @cached_property
    def linear_predictor(self) -> Array:
        """``X beta + Z b + offset`` (n,), on the scale of the link."""
        return self.predictor_of(self.beta, self.b)

    def predictor_of(self, beta: Array, b: Sequence[Array]) -> Array:
        """Linear predictor (n,) of the fitted rows for other coefficients."""
        rows = self.rows()
        return rows.fixed_part(beta) + rows.random_part(b)

    @property
    def fitted_values(self) -> Array:
        """Fitted values (n,) on the scale of the response, random effects included."""
        return self.response_family.link.mu(self.linear_predictor)

    @property
    def loglik(self) -> float:
        """Log-likelihood; the restricted one after REML."""
        return -0.5 * self.criterion

    @property
    def aic(self) -> float:
        """``criterion + 2 n_params``."""
        return self.criterion + 2.0 * self.n_params

    @property
    def bic(self) -> float:
        """``criterion + log(n_obs) n_params``."""
        return self.criterion + float(np.log(self.n_obs)) * self.n_params

    @property
    def n_groups(self) -> dict[str, int]:
        """Number of levels of each grouping factor."""
        return {t.group: t.n_levels for t in self.terms}

    # ---- tables -------------------------------------------------------------------------

    @property
    def fixef(self) -> pd.Series:
        """Fixed effects by name."""
        return self.coef

    @cached_property
    def varcorr(self) -> pd.DataFrame:
        """Variances, then covariances, of each term; the residual variance last.

        ``sdcor`` is the standard deviation of a variance and the correlation of a covariance
        (NaN where one of the two variances is zero).
        """
        order = self._theta_order
        terms, covariances = (
            [values[t] for t in order] for values in (self.terms, self.covariances)
        )
        return variances_and_correlations(terms, covariances, self.sigma)

    @property
    def _theta_order(self) -> list[int]:
        return sorted(range(len(self.terms)), key=lambda t: self.layout.slices[t].start)

    @cached_property
    def ranef(self) -> dict[str, pd.DataFrame]:
        """Predicted random effects: for each grouping factor a table of levels by coefficients."""
        return self._by_group(self.b)

    @cached_property
    def ranef_sd(self) -> dict[str, pd.DataFrame]:
        """Conditional standard deviations of the random effects, shaped as `ranef`."""
        diagonals = [np.diagonal(C, axis1=1, axis2=2) for C in self.b_covariances]
        return self._by_group([np.sqrt(np.maximum(d, 0.0)) for d in diagonals])

    def _by_group(self, values: Sequence[Array]) -> dict[str, pd.DataFrame]:
        order = self._theta_order
        return effects_by_group([self.terms[t] for t in order], [values[t] for t in order])

    def summary(self, exponentiate: bool = False) -> Summary:
        """Estimates as tables: criterion, random effects, fixed effects with their tests.

        With ``exponentiate`` the fixed effects are ratios, of odds, rates or hazards.

        Parameters
        ----------
        exponentiate : bool
            Fixed effects as ratios: of odds, rates, hazards.

        Returns
        -------
        Summary
            Prints as text, and has an HTML form for notebooks.

        Examples
        --------
        >>> import mixedlab as ml
        >>> fit = ml.glmm("incidence / size ~ period + (1 | herd)", ml.load("cbpp"), weights="size")
        >>> print(fit.summary(exponentiate=True))
        Generalised linear mixed model (binomial with logit link; Laplace) by maximum likelihood
        Formula: incidence / size ~ period + (1 | herd)
        Rows: 56; groups: herd 15
        -2 log-likelihood: 184.0526; AIC 194.05; BIC 204.18
        <BLANKLINE>
        Random effects
                      var1 var2  variance  sd or correlation
        group
        herd   (Intercept)         0.4125            0.64226
        <BLANKLINE>
        Fixed effects
                     odds ratio    lower   upper       z          p
        (Intercept)     0.24696   0.1566 0.38946 -6.0172 1.7742e-09
        period[T.2]     0.37071  0.20325 0.67614 -3.2363   0.001211
        period[T.3]     0.32346  0.17053 0.61354 -3.4556 0.00054907
        period[T.4]     0.20591 0.089098 0.47587 -3.6975 0.00021778
        """
        from mixedlab.inference.tidying import coefficients_table

        lines = [f"Formula: {self.formula}"] if self.formula else []
        groups = ", ".join(f"{name} {count}" for name, count in self.n_groups.items())
        lines.append(f"Rows: {self.n_obs}" + (f"; groups: {groups}" if groups else ""))
        criterion = "REML criterion" if self.reml else "-2 log-likelihood"
        lines.append(f"{criterion}: {self.criterion:.4f}; AIC {self.aic:.2f}; BIC {self.bic:.2f}")
        lines += self.notes()
        if self.singular:
            lines.append(
                "Singular: some combination of random effects has variance zero. "
                "ml.diagnose(fit) says which."
            )
        if not self.converged:
            lines.append("Not converged: do not use these numbers. ml.diagnose(fit) says more.")
        fixed = coefficients_table(self, exponentiate=exponentiate)
        random = self.varcorr.rename(columns={"vcov": "variance", "sdcor": "sd or correlation"})
        random = random.fillna({"var1": "", "var2": ""}).set_index("group")
        tables = {"Random effects": random, "Fixed effects": fixed}
        return Summary(f"{self.title()} by {self.fitted_by}", lines, tables)

    @property
    def fitted_by(self) -> str:
        """The method of estimation, in words."""
        return "REML" if self.reml else self.likelihood_kind.method

    def title(self) -> str:
        """What kind of model it is, in words."""
        return "Mixed model"

    def notes(self) -> list[str]:
        """Further lines of the summary."""
        return []

    # ---- the contract of inference ------------------------------------------------------

    @property
    def response_family(self) -> Family:
        """The response's family as an object: mean, variance and density."""
        return family_named(self.family)

    @property
    def unanswered(self) -> Mapping[str, str]:
        """Questions that this kind of fit does not answer, each with the reason."""
        return _NOT_HERE

    @property
    def likelihood_kind(self) -> Likelihood:
        """Which likelihood was maximised."""
        effects = {term.group: "gaussian" for term in self.terms}
        return Likelihood(self.family, self.response_family.link.name, effects=effects)

    @cached_property
    def named_parameters(self) -> tuple[Parameter, ...]:
        """Sd and correlations in theta's order, sigma or dispersion, the fixed effects."""
        held, order, covariances = self.profiled_kinds, self._theta_order, self.covariances
        found = random_parameters(self.terms, order, covariances, self._smallest_sd, held)
        return (*found, *self._dispersions(), *self.coefficient_parameters("beta" in held))

    def _smallest_sd(self, term: int, coef: int) -> float:
        """The standard deviation of a random coefficient below which it counts as zero."""
        return 1e-6

    def _dispersions(self) -> list[Parameter]:
        if self.sigma is None and not self.response_family.has_dispersion:
            return []
        kind = "dispersion" if self.sigma is None else "sigma"
        value = self.dispersion if self.sigma is None else self.sigma
        return [Parameter(kind, kind, value, "log", can_be_held=kind in self.profiled_kinds)]

    def parameter_covariance(self) -> Array:
        """Joint covariance of the named parameters on their free scales; NaN: unknown."""
        out = np.full((len(self.named_parameters),) * 2, np.nan)
        first = len(out) - self.beta.size
        out[first:, first:] = self.vcov_beta
        return out

    def variance_curvature(self) -> Array | None:
        """Second derivatives of the deviance in theta, in units free of the data; None: unknown."""
        return None

    def mean_and_variance(self, rows: Rows, kind: Kind, *, variance: bool = True) -> Moments:
        """Linear predictor of ``rows`` and its variance, variances of effects taken as known."""
        eta = rows.fixed_part(self.beta)
        if kind == "conditional":
            eta = eta + rows.random_part(self.b)
            return Moments(eta, self._conditional_variance(rows) if variance else None)
        if kind == "marginal" and self.response_family.link.name != "identity":
            return self._marginal_moments(rows, variance)
        if not variance:
            return Moments(eta)
        between = rows.between(self.covariances) if len(rows.terms) == len(self.terms) else None
        return Moments(eta, np.einsum("ip,pq,iq->i", rows.X, self.vcov_beta, rows.X), between)

    def _conditional_variance(self, rows: Rows) -> Array:
        """Variance (m,) of ``x'beta + z'b`` about its prediction."""
        raise NotImplementedError

    def _marginal_moments(self, rows: Rows, variance: bool) -> Moments:
        """Of the link of the mean over groups, where the link bends."""
        raise NotImplementedError

    def draw(self, rng: np.random.Generator) -> Array:
        """One new response (n,) of the rows fitted, random effects drawn anew."""
        scale = 1.0 if self.sigma is None else self.sigma
        b = [
            scale * rng.standard_normal((term.n_levels, term.n_coefs)) @ Lambda.T
            for term, Lambda in zip(self.terms, self.factors, strict=True)
        ]
        return self._draw_given(self.predictor_of(self.beta, b), rng)

    def _draw_given(self, eta: Array, rng: np.random.Generator) -> Array:
        weights = np.ones(self.n_obs) if self.weights is None else self.weights
        family = self.response_family
        return family.draw(rng, family.link.mu(eta), weights, self.dispersion)

    def refit(self, y: ArrayLike) -> MixedFit:
        """Fit the same model to another response (n,), in the order of the rows fitted.

        Parameters
        ----------
        y : array, shape (n,)
            The response, in the order of the rows fitted.

        Returns
        -------
        MixedFit
            Of the same kind, with the same design.

        Examples
        --------
        >>> import mixedlab as ml
        >>> fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
        >>> again = fit.refit(fit.simulate(1, seed=1)[0])
        >>> again.fixef.round(2)
        (Intercept)    247.33
        Days            11.48
        Name: estimate, dtype: float64
        """
        raise NotImplementedError

    def without_table(self) -> Self:
        """The same fit without the formula's machinery, which no worker needs."""
        return replace(self, design=None)

    def by_maximum_likelihood(self) -> MixedFit:
        """The same model fitted by maximum likelihood."""
        return self
