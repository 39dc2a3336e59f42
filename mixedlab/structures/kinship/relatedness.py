"""Relatives: a relationship matrix from genotypes, and the mixed model that uses it.

The model is y = X beta + u + e with u ~ N(0, s_g^2 K) and e ~ N(0, s_e^2 I): the "animal
model" of breeding, GBLUP where K comes from genotypes. One eigen-decomposition of K makes the
rows independent; what is left is a search over one ratio
(:mod:`mixedlab.structures.kinship.spectral`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.data.genotypes import Genotypes
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError
from mixedlab.inference.questions import Coefficients
from mixedlab.inference.reporting import Summary
from mixedlab.inference.tables import on_rows, variances_and_correlations
from mixedlab.structures.kinship.spectral import Profile, spectrum

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]


class KinshipMatrix(np.ndarray):
    """A relationship matrix, shape (n, n): an ordinary array that knows how it was made.

    Attributes
    ----------
    n_snps : int
        SNPs used.
    n_monomorphic : int
        SNPs left out because they do not vary.
    n_missing : int
        Missing calls, imputed by the SNP's mean.
    """

    n_snps = 0
    n_monomorphic = 0
    n_missing = 0

    def __array_finalize__(self, source: Any) -> None:
        for name in ("n_snps", "n_monomorphic", "n_missing"):
            setattr(self, name, getattr(source, name, 0))


def kinship(genotype: ArrayLike | str | PathLike, *, standardize: bool = False) -> KinshipMatrix:
    """Relationship matrix K from genotypes.

    K = Z Z' / m over the m SNPs that vary, where Z holds allele counts less their mean
    and, with ``standardize``, divided by their standard deviation (ddof 0). The SNPs are read
    in blocks, so memory holds K and one block.

    Parameters
    ----------
    genotype : array_like, shape (n, m), or path
        Allele counts 0 to 2, NaN (or a negative integer) for a missing call, which counts as
        the SNP's mean; or the path of a PLINK ``.bed`` file.
    standardize : bool
        Give every SNP the same weight. By default common SNPs weigh more.

    Returns
    -------
    KinshipMatrix, shape (n, n)

    Raises
    ------
    ValueError
        Where a value is no allele count, or no SNP varies.

    References
    ----------
    VanRaden (2008) J. Dairy Sci. 91:4414; Zhou and Stephens (2012) Nature Genetics 44:821.

    Examples
    --------
    >>> import mixedlab as ml
    >>> sim = ml.simulate.relatives(n_families=20, seed=1)
    >>> K = ml.kinship(sim.matrices["genotype"])
    >>> K.shape
    (40, 40)
    """
    snps = Genotypes(genotype)
    n = snps.shape[0]
    K = np.zeros((n, n))
    n_snps = n_monomorphic = n_missing = 0
    for block in snps.blocks():
        Z = block.centred
        if standardize:
            Z = Z / Z.std(axis=0)
        K += Z @ Z.T
        n_snps += Z.shape[1]
        n_monomorphic += block.n_monomorphic
        n_missing += block.n_missing
    if n_snps == 0:
        raise DataError(
            f"None of the {snps.shape[1]} SNPs varies among the {n} individuals: "
            "there is nothing to tell relatives from strangers."
        )
    result = (K / n_snps).view(KinshipMatrix)
    result.n_snps, result.n_monomorphic, result.n_missing = n_snps, n_monomorphic, n_missing
    return result


@dataclass(frozen=True, eq=False, repr=False)
class KinshipFit(Coefficients):
    """A mixed model with a known relationship matrix.

    Attributes
    ----------
    names : tuple of str, length p
        Names of the columns of X.
    beta, vcov_beta : ndarray, shapes (p,) and (p, p)
        Fixed effects and their covariance.
    variance_genetic, variance_residual : float
        s_g^2 (of K as given) and s_e^2.
    h2, h2_se : float
        Heritability: share of the variance within this sample that K explains,
        k s_g^2 / (k s_g^2 + s_e^2), where k is the mean diagonal of K after centring rows
        and columns. Its standard error comes from the curvature of the profiled likelihood;
        NaN where the estimate is 0.
    breeding_values, breeding_value_sd : ndarray, shape (n,)
        BLUPs of u, and their conditional sds.
    loglik : float
        Log-likelihood; with ``reml`` the restricted one in the form that does not depend on
        the scale of X (log |X'X| included).
    criterion : float
        -2 log-likelihood, or the REML criterion in the form of :func:`mixedlab.lmm`
        (log |X'X| left out), so that the two can be compared.
    kept : ndarray of bool
        Individuals used: those whose y and X are complete.
    """

    names: tuple[str, ...]
    beta: Array
    vcov_beta: Array
    variance_genetic: float
    variance_residual: float
    h2: float
    h2_se: float
    breeding_values: Array
    breeding_value_sd: Array
    fitted: Array
    resid: Array
    loglik: float
    criterion: float
    reml: bool
    kept: NDArray[np.bool_]

    @property
    def fixef(self) -> pd.Series:
        """Fixed effects."""
        return self.coef

    @cached_property
    def varcorr(self) -> pd.DataFrame:
        """Variances and sds of the polygenic effect and of the residual."""
        polygenic = RandomTerm.from_arrays(np.zeros(1), group="K")
        covariance = np.array([[self.variance_genetic]])
        return variances_and_correlations([polygenic], [covariance], self.sigma)

    @property
    def sigma(self) -> float:
        """Residual sd s_e."""
        return float(np.sqrt(self.variance_residual))

    @property
    def ratio(self) -> float:
        """Variance ratio s_g^2 / s_e^2."""
        return self.variance_genetic / self.variance_residual

    @property
    def singular(self) -> bool:
        """Whether the genetic variance is estimated as 0."""
        return self.variance_genetic == 0.0

    @property
    def n_obs(self) -> int:
        """Individuals used."""
        return self.fitted.size

    @property
    def n_missing(self) -> int:
        """Individuals left out because their y or X is not complete."""
        return int(self.kept.size - self.kept.sum())

    @property
    def aic(self) -> float:
        """Akaike's criterion from ``criterion``; the two variances count."""
        return self.criterion + 2 * (self.beta.size + 2)

    @property
    def bic(self) -> float:
        """Schwarz's criterion from ``criterion``."""
        return self.criterion + float(np.log(self.n_obs)) * (self.beta.size + 2)

    def summary(self) -> Summary:
        """Estimates as a table that prints well."""
        coefs = on_rows({"estimate": self.fixef, "se": self.se}, list(self.names))
        lines = [
            f"{self.n_obs} individuals"
            + (f", {self.n_missing} left out as incomplete" if self.n_missing else ""),
            f"Log-likelihood {self.loglik:.4f}",
            f"Heritability {self.h2:.4f}"
            + ("" if self.singular else f" (standard error {self.h2_se:.4f})"),
        ]
        if self.singular:
            lines.append("The genetic variance is 0: relatives are no more alike than strangers.")
        how = "REML" if self.reml else "ML"
        return Summary(
            f"Mixed model with a relationship matrix, by {how}",
            lines,
            {"Variances": self.varcorr.drop(columns="var2"), "Fixed effects": coefs},
        )


def kinship_lmm(
    y: ArrayLike, X: ArrayLike | None, K: ArrayLike, *, reml: bool = True
) -> KinshipFit:
    """Fit y = X beta + u + e with u ~ N(0, s_g^2 K).

    Parameters
    ----------
    y : array_like, shape (n,)
        Response. Individuals with a missing y or covariate are left out, and counted.
    X : array_like, shape (n, p), or None
        Columns of the fixed part, the intercept among them (it is not added);
        None: an intercept alone.
    K : array_like, shape (n, n)
        Relationship matrix, positive semi-definite, on any scale.
    reml : bool
        Restricted maximum likelihood, else maximum likelihood.

    Returns
    -------
    KinshipFit

    Raises
    ------
    ValueError
        Where shapes disagree, K is no covariance matrix, columns of X are linearly
        dependent, y is constant, or there are no more individuals than columns.

    Examples
    --------
    >>> import mixedlab as ml
    >>> sim = ml.simulate.relatives(n_families=60, seed=1)
    >>> K = ml.kinship(sim.matrices["genotype"])
    >>> fit = ml.kinship_lmm(sim.columns["trait"], None, K)
    >>> round(fit.h2, 2)
    0.53
    """
    y, X, names, kept = response_and_covariates(y, X)
    K = relationship_of(K, kept)
    eigen = spectrum(K)
    scale = float(np.std(y))  # fitted to y over it, so that units do not matter
    profile = Profile(eigen.d, eigen.U.T @ X, eigen.U.T @ (y / scale))
    ratio, information = profile.peak(reml)
    n, p = X.shape
    nodes = profile.at(np.array([ratio]))
    w, yPy = nodes.w[0], nodes.yPy[0]
    df = n - p if reml else n
    s2 = yPy / df
    XWX = (profile.X.T * w) @ profile.X
    beta = np.linalg.solve(XWX, profile.X.T @ (w * profile.y))
    # u = r D W (y - X beta) in rotated coordinates; W (y - X beta) is P y.
    u = eigen.U @ (ratio * eigen.d * nodes.Py[0])
    u_sd = np.sqrt(s2 * (np.square(eigen.U) @ (ratio * eigen.d * w)))
    criterion = df * (np.log(2 * np.pi * s2 * scale**2) + 1) + nodes.log_det_V[0]
    loglik = -0.5 * criterion
    if reml:
        criterion += nodes.log_det_XWX[0]
        loglik = -0.5 * (criterion - np.linalg.slogdet(X.T @ X)[1])
    k = (np.trace(K) - K.sum() / n) / n
    explained = k * ratio / eigen.scale
    h2 = explained / (explained + 1.0)
    h2_se = h2 * (1 - h2) / np.sqrt(information) if information > 0 else np.nan
    # In units of y, a fitted value is X beta + u.
    fitted = (X @ beta + u) * scale
    y = eigen.U @ profile.y * scale
    return KinshipFit(
        names=names,
        beta=beta * scale,
        vcov_beta=np.linalg.inv(XWX) * (s2 * scale**2),
        variance_genetic=float(ratio / eigen.scale * s2 * scale**2),
        variance_residual=float(s2 * scale**2),
        h2=float(h2),
        h2_se=float(h2_se),
        breeding_values=u * scale,
        breeding_value_sd=u_sd * scale,
        fitted=fitted,
        resid=y - fitted,
        loglik=float(loglik),
        criterion=float(criterion),
        reml=reml,
        kept=kept,
    )


def response_and_covariates(
    y: ArrayLike, X: ArrayLike | None, *, add_intercept: bool = False
) -> tuple[Array, Array, tuple[str, ...], NDArray[np.bool_]]:
    """Check y and X and leave out incomplete rows.

    Returns
    -------
    y : ndarray, shape (n,)
    X : ndarray, shape (n, p)
    names : tuple of str, length p
    kept : ndarray of bool
        The rows of the input that are left.
    """
    y = _as_floats(y, "y")
    if y.ndim != 1:
        raise DataError(f"y must have one value an individual; it has shape {y.shape}.")
    if X is None:
        X, names = np.ones((y.size, 1)), ["(Intercept)"]
    else:
        names = list(getattr(X, "columns", []))
        X = _as_floats(X, "X")
        X = X[:, None] if X.ndim == 1 else X
        names = [str(name) for name in names] or [f"x{k + 1}" for k in range(X.shape[-1])]
        if X.ndim != 2 or len(X) != y.size:
            raise DataError(f"X has shape {X.shape}, but y has {y.size} values.")
    kept = np.isfinite(y) & np.isfinite(X).all(axis=1)
    y, X = y[kept], X[kept]
    if add_intercept:
        varies = np.ptp(X, axis=0) > 0 if y.size else np.ones(X.shape[1], bool)
        X = np.column_stack([np.ones(y.size), X[:, varies]])
        names = ["(Intercept)", *(n for n, v in zip(names, varies, strict=True) if v)]
    _check_columns(y, X, names)
    return y, X, tuple(names), kept


def _as_floats(values: Any, name: str) -> Array:
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} must hold numbers only: {error}.") from error


def _check_columns(y: Array, X: Array, names: Sequence[str]) -> None:
    n, p = X.shape
    if n <= p + 1:
        raise DataError(
            f"{n} complete individuals are too few for {p} fixed effects and two variances."
        )
    if np.ptp(y) == 0:
        raise DataError("y is constant: there is no variance to explain.")
    size = np.sqrt(np.square(X).sum(axis=0))
    R = np.linalg.qr(X / np.where(size > 0, size, 1.0), mode="r")
    dependent = np.abs(np.diag(R)) < 1e-9
    if dependent.any():
        culprit = names[int(np.flatnonzero(dependent)[0])]
        raise DataError(
            f"Column {culprit!r} of X is a combination of the columns before it: leave it out."
        )


def relationship_of(K: ArrayLike, kept: NDArray[np.bool_]) -> Array:
    """K as a plain array, for the individuals that are kept."""
    K = _as_floats(K, "K").view(np.ndarray)
    if K.shape != (kept.size, kept.size):
        raise DataError(f"K has shape {K.shape}, but y has {kept.size} individuals.")
    return K if kept.all() else K[np.ix_(kept, kept)]
