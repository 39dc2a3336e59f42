"""What is unusual about a fit, in words: what was checked, what it means and what one can do.

Each file holds checks of one kind, and each check is a function of the fit that returns findings.
A test speaks only where it is sure (p below 1e-4): data without a fault are hardly ever accused.
"""

from __future__ import annotations

from mixedlab.diagnosis import covariates, estimates, groups, influence, variation
from mixedlab.diagnosis.finding import Check, Diagnosis, Finding
from mixedlab.inference.contract import MixedModel, refuse

__all__ = ["Check", "Diagnosis", "Finding", "diagnose"]

_CHECKS = (
    ("convergence", estimates.not_converged),
    ("aliased columns", estimates.aliased),
    ("terms and parameters that are not identified", estimates.unidentified),
    ("variances at zero and correlations at the edge", estimates.singular),
    ("overdispersion", variation.overdispersion),
    ("too many zeros", variation.zeros),
    ("separation", covariates.separation),
    ("covariates far from zero", covariates.far_from_zero),
    ("labels that look nested", groups.nested_labels),
    ("labels that differ by case or spaces only", groups.similar_labels),
    ("groups of one row", groups.single_rows),
    ("few groups", groups.few_groups),
    ("predictors with two slopes, within and between groups", covariates.two_slopes),
    ("influential groups", influence.influential),
)


def diagnose(fit: MixedModel) -> Diagnosis:
    """Check a fit for what a reader of its numbers should know.

    Overdispersion and zeros, correlations at the edge, variances at zero, what is not identified,
    labels of one factor that look nested in another, groups of one row, few groups, levels that
    differ by case or spaces only, influential groups, predictors with two slopes, separation.

    Parameters
    ----------
    fit : MixedModel

    Returns
    -------
    Diagnosis
        Prints what was checked and what was found; iterate it for the findings.

    Raises
    ------
    DataError
        For a fit by estimating equations.

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.lmm("Yield ~ 1 + (1 | Batch)", ml.load("dyestuff2"))
    >>> "estimated as zero" in str(ml.diagnose(fit))
    True
    """
    refuse(fit, "diagnosis")
    return Diagnosis(tuple(Check.of(name, look, fit) for name, look in _CHECKS))
