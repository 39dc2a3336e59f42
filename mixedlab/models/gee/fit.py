r"""A fitted marginal model: estimates, four kinds of standard error, QIC.

The solver leaves D* and r*, the derivatives of the means and the residuals, standardised by the
working covariance; M = D*' D*. With G_i = D_i*' D_i* and u_i = D_i*' r_i* of cluster i, the
covariance of beta is

- naive: phi M^-1, right where R is right;
- robust: M^-1 (sum u_i u_i') M^-1, right whatever R is, but too small with few clusters,
  because residuals of a cluster that was fitted to are too small;
- Mancl and DeRouen (2001): with (I - G_i M^-1)^-1 u_i in place of u_i;
- Kauermann and Carroll (2001): with M^(1/2) (I - M^(-1/2) G_i M^(-1/2))^(-1/2) M^(-1/2) u_i.

The papers write the corrections with the leverage H_i = D_i M^-1 D_i' Sigma_i^-1 of a cluster,
as (I - H_i)^-1 (y - mu) and (I - H_i)^(-1/2) (y - mu). By D*'(I - D* M^-1 D*')^-1 =
(I - G M^-1)^-1 D*' they need p x p matrices only, for all clusters at once.

References
----------
Mancl and DeRouen (2001) Biometrics 57:126. Kauermann and Carroll (2001) JASA 96:1387.
Pan (2001) Biometrics 57:120 (QIC).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.families import Family
from mixedlab.errors import DataError
from mixedlab.inference.reporting import Report, Summary
from mixedlab.models.gee.solver import Equations, Evaluation, Solution
from mixedlab.models.gee.working_correlation import Unstructured, WorkingCorrelation

if TYPE_CHECKING:
    import pandas as pd

    from mixedlab.data.design import Design

Array = NDArray[np.float64]
SmallSample = Literal["mancl-derouen", "kauermann-carroll"]

CORRECTIONS = ("mancl-derouen", "kauermann-carroll")


@dataclass(frozen=True, eq=False)
class GEEFit(Report):
    """A marginal model fitted by generalised estimating equations.

    Attributes
    ----------
    formula : str
    names : tuple of str, length p
    equations : Equations
        The data and the family, with orthonormal columns in place of X.
    working : WorkingCorrelation
        The structure of the working correlation; ``correlation`` is its estimate.
    solution, independence : Solution
        Of the equations, and of those with R = I.
    to_coef : ndarray, shape (p, p)
        ``to_coef @ solution.beta`` are the coefficients.
    small_sample : {None, "mancl-derouen", "kauermann-carroll"}
        Correction that ``se`` and ``vcov`` carry.
    notes : tuple of str
        What the reader should know, in words.
    groups : str
        The column of clusters.
    labels : tuple
        Names of the clusters.
    n_missing : int
        Rows left out for missing values.
    design : Design or None
        What the formula made of the table; None for a fit from arrays.
    """

    formula: str
    names: tuple[str, ...]
    equations: Equations = field(repr=False)
    working: WorkingCorrelation = field(repr=False)
    solution: Solution = field(repr=False)
    independence: Solution = field(repr=False)
    to_coef: Array = field(repr=False)
    small_sample: SmallSample | None
    notes: tuple[str, ...]
    groups: str
    labels: tuple = field(repr=False)
    n_missing: int = 0
    design: Design | None = field(default=None, repr=False)

    # --- estimates -------------------------------------------------------------------------------

    @cached_property
    def beta(self) -> Array:
        """Marginal coefficients (p,) on the scale of the link."""
        return self.to_coef @ self.solution.beta

    @property
    def family(self) -> Family:
        """Family of the response, with its link."""
        return self.equations.family

    @property
    def dispersion(self) -> float:
        """The negative binomial's theta or the beta-binomial's kappa, by moments; else 1."""
        return self.equations.dispersion

    @property
    def scale(self) -> float:
        """phi, the mean squared Pearson residual (divided by n, as in geepack)."""
        return self.solution.moments.scale

    @property
    def converged(self) -> bool:
        """Whether the equations were solved."""
        return self.solution.converged

    @property
    def n_iterations(self) -> int:
        """Steps taken."""
        return self.solution.n_iterations

    def _series(self, values: Array, name: str) -> pd.Series:
        import pandas as pd

        return pd.Series(values, index=list(self.names), name=name)

    def _matrix(self, values: Array) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(values, index=list(self.names), columns=list(self.names))

    @cached_property
    def coef(self) -> pd.Series:
        """Marginal coefficients."""
        return self._series(self.beta, "estimate")

    @cached_property
    def vcov_beta(self) -> Array:
        """Robust covariance of the coefficients, shape (p, p), corrected if asked."""
        return self._for_coef(self._robust(self.small_sample))

    @cached_property
    def vcov(self) -> pd.DataFrame:
        """Robust covariance of the coefficients, with the small-sample correction if asked."""
        return self._matrix(self.vcov_beta)

    @cached_property
    def vcov_naive(self) -> pd.DataFrame:
        """Covariance that trusts the working correlation: phi M^-1."""
        return self._matrix(self._for_coef(self.scale * np.linalg.inv(self._M)))

    @property
    def se(self) -> pd.Series:
        """Robust standard errors, with the small-sample correction if asked."""
        return self._series(_root_diagonal(self.vcov), "se")

    @property
    def se_naive(self) -> pd.Series:
        """Standard errors that trust the working correlation."""
        return self._series(_root_diagonal(self.vcov_naive), "se_naive")

    @cached_property
    def standard_errors(self) -> pd.DataFrame:
        """All four standard errors side by side."""
        import pandas as pd

        return pd.DataFrame(
            {
                "naive": self.se_naive,
                "robust": self._series(self._errors(None), "robust"),
                **{kind: self._series(self._errors(kind), kind) for kind in CORRECTIONS},
            }
        )

    @property
    def correlation(self) -> float | pd.DataFrame | None:
        """Working correlation alpha; a table by place if unstructured, None if independent."""
        if isinstance(self.working, Unstructured):
            import pandas as pd

            places = pd.Index(self.working.places, name="place")
            return pd.DataFrame(self.solution.moments.alpha, index=places, columns=places)
        return self.solution.moments.alpha

    # --- the covariance --------------------------------------------------------------------------

    def _for_coef(self, covariance: Array) -> Array:
        return self.to_coef @ covariance @ self.to_coef.T

    def _errors(self, correction: SmallSample | None) -> Array:
        return _root_diagonal(self._for_coef(self._robust(correction)))

    @cached_property
    def _at(self) -> Evaluation:
        """The equations at the estimate."""
        return self.equations.at(self.solution.beta)

    @cached_property
    def _pieces(self) -> tuple[Array, Array]:
        """Whitened D* (n, p) and r* (n,) at the estimate."""
        return self._at.whitened(self.working, self.solution.moments.alpha)

    @cached_property
    def _M(self) -> Array:
        D = self._pieces[0]
        return D.T @ D

    def _robust(self, correction: SmallSample | None) -> Array:
        """Robust covariance of ``solution.beta``."""
        D, r = self._pieces
        clusters = self.working.clusters
        u = clusters.sums(D * r[:, None])
        if correction is not None:
            # In coordinates where M = I, the leverage G of a cluster is symmetric.
            root = np.linalg.cholesky(np.linalg.inv(self._M))
            D = D @ root
            G = clusters.sums(D[:, :, None] * D[:, None, :])
            leverage, axes = np.linalg.eigh(G)
            self._refuse_full_leverage(leverage)
            power = -1.0 if correction == "mancl-derouen" else -0.5
            along = np.einsum("jka,jk->ja", axes, u @ root) * (1 - leverage) ** power
            v = np.einsum("jka,ja->jk", axes, along) @ root.T
        else:
            v = u @ np.linalg.inv(self._M)
        return v.T @ v

    def _refuse_full_leverage(self, leverage: Array) -> None:
        alone = leverage.max(axis=1) > 1 - 1e-9
        if alone.any():
            label = self.labels[int(np.flatnonzero(alone)[0])]
            raise DataError(
                f"Cluster {label!r} alone determines a coefficient, so its residuals there are "
                "0 and no small-sample correction exists: leave out that coefficient or use "
                "small_sample=None."
            )

    # --- fit and choice --------------------------------------------------------------------------

    @cached_property
    def fitted(self) -> Array:
        """Estimated means of the rows used."""
        return self._at.mu

    @cached_property
    def resid(self) -> Array:
        """Response minus mean."""
        return self.equations.y - self.fitted

    @property
    def n_obs(self) -> int:
        """Rows used."""
        return self.equations.y.size

    @property
    def n_groups(self) -> dict[str, int]:
        """Number of clusters."""
        return {self.groups: self.working.clusters.sizes.size}

    @cached_property
    def quasi_loglik(self) -> float:
        """Quasi-log-likelihood under independence: -deviance / (2 phi).

        phi is the scale of the independence fit, so that working correlations are compared
        on one scale. Terms that depend on the response alone are left out.
        """
        e = self.equations
        mu = self._at.mu
        if self.family.name == "negative_binomial":
            deviance = self.family.deviance(e.y, mu, e.weights, self.dispersion)
        else:
            deviance = self.family.deviance(e.y, mu, e.weights)
        return -0.5 * float(np.sum(deviance)) / self.independence.moments.scale

    @cached_property
    def cic(self) -> float:
        """Pan's penalty: trace of the independence fit's naive information times robust vcov."""
        D = self.equations.at(self.independence.beta).D
        return float(np.trace(D.T @ D @ self._robust(None))) / self.independence.moments.scale

    @property
    def qic(self) -> float:
        """QIC = -2 quasi-log-likelihood + 2 CIC: smaller is better (Pan 2001)."""
        return -2 * self.quasi_loglik + 2 * self.cic

    @property
    def qicu(self) -> float:
        """QICu = -2 quasi-log-likelihood + 2p: for choosing covariates, not correlations."""
        return -2 * self.quasi_loglik + 2 * self.beta.size

    @property
    def unanswered(self) -> dict[str, str]:
        """Questions that estimating equations do not answer, each with the reason."""
        return {
            "comparison": "compare is for fits that have a likelihood, not GEEFit. For estimating "
            "equations compare qic.",
            "diagnosis": "diagnose is for fits of mixed models, not GEEFit.",
            "marginal coefficients": "The coefficients of a GEE fit are marginal: see coef.",
        }

    # --- asking ----------------------------------------------------------------------------------

    def confint(self, level: float = 0.95) -> pd.DataFrame:
        """Wald intervals from ``se``, with normal quantiles."""
        import pandas as pd

        margin = _normal_quantile(level) * self.se
        return pd.DataFrame({"lower": self.coef - margin, "upper": self.coef + margin})

    def tests(self) -> pd.DataFrame:
        """Wald tests of each coefficient, from ``se``."""
        import pandas as pd
        from scipy.special import ndtr

        z = self.coef / self.se
        return pd.DataFrame(
            {"estimate": self.coef, "se": self.se, "z": z, "p": 2 * ndtr(-np.abs(z))}
        )

    def predict(
        self,
        newdata: Any = None,
        scale: Literal["response", "link"] = "response",
        interval: Literal["confidence"] | None = None,
        level: float = 0.95,
    ) -> Array | pd.DataFrame:
        """Marginal mean for rows used or new: the average over clusters.

        Parameters
        ----------
        newdata : table, optional
            Columns of the formula; the column of clusters is not needed. By default the rows
            used, in the order of the data.
        scale : {"response", "link"}
        interval : {None, "confidence"}
            With an interval the result is a table with ``fit``, ``lower`` and ``upper``.
        level : float
        """
        if scale not in ("response", "link"):
            raise DataError(f"scale must be 'response' or 'link', not {scale!r}.")
        if interval not in (None, "confidence"):
            raise DataError(
                f"interval must be None or 'confidence', not {interval!r}: GEE has no model of "
                "a single response, so it has no prediction interval."
            )
        if newdata is None:
            e = self.equations
            X, eta = e.X, self._at.eta
            covariance = self._robust(self.small_sample)
        elif self.design is None:
            raise DataError("This fit was made from arrays: new rows are X @ fit.beta.")
        else:
            new = self.design.rebuild(newdata, groups=False)
            X = new.X
            eta = X @ self.beta + (0.0 if new.offset is None else new.offset)
            covariance = self.vcov.to_numpy()
        onto = self.family.link.mu if scale == "response" else np.asarray
        if interval is None:
            return onto(eta)
        import pandas as pd

        se = np.sqrt(np.einsum("ij,jk,ik->i", X, covariance, X))
        margin = _normal_quantile(level) * se
        ends = np.sort([onto(eta - margin), onto(eta + margin)], axis=0)  # a link may fall
        return pd.DataFrame({"fit": onto(eta), "lower": ends[0], "upper": ends[1]})

    def summary(self) -> Summary:
        """Coefficients with robust standard errors, and the working correlation."""
        sizes = self.working.clusters.sizes
        lines = [
            f"{self.formula}; clusters by {self.groups}",
            f"Family {self.family.name}, link {self.family.link.name}",
            f"{self.n_obs} rows in {sizes.size} clusters of {sizes.min()} to {sizes.max()}"
            + (f"; {self.n_missing} rows left out as incomplete" if self.n_missing else ""),
            f"Working correlation: {self.working.name}"
            + (f", alpha = {self.correlation:.4f}" if np.isscalar(self.correlation) else ""),
            f"Scale {self.scale:.4f}; QIC {self.qic:.2f}",
            "Standard errors: robust" + (f", {self.small_sample}" if self.small_sample else ""),
            *self.notes,
        ]
        table = self.tests()
        table.insert(2, "se_naive", self.se_naive)
        tables = {"Coefficients (marginal: on the average over clusters)": table}
        if isinstance(self.working, Unstructured):
            tables["Working correlation"] = self.correlation
        return Summary("Generalised estimating equations", lines, tables)


def _root_diagonal(matrix: Any) -> Array:
    return np.sqrt(np.diag(matrix))


def _normal_quantile(level: float) -> float:
    from scipy.special import ndtri

    if not 0 < level < 1:
        raise DataError(f"level must lie between 0 and 1, not {level!r}.")
    return float(ndtri(0.5 + level / 2))
