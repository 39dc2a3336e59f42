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
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError, MixedlabError
from mixedlab.inference.values import Combination, Likelihood, Moments, Parameter, Rows

if TYPE_CHECKING:
    from mixedlab.data.design import Design
    from mixedlab.engine.families import Family
    from mixedlab.engine.terms import Layout
    from mixedlab.inference.curvature import Curvature
    from mixedlab.inference.row_covariance import RowCovariance

__all__ = [
    "Combination",
    "Fit",
    "Held",
    "Likelihood",
    "LinearModel",
    "MixedModel",
    "Moments",
    "Parameter",
    "Question",
    "Rows",
    "answers",
    "refuse",
]

Array = NDArray[np.float64]
Kind = Literal["conditional", "population", "marginal"]
Groups = Literal["none", "any", "own"]
NewLevels = Literal["error", "population"]

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
    "likelihood ratio of a term",
    "intraclass correlation",
    "R squared",
    "conditional AIC",
    "leverage",
    "comparison",
    "diagnosis",
    "picture",
    "marginal coefficients",
]


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
    converged: bool
    """Whether the search ended at a solution."""
    fitted_by: str
    """The method of estimation, in words."""
    n_groups: Mapping[str, int]
    """Number of levels of each grouping factor."""

    def title(self) -> str:
        """What kind of model it is, in words."""

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

    def draw_many(self, generators: Sequence[np.random.Generator]) -> Array:
        """Responses (n, m): column k is ``draw(generators[k])``."""

    def refit(self, y: ArrayLike) -> MixedModel:
        """The same model fitted to another response (n,)."""

    def with_columns(self, X: Array, names: Sequence[str]) -> MixedModel:
        """The same model with other fixed-effects columns (n, p), fitted; needs no formula."""

    @property
    def at_once(self) -> bool:
        """Whether many responses are fitted together, at a fraction of the time."""

    def refit_many(self, Y: ArrayLike) -> Any:
        """The same model fitted to the columns of Y (n, m): arrays, and ``[k]`` the k-th fit."""

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

    def row_covariance(self) -> RowCovariance:
        """V at the estimates."""


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
