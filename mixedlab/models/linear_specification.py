"""The data and structure of a linear mixed model, and where its criterion is least.

The likelihood and its derivatives in theta are in ``mixedlab.engine.profiled``; the parameters phi
of a residual structure are chosen outside of it, each phi with its own best theta.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.engine.optimise import Minimum
from mixedlab.engine.profiled import Evaluation, ProfiledDeviance
from mixedlab.engine.terms import RandomTerm, check_parameters
from mixedlab.errors import DataError
from mixedlab.models.residual import ResidualStructure, refuse_mixing

Array = NDArray[np.float64]


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


def check(model: Specification) -> None:
    """Raise, in words, where these data cannot identify the model."""
    X, weights, terms, residual = model.X, model.weights, model.terms, model.residual
    n, p = X.shape
    if n <= p:
        raise DataError(f"There are {p} fixed effects but only {n} rows: leave some out.")
    if weights is not None and not (weights > 0).all():
        row = int(np.flatnonzero(weights <= 0)[0])
        raise DataError(f"Weights must be positive; row {row} has {weights[row]:g}.")
    if residual is not None:
        refuse_mixing(residual, terms)
    elif not terms:
        raise DataError("There is no random term: give at least one, or fit by least squares.")
    for term in terms:
        if term.n_levels >= n:
            raise DataError(
                f"The grouping factor {term.group!r} has one row for each level: its variance "
                "cannot be told from the residual's. Use a coarser factor or drop the term."
            )
    check_parameters(terms, n)
