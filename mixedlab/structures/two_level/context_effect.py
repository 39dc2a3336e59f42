r"""The contextual effect with latent group means.

    x_ij = mu + a_j + d_ij            (a group's true mean, and a row's deviation from it)
    y_ij = c + b_W d_ij + b_B a_j + u_j + e_ij

b_W compares rows of one group, b_B compares groups, and the contextual effect b_B - b_W is what
a group's mean adds for two rows alike in x. The observed group mean is a_j plus the mean of a few
deviations: an error-prone measure of a_j. Putting it into a regression (the manifest approach)
pulls b_B towards b_W, the more the smaller the groups:

    b_manifest -> b_W + (b_B - b_W) r,    r = s_a^2 / (s_a^2 + s_d^2 / n).

Here a_j is integrated out: (x, y) is Gaussian with covariance matrices within and between
groups (:mod:`mixedlab.structures.two_level.likelihood`), and b_W, b_B are regressions in them.

Source: Ludtke, Marsh, Robitzsch, Trautwein, Asparouhov and Muthen (2008) Psychological Methods
13:203.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError
from mixedlab.inference.reporting import Report, Summary
from mixedlab.structures.two_level.columns import ClusteredColumns
from mixedlab.structures.two_level.likelihood import ClusterSums, Moments, minimise

Array = NDArray[np.float64]

_NAMES = ("within", "between", "context")


@dataclass(frozen=True)
class LatentContextFit(Report):
    """Slopes within and between groups, and their difference.

    Attributes
    ----------
    y, x, g : str
        The columns.
    within, between, context : float
        b_W, b_B and b_B - b_W. The last two are NaN where the groups' means of x differ no more
        than chance.
    vcov : DataFrame
        Their covariance, from the observed information of all parameters.
    manifest : Series
        The same three with observed group means: maximum likelihood of
        ``y ~ x_dev + x_mean + (1 | g)``.
    variances : DataFrame
        Variance of x and residual variance of y, within and between groups.
    reliability : float
        r above at the mean group size (harmonic).
    loglik : float
        Log-likelihood of (x, y).
    n_obs, n_groups, n_missing : int
    """

    y: str
    x: str
    g: str
    within: float
    between: float
    context: float
    vcov: pd.DataFrame
    manifest: pd.Series
    variances: pd.DataFrame
    reliability: float
    loglik: float
    n_obs: int
    n_groups: int
    n_missing: int

    @property
    def coef(self) -> pd.Series:
        """The three slopes."""
        return pd.Series([self.within, self.between, self.context], list(_NAMES), name="estimate")

    @property
    def se(self) -> pd.Series:
        """Their standard errors."""
        return pd.Series(np.sqrt(np.diag(self.vcov)), index=list(_NAMES), name="se")

    @property
    def singular(self) -> bool:
        """Whether a variance between groups is estimated as 0."""
        return bool((self.variances["between"] == 0).any())

    def confint(self, level: float = 0.95) -> pd.DataFrame:
        """Wald intervals."""
        from scipy.special import ndtri

        if not 0 < level < 1:
            raise DataError(f"level must lie between 0 and 1, not {level!r}.")
        margin = float(ndtri(0.5 + level / 2)) * self.se
        return pd.DataFrame({"lower": self.coef - margin, "upper": self.coef + margin})

    def summary(self) -> Summary:
        """Latent and manifest slopes side by side."""
        table = pd.DataFrame({"latent": self.coef, "se": self.se, "manifest": self.manifest})
        lines = [
            f"{self.y} on {self.x}, groups by {self.g}",
            f"{self.n_obs} rows in {self.n_groups} groups"
            + (f"; {self.n_missing} rows left out as incomplete" if self.n_missing else ""),
            f"Log-likelihood {self.loglik:.4f}",
            f"Reliability of a group's observed mean of {self.x}: {self.reliability:.3f}",
        ]
        if np.isnan(self.between):
            lines.append(
                f"The groups' means of {self.x} differ no more than chance, so nothing can be "
                "said about a slope between groups."
            )
        return Summary(
            "Contextual effect with latent group means",
            lines,
            {"Slopes": table, "Variances": self.variances},
        )


def latent_context(y: str, x: str, g: str, df: pd.DataFrame) -> LatentContextFit:
    """Slope of y on x within and between groups, with group means of x as latent variables.

    Parameters
    ----------
    y, x : str
        Numeric columns.
    g : str
        Column of groups.
    df : DataFrame

    Returns
    -------
    LatentContextFit

    Raises
    ------
    DataError
        Where a column is absent, not numeric or constant, or no group has two rows.

    See Also
    --------
    mixedlab.within_between : the manifest group mean and the deviations from it.
    """
    table = ClusteredColumns.read(df, g, [x, y])
    none = np.empty((table.cluster.size, 0)), np.empty((len(table.labels), 0))
    sums = ClusterSums(table.y.scaled, table.cluster, *none)

    def objective(free: Array) -> tuple[float, Array]:
        value, d = sums.minus_two_loglik(_moments(free))
        b_w, b_b, s_w, s_b = free[:4]
        return value, np.array(
            [
                2 * s_w * (d.within[0, 1] + b_w * d.within[1, 1]),
                2 * s_b * (d.between[0, 1] + b_b * d.between[1, 1]),
                d.within[0, 0] + 2 * b_w * d.within[0, 1] + b_w**2 * d.within[1, 1],
                d.between[0, 0] + 2 * b_b * d.between[0, 1] + b_b**2 * d.between[1, 1],
                d.within[1, 1],
                d.between[1, 1],
                *d.nu,
            ]
        )

    lower = np.array([-np.inf, -np.inf, 0, 0, 0, 0, -np.inf, -np.inf])
    start = np.array([0.0, 0.0, 0.7, 0.3, 0.7, 0.3, 0.0, 0.0])
    free, value, curvature = minimise(objective, start, lower)
    free[2:6] = np.where(free[2:6] < 1e-10, 0.0, free[2:6])
    identified = np.array([True, free[3] > 0, *(free[2:6] > 0), True, True])
    covariance = np.full((2, 2), np.nan)
    inverse = np.linalg.pinv(0.5 * curvature[np.ix_(identified, identified)])
    k = int(identified[:2].sum())
    covariance[:k, :k] = inverse[:k, :k]

    unit_x, unit_y = table.y.unit
    slope_unit = unit_y / unit_x
    b_w, b_b = free[:2] * slope_unit
    b_b = float(b_b) if identified[1] else np.nan
    combine = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]])
    vcov = combine @ covariance @ combine.T * slope_unit**2
    vcov[0, 0] = covariance[0, 0] * slope_unit**2  # known even where the other slope is not
    size = np.bincount(table.cluster)
    noise = free[2] * float(np.mean(1 / size))
    return LatentContextFit(
        y=y,
        x=x,
        g=g,
        within=float(b_w),
        between=b_b,
        context=b_b - float(b_w),
        vcov=pd.DataFrame(vcov, index=list(_NAMES), columns=list(_NAMES)),
        manifest=_manifest(table),
        variances=pd.DataFrame(
            {"within": free[[2, 4]], "between": free[[3, 5]]},
            index=[x, f"residual of {y}"],
        ).mul([unit_x**2, unit_y**2], axis=0),
        reliability=float(free[3] / (free[3] + noise)) if free[3] else 0.0,
        loglik=-0.5 * value - sums.n_rows * float(np.log(table.y.unit).sum()),
        n_obs=sums.n_rows,
        n_groups=sums.n_clusters,
        n_missing=table.n_missing,
    )


def _moments(free: Array) -> Moments:
    """Covariances of (x, y) from slopes, variances of x, residual variances of y, and means."""
    b_w, b_b, s_w, s_b, t_w, t_b = free[:6]

    def level(b: float, s: float, t: float) -> Array:
        return np.array([[s, b * s], [b * s, b * b * s + t]])

    return Moments(
        within=level(b_w, s_w, t_w),
        between=level(b_b, s_b, t_b),
        nu=free[6:],
        A=np.empty((2, 0)),
        C=np.empty((2, 0)),
    )


def _manifest(table: ClusteredColumns) -> pd.Series:
    """Slopes with the observed group means, by the random-intercept model."""
    from mixedlab.models.linear import fit_linear

    x, y = table.y.scaled.T
    size = np.bincount(table.cluster)
    mean = (np.bincount(table.cluster, x) / size)[table.cluster]
    X = np.column_stack([np.ones(x.size), x - mean, mean])
    term = RandomTerm.from_arrays(table.cluster)
    within, between = fit_linear(y, X, [term], reml=False).beta[1:]
    slopes = np.array([within, between, between - within]) * table.y.unit[1] / table.y.unit[0]
    return pd.Series(slopes, index=list(_NAMES), name="manifest")
