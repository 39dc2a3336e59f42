"""A linear mixed model: its data and structure, where its criterion is least, and its fit.

The likelihood and its derivatives in theta are in `mixedlab.engine.profiled`; the parameters phi of
a residual structure are chosen outside of it, each phi with its own best theta.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.many_linear import many_linear
from mixedlab.engine.optimise import Minimum
from mixedlab.engine.profiled import Evaluation, ProfiledDeviance
from mixedlab.engine.terms import RandomTerm
from mixedlab.inference.contract import Held, Likelihood, Parameter, Rows
from mixedlab.inference.curvature import Curvature
from mixedlab.inference.row_covariance import RowCovariance
from mixedlab.models.checks import column
from mixedlab.models.fit import MixedFit
from mixedlab.models.linear_held import CoefficientHeld, VarianceHeld
from mixedlab.models.parameters import State, joint_covariance
from mixedlab.models.refits import Together, one_factor
from mixedlab.models.residual import UNANSWERED, ResidualStructure

Array = NDArray[np.float64]

_CELLS = 60_000  # numbers drawn at once: small enough for the processor's cache

_MARGINAL = (
    "Marginal coefficients are for glmm fits. In a linear mixed model the coefficients are "
    "marginal and conditional at once."
)
_NO_REML = "Kenward-Roger needs a REML fit: fit the model with reml=True."


@dataclass(frozen=True)
class Optimum:
    """Where the criterion is least.

    Attributes
    ----------
    problem : ProfiledDeviance
        The criterion as a function of theta, at these ``phi``.
    found : Minimum
        Its minimum over theta, on the engine's internal scale.
    phi : ndarray
        Parameters of the residual structure.
    """

    problem: ProfiledDeviance
    found: Minimum[Array, Evaluation]
    phi: Array


@dataclass(frozen=True)
class Specification:
    """The data and structure of a model, before and apart from its fit."""

    y: Array
    X: Array
    terms: tuple[RandomTerm, ...]
    reml: bool
    weights: Array | None
    offset: Array | None
    names: tuple[str, ...]
    residual: ResidualStructure | None

    def minimise(self, start: ArrayLike | None = None) -> Optimum:
        """Minimise the criterion, from ``start`` in the data's units or a moment estimate."""
        phi = np.zeros(0) if self.residual is None else self.best_residual()
        problem = self.problem(phi)
        first = None if start is None else problem.from_user(np.asarray(start, dtype=float))
        return Optimum(problem, problem.minimise(first), phi)

    def minimise_from(self, problem: ProfiledDeviance, first: Array | None) -> Optimum:
        """Minimise for this response what ``problem`` is for another one of the same model.

        ``first`` is the internal theta to start from.
        """
        if self.residual is not None:
            return self.minimise()
        own = problem.with_response(self.y if self.offset is None else self.y - self.offset)
        return Optimum(own, own.minimise(first), np.zeros(0))

    def problem(self, phi: Array) -> ProfiledDeviance:
        """The deviance over theta, at these parameters of the residual structure."""
        y = self.y if self.offset is None else self.y - self.offset
        if self.residual is None:
            return ProfiledDeviance(
                y, self.X, self.terms, reml=self.reml, weights=self.weights, names=self.names
            )
        root = np.ones(y.size) if self.weights is None else np.sqrt(self.weights)

        def white(rows: Array) -> Array:
            return self.residual.whiten(rows * root[:, None], phi)

        return ProfiledDeviance(
            white(y[:, None])[:, 0],
            white(self.X),
            [replace(term, Z=white(term.Z)) for term in self.terms],
            reml=self.reml,
            names=self.names,
            logdet_residual=self.residual.logdet(phi) - 2.0 * float(np.sum(np.log(root))),
        )

    def best_residual(self) -> Array:
        """Parameters of the residual structure that minimise the profiled criterion."""
        from scipy.optimize import minimize

        theta: list[Array | None] = [None]

        def criterion(phi: Array) -> float:
            problem = self.problem(phi)
            start = None if theta[0] is None else problem.from_user(theta[0])
            found = problem.minimise(start)
            theta[0] = problem.to_user(found.x)
            return found.at.value

        def slope(phi: Array) -> Array:
            steps = 1e-4 * np.eye(phi.size)
            return np.array([criterion(phi + s) - criterion(phi - s) for s in steps]) / 2e-4

        found = minimize(
            criterion, np.zeros(self.residual.n_params), jac=slope, options={"gtol": 1e-4}
        )
        return found.x


@dataclass(eq=False, repr=False, kw_only=True)
class LinearFit(MixedFit):
    """A fitted linear mixed model.

    Attributes
    ----------
    specification : Specification
        The data and structure that were fitted, for fitting them again.
    problem : ProfiledDeviance
        The deviance as a function of theta, on the engine's internal scale.
    optimum : ndarray
        theta on that scale.
    evaluation : Evaluation
        The deviance at the optimum with gradient and curvature.
    residual : ResidualStructure or None
        Structure of the residual covariance; ``residual_parameters`` are its estimates.

    See Also
    --------
    MixedFit : the attributes that all mixed fits share.
    """

    specification: Specification
    problem: ProfiledDeviance
    optimum: Array
    evaluation: Evaluation
    residual: ResidualStructure | None = None
    residual_phi: Array = field(default_factory=lambda: np.zeros(0))

    profiled_kinds: ClassVar[frozenset[str]] = frozenset({"sd", "cor", "sigma", "beta"})

    @classmethod
    def at(cls, model: Specification, optimum: Optimum) -> LinearFit:
        """The fit at a minimum of the criterion, in the data's units."""
        problem, found, phi = optimum.problem, optimum.found, optimum.phi
        at = found.at
        if not found.converged:
            warnings.warn(
                "The fit did not converge: the criterion could still be lowered. Are there more "
                "random coefficients than the data can tell apart? Try fewer.",
                RuntimeWarning,
                stacklevel=5,
            )
        return cls(
            y=model.y,
            X=model.X,
            names=model.names,
            terms=model.terms,
            weights=model.weights,
            offset=model.offset,
            specification=model,
            problem=problem,
            optimum=found.x,
            evaluation=at,
            beta=problem.beta_of(at),
            vcov_beta=problem.vcov_of(at),
            theta=problem.to_user(found.x),
            sigma=float(np.sqrt(at.sigma2)) * problem.y_scale,
            dispersion=at.sigma2 * problem.y_scale**2,
            b=problem.effects_of(at),
            criterion=at.value,
            n_params=problem.p + problem.layout.n_theta + 1 + phi.size,
            converged=found.converged,
            singular=problem.is_singular(found.x),
            reml=model.reml,
            residual=model.residual,
            residual_phi=phi,
        )

    @property
    def residual_parameters(self) -> dict[str, float]:
        """Parameters of the residual structure by name; without one, ``{"sd": sigma}``."""
        if self.residual is None:
            return {"sd": self.sigma}
        return self.residual.parameters(self.residual_phi, self.sigma)

    @property
    def fitted_values(self) -> Array:
        """Fitted values (n,), random effects included."""
        return self.linear_predictor

    def title(self) -> str:  # noqa: D102  (as in MixedFit)
        return "Linear mixed model"

    def notes(self) -> list[str]:  # noqa: D102  (as in MixedFit)
        if self.residual is None:
            return []
        found = ", ".join(f"{k} {v:.5g}" for k, v in self.residual_parameters.items())
        return [f"Residual structure: {found}"]

    def _conditional_covariances(self) -> list[Array]:
        return self.problem.effect_covariances_of(self.evaluation)

    # ---- the deviance at other parameters -----------------------------------------------

    def deviance(self, theta: ArrayLike, sigma: float | None = None) -> float:
        """Criterion at another ``theta`` (data's units), beta at its best for it.

        With ``sigma`` given, at that residual standard deviation; otherwise at the best one.
        """
        return self.evaluate(theta, sigma).value

    def evaluate(self, theta: ArrayLike, sigma: float | None = None) -> Evaluation:
        """Everything the engine knows at another ``theta`` (data's units)."""
        return self.problem(self.problem.from_user(theta), None if sigma is None else sigma**2)

    def refit(self, y: ArrayLike) -> LinearFit:  # noqa: D102  (as in MixedFit)
        model = replace(self.specification, y=column("y", y, self.n_obs))
        # A response from the same model has its minimum nearby; at a boundary start afresh.
        first = None if self.singular else self.optimum
        return self._again(model, model.minimise_from(self.problem, first))

    @property
    def at_once(self) -> bool:
        """Whether many responses are fitted together."""
        return self.residual is None and one_factor(self.terms)

    def draw_many(self, generators: Sequence[np.random.Generator]) -> Array:
        """Responses (n, m) of the rows fitted: column k is ``draw(generators[k])``."""
        if self.residual is not None:
            return super().draw_many(generators)
        out = np.empty((len(generators), self.n_obs))
        sd = self.sigma if self.weights is None else self.sigma / np.sqrt(self.weights)
        fixed = self.X @ self.beta + (0.0 if self.offset is None else self.offset)
        sizes = [term.n_levels * term.n_coefs for term in self.terms]
        at_once = max(1, _CELLS // self.n_obs)
        for first in range(0, len(out), at_once):
            y = out[first : first + at_once]
            effects = np.empty((len(y), sum(sizes)))
            for u, noise, rng in zip(effects, y, generators[first:], strict=False):
                rng.standard_normal(out=u)
                rng.standard_normal(out=noise)
            y *= sd
            y += fixed
            split = np.split(effects, np.cumsum(sizes)[:-1], axis=1)
            for term, Lambda, u in zip(self.terms, self.factors, split, strict=True):
                b = self.sigma * u.reshape(len(y), term.n_levels, term.n_coefs) @ Lambda.T
                for k in range(term.n_coefs):
                    y += term.Z[:, k] * b[:, term.index, k]
        return out.T

    def _together(self, Y: Array) -> tuple[Together, Array, Array, NDArray[np.bool_]]:
        found = many_linear(
            Y, self.X, self.terms, reml=self.reml, weights=self.weights, offset=self.offset,
            start=None if self.singular else self.theta,
        )  # fmt: skip
        return found, found.sigma, found.criterion, found.converged

    def _again(self, model: Specification, optimum: Optimum) -> LinearFit:
        fit = LinearFit.at(model, optimum)
        return replace(fit, formula=self.formula, design=self.design)

    def by_maximum_likelihood(self) -> LinearFit:
        """The same model fitted by maximum likelihood."""
        if not self.reml:
            return self
        model = replace(self.specification, reml=False)
        return self._again(model, model.minimise(self.theta))

    def with_columns(self, X: Array, names: Sequence[str]) -> LinearFit:
        """The same model with other fixed-effects columns, fitted."""
        model = replace(self.specification, X=X, names=tuple(names))
        return LinearFit.at(model, model.minimise(self.theta))

    def hold(self, parameter: Parameter) -> Held:
        """The deviance with a parameter held, for profiles."""
        if parameter.kind == "beta":
            return CoefficientHeld(self, self.optimum, parameter)
        return VarianceHeld(self, self.problem, parameter)

    # ---- the contract of inference ------------------------------------------------------

    @property
    def unanswered(self) -> Mapping[str, str]:
        """Questions that this fit does not answer, each with the reason."""
        out = {"marginal coefficients": _MARGINAL}
        if self.residual is not None:
            return out | UNANSWERED
        return out if self.reml else out | {"kenward-roger": _NO_REML}

    @property
    def likelihood_kind(self) -> Likelihood:
        """Which likelihood was maximised."""
        residual = "" if self.residual is None else type(self.residual).__name__
        return replace(super().likelihood_kind, residual=residual)

    def _smallest_sd(self, term: int, coef: int) -> float:
        """What adds less than 1e-4 of the residual's standard deviation to a typical row."""
        size = np.sqrt(np.mean(self.terms[term].Z[:, coef] ** 2))
        return 1e-4 * self.sigma / size if size > 0 else np.inf

    def _dispersions(self) -> list[Parameter]:
        found = super()._dispersions()
        if self.residual is None:
            return found
        for name, value in self.residual_parameters.items():
            label = f"residual {name}"
            found.append(
                Parameter("residual", label, value, can_be_held=False, taken_as_known=True)
            )
        return found

    def parameter_covariance(self) -> Array:
        """Joint covariance of the named parameters on their free scales.

        From the curvature of the deviance in theta and log sigma^2; beta is independent of them.
        """
        k, p = self.optimum.size + 1, self.beta.size
        at = np.concatenate([self.optimum, [2.0 * np.log(self.sigma)], self.beta])
        covariance = np.zeros((k + p, k + p))
        covariance[:k, :k] = self.curvature().covariance
        covariance[k:, k:] = self.vcov_beta
        return joint_covariance(self.named_parameters, self._state, at, covariance)

    def _state(self, at: Array) -> State:
        k = self.optimum.size
        s2 = np.exp(at[k])
        factors = self.layout.unpack(self.problem.to_user(at[:k]))
        return [s2 * L @ L.T for L in factors], at[k], at[k + 1 :]

    def variance_curvature(self) -> Array | None:
        """Second derivatives of the profiled deviance, theta in units of the residual's sd."""
        return self.curvature().profiled

    def curvature(self) -> Curvature:
        """The deviance around its minimum, on the engine's scale of theta."""
        return Curvature.of(self.problem, self.optimum, self.evaluation)

    def curvature_in_theta(self) -> Array:
        """Second derivatives of the profiled deviance in ``theta``."""
        units = np.eye(self.theta.size)
        to_internal = np.column_stack([self.problem.from_user(unit) for unit in units])
        # The engine may hold a column of Lambda with the other sign.
        at = self.problem.from_user(self.theta)
        flipped = np.where(at * self.optimum < 0, -1.0, 1.0)[:, None] * to_internal
        return flipped.T @ self.curvature().profiled @ flipped

    @property
    def degrees_of_freedom(self) -> int:
        """n, or n - p by REML: what the residual sum of squares is divided by."""
        return self.problem.nu

    def row_covariance(self) -> RowCovariance:
        """V at the estimates."""
        return RowCovariance(self)

    def _conditional_variance(self, rows: Rows) -> Array:
        """Variance of ``x'beta + z'b`` about its prediction, by the mixed model equations.

        ``b`` given beta has covariance ``sigma^2 C`` and moves with beta by ``-C Z'X``: a row's
        variance is ``sigma^2 z'Cz + (x - (CZ'X)'z)' vcov (x - (CZ'X)'z)``. New levels add all of
        their variance.
        """
        V = self.row_covariance()
        variance = self.sigma**2 * V.variance_of_rows(rows.terms)
        moved = rows.X - V.moved_by_beta(rows.terms)
        variance += np.einsum("ip,pq,iq->i", moved, self.vcov_beta, moved)
        return variance + rows.between(self.covariances, unseen_only=True)

    def _draw_given(self, eta: Array, rng: np.random.Generator) -> Array:
        noise = self.sigma * rng.standard_normal(self.n_obs)
        if self.residual is not None:
            noise = self.residual.colour(noise[:, None], self.residual_phi)[:, 0]
        if self.weights is not None:
            noise /= np.sqrt(self.weights)
        return eta + noise
