"""Sequenced samples and negative controls: reads that came with the reagents."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from mixedlab.simulate.draws import Draws
from mixedlab.simulate.scenario import Parameter, Share, Simulated, scenario

_RATE = "reads a thousand reads"
_CV = "coefficient of variation"


@scenario
def contamination(
    n_taxa: Annotated[int, Parameter("taxa", low=1)] = 20,
    n_batches: Annotated[int, Parameter("batches", low=1)] = 6,
    n_samples: Annotated[int, Parameter("samples a batch", low=1)] = 8,
    n_controls: Annotated[int, Parameter("negative controls a batch", low=1)] = 3,
    depth: Annotated[float, Parameter("thousand reads, of a sample", low=1e-6)] = 20.0,
    control_depth: Annotated[float, Parameter("thousand reads, of a control", low=1e-6)] = 10.0,
    depth_spread: Annotated[float, Parameter("sd of log depth", low=0)] = 0.3,
    background: Annotated[float, Parameter(_RATE, low=0)] = 0.5,
    cv_taxa: Annotated[float, Parameter(_CV, low=0, high=10)] = 1.0,
    cv_batches: Annotated[float, Parameter(_CV, low=0, high=10)] = 0.5,
    present: Share = 0.3,
    abundance: Annotated[float, Parameter(_RATE, low=0)] = 1.0,
    cv_abundance: Annotated[float, Parameter(_CV, low=0, high=10)] = 1.0,
    *,
    seed: int = 1,
) -> Simulated:
    """Simulate reads by taxon, batch and sample, with contamination that differs by batch.

    Taxon t contaminates at rate ``m_t ~ Gamma(1/cv_taxa^2, mean background)``, in batch b at
    ``c_tb ~ Gamma(1/cv_batches^2, mean m_t)``. A taxon lives in a sample with chance ``present``;
    then its rate is ``r_ts ~ Gamma(1/cv_abundance^2, mean abundance)``, else 0. Reads are
    ``Poisson(depth (r + c))`` in samples and ``Poisson(depth c)`` in controls.

    Returns
    -------
    Simulated
        Columns ``taxon``, ``batch``, ``sample`` (numbered over all batches, controls after the
        batch's samples), ``control``, ``depth``, ``reads``. Truth: ``rate`` (each row's true rate,
        0 in controls), ``contamination`` (taxa by batches) and ``cv_contamination``, the
        coefficient of variation of c over taxa and batches,
        ``sqrt((1 + cv_taxa^2) (1 + cv_batches^2) - 1)``.

    Examples
    --------
    >>> import mixedlab as ml
    >>> ml.simulate.contamination(seed=1).to_frame().head(3).round(2)
       taxon  batch  sample  control  depth  reads
    0      0      0       0    False  17.42      0
    1      1      0       0    False  17.42      3
    2      2      0       0    False  17.42      2
    """
    draws = Draws(seed)
    taxa, batches = np.arange(n_taxa), np.arange(n_batches)

    def spread(role: str, cv: float, *index: np.ndarray) -> np.ndarray:
        """Gamma numbers of mean 1."""
        return draws.gamma(role, 1 / cv**2, *index) * cv**2 if cv > 0 else np.ones(1)

    m = background * np.broadcast_to(spread("taxon", cv_taxa, taxa), n_taxa)
    c = m[:, None] * spread("batch", cv_batches, taxa[:, None], batches)
    c = np.broadcast_to(c, (n_taxa, n_batches))
    in_batch = n_samples + n_controls
    batch, number, taxon = (
        a.ravel() for a in np.meshgrid(batches, np.arange(in_batch), taxa, indexing="ij")
    )
    control = number >= n_samples
    # controls are numbered from 0 too, so that more samples leave their numbers alone
    place = np.where(control, number - n_samples, number)
    where = batch, place, control.astype(int)
    typical = np.where(control, control_depth, depth)
    z = draws.normal("depth", *where)
    depths = typical * np.exp(depth_spread * z - depth_spread**2 / 2)
    lives = draws.bernoulli("lives", present, *where, taxon).astype(bool) & ~control
    rate = abundance * lives * spread("abundance", cv_abundance, *where, taxon)
    reads = draws.poisson("reads", depths * (rate + c[taxon, batch]), *where, taxon)
    return Simulated(
        "contamination",
        {
            "taxon": taxon,
            "batch": batch,
            "sample": batch * in_batch + number,
            "control": control,
            "depth": depths,
            "reads": reads,
        },
        truth={
            "rate": rate,
            "contamination": c,
            "cv_contamination": float(np.sqrt((1 + cv_taxa**2) * (1 + cv_batches**2) - 1)),
        },
        units={"depth": "thousand reads", "reads": "reads"},
    )
