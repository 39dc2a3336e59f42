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

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from mixedlab.engine.correlation import Correlation, Unstructured
from mixedlab.engine.families import Family
from mixedlab.errors import DataError
from mixedlab.inference.contract import Kind, Moments, NewLevels, Parameter, Rows
from mixedlab.inference.questions import Questions
from mixedlab.inference.reporting import Summary
from mixedlab.inference.tables import by_name, names_by_names, on_rows
from mixedlab.models.gee.solver import Equations, Evaluation, Solution

if TYPE_CHECKING:
    import pandas as pd

    from mixedlab.data.design import Design

Array = NDArray[np.float64]
SmallSample = Literal["mancl-derouen", "kauermann-carroll"]

CORRECTIONS = ("mancl-derouen", "kauermann-carroll")

_MARGINAL_ONLY = "GEE has no random effects: its predictions are marginal, kind='marginal'."
_NO_LIKELIHOOD = "Estimating equations have no likelihood: {}"
_NO_RESPONSE = "GEE has a model of the mean, none of a single response: {}"
_LINEAR = "Degrees of freedom are for linear mixed models: use df='wald', and for few clusters "
_LINEAR += "small_sample='mancl-derouen'."
_UNANSWERED = {
    "conditional prediction": _MARGINAL_ONLY,
    "population prediction": _MARGINAL_ONLY,
    "prediction interval": _NO_RESPONSE.format("use interval='confidence'."),
    "simulation": _NO_RESPONSE.format("fit ml.glmm to simulate."),
    "refit": _NO_RESPONSE.format("call ml.gee on a table with the other response."),
    "profile interval": _NO_LIKELIHOOD.format("use method='wald'."),
    "bootstrap interval": _NO_RESPONSE.format("use method='wald'."),
    "satterthwaite": _LINEAR,
    "kenward-roger": _LINEAR,
    "likelihood ratio of a term": _NO_LIKELIHOOD.format("use df='wald'."),
    "intraclass correlation": "GEE has no variance between clusters: see correlation.",
    "R squared": "GEE has no variance between clusters to divide: fit ml.glmm for R squared.",
    "conditional AIC": _NO_LIKELIHOOD.format("compare qic."),
    "leverage": "Leverages are for linear mixed models.",
    "comparison": _NO_LIKELIHOOD.format(
        "compare is for fits that have one. Compare qic, for covariates qicu."
    ),
    "diagnosis": "diagnose is for fits of mixed models. What is unusual about a GEE fit is in "
    "its notes.",
    "marginal coefficients": "The coefficients of a GEE fit are marginal: see coef.",
}


@dataclass(frozen=True, eq=False, repr=False)
class GEEFit(Questions):
    """A marginal model fitted by generalised estimating equations.

    Attributes
    ----------
    formula : str
    X : ndarray, shape (n, p)
        Columns of the linear predictor; ``names`` are theirs.
    equations : Equations
        The data and the family, with orthonormal columns in place of X.
    working : Correlation
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
    X: Array
    equations: Equations
    working: Correlation
    solution: Solution
    independence: Solution
    to_coef: Array
    small_sample: SmallSample | None
    notes: tuple[str, ...]
    groups: str
    labels: tuple
    n_missing: int = 0
    design: Design | None = None

    # --- estimates -------------------------------------------------------------------------------

    @cached_property
    def beta(self) -> Array:
        """Marginal coefficients (p,) on the scale of the link."""
        return self.to_coef @ self.solution.beta

    @property
    def family(self) -> Family:
        """Family of the response, with its link."""
        return self.equations.family

    response_family = family

    @property
    def y(self) -> Array:
        """Response (n,); proportions of binomial trials."""
        return self.equations.y

    @property
    def weights(self) -> Array:
        """Prior weights or trials (n,)."""
        return self.equations.weights

    @property
    def offset(self) -> Array:
        """Known part (n,) of the linear predictor."""
        return self.equations.offset

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

    @cached_property
    def vcov_beta(self) -> Array:
        """Robust covariance of the coefficients, shape (p, p), corrected if asked."""
        return self._for_coef(self._robust(self.small_sample))

    @cached_property
    def vcov_naive(self) -> pd.DataFrame:
        """Covariance that trusts the working correlation: phi M^-1."""
        return names_by_names(self.names, self._for_coef(self.scale * np.linalg.inv(self._M)))

    @property
    def se_naive(self) -> pd.Series:
        """Standard errors that trust the working correlation."""
        return by_name(self.names, np.sqrt(np.diag(self.vcov_naive)), "se_naive")

    @cached_property
    def standard_errors(self) -> pd.DataFrame:
        """All four standard errors side by side."""
        robust = {
            kind or "robust": np.sqrt(np.diag(self._for_coef(self._robust(kind))))
            for kind in (None, *CORRECTIONS)
        }
        return on_rows({"naive": self.se_naive.to_numpy(), **robust}, list(self.names))

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
    def fitted_values(self) -> Array:
        """Estimated means (n,) of the rows used."""
        return self.family.link.mu(self.rows().fixed_part(self.beta))

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

    # --- what inference asks ---------------------------------------------------------------------

    @property
    def unanswered(self) -> dict[str, str]:
        """Questions that estimating equations do not answer, each with the reason."""
        return _UNANSWERED

    @property
    def named_parameters(self) -> tuple[Parameter, ...]:
        """The coefficients."""
        return self.coefficient_parameters()

    def parameter_covariance(self) -> Array:
        """Robust covariance of the coefficients."""
        return self.vcov_beta

    def mean_and_variance(self, rows: Rows, kind: Kind, *, variance: bool = True) -> Moments:
        """Linear predictor of the marginal mean, and its robust variance."""
        eta = rows.fixed_part(self.beta)
        if not variance:
            return Moments(eta)
        return Moments(eta, np.einsum("ij,jk,ik->i", rows.X, self.vcov_beta, rows.X))

    def predict(
        self,
        newdata: Any = None,
        kind: Kind = "marginal",
        scale: Literal["response", "link"] = "response",
        interval: Literal["confidence", "prediction"] | None = None,
        new_levels: NewLevels = "error",
        level: float = 0.95,
    ) -> pd.Series | pd.DataFrame:
        """Marginal mean of rows, the average over clusters; the only kind there is.

        See `mixedlab.inference.prediction.predict`.

        Examples
        --------
        >>> import mixedlab as ml
        >>> fit = ml.gee("resp ~ age * smoke", ml.load("ohio"), groups="id", family="binomial")
        >>> fit.predict(interval="confidence").head(2).round(3)
           prediction     se  lower  upper
        0       0.165  0.018  0.133  0.204
        1       0.147  0.014  0.122  0.176
        """
        return super().predict(newdata, kind, scale, interval, new_levels, level)

    @property
    def fitted_by(self) -> str:
        """The method of estimation, in words."""
        errors = "robust standard errors" + (f" ({self.small_sample})" if self.small_sample else "")
        how = f"{self.working.name} working correlation, {errors}"
        return f"generalised estimating equations ({how})"

    def title(self) -> str:
        """What kind of model it is, in words."""
        kind = self.response_family
        return f"Marginal model ({kind.name} with {kind.link.name} link)"

    def summary(self, exponentiate: bool = False) -> Summary:
        """Coefficients with robust standard errors, and the working correlation.

        Examples
        --------
        >>> import mixedlab as ml
        >>> fit = ml.gee("resp ~ age * smoke", ml.load("ohio"), groups="id", family="binomial")
        >>> fit.summary(exponentiate=True).lines[3]
        'Working correlation: exchangeable, alpha = 0.3546'
        """
        from mixedlab.inference.tidying import coefficients_table

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
        table = coefficients_table(self, exponentiate=exponentiate)
        if not exponentiate:
            table.insert(2, "se_naive", self.se_naive)
        tables = {"Coefficients (marginal: on the average over clusters)": table}
        if isinstance(self.working, Unstructured):
            tables["Working correlation"] = self.correlation
        return Summary("Generalised estimating equations", lines, tables)
