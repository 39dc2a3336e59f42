"""What is unusual about a fit, in words: what was checked, what it means and what one can do.

Each file holds checks of one kind, and each check is a function of the fit that returns findings.
A test speaks only where it is sure (p below 1e-4): data without a fault are hardly ever accused.
"""

from __future__ import annotations

from mixedlab.diagnosis import (
    covariates,
    estimates,
    groups,
    influence,
    missing_terms,
    normality,
    responses,
    spread,
    variation,
)
from mixedlab.diagnosis.finding import Check, Diagnosis, Finding
from mixedlab.inference.contract import MixedModel, refuse

__all__ = ["Check", "Diagnosis", "Finding", "diagnose"]

_CHECKS = (
    ("convergence", estimates.not_converged),
    ("aliased columns", estimates.aliased),
    ("terms and parameters that are not identified", estimates.unidentified),
    ("variances at zero and correlations at the edge", estimates.singular),
    ("overdispersion", variation.overdispersion),
    ("underdispersion", variation.underdispersion),
    ("too many zeros", variation.zeros),
    ("a floor or a ceiling of the responses", responses.bounds),
    ("rows that come twice", responses.repeated_rows),
    ("shape of the residuals, and rows far out", normality.residuals_shape),
    ("spread of the residuals", spread.uneven_spread),
    ("autocorrelation", missing_terms.autocorrelation),
    ("separation", covariates.separation),
    ("covariates far from zero", covariates.far_from_zero),
    ("labels that look nested", groups.nested_labels),
    ("labels that differ by case or spaces only", groups.similar_labels),
    ("groups of one row", groups.single_rows),
    ("few groups", groups.few_groups),
    ("predictors with two slopes, within and between groups", covariates.two_slopes),
    ("bends", missing_terms.bends),
    ("slopes that differ between groups", missing_terms.differing_slopes),
    ("responses that go with the size of the group", missing_terms.cluster_size),
    ("shape of the groups' effects, and groups far out", normality.effects_shape),
    ("influential groups", influence.influential),
)


def diagnose(fit: MixedModel) -> Diagnosis:
    """Check a fit for what a reader of its numbers should know.

    The estimates: correlations at the edge, variances at zero, what is not identified, separation.
    The responses: overdispersion and zeros, floor and ceiling, rows that come twice, the shape,
    spread and autocorrelation of residuals. The groups: labels that look nested, labels that differ
    by case or spaces only, groups of one row, few groups, influential ones, the shape of their
    effects, responses that go with their size. What may be missing: a second slope between groups,
    a bend, slopes that differ. No check sees a covariate that is not in the model, or why rows are
    missing.

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
