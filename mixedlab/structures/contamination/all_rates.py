"""The rates that a contamination fit estimates as one table, like that of every other fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixedlab.inference.tidying import COLUMNS

if TYPE_CHECKING:
    import pandas as pd


def all_rates(fit: Any) -> pd.DataFrame:
    """All estimates in one table, a row each; columns as of every fit's ``tidy``.

    Parameters
    ----------
    fit : ContaminationFit

    Returns
    -------
    DataFrame
        ``effect`` is "contamination" (the shrunken rate of taxon and batch) or "true rate" (of
        a sample's row); ``group`` is the batch, ``term`` the taxon. ``p`` is the chance that
        contamination alone gives at least the reads of the row; intervals are of ``level``.

    Examples
    --------
    >>> import mixedlab as ml
    >>> names = ("reads", "taxon", "batch", "control", "depth")
    >>> sim = ml.simulate.contamination(n_taxa=5, seed=1)
    >>> fit = ml.contamination(*(sim.columns[name] for name in names))
    >>> fit.tidy()["effect"].value_counts().to_dict()
    {'true rate': 240, 'contamination': 30}
    """
    import pandas as pd

    rates, samples = fit.contamination_rates.reset_index(), fit.samples
    se = np.sqrt(fit.rate_shape) / fit.rate_rate
    parts = (
        rates.assign(effect="contamination", se=se.ravel()),
        samples.assign(effect="true rate").rename(columns={"sd": "se", "p_value": "p"}),
    )
    names = {"rate": "estimate", "batch": "group", "taxon": "term"}
    made = [part.rename(columns=names).reindex(columns=COLUMNS) for part in parts]
    floats = dict.fromkeys(COLUMNS[3:], float)
    return pd.concat([part.astype(floats) for part in made], ignore_index=True)
