r"""Is the spread of the residuals even?

Against the fitted values and each column of the fixed part: the score test of Breusch and Pagan,
studentised (Koenker 1981, J. Econometrics 17, 107-112), is :math:`n r^2` with r the correlation of
the squared residuals with the column. Between groups: Brown and Forsythe's test, on the distances
from each group's median. A difference that is small is not told, however sure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedlab.diagnosis.finding import SURE_OF_MANY, Finding
from mixedlab.diagnosis.groups import of_each_factor
from mixedlab.diagnosis.normality import residuals_with_a_shape
from mixedlab.inference.contract import MixedModel

Array = NDArray[np.float64]

_MUCH = 1.5  # ratio of the spreads of the upper and the lower quarter of the rows
_LEAST_IN_GROUP = 8
_COLUMN = 1.5  # times as much a column's log p-value counts as that of the fitted value


def uneven_spread(fit: MixedModel) -> list[Finding]:
    """Residuals whose spread depends on the fitted value, on a column, or on the group."""
    residual = residuals_with_a_shape(fit)
    columns = dict(zip(fit.names, fit.X.T, strict=True))
    population = fit.X @ fit.beta + (0.0 if fit.offset is None else fit.offset)
    columns |= {"the fitted value": fit.fitted_values, "the fitted value of fixed": population}
    known = np.isfinite(residual)
    tried = {name: _trend(residual[known], x[known]) for name, x in columns.items()}
    clear = {name: t for name, t in tried.items() if t[0] < SURE_OF_MANY and _is_much(t[1])}
    if clear:
        # The fitted value follows the covariates: it is named where it says much more than they.
        name = min(clear, key=lambda n: _COLUMN ** (n in fit.names) * np.log(clear[n][0] + 1e-300))
        return [_trending(fit, name.removesuffix(" of fixed"), *clear[name])]
    return _between_groups(fit, residual)


def _trend(residual: Array, x: Array) -> tuple[float, float]:
    """P-value of the score test, and the spread in x's upper quarter over that in its lower one."""
    from scipy.stats import chi2

    if np.ptp(x) <= 1e-9 * np.abs(x).max():
        return 1.0, 1.0
    r = np.corrcoef(residual**2, x)[0, 1]
    low, high = np.quantile(x, [0.25, 0.75])
    below, above = residual[x <= low], residual[x >= high] if high > low else residual[x > low]
    ratio = np.sqrt(np.mean(above**2) / max(np.mean(below**2), 1e-300)) if above.size else 1.0
    return float(chi2.sf(residual.size * r**2, 1)), float(ratio)


def _is_much(ratio: float) -> bool:
    return not 1 / _MUCH < ratio < _MUCH


def _trending(fit: MixedModel, name: str, p: float, ratio: float) -> Finding:
    how = f"{ratio:.2g} times as wide where {name} is large as where it is small"
    if fit.response_family.name != "gaussian":
        remedy = "Try another family, whose variance grows otherwise with the mean."
    elif name == "the fitted value" and ratio < 1:
        remedy = "Look for a ceiling of the responses."
    elif name == "the fitted value":
        remedy = (
            "Model log(y), or fit ml.glmm with a family whose variance grows with the mean, as "
            "'gamma' or for counts 'poisson'."
        )
    else:
        remedy = (
            "Give the rows weights=, or each level of a factor its own variance, "
            "residual='diag(f)'; log(y) may have an even spread."
        )
    return Finding(
        "uneven spread",
        name,
        f"the residuals spread {how} (p = {p:.1e}): standard errors are too small for some rows "
        "and too large for others.",
        f"{remedy} ml.pictures.residual_panels(fit) shows it.",
    )


def _between_groups(fit: MixedModel, residual: Array) -> list[Finding]:
    """Factors whose groups differ in their spread, by groups of eight rows and more."""
    from scipy.stats import levene

    found = []
    for term in of_each_factor(fit):
        known = np.isfinite(residual)
        by_level = np.argsort(term.index[known], kind="stable")
        sizes = np.bincount(term.index[known], minlength=term.n_levels)
        parts = np.split(residual[known][by_level], np.cumsum(sizes)[:-1])
        large = [part for part in parts if part.size >= _LEAST_IN_GROUP]
        if len(large) < 2:
            continue
        p = float(levene(*large, center="median").pvalue)
        spreads = np.quantile([part.std(ddof=1) for part in large], [0.1, 0.9])
        ratio = spreads[1] / max(spreads[0], 1e-300)
        if p < SURE_OF_MANY and _is_much(ratio):
            found.append(
                Finding(
                    "uneven spread",
                    term.group,
                    f"the groups of {term.group!r} differ in their spread (p = {p:.1e}): the "
                    f"residual standard deviation is {ratio:.2g} times as large in the widest "
                    "tenth of them as in the narrowest.",
                    "One residual variance is a mean over unlike groups: look for what tells the "
                    "wide ones apart, and give it a variance a level, residual='diag(f)'.",
                )
            )
    return found
