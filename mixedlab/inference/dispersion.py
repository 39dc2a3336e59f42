"""Overdispersion: is there more variation than the family allows?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mixedlab.inference.contract import MixedModel
from mixedlab.inference.explained import pearson_residuals


class Overdispersion(NamedTuple):
    """Pearson's statistic of a generalised fit.

    Attributes
    ----------
    statistic : float
        Sum of squared Pearson residuals, given the random effects.
    df : int
        Rows less estimated parameters.
    ratio : float
        ``statistic / df``; near 1 where the family's variance is right.
    p_value : float
        Upper tail of chi-squared. A rough guide: small counts and 0/1 responses make it too large.
    """

    statistic: float
    df: int
    ratio: float
    p_value: float


def overdispersion(fit: MixedModel) -> Overdispersion:
    """Pearson's statistic with its degrees of freedom.

    McCullagh and Nelder (1989), section 4.5; the residuals are conditional on the predicted random
    effects, whose own degrees of freedom are not taken off, so the ratio is a little small. For
    0/1 responses it says nothing about overdispersion.
    """
    from scipy.stats import chi2

    statistic = float(np.sum(pearson_residuals(fit) ** 2))
    df = fit.n_obs - fit.n_params
    return Overdispersion(statistic, df, statistic / df, float(chi2.sf(statistic, df)))
