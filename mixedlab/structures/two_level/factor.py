r"""One factor measured by several items, within and between groups.

    y_ij = nu + lambda_W f_ij + lambda_B g_j + e_ij + u_j
    f_ij = gamma_W' x_ij + zeta_ij,    g_j = gamma_B' w_j + xi_j

A construct may mean one thing between groups and another within them (a class's climate, a
pupil's mood), so each level has loadings of its own. The first item's loadings are 1: the factor
is in its units. Item residuals e and u are independent with variances Theta_W and Theta_B, so

    Sigma_W = psi_W lambda_W lambda_W' + Theta_W,   Sigma_B = psi_B lambda_B lambda_B' + Theta_B.

Full-information maximum likelihood from sums over clusters, balanced or not
(:mod:`mixedlab.structures.two_level.likelihood`). Covariates are conditioned on.

Source: Muthen (1994) Sociological Methods & Research 22:376; Longford and Muthen (1992)
Psychometrika 57:581.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedlab.engine.quasi_newton import (
    covariance,
    derivatives_along,
    hessian_by_differences,
    minimise,
    plain,
)
from mixedlab.errors import DataError
from mixedlab.inference.reporting import Report, Summary
from mixedlab.structures.two_level.columns import ClusteredColumns
from mixedlab.structures.two_level.likelihood import ClusterSums, Moments

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class TwoLevelFactorFit(Report):
    """A two-level one-factor model.

    Attributes
    ----------
    items, within, between : tuple of str
        Names of the items and of the covariates of each level.
    estimates : DataFrame
        One row a parameter: ``level`` (within, between), ``kind`` (loading, regression,
        residual variance, factor variance, intercept), ``of`` (item or covariate), ``estimate``,
        ``se`` (from the observed information; NaN for what is fixed or at its bound 0).
    loglik, loglik_saturated : float
        Log-likelihood, and that of unrestricted covariances and regressions.
    n_obs, n_groups, n_missing : int
    converged : bool
    """

    items: tuple[str, ...]
    within: tuple[str, ...]
    between: tuple[str, ...]
    estimates: pd.DataFrame
    loglik: float
    loglik_saturated: float
    n_parameters: int
    n_parameters_saturated: int
    n_obs: int
    n_groups: int
    n_missing: int
    converged: bool
    moments: Moments

    @property
    def loadings(self) -> pd.DataFrame:
        """Loadings by item and level."""
        rows = self.estimates[self.estimates["kind"] == "loading"]
        table = rows.pivot(index="of", columns="level", values="estimate")
        return table.loc[list(self.items), ["within", "between"]].rename_axis(None)

    @property
    def chisq(self) -> float:
        """Likelihood-ratio statistic against the saturated model."""
        return 2 * (self.loglik_saturated - self.loglik)

    @property
    def df(self) -> int:
        """Degrees of freedom of ``chisq``."""
        return self.n_parameters_saturated - self.n_parameters

    @property
    def p(self) -> float:
        """P-value of ``chisq``: small where one factor a level is not enough."""
        from scipy.special import chdtrc

        return float(chdtrc(self.df, max(self.chisq, 0.0))) if self.df else np.nan

    @property
    def aic(self) -> float:
        """Akaike's criterion."""
        return -2 * self.loglik + 2 * self.n_parameters

    @property
    def bic(self) -> float:
        """Schwarz's criterion, with the number of rows."""
        return -2 * self.loglik + float(np.log(self.n_obs)) * self.n_parameters

    @cached_property
    def icc(self) -> pd.Series:
        """Share of each item's residual variance that lies between groups."""
        between = np.diag(self.moments.between)
        share = between / (between + np.diag(self.moments.within))
        return pd.Series(share, index=list(self.items), name="icc")

    @property
    def singular(self) -> bool:
        """Whether a variance is estimated as 0."""
        variances = self.estimates["kind"].isin(["residual variance", "factor variance"])
        return bool((self.estimates.loc[variances, "estimate"] == 0).any())

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """All parameters, a row each; ``group`` is the level; columns as of every ``tidy``."""
        from mixedlab.inference.tables import normal_quantile
        from mixedlab.inference.tidying import tidy_rows

        z = normal_quantile(level)
        return tidy_rows([
            ("fixed", row.level, f"{row.kind} {row.of}", row.estimate, row.se, np.inf,
             row.estimate - z * row.se, row.estimate + z * row.se)
            for row in self.estimates.itertuples()
        ])  # fmt: skip

    def summary(self) -> Summary:
        """Estimates by level, and the fit against the saturated model."""
        lines = [
            f"{self.n_obs} rows in {self.n_groups} groups"
            + (f"; {self.n_missing} rows left out as incomplete" if self.n_missing else ""),
            f"Log-likelihood {self.loglik:.4f}; against the saturated model chi-squared "
            f"{self.chisq:.2f} on {self.df} df, p = {self.p:.3g}",
        ]
        zero = self.estimates[(self.estimates["estimate"] == 0) & self.estimates["se"].isna()]
        if self.singular:
            named = ", ".join(f"{r.kind} of {r.of} ({r.level})" for r in zero.itertuples())
            lines.append(f"At the boundary 0: {named}.")
        if not self.converged:
            lines.append("The search for the maximum did not settle: do not use these figures.")
        tables = {
            level.capitalize(): rows.drop(columns="level").reset_index(drop=True)
            for level, rows in self.estimates.groupby("level", sort=False)
        }
        return Summary("Two-level factor model by maximum likelihood", lines, tables)


def twolevel_factor(
    items: Sequence[str],
    df: pd.DataFrame,
    groups: str,
    within: Sequence[str] | None = None,
    between: Sequence[str] | None = None,
) -> TwoLevelFactorFit:
    """Fit one factor within and one between groups.

    Parameters
    ----------
    items : sequence of str
        Columns of the items, three or more; the first gives the factor its units.
    df : DataFrame
    groups : str
        Column of groups.
    within : sequence of str, optional
        Covariates of rows, on which the within factor is regressed.
    between : sequence of str, optional
        Covariates of groups (one value a group), on which the between factor is regressed.

    Returns
    -------
    TwoLevelFactorFit

    Raises
    ------
    DataError
        Where a column is absent or not numeric, there are fewer than three items, a covariate
        between groups varies within one, or no group has two rows.

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.twolevel_factor(["y1", "y2", "y3"], ml.load("twolevel"), "cluster")
    >>> round(fit.loglik, 2)
    -12513.7
    """
    items, within, between = (_as_names(v) for v in (items, within, between))
    if len(items) < 3:
        raise DataError(
            f"{len(items)} items cannot tell a factor from their residuals: give three or more."
        )
    table = ClusteredColumns.read(df, groups, items, within, between)
    sums = ClusterSums(table.y.scaled, table.cluster, table.x.scaled, table.w.scaled)
    model = _FactorModel(sums)
    start = model.start()
    rough = hessian_by_differences(lambda free: model.objective(free)[1], start)
    found = minimise(plain(model.objective), start, rough, lower=model.lower)
    free = found.x
    inside = free > model.lower
    information = found.hessian[np.ix_(inside, inside)]
    along = np.eye(free.size)[:, inside]
    J = derivatives_along(lambda at: model.in_units_of(table, at), free, along)
    se = np.full(free.size, np.nan)
    se[inside] = np.sqrt(np.einsum("ik,ij,jk->k", J, covariance(information), J))[inside]
    # One density of each response changes by its scale.
    log_units = sums.n_rows * float(np.log(table.y.unit).sum())
    p, k, m = len(items), len(within), len(between)
    original = model.in_units_of(table, free)
    return TwoLevelFactorFit(
        items=items,
        within=within,
        between=between,
        estimates=model.table(original, se, items, within, between),
        loglik=-found.value - log_units,
        loglik_saturated=sums.saturated().loglik - log_units,
        n_parameters=free.size,
        n_parameters_saturated=p * (p + 1) + p * (1 + k + m),
        n_obs=sums.n_rows,
        n_groups=sums.n_clusters,
        n_missing=table.n_missing,
        converged=found.converged,
        moments=model.moments(original),
    )


class _FactorModel:
    """Free parameters of the model, as one vector, and their moments.

    The vector: for each level the loadings after the first, the regressions, the item residual
    variances and the factor variance; then the intercepts.
    """

    def __init__(self, sums: ClusterSums):
        self.sums = sums
        p, k, m = sums.p, sums.n_x, sums.n_w
        self._cuts = np.cumsum([p - 1, k, p, 1, p - 1, m, p, 1])
        self.lower = np.full(self._cuts[-1] + p, -np.inf)
        for part in (2, 3, 6, 7):  # variances
            self.lower[self._cuts[part - 1] : self._cuts[part]] = 0.0

    def moments(self, free: Array) -> Moments:
        """Covariances and mean structure of the parameters."""
        a, regression_w, theta_w, psi_w, b, regression_b, theta_b, psi_b, nu = self.parts(free)
        lw, lb = np.append(1.0, a), np.append(1.0, b)
        return Moments(
            within=psi_w * np.outer(lw, lw) + np.diag(theta_w),
            between=psi_b * np.outer(lb, lb) + np.diag(theta_b),
            nu=nu,
            A=np.outer(lw, regression_w),
            C=np.outer(lb, regression_b),
        )

    def parts(self, free: Array) -> list[Array]:
        """Split the vector."""
        return np.split(free, self._cuts)

    def objective(self, free: Array) -> tuple[float, Array]:
        """-log L and its gradient."""
        value, d = self.sums.minus_two_loglik(self.moments(free))
        a, regression_w, _, psi_w, b, regression_b, _, psi_b, _ = self.parts(free)
        lw, lb = np.append(1.0, a), np.append(1.0, b)
        gradient = [
            (2 * psi_w * d.within @ lw + d.A @ regression_w)[1:],
            d.A.T @ lw,
            np.diag(d.within),
            [lw @ d.within @ lw],
            (2 * psi_b * d.between @ lb + d.C @ regression_b)[1:],
            d.C.T @ lb,
            np.diag(d.between),
            [lb @ d.between @ lb],
            d.nu,
        ]
        return 0.5 * value, 0.5 * np.concatenate(gradient)

    def start(self) -> Array:
        """Moments of the items: half of each variance to the factor, loadings by sign."""
        p = self.sums.p
        squares = self.sums.within_squares[:p, :p]
        sign = np.where(squares[0, 1:] < 0, -1.0, 1.0)
        zero_w, zero_b = np.zeros(self.sums.n_x), np.zeros(self.sums.n_w)
        level = [np.full(p, 0.4), [0.4]]
        start = [sign, zero_w, *level, sign, zero_b, *level, np.zeros(p)]
        return np.concatenate(start)

    def in_units_of(self, table: ClusteredColumns, free: Array) -> Array:
        """Parameters for the columns as they came, from those for standardised columns."""
        a, regression_w, theta_w, psi_w, b, regression_b, theta_b, psi_b, nu = self.parts(free)
        y, x, w = table.y, table.x, table.w
        first, relative = y.unit[0], y.unit[1:] / y.unit[0]
        a, b = a * relative, b * relative
        regression_w = regression_w * first / x.unit
        regression_b = regression_b * first / w.unit
        # Standardised covariates are 0 at their means; the intercepts move to where they are 0.
        nu = y.origin + y.unit * nu
        nu = nu - np.append(1.0, a) * (regression_w @ x.origin)
        nu = nu - np.append(1.0, b) * (regression_b @ w.origin)
        theta_w, theta_b = theta_w * y.unit**2, theta_b * y.unit**2
        psi_w, psi_b = psi_w * first**2, psi_b * first**2
        return np.concatenate(
            [a, regression_w, theta_w, psi_w, b, regression_b, theta_b, psi_b, nu]
        )

    def table(
        self,
        free: Array,
        se: Array,
        items: tuple[str, ...],
        within: tuple[str, ...],
        between: tuple[str, ...],
    ) -> pd.DataFrame:
        """Parameters in words, the fixed loadings among them."""
        labels: list[tuple[str, str, str]] = []
        for level, covariates in (("within", within), ("between", between)):
            labels += [(level, "loading", item) for item in items[1:]]
            labels += [(level, "regression", name) for name in covariates]
            labels += [(level, "residual variance", item) for item in items]
            labels += [(level, "factor variance", "factor")]
        labels += [("between", "intercept", item) for item in items]
        rows = [
            (*label, float(value), float(error))
            for label, value, error in zip(labels, free, se, strict=True)
        ]
        for level in ("within", "between"):
            at = next(i for i, row in enumerate(rows) if row[0] == level)
            rows.insert(at, (level, "loading", items[0], 1.0, np.nan))
        return pd.DataFrame(rows, columns=["level", "kind", "of", "estimate", "se"])


def _as_names(names: Any) -> tuple[str, ...]:
    if names is None:
        return ()
    return (names,) if isinstance(names, str) else tuple(names)
