"""What inference asks of a fit: the contract between models and questions.

Every question (an interval, a test, a prediction, a comparison) is written once, against the
protocols below, and never against a class. A model answers it by having these members; it need
not inherit from them.

`Fit` is asked of every model that has coefficients: predictions, Wald intervals, tests. It is all
that a model without a likelihood (estimating equations) has.

`MixedModel` has a likelihood and random effects besides: draws, refits, profiles, comparisons.

`LinearModel` has what the exact questions of linear models need: Satterthwaite's and Kenward and
Roger's degrees of freedom, leverage, the conditional AIC.

Which questions a fit does not answer it says itself, in ``unanswered``: the name of the question
and a sentence with the reason and what to do instead. `refuse` raises that sentence.

Parameters are values (`Parameter`) with a name, an estimate and a *free scale* on which an
estimate is nearer normal: the logarithm of a standard deviation or dispersion, Fisher's z of a
correlation, a coefficient as it is. ``parameter_covariance`` is their joint covariance on those
scales, so that one Wald interval serves all models.

Predictions are moments of the linear predictor (`Moments`); what a link or a family makes of them
is the same for all models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError, MixedlabError

if TYPE_CHECKING:
    from mixedlab.data.design import Design
    from mixedlab.engine.families import Family
    from mixedlab.engine.layout import Layout
    from mixedlab.inference.blocks import RandomBlocks
    from mixedlab.inference.curvature import Curvature

Array = NDArray[np.float64]
Kind = Literal["conditional", "population", "marginal"]
Groups = Literal["none", "any", "own"]
NewLevels = Literal["error", "population"]
Scale = Literal["identity", "log", "fisher-z"]

Question = Literal[
    "conditional prediction",
    "population prediction",
    "marginal prediction",
    "confidence interval of a prediction",
    "prediction interval",
    "simulation",
    "refit",
    "profile interval",
    "bootstrap interval",
    "satterthwaite",
    "kenward-roger",
    "intraclass correlation",
    "R squared",
    "conditional AIC",
    "leverage",
    "comparison",
    "diagnosis",
    "marginal coefficients",
]


# --- values ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parameter:
    """One parameter of a fit, at its estimate.

    Attributes
    ----------
    kind : {"sd", "cor", "sigma", "beta", "dispersion", "residual"}
    name : str
        ``"sd (Intercept) | Subject"``, ``"cor (Intercept), Days | Subject"``, ``"sigma"``,
        ``"Days"``.
    estimate : float
        On its own scale; NaN for a correlation with a variance of zero.
    scale : {"identity", "log", "fisher-z"}
        Its free scale.
    term, first, second : int
        Position of the random term and of the coefficient, or of the two of a correlation, in
        it; for a fixed effect ``first`` is its position in ``beta``.
    at_boundary : bool
        A variance of zero or a correlation of one: there is no Wald interval.
    can_be_held : bool
        Whether ``fit.hold`` takes it: whether it has a profile.
    taken_as_known : bool
        Wald intervals take it as known, and have no row for it.
    """

    kind: Literal["sd", "cor", "sigma", "beta", "dispersion", "residual"]
    name: str
    estimate: float
    scale: Scale = "identity"
    term: int = -1
    first: int = 0
    second: int = 0
    at_boundary: bool = False
    can_be_held: bool = True
    taken_as_known: bool = False

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest possible value."""
        return {"log": (0.0, np.inf), "fisher-z": (-1.0, 1.0)}.get(self.scale, (-np.inf, np.inf))

    @property
    def free(self) -> float:
        """The estimate on the free scale; infinite or NaN at the boundary."""
        onto = {"log": np.log, "fisher-z": np.arctanh}.get(self.scale, float)
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(onto(self.estimate))

    def back(self, free: float) -> float:
        """From the free scale to the parameter's own."""
        onto = {"log": np.exp, "fisher-z": np.tanh}.get(self.scale, float)
        with np.errstate(over="ignore"):  # an sd near zero may be anything
            return float(onto(free))


@dataclass(frozen=True)
class Rows:
    """Rows to predict: those fitted, or new ones.

    Attributes
    ----------
    X : ndarray, shape (m, p)
    offset : ndarray, shape (m,)
        Zeros where there is none.
    terms : tuple of RandomTerm
        In the fit's order; an ``index`` of -1 is a group that the fit has not seen. Empty where
        the question needs no groups.
    weights : ndarray, shape (m,)
        Prior weights or trials; ones in new rows.
    index : Index or None
        Of the table; None counts from 0.
    """

    X: Array
    offset: Array
    terms: Sequence[RandomTerm] = ()
    weights: Array = field(default_factory=lambda: np.ones(1))
    index: Any = None

    @property
    def n(self) -> int:
        """Number of rows m."""
        return self.X.shape[0]

    def fixed_part(self, beta: Array) -> Array:
        """``X beta + offset``, shape (m,)."""
        return self.X @ beta + self.offset

    def random_part(self, b: Sequence[Array]) -> Array:
        """``Z b``, shape (m,), zero for groups that the fit has not seen."""
        out = np.zeros(self.n)
        for term, effects in zip(self.terms, b, strict=True):
            seen = term.index >= 0
            out[seen] += np.einsum("ik,ik->i", term.Z[seen], effects[term.index[seen]])
        return out

    def between(self, covariances: Sequence[Array], *, unseen_only: bool = False) -> Array:
        """``z' cov(b) z`` summed over terms, shape (m,): the variance of Z b over new groups."""
        out = np.zeros(self.n)
        for term, cov in zip(self.terms, covariances, strict=True):
            part = np.einsum("ik,kl,il->i", term.Z, cov, term.Z)
            out += np.where(term.index < 0, part, 0.0) if unseen_only else part
        return out


@dataclass(frozen=True)
class Moments:
    """The linear predictor of some rows.

    Attributes
    ----------
    eta : ndarray, shape (m,)
        On the link's scale; for a marginal prediction the link of the mean over groups.
    variance : ndarray, shape (m,), or None
        Variance of its estimate (of its prediction error, where it holds random effects); None
        where it was not asked for.
    between : ndarray, shape (m,), or None
        Variance of ``Z b`` over new groups, which a single new observation adds.
    """

    eta: Array
    variance: Array | None = None
    between: Array | None = None


@dataclass(frozen=True)
class Combination:
    """A linear predictor as a function of all parameters: value, derivative, their covariance.

    Attributes
    ----------
    value : ndarray, shape (m,)
    jacobian : ndarray, shape (m, d)
        Derivatives in the d parameters that the fit estimates jointly.
    covariance : ndarray, shape (d, d)
        Of their estimates; zero for one that is at its boundary and taken as fixed.
    """

    value: Array
    jacobian: Array
    covariance: Array

    @property
    def variance(self) -> Array:
        """Variance (m,) of each value, by the delta method."""
        return np.einsum("ia,ab,ib->i", self.jacobian, self.covariance, self.jacobian)


@dataclass(frozen=True)
class Likelihood:
    """Which likelihood a fit has maximised: only the same ones compare.

    Attributes
    ----------
    family, link : str
        Of the response.
    integral : str
        How random effects were integrated out: ``"exact"``, ``"nagq=1"``.
    method : str
        Of estimation, ``"maximum likelihood"`` or ``"h-likelihood"``.
    effects : dict of str to str
        Family of each grouping factor's effects.
    residual : str
        Kind of residual structure; empty for independent residuals.
    """

    family: str
    link: str
    integral: str = "exact"
    method: str = "maximum likelihood"
    effects: Mapping[str, str] = field(default_factory=dict)
    residual: str = ""


class Held(Protocol):
    """The deviance with one parameter held, minimised over all others: what a profile walks on."""

    lowest: float
    """Deviance at the estimate, from which the rise is counted."""
    first_step: float
    """About a third of a standard error of the parameter."""

    def start(self) -> Array:
        """The free parameters at the estimate."""

    def minimum(self, value: float, start: Array) -> tuple[float, Array]:
        """Lowest deviance with the parameter at ``value``, and the free parameters there."""


# --- protocols ---------------------------------------------------------------------------------


class Fit(Protocol):
    """What is asked of every fit with coefficients."""

    names: tuple[str, ...]
    """Names of the p coefficients."""
    beta: Array
    """Their estimates (p,)."""
    vcov_beta: Array
    """Covariance (p, p) of the estimates."""
    dispersion: float
    """What multiplies the variance function; ``sigma**2`` for a linear model."""
    formula: str
    """As it was given; empty for a fit from arrays."""
    design: Design | None
    """What the formula made of the table; None for a fit from arrays."""

    @property
    def response_family(self) -> Family:
        """Family of the response, with its link."""

    @property
    def n_obs(self) -> int:
        """Number of rows fitted."""

    @property
    def unanswered(self) -> Mapping[str, str]:
        """Questions that this fit does not answer, each with the reason in words."""

    @property
    def named_parameters(self) -> tuple[Parameter, ...]:
        """All k parameters: sd and correlations, sigma or dispersions, then the coefficients."""

    def parameter_covariance(self) -> Array:
        """Joint covariance (k, k) of the named parameters on their free scales; NaN: unknown."""

    def rows(self, newdata: Any = None, groups: Groups = "own", new_levels: str = "error") -> Rows:
        """The rows of a table, or those fitted.

        ``groups="none"`` leaves the random terms out. With ``"any"`` a grouping column that is
        absent is a new group. ``"own"`` needs them, and with ``new_levels="error"`` refuses a
        group that the fit has not seen.
        """

    def mean_and_variance(self, rows: Rows, kind: Kind, *, variance: bool = True) -> Moments:
        """Linear predictor of ``rows``, and what an interval needs unless ``variance=False``."""


class MixedModel(Fit, Protocol):
    """What is asked of a fit that has a likelihood and random effects besides."""

    y: Array
    """Response (n,) as fitted; proportions of binomial trials."""
    X: Array
    """Fixed-effects columns (n, p)."""
    weights: Array | None
    """Prior weights or trials (n,)."""
    offset: Array | None
    """Known part (n,) of the linear predictor."""
    terms: Sequence[RandomTerm]
    """Random terms, in the formula's order."""
    b: Sequence[Array]
    """Predicted random effects (J, q) of each term."""
    sigma: float | None
    """Residual standard deviation, where there is one."""
    criterion: float
    """-2 log-likelihood, or the REML criterion."""
    loglik: float
    """Log-likelihood."""
    aic: float
    """``criterion + 2 n_params``."""
    bic: float
    """``criterion + log(n) n_params``."""
    n_params: int
    """Estimated parameters."""
    reml: bool
    """Whether the criterion is the restricted one."""
    converged: bool
    """Whether the search ended at an optimum."""
    singular: bool
    """Whether some combination of random effects has variance zero."""
    layout: Layout
    """Where each term's parameters lie in theta."""
    factors: Sequence[Array]
    """Relative covariance factor (q, q) of each term."""
    covariances: Sequence[Array]
    """Covariance (q, q) of each term's effects."""
    fitted_values: Array
    """Fitted means (n,), random effects included."""
    residuals: Array
    """Response less fitted values (n,)."""
    likelihood_kind: Likelihood
    """Which likelihood was maximised."""

    def variance_curvature(self) -> Array | None:
        """Second derivatives of the deviance in theta, in units free of the data; None: unknown."""

    def draw(self, rng: np.random.Generator) -> Array:
        """One new response (n,) of the rows fitted, random effects drawn anew."""

    def refit(self, y: ArrayLike) -> MixedModel:
        """The same model fitted to another response (n,)."""

    def without_table(self) -> MixedModel:
        """The same fit without what only new tables need: small enough to send to workers."""

    def by_maximum_likelihood(self) -> MixedModel:
        """The same model by maximum likelihood: itself, unless it was fitted by REML."""

    def hold(self, parameter: Parameter) -> Held:
        """The deviance with a parameter held that ``can_be_held``."""

    def marginal_predictor(self, rows: Rows) -> Combination:
        """Link of the mean over groups, for population-averaged coefficients."""


class LinearModel(MixedModel, Protocol):
    """What is asked of a linear mixed model, whose covariance V is known given few parameters."""

    theta: Array
    """Relative covariance factors, in the data's units."""

    @property
    def degrees_of_freedom(self) -> int:
        """n, or n - p by REML: what the residual sum of squares is divided by."""

    def curvature(self) -> Curvature:
        """The deviance around its minimum, in theta and log sigma^2."""

    def curvature_in_theta(self) -> Array:
        """Second derivatives of the profiled deviance in ``theta``."""

    def blocks(self) -> RandomBlocks:
        """V by blocks."""


# --- refusals ----------------------------------------------------------------------------------


def answers(fit: Fit, question: Question) -> bool:
    """Whether a fit answers a question."""
    return question not in _unanswered(fit, question)


def refuse(fit: Fit, question: Question) -> None:
    """Raise the fit's own reason where it does not answer a question."""
    reason = _unanswered(fit, question).get(question)
    if reason is not None:
        raise DataError(reason)


def _unanswered(fit: Fit, question: str) -> Mapping[str, str]:
    try:
        return fit.unanswered
    except AttributeError:
        raise MixedlabError(
            f"A {question} is for fits by ml.lmm, ml.glmm, ml.hglm or ml.gee, not "
            f"{type(fit).__name__}."
        ) from None
