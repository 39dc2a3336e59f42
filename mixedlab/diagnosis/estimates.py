"""What the estimates are: found at all, identified, and inside their range.

A variance estimated as zero is a result, not a failure, and is told as one. A correlation may be
at its end for two reasons: the data do not tell its two coefficients apart, or the covariate is so
far from zero that the intercept is a guess outside the data. In the second case the correlation
at the covariate's mean is an ordinary one, and centring is the remedy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mixedlab.diagnosis.finding import Finding
from mixedlab.diagnosis.suggestions import column_of, uncorrelated
from mixedlab.engine.terms import RandomTerm, lower_triangle
from mixedlab.errors import listed
from mixedlab.inference.contract import MixedModel, answers

Array = NDArray[np.float64]

# Shares of a random coefficient's variance, in units of its column, that count as zero.
_ZERO = 1e-7
# Least eigenvalue of the deviance's scaled curvature that still locates a variance.
_FLAT = 1e-6
# A correlation of this size is at its end.
_EDGE = 0.999


def not_converged(fit: MixedModel) -> list[Finding]:
    """Whether the search ended at an optimum."""
    if fit.converged:
        return []
    return [
        Finding(
            "not converged",
            fit.formula,
            "the search for the estimates ended before the criterion stopped falling.",
            "Do not use the numbers. Leave out a random coefficient, or check the data for "
            "outliers and for groups with hardly any rows.",
        )
    ]


def aliased(fit: MixedModel) -> list[Finding]:
    """Columns that were dropped."""
    dropped = () if fit.design is None else fit.design.aliased
    if not dropped:
        return []
    return [
        Finding(
            "unidentified",
            listed(dropped),
            f"the columns {listed(dropped)} are combinations of earlier ones and were dropped.",
            "The fit is right; the coefficients of the columns kept take over their part.",
        )
    ]


def unidentified(fit: MixedModel) -> list[Finding]:
    """Terms that share a variance, and parameters in which the likelihood is flat."""
    overlapping = _overlapping(fit)
    flat = _flat(fit, known={f.about for f in overlapping})
    return [*overlapping, *flat, *_no_standard_error(fit), *_at_the_dispersion_s_limit(fit)]


def _overlapping(fit: MixedModel) -> list[Finding]:
    """Terms with the same groups and a common column: only their sum is identified."""
    found = []
    for t, term in enumerate(fit.terms):
        for other in fit.terms[:t]:
            shared = listed(_shared_columns(other, term))
            if shared:
                about = term.group
                found.append(
                    Finding(
                        "unidentified",
                        about,
                        f"({_columns(other)} | {other.group}) and ({_columns(term)} | {about}) "
                        f"both let {shared} vary over the same groups: only the sum of the two "
                        "variances is identified.",
                        f"Leave {shared} out of one of them, for example by '0 + ' at its start.",
                    )
                )
    return found


def _shared_columns(a: RandomTerm, b: RandomTerm) -> list[str]:
    """Columns of ``b`` that ``a`` has too, as combinations, over the same groups."""
    if a.n_levels != b.n_levels:
        return []
    pairs = a.index.astype(np.int64) * b.n_levels + b.index
    if len(np.unique(pairs)) != a.n_levels:
        return []
    scale = np.linalg.norm(a.Z, axis=0)
    unit = a.Z / np.where(scale > 0, scale, 1.0)
    rest = b.Z - unit @ np.linalg.lstsq(unit, b.Z, rcond=None)[0]
    same = np.linalg.norm(rest, axis=0) <= 1e-8 * np.linalg.norm(b.Z, axis=0)
    return [name for name, shared in zip(b.names, same, strict=True) if shared]


def _columns(term: RandomTerm) -> str:
    return " + ".join(term.names)


def singular(fit: MixedModel) -> list[Finding]:
    """Variances of zero, random coefficients that follow from others, correlations at the edge."""
    by_profile = answers(fit, "profile interval")
    bound = "confint(method='profile') shows how large it may be." if by_profile else ""
    found = []
    for term, Lambda in zip(fit.terms, fit.factors, strict=True):
        size = np.sqrt(np.mean(term.Z**2, axis=0))
        cov = Lambda @ Lambda.T
        T = cov * np.outer(size, size)
        largest = max(1.0, float(np.linalg.eigvalsh(T)[-1]))
        zero = np.diag(T) <= _ZERO * largest
        found += [_zero_variance(term, term.names[k], bound) for k in np.flatnonzero(zero)]
        rest = np.flatnonzero(~zero)
        if rest.size > 1:
            found += _at_the_edge(fit, term, cov[np.ix_(rest, rest)], rest)
    return found


def _at_the_edge(
    fit: MixedModel, term: RandomTerm, cov: Array, which: NDArray[np.intp]
) -> list[Finding]:
    """What the covariance of coefficients that do vary says, with the covariates centred."""
    names = [term.names[k] for k in which]
    Z = term.Z[:, which]
    move = np.eye(len(names))
    if "(Intercept)" in names:
        first = names.index("(Intercept)")
        move[first] = Z.mean(axis=0)
        Z = Z - (np.arange(len(names)) != first) * Z.mean(axis=0)
    size = np.sqrt(np.mean(Z**2, axis=0))
    centred = move @ cov @ move.T * np.outer(size, size)
    values, axes = np.linalg.eigh(centred)
    if values[0] <= _ZERO * max(1.0, values[-1]):
        return [_degenerate(fit, term, names, cov, axes[:, 0])]
    found = []
    for i, j in zip(*np.triu_indices(len(names), 1), strict=True):
        r, r_centred = _correlation(cov, i, j), _correlation(centred, i, j)
        if abs(r) < _EDGE:
            continue
        pair = f"{names[i]} and {names[j]} over {term.group!r} have a correlation of {r:.5g}"
        x = column_of(fit, names[j])
        if abs(r_centred) < _EDGE and names[i] == "(Intercept)":
            how = f"{names[j]} - {term.Z[:, which[j]].mean():.6g} as a column of its own"
            how += f", or center({x})" if x is not None else ""
            found.append(
                Finding(
                    "badly scaled",
                    names[j],
                    f"{pair}, because {names[j]} is far from zero: at its mean the correlation "
                    f"is {r_centred:.3g}.",
                    f"Centre it: {how}. The fit stays the same, the intercept gets a meaning.",
                )
            )
        elif abs(r_centred) >= _EDGE:
            found.append(
                Finding(
                    "singular",
                    term.group,
                    f"{pair}: from one the other nearly follows. The data hold too little to "
                    "tell the two apart.",
                    _simpler(fit, term, names),
                )
            )
    return found


def _correlation(cov: Array, i: int, j: int) -> float:
    return float(cov[i, j] / np.sqrt(cov[i, i] * cov[j, j]))


def _simpler(fit: MixedModel, term: RandomTerm, names: list[str]) -> str:
    simpler = uncorrelated(fit, term, names)
    return f"Try {simpler}, or fewer random coefficients, and compare."


def _zero_variance(term: RandomTerm, name: str, bound: str) -> Finding:
    what = f"sd of {name} over {term.group!r}"
    return Finding(
        "singular",
        term.group,
        f"the {what} is estimated as zero: the {term.n_levels} groups differ no more than the "
        "rest of the variation explains. That is an estimate at its boundary, not a failure, and "
        "no proof that the groups are alike.",
        f"Keep it if the design calls for it; fixed effects hardly change without it. {bound}",
    )


def _degenerate(
    fit: MixedModel, term: RandomTerm, names: list[str], cov: Array, axis: Array
) -> Finding:
    """The random coefficients move in fewer directions than there are of them."""
    if len(names) == 2:
        sign = "1" if cov[0, 1] > 0 else "-1"
        text = (
            f"{names[0]} and {names[1]} over {term.group!r} have a correlation of {sign}: from "
            "one the other follows exactly. The data hold too little to tell the two apart."
        )
    else:
        weights = np.abs(axis)
        part = [n for n, w in zip(names, weights, strict=True) if w > 0.1 * weights.max()]
        text = (
            f"a combination of {listed(part)} does not vary over {term.group!r}: the "
            f"{len(names)} random coefficients move in fewer than {len(names)} directions."
        )
    return Finding("singular", term.group, text, _simpler(fit, term, names))


def _flat(fit: MixedModel, known: set[str]) -> list[Finding]:
    """Directions of theta along which the deviance does not change, away from the boundary.

    Those of groups that are ``known`` to share a variance are not told again.
    """
    hessian = fit.variance_curvature()
    if hessian is None or not np.isfinite(hessian).all():
        return []
    # Where a column of Lambda is zero, its other entries only turn the columns that are not.
    free = np.concatenate(
        [
            np.broadcast_to(np.diag(L) > 0, L.shape)[lower_triangle(len(L))]
            for L in fit.layout.unpack(fit.theta)
        ]
        or [np.zeros(0, dtype=bool)]
    )
    if not free.any():
        return []
    # theta on the engine's scale is in units of the residual sd: no further scaling.
    values, axes = np.linalg.eigh(hessian[np.ix_(free, free)])
    found = []
    for axis in axes.T[values <= _FLAT * max(values[-1], 1.0)]:
        blame = np.zeros(free.size)
        blame[free] = np.abs(axis)
        groups = dict.fromkeys(
            term.group
            for term, where in zip(fit.terms, fit.layout.slices, strict=True)
            if blame[where].max() > 0.3 * blame.max()
        )
        if known.intersection(groups):
            continue
        about = listed(groups)
        found.append(
            Finding(
                "unidentified",
                about,
                f"the deviance is flat in the variances of {about}: very different values fit the "
                "data equally well.",
                "Leave one of the terms out, or use groups that differ from one another.",
            )
        )
    return found


def _no_standard_error(fit: MixedModel) -> list[Finding]:
    """Coefficients about which the data say nothing."""
    unknown = ~np.isfinite(np.diag(fit.vcov_beta))
    about = listed(name for name, lost in zip(fit.names, unknown, strict=True) if lost)
    if not about:
        return []
    return [
        Finding(
            "unidentified",
            about,
            f"the likelihood has no curvature in {about}, so there is no standard error.",
            "Leave out a covariate or a random coefficient, or check for separation.",
        )
    ]


def _at_the_dispersion_s_limit(fit: MixedModel) -> list[Finding]:
    return [
        Finding(
            "singular",
            p.name,
            "the dispersion is at its limit: the data show no variation beyond that of the plain "
            "family.",
            "Fit the plain family, and compare their aic.",
        )
        for p in fit.named_parameters
        if p.kind == "dispersion" and p.at_boundary and p.estimate > 1.0
    ]
