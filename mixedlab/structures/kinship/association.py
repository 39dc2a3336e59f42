r"""Genome-wide association: one test for each SNP, with relatives allowed for.

For each SNP g the model is y = X beta + g b + u + e, u ~ N(0, s_g^2 K). Relatives share both
genes and trait: without K every SNP that follows the family tree looks like a cause, and the
whole distribution of p-values is too small.

Three tests of b = 0 (Zhou and Stephens 2012, Nature Genetics 44:821):

- Wald: (b / se)^2 with the REML ratio, against F(1, n - p - 1);
- likelihood ratio: with the ML ratios of both models, against chi-squared(1);
- score: n (g'P y)^2 / (g'P g . y'P y) with the ML ratio of the null model, against
  F(1, n - p - 1).

:mod:`mixedlab.structures.kinship.spectral` derives how all SNPs are treated at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.data.genotypes import Genotypes
from mixedlab.errors import DataError
from mixedlab.inference.reporting import Report, Summary
from mixedlab.inference.tables import on_rows
from mixedlab.structures.kinship.relatedness import relationship_of, response_and_covariates
from mixedlab.structures.kinship.spectral import (
    CENTRES,
    HALF_WIDTH,
    Profile,
    interpolate,
    maximise,
    spectrum,
)

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

# A SNP is collinear with the covariates where they explain all but this share of it.
_COLLINEAR = 1e-9
_LN10 = float(np.log(10.0))


@dataclass(frozen=True, eq=False, repr=False)
class Scan(Report):
    """Tests of every SNP.

    Attributes
    ----------
    snp : ndarray of str, shape (m,)
        The SNPs tested, in the order given.
    column : ndarray of int, shape (m,)
        Their columns in the genotype table.
    af : ndarray, shape (m,)
        Frequency of the counted allele.
    beta, se : ndarray, shape (m,)
        Effect of one copy of the allele, in units of y, and its standard error (REML).
    ratio_reml, ratio_ml : ndarray, shape (m,)
        Variance ratio s_g^2 / s_e^2 with the SNP in the model.
    log10p_wald, log10p_lrt, log10p_score : ndarray, shape (m,)
        Decimal logarithms of the p-values: they hold where the p-value itself is below the
        smallest double.
    n_obs, n_missing : int
        Individuals used; individuals left out because y or a covariate is missing.
    n_monomorphic, n_collinear : int
        SNPs not tested: those that do not vary, and those that the covariates determine.
    n_missing_calls : int
        Genotype calls imputed by the SNP's mean.
    related : bool
        Whether a relationship matrix was used.
    """

    snp: NDArray[np.str_]
    column: NDArray[np.intp]
    af: Array
    beta: Array
    se: Array
    ratio_reml: Array
    ratio_ml: Array
    log10p_wald: Array
    log10p_lrt: Array
    log10p_score: Array
    n_obs: int
    n_missing: int
    n_monomorphic: int
    n_collinear: int
    n_missing_calls: int
    related: bool
    ratio: str = "each"

    @property
    def p_wald(self) -> Array:
        """P-values of the Wald test."""
        return 10.0**self.log10p_wald

    @property
    def p_lrt(self) -> Array:
        """P-values of the likelihood-ratio test."""
        return 10.0**self.log10p_lrt

    @property
    def p_score(self) -> Array:
        """P-values of the score test."""
        return 10.0**self.log10p_score

    @property
    def lambda_gc(self) -> float:
        """Genomic inflation: median chi-squared of the Wald tests over the null's 0.4549.

        Near 1 where most SNPs do nothing and relatives are allowed for (Devlin and Roeder
        1999, Biometrics 55:997).
        """
        from scipy.special import chdtri

        middle = 10.0 ** np.median(self.log10p_wald)
        return float(chdtri(1, middle) / chdtri(1, 0.5))

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a SNP."""
        columns = ["snp", "af", "beta", "se", "ratio_reml", "ratio_ml"]
        columns += [
            scale + test for scale in ("p_", "log10p_") for test in ("wald", "lrt", "score")
        ]
        return on_rows({name: getattr(self, name) for name in columns}, None)

    def summary(self) -> Summary:
        """What was tested, the inflation, and the ten smallest p-values."""
        how = "no relationship matrix: ordinary regression for each SNP"
        if self.related:
            how = "relationship matrix used; variance ratio " + (
                "re-estimated for each SNP" if self.ratio == "each" else "of the null model"
            )
        lines = [
            f"{self.n_obs} individuals, {self.snp.size} SNPs tested; {how}",
            f"Genomic inflation lambda_GC = {self.lambda_gc:.4f}",
        ]
        left_out = {
            "individuals without y or a covariate": self.n_missing,
            "SNPs that do not vary": self.n_monomorphic,
            "SNPs that the covariates determine": self.n_collinear,
        }
        lines += [f"Left out: {count} {what}" for what, count in left_out.items() if count]
        if self.n_missing_calls:
            lines.append(f"{self.n_missing_calls} missing calls imputed by the SNP's mean")
        top = self.table.nsmallest(10, "log10p_wald")
        return Summary("Genome-wide scan", lines, {"Smallest p-values": top})


def gwas(
    y: ArrayLike,
    genotype: ArrayLike | str | PathLike,
    K: ArrayLike | None = None,
    covariates: ArrayLike | None = None,
    *,
    ratio: str = "each",
    names: ArrayLike | None = None,
) -> Scan:
    """Test every SNP for association with y.

    Parameters
    ----------
    y : array_like, shape (n,)
        Quantitative trait. Individuals with a missing y or covariate are left out.
    genotype : array_like, shape (n, m), or path
        Allele counts 0 to 2 (NaN or a negative integer: missing, imputed by the mean), a
        DataFrame of them, or a PLINK ``.bed`` file. It is read in blocks of SNPs.
    K : array_like, shape (n, n), optional
        Relationship matrix, from :func:`mixedlab.kinship`. Without it, relatives are taken
        for strangers: ordinary regression.
    covariates : array_like, shape (n, c), optional
        Further columns of X; an intercept is added.
    ratio : {"each", "null"}
        Variance ratio re-estimated with each SNP in the model (exact), or kept at the null
        model's (faster; nearly the same unless the SNP explains much).
    names : array_like of str, shape (m,), optional
        Names of the SNPs.

    Returns
    -------
    Scan

    Raises
    ------
    ValueError
        Where shapes disagree, a genotype is no allele count, or no SNP can be tested.

    Examples
    --------
    >>> import mixedlab as ml
    >>> sim = ml.simulate.relatives(n_families=60, seed=1)
    >>> scan = ml.gwas(sim.columns["trait"], sim.matrices["genotype"])
    >>> scan.table.head(2).round(3)
        snp     af   beta  ...  log10p_wald  log10p_lrt  log10p_score
    0  snp1  0.892  0.289  ...       -0.818      -0.831        -0.818
    1  snp2  0.296 -0.225  ...       -0.917      -0.931        -0.914
    <BLANKLINE>
    [2 rows x 12 columns]
    """
    if ratio not in ("each", "null"):
        raise DataError(f"ratio must be 'each' or 'null', not {ratio!r}.")
    y, X, _, kept = response_and_covariates(y, covariates, add_intercept=True)
    snps = Genotypes(genotype, names)
    if snps.shape[0] != kept.size:
        raise DataError(
            f"genotype has {snps.shape[0]} rows, but y has {kept.size} values: "
            "both are by individual."
        )
    snps.keep(kept)
    unit = float(np.std(y))
    if K is None:
        U, d, scale = None, np.zeros(y.size), 1.0
    else:
        eigen = spectrum(relationship_of(K, kept))
        U, d, scale = eigen.U, eigen.d, eigen.scale
    turn = (lambda columns: columns) if U is None else (lambda columns: U.T @ columns)
    profile = Profile(d, turn(X), turn(y / unit))
    scanner = _Scanner(profile, fixed_ratio=K is None or ratio == "null")

    counts = np.zeros(3, dtype=int)
    results: list[dict[str, Array]] = []
    for block in snps.blocks():
        G = block.centred.T if U is None else block.centred.T @ U
        tests, collinear = scanner.test(G)
        tested = ~collinear
        tests |= {"column": block.columns[tested], "af": block.frequency[tested]}
        results.append(tests)
        counts += [block.n_monomorphic, collinear.sum(), block.n_missing]
    n_monomorphic, n_collinear, n_missing_calls = map(int, counts)
    columns = {key: np.concatenate([r[key] for r in results]) for key in results[0]}
    if not columns["column"].size:
        raise DataError(
            f"No SNP can be tested: of {snps.shape[1]}, {n_monomorphic} do not vary and "
            f"{n_collinear} are determined by the covariates."
        )
    columns["beta"] *= unit
    columns["se"] *= unit
    columns["ratio_reml"] /= scale
    columns["ratio_ml"] /= scale
    return Scan(
        snp=snps.names[columns["column"]],
        **columns,
        n_obs=y.size,
        n_missing=int(kept.size - y.size),
        n_monomorphic=n_monomorphic,
        n_collinear=n_collinear,
        n_missing_calls=n_missing_calls,
        related=K is not None,
        ratio=ratio,
    )


class _Scanner:
    """Tests blocks of SNPs (rows of ``G``, rotated) against one null model."""

    def __init__(self, profile: Profile, fixed_ratio: bool):
        self.profile, self.fixed_ratio = profile, fixed_ratio
        self.n, self.p = profile.X.shape
        no_relatives = not profile.d.any()
        best = [0.0 if no_relatives else profile.peak(reml)[0] for reml in (True, False)]
        self.null = profile.at(np.array(best))  # row 0: REML's ratio; row 1: ML's
        self.null_ratio = np.array(best)
        self.null_loglik = self.null.loglik(reml=False)

    def test(self, G: Array) -> tuple[dict[str, Array], NDArray[np.bool_]]:
        """Return statistics by name for the SNPs that can be tested, and which cannot."""
        a, b, total = self.null.of_snps(G)
        collinear = (a <= _COLLINEAR * total).any(axis=1)
        if collinear.any():
            G, a, b = G[~collinear], a[~collinear], b[~collinear]
        df = self.n - self.p - 1
        score = self.n * b[:, 1] ** 2 / (a[:, 1] * self.null.yPy[1])
        # At the null model's ratios; the exact scan moves each SNP to its own.
        reml = (np.broadcast_to(self.null_ratio[0], len(G)), a[:, 0], b[:, 0], self.null.yPy[0])
        ml_ratio = np.broadcast_to(self.null_ratio[1], len(G))
        ml_loglik = self.null.loglik(False, a, b)[:, 1]
        if not self.fixed_ratio:
            reml, ml_ratio, ml_loglik = self._re_estimate(G, ml_ratio, ml_loglik)
        ratio, a, b, yPy = reml
        beta = b / a
        se = np.sqrt(np.maximum(yPy - b * beta, 0.0) / (df * a))
        # A likelihood ratio a hair below 0 is round-off.
        lrt = np.maximum(2 * (ml_loglik - self.null_loglik[1]), 0.0)
        with np.errstate(divide="ignore"):
            t = beta / se
        tests = {
            "beta": beta,
            "se": se,
            "ratio_reml": ratio,
            "ratio_ml": ml_ratio,
            "log10p_wald": log10_t_two_sided(t, df),
            "log10p_lrt": log10_chi2_1(lrt),
            "log10p_score": log10_t_two_sided(np.sqrt(score), df),
        }
        return tests, collinear

    def _re_estimate(
        self, G: Array, null_ml_ratio: Array, null_ml_loglik: Array
    ) -> tuple[tuple[Array, Array, Array, Array], Array, Array]:
        """Maximise both likelihoods over the ratio with each SNP in the model.

        A coarse grid gives each SNP the window that holds its peak; within the window the
        likelihood, and a, b and y'P y at the peak, come from Chebyshev interpolation.
        """
        m = len(G)
        coarse = self.profile.coarse
        a, b, _ = coarse.of_snps(G)
        reml_window = coarse.loglik(True, a, b).argmax(axis=1)
        ml_window = coarse.loglik(False, a, b).argmax(axis=1)
        ratio, ml_ratio, ml_loglik = np.empty(m), np.empty(m), np.empty(m)
        at_peak = np.empty((3, m))
        for k in np.union1d(reml_window, ml_window):
            nodes = self.profile.window(int(k))
            rows = np.flatnonzero((reml_window == k) | (ml_window == k))
            a, b, _ = nodes.of_snps(G[rows] if rows.size < m else G)
            here = reml_window[rows] == k
            x, _ = maximise(nodes.loglik(True, a[here], b[here]))
            ratio[rows[here]] = np.exp(CENTRES[k] + HALF_WIDTH * x)
            yPy = np.broadcast_to(nodes.yPy, a[here].shape)
            for row, values in zip(at_peak, (a[here], b[here], yPy), strict=True):
                row[rows[here]] = interpolate(values, x)
            here = ml_window[rows] == k
            values = nodes.loglik(False, a[here], b[here])
            x, _ = maximise(values)
            ml_ratio[rows[here]] = np.exp(CENTRES[k] + HALF_WIDTH * x)
            ml_loglik[rows[here]] = interpolate(values, x)
        return (ratio, *at_peak), ml_ratio, ml_loglik


def log10_t_two_sided(t: ArrayLike, df: float) -> Array:
    r"""Return log10 P(\|T\| > \|t\|) for Student's t.

    The probability is the incomplete beta function I_x(df/2, 1/2) at x = df / (df + t^2).
    Where it nears the smallest double, its series takes over (DLMF 8.17.8): x^a (1 - x)^b /
    (a B(a, b)) times a hypergeometric sum of positive terms, taken in logarithms.
    """
    from scipy.special import betainc, betaincc, betaln, hyp2f1

    shape = np.shape(t)
    t = np.abs(np.atleast_1d(np.asarray(t, dtype=float)))
    a, b = 0.5 * df, 0.5
    ratio = t * t / df
    x = 1.0 / (1.0 + ratio)
    # Near t = 0, x rounds to 1: the complement keeps the digits of t.
    near = ratio < 1
    p = np.empty_like(x)
    p[near] = betaincc(b, a, (ratio * x)[near])
    p[~near] = betainc(a, b, x[~near])
    with np.errstate(divide="ignore"):
        log_p = np.log(p)
    far = p < 1e-280
    if far.any():
        log_x = -np.log1p(ratio[far])
        front = a * log_x + b * np.log1p(-x[far]) - np.log(a) - betaln(a, b)
        log_p[far] = front + np.log(hyp2f1(a + b, 1.0, a + 1.0, x[far]))
    return log_p.reshape(shape) / _LN10


def log10_chi2_1(x: ArrayLike) -> Array:
    """Return log10 P(chi-squared with 1 degree of freedom > x)."""
    from scipy.special import log_ndtr

    return (np.log(2.0) + log_ndtr(-np.sqrt(np.asarray(x, dtype=float)))) / _LN10
