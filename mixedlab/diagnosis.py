"""What is unusual about a fit, in words: what it means and what one can do.

A variance estimated as zero is a result, not a failure, and is told as one. Nothing is said of a
fit that has nothing unusual.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.layout import lower_triangle
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import listed
from mixedlab.inference.contract import MixedModel, answers, refuse
from mixedlab.inference.reporting import Report, Summary

Array = NDArray[np.float64]

# Shares of a random coefficient's variance, in units of its column, that count as zero.
_ZERO = 1e-7
# Spread of a column over its size below which products with it lose half their digits.
_FAR_FROM_ZERO = 1e-6
# Least eigenvalue of the deviance's scaled curvature that still locates a variance.
_FLAT = 1e-6


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing.

    Attributes
    ----------
    kind : {"singular", "not converged", "unidentified", "badly scaled", "separated"}
    about : str
        The term or column.
    text : str
        What was found and what it means.
    remedy : str
        What one can do.
    """

    kind: Literal["singular", "not converged", "unidentified", "badly scaled", "separated"]
    about: str
    text: str
    remedy: str


@dataclass(frozen=True, repr=False)
class Diagnosis(Report):
    """All findings about a fit; empty, and false, where there are none."""

    findings: tuple[Finding, ...]

    def __bool__(self) -> bool:
        return bool(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self):
        return iter(self.findings)

    def summary(self) -> Summary:
        """The findings in words."""
        if not self.findings:
            return Summary(
                "Nothing unusual", ["Every parameter is inside its range and identified."]
            )
        lines = [f"{f.kind.capitalize()}: {f.text} {f.remedy}" for f in self.findings]
        return Summary("Worth knowing", lines)


def diagnose(fit: MixedModel) -> Diagnosis:
    """Look for what is singular, unidentified, badly scaled or not converged.

    Parameters
    ----------
    fit : MixedModel

    Returns
    -------
    Diagnosis
        Prints in words; iterate it for the findings.
    """
    refuse(fit, "diagnosis")
    overlapping = _overlapping(fit)
    return Diagnosis(
        (
            *_not_converged(fit),
            *_aliased(fit),
            *overlapping,
            *_singular(fit),
            *_flat(fit, known={f.about for f in overlapping}),
            *_no_standard_error(fit),
            *_at_the_dispersion_s_limit(fit),
            *_far_from_zero(fit),
            *_separated(fit),
        )
    )


def _not_converged(fit: MixedModel) -> list[Finding]:
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


def _aliased(fit: MixedModel) -> list[Finding]:
    aliased = () if fit.design is None else fit.design.aliased
    if not aliased:
        return []
    return [
        Finding(
            "unidentified",
            listed(aliased),
            f"the columns {listed(aliased)} are combinations of earlier ones and were dropped.",
            "The fit is right; the coefficients of the columns kept take over their part.",
        )
    ]


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


def _singular(fit: MixedModel) -> list[Finding]:
    by_profile = answers(fit, "profile interval")
    bound = "confint(method='profile') shows how large it may be." if by_profile else ""
    found = []
    for term, Lambda in zip(fit.terms, fit.factors, strict=True):
        size = np.sqrt(np.mean(term.Z**2, axis=0))
        T = Lambda @ Lambda.T * np.outer(size, size)
        largest = max(1.0, float(np.linalg.eigvalsh(T)[-1]))
        zero = np.diag(T) <= _ZERO * largest
        found += [_zero_variance(term, term.names[k], bound) for k in np.flatnonzero(zero)]
        rest = np.flatnonzero(~zero)
        if rest.size > 1:
            found += _degenerate(term, T[np.ix_(rest, rest)], rest, largest)
    return found


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
    term: RandomTerm, T: Array, which: NDArray[np.intp], largest: float
) -> list[Finding]:
    values, axes = np.linalg.eigh(T)
    if values[0] > _ZERO * largest:
        return []
    names = [term.names[k] for k in which]
    if len(names) == 2:
        sign = "1" if T[0, 1] > 0 else "-1"
        text = (
            f"{names[0]} and {names[1]} over {term.group!r} have a correlation of {sign}: from "
            "one the other follows exactly. The data hold too little to tell the two apart."
        )
    else:
        weights = np.abs(axes[:, 0])
        part = [n for n, w in zip(names, weights, strict=True) if w > 0.1 * weights.max()]
        text = (
            f"a combination of {listed(part)} does not vary over {term.group!r}: the "
            f"{len(names)} random coefficients move in fewer than {len(names)} directions."
        )
    inner = " + ".join("1" if n == "(Intercept)" else n for n in names)
    return [
        Finding(
            "singular",
            term.group,
            text,
            f"Try ({inner} || {term.group}), or fewer random coefficients, and compare.",
        )
    ]


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


def _far_from_zero(fit: MixedModel) -> list[Finding]:
    found = []
    columns = dict(zip(fit.names, fit.X.T, strict=True))
    for term in fit.terms:
        columns |= {n: z for n, z in zip(term.names, term.Z.T, strict=True) if n not in columns}
    for name, x in columns.items():
        size, spread = float(np.sqrt(np.mean(x**2))), float(np.std(x))
        if 0 < spread < _FAR_FROM_ZERO * size:
            found.append(
                Finding(
                    "badly scaled",
                    name,
                    f"{name} varies by {spread:.3g} around {np.mean(x):.6g}: the intercept is "
                    "then a guess far outside the data, and digits are lost.",
                    f"Centre it: use {name} - {np.mean(x):.6g}, or center({name}) in the formula.",
                )
            )
    return found


def _separated(fit: MixedModel) -> list[Finding]:
    """Coefficients of a binary or count model that run away."""
    if fit.response_family.name not in ("binomial", "beta_binomial"):
        return []
    step = np.sqrt(np.mean(fit.X**2, axis=0))
    far = (np.abs(fit.beta) * step > 12.0) & (np.sqrt(np.diag(fit.vcov_beta)) * step > 50.0)
    return [
        Finding(
            "separated",
            name,
            f"the coefficient of {name} is {beta:.3g} with a standard error of {se:.3g}: it runs "
            "to infinity, because it predicts the response without an error.",
            "See ml.check_separation(formula, data); a weak prior, prior_sd=2.5, keeps it finite.",
        )
        for name, beta, se, is_far in zip(
            fit.names, fit.beta, np.sqrt(np.diag(fit.vcov_beta)), far, strict=True
        )
        if is_far
    ]
