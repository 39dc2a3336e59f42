"""The deviance of a generalised fit with one of its parameters held, for profiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixedlab.inference.contract import Parameter
from mixedlab.models.joint_likelihood import JointLikelihood

Array = NDArray[np.float64]


class ParameterHeld:
    """One parameter held, and the deviance minimised over all others.

    A fixed effect is one of the parameters, and so is the logarithm of the dispersion; an sd is
    once its coefficient comes first in its term. A correlation r of a term's first two
    coefficients holds the second's row of Lambda to ``s (r, sqrt(1 - r^2))``, s free.
    """

    def __init__(self, fit: Any, parameter: Parameter) -> None:
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

    def _put_first(self, fit: Any, parameter: Parameter) -> None:
        """Order the term's coefficients so that the entries of Lambda that matter come first."""
        term, k = fit.terms[parameter.term], parameter.first
        first = [k] if parameter.kind == "sd" else [k, parameter.second]
        if first != list(range(len(first))):
            self.problem, self.parameters = coefficients_first(fit, parameter.term, first)
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


def coefficients_first(fit: Any, term: int, coefs: Sequence[int]) -> tuple[JointLikelihood, Array]:
    """The same model with some coefficients of a term put first, and its parameters.

    The sd of a term's first coefficient is an entry of the parameters, so that it can be held.
    """
    old = fit.terms[term]
    order = [*coefs, *(k for k in range(old.n_coefs) if k not in coefs)]
    names = tuple(old.names[k] for k in order)
    new = replace(old, Z=np.ascontiguousarray(old.Z[:, order]), names=names)
    terms = [new if t == term else other for t, other in enumerate(fit.terms)]
    problem = replace(fit.problem, terms=tuple(terms))
    factors = fit.layout.unpack(fit.parameters[: fit.theta.size])
    lower = np.linalg.qr(factors[term][order].T, mode="r").T
    factors[term] = lower * np.where(np.diag(lower) < 0, -1.0, 1.0)
    rest = fit.parameters[fit.theta.size :]
    return problem, np.concatenate([problem.vector.layout.pack(factors), rest])
