"""A fit in words, as a paper's section on methods and results has it.

Every number is one of the tables': `tidy`, `icc`, `r2`, `overdispersion`; four digits each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mixedlab.inference.contract import Fit, answers
from mixedlab.inference.explained import icc, overdispersion, r2
from mixedlab.inference.ratios import has_ratios, ratio_name
from mixedlab.inference.tidying import tidy

if TYPE_CHECKING:
    import pandas as pd

_REFERENCE = {
    "satterthwaite": "t with Satterthwaite's degrees of freedom",
    "kenward-roger": "t with Kenward and Roger's degrees of freedom and standard errors",
    "wald": "normal (Wald)",
}


def report(fit: Fit, level: float = 0.95, df: str | None = None, *, checks: Any = None) -> str:
    """A paragraph for a paper: model, estimates, intervals, random effects, ICC, R2, checks.

    Parameters
    ----------
    fit : Fit
    level : float
        Of the intervals.
    df : {"satterthwaite", "kenward-roger", "wald"}, optional
        Reference of the tests, as in ``fit.tests``.
    checks : Diagnosis, optional
        What ``ml.diagnose(fit)`` said: the paragraph then names what was checked and found.

    Returns
    -------
    str
        Coefficients are given as ratios where ``exp`` of them is one (odds, rates, means, hazards).
        What a fit does not answer is left out.

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.lmm("Yield ~ 1 + (1 | Batch)", ml.load("dyestuff"))
    >>> import textwrap
    >>> print(textwrap.fill(fit.report(), 80))
    We fitted a linear mixed model by REML to 30 rows in 6 levels of Batch, with the
    formula Yield ~ 1 + (1 | Batch). Tests are t with Satterthwaite's degrees of
    freedom; in brackets stand 95 % confidence intervals. Coefficients: (Intercept)
    1527 (1478 to 1577), t(5) = 78.8, p < 0.001. Between levels of Batch: standard
    deviation of (Intercept) 42 (18.95 to 93.09). Residual and dispersion: sigma
    49.51 (37.31 to 65.7). The intraclass correlation is 0.4185. The share of
    variance explained (R squared) is 0 by the fixed effects and 0.4185 with the
    groups. The search for the estimates converged.
    """
    if df is None:
        df = "satterthwaite" if answers(fit, "satterthwaite") else "wald"
    table = tidy(fit, level, df, exponentiate=has_ratios(fit))
    sentences = [
        _model(fit),
        f"Tests are {_REFERENCE[df]}; in brackets stand {100 * level:g} % confidence intervals.",
        _coefficients(fit, table[table["effect"] == "fixed"]),
        *_variation(table[table["effect"] != "fixed"]),
        *_explained(fit),
        *_checks(fit),
        *([] if checks is None else [_diagnosed(checks)]),
    ]
    return " ".join(sentences)


def _model(fit: Fit) -> str:
    what = fit.title().replace("_", " ")
    groups = [f"{count} levels of {name}" for name, count in fit.n_groups.items()]
    rows = f"{fit.n_obs} rows" + (f" in {' and '.join(groups)}" if groups else "")
    formula = f", with the formula {fit.formula}" if fit.formula else ""
    return f"We fitted a {what[0].lower()}{what[1:]} by {fit.fitted_by} to {rows}{formula}."


def _coefficients(fit: Fit, table: pd.DataFrame) -> str:
    ratio = f" ({ratio_name(fit)})" if has_ratios(fit) else ""
    parts = []
    for row in table.itertuples():
        finite = row.df < float("inf")
        letter = f"t({row.df:.4g})" if finite else "z"
        parts.append(f"{_interval(row)}, {letter} = {row.statistic:.4g}, {_p(row.p)}")
    return f"Coefficients{ratio}: {'; '.join(parts)}."


def _variation(table: pd.DataFrame) -> Iterator[str]:
    for group, rows in table[table["effect"] == "random"].groupby("group", sort=False):
        parts = []
        for row in rows.itertuples():
            kind, _, of = row.term.partition(" ")
            what = "standard deviation" if kind == "sd" else "correlation"
            parts.append(f"{what} of {_interval(row, of.replace(', ', ' and '))}")
        yield f"Between levels of {group}: {'; '.join(parts)}."
    rest = [_interval(row) for row in table[table["effect"] == "dispersion"].itertuples()]
    if rest:
        yield f"Residual and dispersion: {'; '.join(rest)}."


def _explained(fit: Fit) -> Iterator[str]:
    if answers(fit, "intraclass correlation") and fit.terms:
        yield f"The intraclass correlation is {_share(icc(fit).adjusted)}."
    if answers(fit, "R squared"):
        share = r2(fit)
        yield (
            f"The share of variance explained (R squared) is {_share(share.marginal)} by the fixed "
            f"effects and {_share(share.conditional)} with the groups."
        )


def _checks(fit: Fit) -> Iterator[str]:
    if fit.converged:
        yield "The search for the estimates converged."
    else:
        yield "The search for the estimates did not converge: these numbers are not to be used."
    if fit.terms and fit.singular:
        yield "Some combination of random effects has an estimated variance of zero."
    if _has_known_spread(fit):
        found = overdispersion(fit)
        yield f"Pearson's dispersion ratio is {found.ratio:.4g} ({_p(found.p_value)})."


def _diagnosed(checks: Any) -> str:
    found = "; ".join(f"{each.kind} ({each.about})" for each in checks) or "nothing"
    return f"We checked for {', '.join(checks.checked)}, and found {found}."


def _has_known_spread(fit: Fit) -> bool:
    """Whether the family says how widely counts or shares of trials spread about their mean."""
    family = fit.response_family
    shares = family.name == "binomial" and fit.weights is not None and (fit.weights > 1).any()
    return answers(fit, "diagnosis") and (shares or family.name == "poisson")


def _interval(row: Any, name: str | None = None) -> str:
    ends = f" ({row.lower:.4g} to {row.upper:.4g})" if row.lower == row.lower else ""
    return f"{name or row.term} {row.estimate:.4g}{ends}"


def _share(value: float) -> str:
    return f"{round(value, 12):.4g}"  # no 1e-31 for 0


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
