r"""What the model takes for normal: residuals, and the effects of groups.

Residuals are looked at first for single rows too far out for a normal distribution of so many,
then, without these, for skewness (D'Agostino 1970, Biometrika 57, 679-681) and heavy tails
(Anscombe and Glynn 1983, Biometrika 70, 227-234). Of other families they are randomised quantile
residuals, normal where the family is right: Shapiro and Wilk (1965, Biometrika 52, 591-611).

A predicted effect varies about zero with the variance :math:`G - C`, where C is its variance given
the responses: over the root of it, effects are standard normal too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedlab.diagnosis.finding import SURE, SURE_OF_MANY, Finding, NotChecked
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import first_rows, listed
from mixedlab.inference.contract import MixedModel
from mixedlab.inference.normal_residuals import normal_residuals

Array = NDArray[np.float64]

_LEAST_ROWS = 30
_LEAST_GROUPS = 20
_MUCH_SKEW, _MUCH_KURTOSIS = 0.5, 1.0
_BENT_COUNTS = 0.2  # the same for quantile residuals, which chance draws towards the normal
_MOST = 5000  # rows that Shapiro and Wilk's test takes
_MOST_DRAWN = 20_000  # rows whose residuals are drawn; of more, evenly spaced ones
_SINGLE = 0.01  # share of rows far out up to which they are single rows
_TOLD_BY_DATA = 0.3  # share of an effect's variance that its own rows must tell


def residuals_with_a_shape(fit: MixedModel) -> Array:
    """Residuals (n,) that are standard normal where the model is right; NaN where not drawn.

    Raises
    ------
    NotChecked
        For single 0/1 outcomes, whose residuals have no shape, and for few rows.
    """
    weights = np.ones(fit.n_obs) if fit.weights is None else fit.weights
    if fit.response_family.counts_trials and (weights == 1).all():
        raise NotChecked("residuals of single 0/1 outcomes have no shape.")
    if fit.n_obs < _LEAST_ROWS:
        raise NotChecked(f"it takes {_LEAST_ROWS} rows.")
    return normal_residuals(fit, at_most=_MOST_DRAWN)[0]


def residuals_shape(fit: MixedModel) -> list[Finding]:
    """Rows far out, and residuals that are no sample of one normal distribution."""
    residual = residuals_with_a_shape(fit)
    known = np.isfinite(residual)
    far = known & _too_far(np.where(known, residual, 0.0), SURE_OF_MANY)
    found = [_far_rows(fit, far, residual)] if 0 < far.mean() <= _SINGLE else []
    rest = residual[known & ~far] if found else residual[known]
    if fit.response_family.name == "gaussian":
        return found + _skewed_or_long(rest)
    return found + _of_no_family(fit.response_family.name, rest)


def _skewed_or_long(residual: Array) -> list[Finding]:
    from scipy.stats import kurtosis, kurtosistest, skew, skewtest

    bent, tails = float(skew(residual)), float(kurtosis(residual))
    is_bent = abs(bent) > _MUCH_SKEW and skewtest(residual).pvalue < SURE_OF_MANY
    is_long = tails > _MUCH_KURTOSIS and kurtosistest(residual).pvalue < SURE_OF_MANY
    # Skewed families, the gamma and the lognormal, have about twice its square in the tails.
    if is_long and not (is_bent and tails < 3 * bent**2):
        what = (
            f"the residuals have heavy tails (excess kurtosis {tails:.2f}): more rows lie far out, "
            "and more close in, than under a normal distribution"
        )
        return [_of_shape("heavy tails", what, "Look at the rows far out, and for wide groups")]
    if not is_bent:
        return []
    side = "above" if bent > 0 else "below"
    what = f"the residuals are skewed ({bent:.2f}): they reach farther {side} than the other way"
    how = "Look for a ceiling, or turn the scale around"
    if bent > 0:
        how = (
            "Model log(y), or fit ml.glmm with a family whose variance grows with the mean "
            "('gamma', for counts 'poisson')"
        )
    return [_of_shape("skewed", what, how)]


def _of_shape(kind: str, what: str, how: str) -> Finding:
    return Finding(
        kind,
        "residuals",
        f"{what}. Coefficients bear it where groups are many; intervals for new rows do not.",
        f"{how}; ml.pictures.residual_panels(fit) shows them.",
    )


def _of_no_family(family: str, residual: Array) -> list[Finding]:
    from scipy.stats import kurtosis, shapiro, skew

    bent, tails = float(skew(residual)), float(kurtosis(residual))
    some = residual[np.unique(np.linspace(0, residual.size - 1, _MOST).astype(int))]
    p = float(shapiro(some).pvalue)
    if p > SURE_OF_MANY or max(abs(bent), 0.5 * abs(tails)) < _BENT_COUNTS:
        return []
    return [
        Finding(
            "family does not fit",
            family,
            f"the responses are not spread about their means as the {family} family says "
            f"(p = {p:.1e}): quantile residuals, which are normal where it is right, have a "
            f"skewness of {bent:.2f} and an excess kurtosis of {tails:.2f}.",
            "Try another family; look for zeros of another kind, for a limit, or for two kinds of "
            "rows. ml.pictures.residual_panels(fit) shows them.",
        )
    ]


def _too_far(standard: Array, sure: float) -> NDArray[np.bool_]:
    """Values farther out than the farthest of so many standard normal ones."""
    from scipy.special import ndtr

    return 2 * standard.size * ndtr(-np.abs(standard)) < sure


def _far_rows(fit: MixedModel, far: NDArray[np.bool_], residual: Array) -> Finding:
    rows = None if fit.design is None else fit.design.rows
    size = np.abs(residual[far]).max()
    one = far.sum() == 1
    return Finding(
        "outlying rows",
        first_rows(far, rows),
        f"{first_rows(far, rows)} {'lies' if one else 'lie up to'} {size:.3g} residual standard "
        "deviations from what the model expects.",
        f"Look at {'it' if one else 'them'}: an error of entry is mended, a true value stays; "
        "report the fit with and without.",
    )


def effects_shape(fit: MixedModel) -> list[Finding]:
    """Groups far out, and effects that are no sample of one normal distribution."""
    from scipy.stats import kurtosis, shapiro

    if set(fit.likelihood_kind.effects.values()) - {"gaussian"}:
        raise NotChecked("the effects are not taken for normal.")
    found, looked = [], False
    for term, effects in zip(fit.terms, _standard_effects(fit), strict=True):
        for name, standard in zip(term.names, effects.T, strict=True):
            if np.isfinite(standard).sum() < max(_LEAST_GROUPS, 0.8 * standard.size):
                continue
            looked = True
            known = np.isfinite(standard)
            far = known & _too_far(np.where(known, standard, 0.0), SURE)
            rest = standard[known & ~far]
            if far.any():
                found.append(_far_groups(term, name, far, standard))
            elif shapiro(rest).pvalue < SURE:
                found.append(_no_normal_effects(term, name, float(kurtosis(rest))))
    if not looked:
        raise NotChecked(
            f"no factor has {_LEAST_GROUPS} levels with rows enough to tell their effects."
        )
    return found


def _standard_effects(fit: MixedModel) -> list[Array]:
    """Predicted effects (J, q) of each term over their sd; NaN where the rows tell too little."""
    made = []
    for b, G, C in zip(fit.b, fit.covariances, fit.b_covariances, strict=True):
        whole = np.diag(G)
        told = whole - np.einsum("jkk->jk", C)
        enough = told > _TOLD_BY_DATA * np.maximum(whole, 1e-300)
        made.append(np.where(enough, b / np.sqrt(np.where(enough, told, 1.0)), np.nan))
    return made


def _far_groups(term: RandomTerm, name: str, far: NDArray[np.bool_], standard: Array) -> Finding:
    who = listed(repr(term.levels[j]) for j in np.flatnonzero(far))
    return Finding(
        "outlying groups",
        term.group,
        f"the effect of {who} of {term.group!r} on {name} is {np.abs(standard[far]).max():.3g} "
        "standard deviations from the others': too far for one normal distribution.",
        "Look at its rows, and for a covariate of groups that tells it apart; report the fit with "
        "and without it.",
    )


def _no_normal_effects(term: RandomTerm, name: str, tails: float) -> Finding:
    shape = (
        "they lie in clumps, as of two kinds of groups"
        if tails < -_MUCH_KURTOSIS
        else "they are skewed, or some lie far out"
    )
    return Finding(
        "effects not normal",
        term.group,
        f"the effects of {term.group!r} on {name} are no sample of one normal distribution: "
        f"{shape}.",
        "Look for a covariate of groups that tells them apart; "
        f"ml.pictures.caterpillar(fit, {term.group!r}, {name!r}) shows them.",
    )
