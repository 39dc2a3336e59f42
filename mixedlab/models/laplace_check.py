"""Is Laplace's approximation good enough? Quadrature with a few nodes tells, in one evaluation."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.integrated_likelihood import Evaluation
from mixedlab.errors import LaplaceWarning
from mixedlab.models.joint_likelihood import JointLikelihood

Array = NDArray[np.float64]

_NODES = 7


def laplace_error(
    problem: JointLikelihood, user: Array, vcov: Array, at: Evaluation
) -> Array | None:
    """By how many standard errors quadrature would move each parameter, to first order.

    One Newton step from Laplace's maximum ``user``, where the likelihood is ``at``, with the
    gradient of quadrature with a few nodes. None where there is nothing to compare: quadrature
    already, crossed factors, many random coefficients a level.
    """
    factors = problem.vector.layout.factors
    if problem.nagq > 1 or len(factors) != 1 or factors[0].n_coefs > 2:
        return None
    finer = replace(problem, nagq=_NODES).at(user, near=at)
    if not finer.finite:
        return None
    known = np.where(np.isnan(vcov), 0.0, vcov)
    se = np.sqrt(np.diag(known))
    # a penalised maximum has a gradient of its own, which is not an error
    step = known @ (problem.vector.gradient(finer, user) - problem.vector.gradient(at, user))
    return np.divide(step, se, out=np.zeros_like(step), where=se > 0)


def warn_if_laplace_is_off(
    problem: JointLikelihood, user: Array, vcov: Array, at: Evaluation
) -> None:
    """Warn where quadrature would move an estimate by more than half its standard error."""
    error = laplace_error(problem, user, vcov, at)
    if error is None or np.abs(error).max(initial=0.0) < 0.5:
        return
    worst = int(np.abs(error).argmax())
    labels = ["a standard deviation of the random effects"] * problem.vector.n_theta
    labels += [f"the coefficient of {name!r}" for name in problem.names] + ["the dispersion"]
    warnings.warn(
        f"Laplace's approximation is poor here: quadrature would move {labels[worst]} by about "
        f"{abs(error[worst]):.1f} standard errors. The groups are small or their spread is "
        "large. Fit with nagq=15 or more.",
        LaplaceWarning,
        stacklevel=5,
    )
