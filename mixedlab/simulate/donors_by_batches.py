"""Donors and processing batches, from fully crossed to confounded."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from mixedlab.simulate.draws import Draws
from mixedlab.simulate.scenario import Parameter, Share, Simulated, scenario

_LOG = "log2 reads in peak"


@scenario
def batches(
    n_donors: Annotated[int, Parameter("donors", low=1)] = 12,
    n_batches: Annotated[int, Parameter("batches", low=1)] = 6,
    n_replicates: Annotated[int, Parameter("replicates a donor and batch", low=1)] = 2,
    confounding: Share = 0.0,
    mean: Annotated[float, Parameter(_LOG)] = 8.0,
    sd_donor: Annotated[float, Parameter(_LOG, low=0)] = 0.8,
    sd_batch: Annotated[float, Parameter(_LOG, low=0)] = 0.6,
    sd_error: Annotated[float, Parameter(_LOG, low=0)] = 0.4,
    *,
    seed: int = 1,
) -> Simulated:
    """Simulate ChIP-seq signal with crossed random effects of donors and batches.

    ``y_dbr = mean + u_d + v_b + e_dbr``. Every donor is in its own batch (d modulo the number of
    batches); each other combination is dropped with chance ``confounding``. At 0 all donors are in
    all batches; at 1 each donor is in one batch only.

    Returns
    -------
    Simulated
        Columns ``donor``, ``batch``, ``signal``. Truth: ``mean``, ``u``, ``v``, the sds,
        ``cells`` (donors by batches, which combinations exist), ``corr_donor`` and ``corr_batch``
        (correlation of two rows that share only the donor, only the batch), ``corr_both``, and
        ``components``, the number of unconnected parts of the design: with more than one the
        parts' levels cannot be compared.

    Examples
    --------
    >>> import mixedlab as ml
    >>> ml.simulate.batches(seed=1).to_frame().head(3).round(2)
       donor  batch  signal
    0      0      0    5.89
    1      0      0    5.41
    2      0      1    6.60
    """
    draws = Draws(seed)
    donors, labels = np.arange(n_donors), np.arange(n_batches)
    own = donors[:, None] % n_batches == labels
    kept = draws.uniform("cell", donors[:, None], labels) >= confounding
    cells = own | (kept & (confounding < 1))
    where = np.repeat(np.argwhere(cells), n_replicates, axis=0)
    donor, batch = where[:, 0], where[:, 1]
    replicate = np.tile(np.arange(n_replicates), int(cells.sum()))
    u = sd_donor * draws.normal("donor", donors)
    v = sd_batch * draws.normal("batch", labels)
    e = sd_error * draws.normal("replicate", donor, batch, replicate)
    total = sd_donor**2 + sd_batch**2 + sd_error**2
    share = np.array([sd_donor**2, sd_batch**2, sd_donor**2 + sd_batch**2])
    corr = share / total if total > 0 else np.full(3, np.nan)
    return Simulated(
        "batches",
        {"donor": donor, "batch": batch, "signal": mean + u[donor] + v[batch] + e},
        truth={
            "mean": mean,
            "u": u,
            "v": v,
            "sd_donor": sd_donor,
            "sd_batch": sd_batch,
            "sd_error": sd_error,
            "cells": cells,
            "corr_donor": float(corr[0]),
            "corr_batch": float(corr[1]),
            "corr_both": float(corr[2]),
            "components": _components(cells),
        },
        units={"signal": _LOG},
    )


def _components(cells: np.ndarray) -> int:
    """Count the unconnected parts of a donor by batch design."""
    linked = cells.astype(int) @ cells.T.astype(int) > 0
    while True:
        wider = linked.astype(int) @ linked.astype(int) > 0
        if np.array_equal(wider, linked):
            break
        linked = wider
    return len(np.unique(linked, axis=0)) + int(np.sum(~cells.any(axis=0)))
