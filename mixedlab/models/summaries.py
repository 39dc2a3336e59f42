"""What a fit prints: how it was fitted, random effects, fixed effects with their tests."""

from __future__ import annotations

from typing import Any

from mixedlab.inference.reporting import Summary
from mixedlab.inference.tidying import coefficients_table


def summary_of(fit: Any, exponentiate: bool) -> Summary:
    """Estimates as tables: criterion, random effects, fixed effects with their tests."""
    lines = [f"Formula: {fit.formula}"] if fit.formula else []
    groups = ", ".join(f"{name} {count}" for name, count in fit.n_groups.items())
    lines.append(f"Rows: {fit.n_obs}" + (f"; groups: {groups}" if groups else ""))
    criterion = "REML criterion" if fit.reml else "-2 log-likelihood"
    lines.append(f"{criterion}: {fit.criterion:.4f}; AIC {fit.aic:.2f}; BIC {fit.bic:.2f}")
    lines += fit.notes()
    if fit.singular:
        lines.append(
            "Singular: some combination of random effects has variance zero. "
            "ml.diagnose(fit) says which."
        )
    if not fit.converged:
        lines.append("Not converged: do not use these numbers. ml.diagnose(fit) says more.")
    fixed = coefficients_table(fit, exponentiate=exponentiate)
    random = fit.varcorr.rename(columns={"vcov": "variance", "sdcor": "sd or correlation"})
    random = random.fillna({"var1": "", "var2": ""}).set_index("group")
    tables = {"Random effects": random, "Fixed effects": fixed}
    return Summary(f"{fit.title()} by {fit.fitted_by}", lines, tables)
