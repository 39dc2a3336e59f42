r"""True rates of taxa in sequenced samples, less the contamination that negative controls show.

**Contamination.** Control reads of taxon t in batch b, with D_tb the summed depth of that batch's
controls, shrink on two levels: batches of a taxon towards the taxon's mean, taxa towards theirs::

    Y_tb ~ Poisson(D_tb c_tb),   c_tb ~ Gamma(shape alpha, mean m_t),   m_t ~ Gamma(kappa, mean m0)

Given m_t the batch's rate has the posterior Gamma(alpha + Y_tb, alpha / m_t + D_tb): the batch's
own controls count D_tb, the other batches alpha / m_t. The c's integrate out to negative
binomials; m_t is integrated by adaptive quadrature; alpha, kappa and m0 maximise what is left
(empirical Bayes). The posterior of c_tb over the uncertainty of m_t is a mixture of gammas, which
one Gamma(A, B) of the same mean and variance stands for.

**Samples.** ``y ~ Poisson(d (r + c))`` with the true rate r flat on r >= 0. Of the y reads, an
unknown number k is contamination. Summed over k the posterior of r is exact:

.. math:: p(r \mid y) = \sum_{k=0}^{y} P(K = k \mid K \le y) \, \text{Gamma}(r; y - k + 1, d),
          \qquad K \sim \text{NegBin}(A, \text{mean } d A / B).

The credible interval is the shortest one; it starts at 0 unless the data say otherwise. The p-value
is P(K >= y): how often contamination alone gives so many reads.

Source: Gelman et al., *Bayesian Data Analysis* (2013), sections 2.6 and 5.3 for the Poisson-gamma
model; Helene (1983), Nuclear Instruments and Methods 212:319, for a Poisson rate above a
background; Davis et al. (2018), Microbiome 6:226, for negative controls in metagenomics.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, gammaincinv, gammaln

from mixedlab.engine.integral import EffectIntegral, Integrated
from mixedlab.engine.links import Log
from mixedlab.engine.overdispersed import NegativeBinomial
from mixedlab.engine.random_families import random_family
from mixedlab.errors import DataError, MixedlabError, listed
from mixedlab.inference.reporting import Report, Summary
from mixedlab.structures.contamination.all_rates import all_rates
from mixedlab.structures.contamination.gamma_mixtures import GammaMixtures

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

N_NODES = 35
READS_AT_ONCE = 1_000_000
LOG_SHAPES = (-2.3, 9.0)  # alpha, kappa from 0.1 (coefficient of variation 3) to 8000 (0.01)


def contamination(
    counts: ArrayLike,
    taxon: ArrayLike,
    batch: ArrayLike,
    control: ArrayLike,
    depth: ArrayLike,
    *,
    level: float = 0.95,
) -> ContaminationFit:
    """Estimate true rates by taxon and sample, with each batch's contamination taken off.

    One row for each taxon in each sample or negative control, **zeros included**: a taxon that
    was looked for and not found is information.

    Parameters
    ----------
    counts : array of int, shape (n,)
        Reads of the taxon.
    taxon, batch : array, shape (n,)
        Labels.
    control : array of bool, shape (n,)
        Whether the row is of a negative control.
    depth : array, shape (n,)
        Sequencing depth of the sample or control; rates are reads for each unit of it.
    level : float
        Of the credible intervals.

    Returns
    -------
    ContaminationFit

    Raises
    ------
    DataError
        Lengths that differ, counts that are no whole numbers, depth that is not positive, no
        control, no sample.

    Examples
    --------
    >>> import mixedlab as ml
    >>> sim = ml.simulate.contamination(n_taxa=5, seed=1)
    >>> reads, taxon, batch, control, depth = (
    ...     sim.columns[c] for c in ("reads", "taxon", "batch", "control", "depth")
    ... )
    >>> fit = ml.contamination(reads, taxon, batch, control, depth)
    >>> round(fit.mean_rate, 3), len(fit.samples)
    (0.343, 240)
    """
    if not 0 < level < 1:
        raise MixedlabError(f"`level` is {level!r}; it must lie between 0 and 1.")
    counts, depth, control, taxa, batches, t, b = _checked(counts, taxon, batch, control, depth)
    shape = len(taxa), len(batches)
    reads, exposure = np.zeros(shape), np.zeros(shape)
    np.add.at(reads, (t[control], b[control]), counts[control])
    np.add.at(exposure, (t[control], b[control]), depth[control])

    prior = _learn(reads, exposure)
    A, B = prior.posterior(reads, exposure)
    rows = np.flatnonzero(~control)
    of = t[rows], b[rows]
    estimates = _true_rates(counts[rows], depth[rows], A[of], B[of], level)
    return ContaminationFit(
        taxa=taxa,
        batches=batches,
        control_reads=reads,
        control_depth=exposure,
        rate_shape=A,
        rate_rate=B,
        between_batches=1 / prior.alpha,
        between_taxa=1 / prior.kappa,
        mean_rate=prior.mean,
        loglik=prior.loglik,
        level=level,
        rows=rows,
        taxon=t[rows],
        batch=b[rows],
        counts=counts[rows],
        depth=depth[rows],
        **estimates,
    )


@dataclass(eq=False, repr=False, kw_only=True)
class ContaminationFit(Report):
    """Contamination rates by taxon and batch, and true rates by sample.

    Attributes
    ----------
    taxa, batches : tuple
        Labels, in the order of the arrays' axes.
    control_reads, control_depth : ndarray, shape (taxa, batches)
        What the controls gave.
    rate_shape, rate_rate : ndarray, shape (taxa, batches)
        Gamma posterior of each contamination rate.
    between_batches, between_taxa : float
        Squared coefficients of variation of contamination, 1/alpha and 1/kappa.
    mean_rate : float
        Contamination rate of a typical taxon, m0.
    rows : ndarray of int
        Rows of the input that are samples; the arrays below are for these.
    rate, rate_sd, low, high : ndarray
        Posterior mean, sd and shortest credible interval of the true rate.
    expected_contamination : ndarray
        Expected reads from contamination, before the reads were seen.
    p_value : ndarray
        Chance that contamination alone gives at least these reads.
    """

    taxa: tuple
    batches: tuple
    control_reads: Array
    control_depth: Array
    rate_shape: Array
    rate_rate: Array
    between_batches: float
    between_taxa: float
    mean_rate: float
    loglik: float
    level: float
    rows: NDArray[np.intp]
    taxon: NDArray[np.intp]
    batch: NDArray[np.intp]
    counts: Array
    depth: Array
    rate: Array
    rate_sd: Array
    low: Array
    high: Array
    expected_contamination: Array
    p_value: Array

    @cached_property
    def contamination_rates(self) -> pd.DataFrame:
        """Contamination by taxon and batch: raw rate of the controls, shrunken rate, interval."""
        import pandas as pd

        tail = (1 - self.level) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            raw = self.control_reads / self.control_depth
        index = pd.MultiIndex.from_product([self.taxa, self.batches], names=["taxon", "batch"])
        columns = {
            "control_reads": self.control_reads,
            "control_depth": self.control_depth,
            "raw": raw,
            "rate": self.rate_shape / self.rate_rate,
            "lower": gammaincinv(self.rate_shape, tail) / self.rate_rate,
            "upper": gammaincinv(self.rate_shape, 1 - tail) / self.rate_rate,
        }
        return pd.DataFrame({k: v.ravel() for k, v in columns.items()}, index=index)

    @cached_property
    def samples(self) -> pd.DataFrame:
        """True rate of each sample's row, indexed as the input's rows."""
        import pandas as pd

        return pd.DataFrame(
            {
                "taxon": np.array(self.taxa, dtype=object)[self.taxon],
                "batch": np.array(self.batches, dtype=object)[self.batch],
                "reads": self.counts,
                "depth": self.depth,
                "expected_contamination": self.expected_contamination,
                "rate": self.rate,
                "sd": self.rate_sd,
                "lower": self.low,
                "upper": self.high,
                "p_value": self.p_value,
            },
            index=self.rows,
        )

    def tidy(self) -> pd.DataFrame:
        """All rates in one table, a row each: see `all_rates`."""
        return all_rates(self)

    def summary(self) -> Summary:
        """Estimates as tables."""
        found = int(np.sum(self.low > 0))
        return Summary(
            "True rates above the contamination of negative controls",
            [
                f"{len(self.taxa)} taxa, {len(self.batches)} batches; "
                f"{self.rows.size} rows of samples",
                f"Contamination: mean rate {self.mean_rate:.4g}; coefficient of variation "
                f"{np.sqrt(self.between_taxa):.3g} between taxa, "
                f"{np.sqrt(self.between_batches):.3g} between batches of a taxon",
                f"Above contamination ({100 * self.level:g} % interval starts above 0): {found}",
            ],
            {"Contamination": self.contamination_rates.head(10), "Samples": self.samples.head(10)},
        )


@dataclass(frozen=True)
class _Prior:
    """What all controls say of contamination: alpha, kappa, m0 and the quadrature behind them."""

    alpha: float
    kappa: float
    mean: float
    loglik: float
    nodes: Array  # m_t at each node, (nodes, taxa)
    weights: Array  # posterior weights, (nodes, taxa)

    def posterior(self, reads: Array, exposure: Array) -> tuple[Array, Array]:
        """Shape and rate of each c_tb's gamma posterior, (taxa, batches) each."""
        shape = self.alpha + reads
        rate = self.alpha / self.nodes[:, :, None] + exposure
        weight = self.weights[:, :, None]
        mean = np.sum(weight * shape / rate, axis=0)
        second = np.sum(weight * shape * (shape + 1) / rate**2, axis=0)
        variance = second - mean**2
        return mean**2 / variance, mean / variance


def _learn(reads: Array, exposure: Array) -> _Prior:
    """Maximise the marginal likelihood of all control reads over alpha, kappa and m0."""
    from scipy.optimize import minimize

    n_taxa = len(reads)
    seen = exposure > 0
    index, y, log_depth = np.nonzero(seen)[0], reads[seen], np.log(exposure[seen])
    # With clean controls m0 would go to 0, as if contamination were impossible: half a read in
    # all controls together is the least that they leave open.
    least = np.log(0.5 / exposure.sum())
    start = np.log(max(reads.sum(), 0.5) / exposure.sum())
    one_batch = len(np.unique(np.nonzero(seen)[1])) < 2
    family, prior = NegativeBinomial(Log()), random_family("gamma")
    integral = EffectIntegral(family, prior, y, index, n_taxa, np.ones(y.size), N_NODES)

    def at(log_mean: float, log_kappa: float, log_alpha: float, slopes: bool = True) -> Integrated:
        return integral.at(
            log_mean + log_depth, float(np.exp(-log_kappa)), dispersion=float(np.exp(log_alpha)),
            slopes=slopes, dispersion_slopes=slopes,
        )  # fmt: skip

    def loss(where: Array) -> tuple[float, Array]:
        found = at(*where)
        slopes = np.array([found.d_eta.sum(), -found.d_log_lambda, found.d_log_dispersion.sum()])
        if not (np.isfinite(found.value) and np.all(np.isfinite(slopes))):
            return 1e10, np.zeros(3)
        return -found.value, -slopes

    # One batch says nothing of how batches differ: then they are taken to be alike.
    alpha_bounds = (LOG_SHAPES[1], LOG_SHAPES[1]) if one_batch else LOG_SHAPES
    kappa_bounds = LOG_SHAPES if n_taxa > 1 else (0.0, 0.0)
    found = minimize(
        loss, [start, 0.0, np.clip(1.0, *alpha_bounds)], method="L-BFGS-B", jac=True,
        bounds=[(least, start + 10), kappa_bounds, alpha_bounds],
    )  # fmt: skip
    log_mean, log_kappa, log_alpha = found.x
    posterior = at(*found.x, slopes=False)
    return _Prior(
        alpha=float(np.exp(log_alpha)),
        kappa=float(np.exp(log_kappa)),
        mean=float(np.exp(log_mean)),
        loglik=-float(found.fun),
        nodes=np.exp(log_mean + np.maximum(posterior.nodes, -200.0)),
        weights=posterior.weights,
    )


def _true_rates(y: Array, d: Array, A: Array, B: Array, level: float) -> dict[str, Array]:
    """Posterior of the true rate of each sample's row."""
    parts = []
    # Components are as many as reads: take rows in blocks of bounded size.
    ends = np.searchsorted(np.cumsum(y + 1), np.arange(1, y.sum() // READS_AT_ONCE + 2)
                           * READS_AT_ONCE)  # fmt: skip
    for rows in np.split(np.arange(y.size), np.unique(ends[ends < y.size])):
        if rows.size:
            mixture = rate_posterior(y[rows], d[rows], A[rows], B[rows])
            parts.append((mixture.mean(), mixture.sd(), *mixture.shortest_interval(level)))
    rate, sd, low, high = (np.concatenate(p) for p in zip(*parts, strict=True))
    share = d / (B + d)
    tail = np.where(y > 0, betainc(np.maximum(y, 1.0), A, share), 1.0)
    return {
        "rate": rate,
        "rate_sd": sd,
        "low": low,
        "high": high,
        "expected_contamination": d * A / B,
        "p_value": tail,
    }


def rate_posterior(y: Array, d: Array, A: Array, B: Array) -> GammaMixtures:
    """Posterior of the true rate: a mixture over the reads k that are contamination."""
    sizes = (y + 1).astype(np.intp)
    row = np.repeat(np.arange(y.size), sizes)
    k = np.arange(row.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    a, share = A[row], (d / (B + d))[row]
    log_weight = gammaln(a + k) - gammaln(a) - gammaln(k + 1) + k * np.log(share)
    return GammaMixtures.from_log_weights(log_weight, y[row] - k + 1.0, row, d)


def _checked(counts: Any, taxon: Any, batch: Any, control: Any, depth: Any) -> tuple:
    """Return the arguments as arrays, with labels coded."""
    taxon, batch = np.asarray(taxon), np.asarray(batch)
    try:
        counts, depth = np.asarray(counts, dtype=float), np.asarray(depth, dtype=float)
    except (TypeError, ValueError):
        raise DataError("`counts` and `depth` must be numbers.") from None
    control = np.asarray(control)
    arrays = {"counts": counts, "taxon": taxon, "batch": batch, "control": control, "depth": depth}
    lengths = {name: a.shape for name, a in arrays.items()}
    if len(set(lengths.values())) > 1 or counts.ndim != 1 or counts.size == 0:
        raise DataError(
            f"Give five arrays of one length; they have shapes {listed(lengths.items())}."
        )
    if control.dtype != bool:
        if not np.all(np.isin(control, [0, 1])):
            raise DataError("`control` must be True for negative controls and False for samples.")
        control = control.astype(bool)
    for name, bad, wanted in (
        ("counts", ~(np.isfinite(counts) & (counts >= 0) & (counts == np.floor(counts))),
         "whole numbers from 0 up"),
        ("depth", ~(np.isfinite(depth) & (depth > 0)), "positive numbers"),
    ):  # fmt: skip
        if bad.any():
            first = int(np.argmax(bad))
            raise DataError(
                f"`{name}` must be {wanted}; {int(bad.sum())} are not, the first in row {first}: "
                f"{arrays[name][first]}."
            )
    if not control.any():
        raise DataError("There is no negative control: nothing tells of contamination.")
    if control.all():
        raise DataError("All rows are negative controls: there is no sample.")
    (taxa, t), (batches, b) = (np.unique(a, return_inverse=True) for a in (taxon, batch))
    without = np.setdiff1d(t[~control], t[control])
    if without.size:
        raise DataError(
            f"No control has a row for {listed(taxa[without])}: add their rows, with count 0 where "
            "the control had no read."
        )
    return counts, depth, control, tuple(taxa.tolist()), tuple(batches.tolist()), t, b
