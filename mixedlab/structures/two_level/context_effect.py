r"""The contextual effect with latent group means.

    x_ij = mu + a_j + d_ij            (a group's true mean, and a row's deviation from it)
    y_ij = c + b_W d_ij + b_B a_j + u_j + e_ij

b_W compares rows of one group, b_B compares groups, and the contextual effect b_B - b_W is what
a group's mean adds for two rows alike in x. The observed group mean is a_j plus the mean of a few
deviations: an error-prone measure of a_j. Putting it into a regression (the manifest approach)
pulls b_B towards b_W, the more the smaller the groups:

    b_manifest -> b_W + (b_B - b_W) r,    r = s_a^2 / (s_a^2 + s_d^2 / n).

Here a_j is integrated out: (x, y) is Gaussian with covariance matrices within and between groups,
and b_W, b_B are regressions in them (:mod:`mixedlab.structures.two_level.likelihood`).

Source: Ludtke, Marsh, Robitzsch, Trautwein, Asparouhov and Muthen (2008) Psychological Methods
13:203.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedlab.engine.terms import RandomTerm
from mixedlab.inference.questions import Coefficients
from mixedlab.inference.reporting import Summary
from mixedlab.inference.tables import by_name
from mixedlab.structures.two_level.columns import ClusteredColumns
from mixedlab.structures.two_level.likelihood import ClusterSums

Array = NDArray[np.float64]

# Shares of a variance that count as none: of x, because slopes are relative to it, and of y.
_NONE = np.array([1e-4, 1e-9])


@dataclass(frozen=True, eq=False, repr=False)
class LatentContextFit(Coefficients):
    """Slopes within and between groups, and their difference.

    Attributes
    ----------
    y, x, g : str
        The columns.
    beta : ndarray, shape (3,)
        b_W, b_B and b_B - b_W; by name in ``coef``. The last two are NaN where the groups' means of
        x differ no more than chance.
    vcov_beta : ndarray, shape (3, 3)
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

    names = ("within", "between", "context")

    y: str
    x: str
    g: str
    beta: Array
    vcov_beta: Array
    manifest: pd.Series
    variances: pd.DataFrame
    reliability: float
    loglik: float
    n_obs: int
    n_groups: int
    n_missing: int

    @property
    def within(self) -> float:
        """b_W, the slope of y on x within groups."""
        return float(self.beta[0])

    @property
    def between(self) -> float:
        """b_B, the slope of y on x between groups."""
        return float(self.beta[1])

    @property
    def context(self) -> float:
        """b_B - b_W, what a group's mean adds for two rows alike in x."""
        return float(self.beta[2])

    @property
    def singular(self) -> bool:
        """Whether a variance between groups is estimated as 0."""
        return bool((self.variances["between"] == 0).any())

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

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.latent_context("y", "x", "class", ml.load("classrooms"))
    >>> fit.coef.round(3)
    within     0.338
    between    1.045
    context    0.707
    Name: estimate, dtype: float64
    """
    table = ClusteredColumns.read(df, g, [x, y])
    none = np.empty((table.cluster.size, 0)), np.empty((len(table.labels), 0))
    sums = ClusterSums(table.y.scaled, table.cluster, *none)
    found = sums.saturated()
    # Of L = [[l1, 0], [l2, l3]]: var x = l1^2, slope = l2 / l1, residual variance of y = l3^2.
    roots = np.stack([found.within_root, found.between_root])
    variances = np.diagonal(roots, axis1=1, axis2=2) ** 2
    variances[variances < _NONE] = 0.0
    l1, l2 = np.where(variances[:, 0] > 0, roots[:, 0, 0], np.nan), roots[:, 1, 0]
    to_slopes = np.stack([-l2 / l1**2, 1 / l1], axis=1)
    of_roots = found.covariance[np.ix_([0, 1, 3, 4], [0, 1, 3, 4])].reshape(2, 2, 2, 2)
    of_slopes = np.einsum("ai,aibj,bj->ab", to_slopes, of_roots, to_slopes)
    unit_x, unit_y = table.y.unit
    (within, between), combine = l2 / l1 * unit_y / unit_x, np.array([[1, 0], [0, 1], [-1, 1]])
    vcov = combine @ of_slopes @ combine.T
    vcov[0, 0] = of_slopes[0, 0]  # known even where the other slope is not
    noise = variances[0, 0] * float(np.mean(1 / np.bincount(table.cluster)))
    return LatentContextFit(
        y=y,
        x=x,
        g=g,
        beta=np.array([within, between, between - within]),
        vcov_beta=vcov * (unit_y / unit_x) ** 2,
        manifest=_manifest(table),
        variances=pd.DataFrame(
            (variances * table.y.unit**2).T,
            index=[x, f"residual of {y}"],
            columns=["within", "between"],
        ),
        reliability=float(variances[1, 0] / (variances[1, 0] + noise)),
        loglik=found.loglik - sums.n_rows * float(np.log(table.y.unit).sum()),
        n_obs=sums.n_rows,
        n_groups=sums.n_clusters,
        n_missing=table.n_missing,
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
    return by_name(LatentContextFit.names, slopes, "manifest")
