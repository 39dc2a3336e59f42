r"""Groups without which the fixed effects would be others.

Near the estimate, leaving out the rows of group j moves :math:`\hat\beta` by about
:math:`-C s_j`, with C the covariance of :math:`\hat\beta` and
:math:`s_j = \sum_{i \in j} x_i\, d\ell_i / d\eta_i` the group's part of the score, which is zero
over all groups. The groups that this names are then left out in earnest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedlab.diagnosis.finding import Finding, NotChecked
from mixedlab.diagnosis.groups import of_each_factor
from mixedlab.diagnosis.other_fits import of_rows, refuse_costly
from mixedlab.engine.terms import RandomTerm
from mixedlab.inference.contract import MixedModel

Array = NDArray[np.float64]

_LEAST_GROUPS = 6
_CANDIDATES = 2


def influential(fit: MixedModel) -> list[Finding]:
    """Groups without which a coefficient moves by more than a standard error."""
    refuse_costly(fit)
    terms = [t for t in of_each_factor(fit) if _LEAST_GROUPS <= t.n_levels <= fit.n_obs / 2]
    if not terms:
        raise NotChecked(f"no factor has {_LEAST_GROUPS} levels with several rows.")
    return [finding for term in terms for finding in _of_factor(fit, term)]


def _of_factor(fit: MixedModel, term: RandomTerm) -> list[Finding]:
    se = np.sqrt(np.diag(fit.vcov_beta))
    # One of J groups moves an estimate by some se / sqrt(J), the farthest by three or four.
    much = max(1.5, 7.0 / np.sqrt(term.n_levels))
    moves = np.abs(_scores(fit, term) @ fit.vcov_beta) / se
    farthest = np.argsort(moves.max(axis=1))[::-1][:_CANDIDATES]
    found = []
    for j in farthest[moves[farthest].max(axis=1) > 0.4 * much]:
        rest = of_rows(fit, np.flatnonzero(term.index != j))
        if rest is None or rest.beta.shape != fit.beta.shape:
            continue
        # A group far out makes the standard errors large as well.
        own_se = np.minimum(se, np.sqrt(np.diag(rest.vcov_beta)))
        move = (rest.beta - fit.beta) / own_se
        k = int(np.argmax(np.abs(move)))
        if abs(move[k]) > much:
            found.append(
                Finding(
                    "influential",
                    f"{term.group} {term.levels[j]}",
                    f"without {term.levels[j]!r} of {term.group!r} the coefficient of "
                    f"{fit.names[k]} is {rest.beta[k]:.3g} in place of {fit.beta[k]:.3g}, "
                    f"{abs(move[k]):.2g} standard errors away.",
                    "Look at its rows; report the fit with and without them.",
                )
            )
    return found


def _scores(fit: MixedModel, term: RandomTerm) -> Array:
    """Each level's part (J, p) of the score of beta."""
    weights = np.ones(fit.n_obs) if fit.weights is None else fit.weights
    slope = fit.response_family.derivatives(fit.y, fit.linear_predictor, weights, fit.dispersion)[0]
    parts = fit.X * slope[:, None]
    return np.column_stack(
        [np.bincount(term.index, weights=part, minlength=term.n_levels) for part in parts.T]
    )
