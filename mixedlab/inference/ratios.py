"""Coefficients as ratios: what ``exp`` of a coefficient is, where it is something.

Under a logit a unit more multiplies the odds by ``exp(beta)``, under a log the mean, under the
complementary log-log the hazard of an event in grouped time. Under other links it is nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mixedlab.errors import MixedlabError
from mixedlab.inference.contract import Fit

if TYPE_CHECKING:
    import pandas as pd

_UNDER = {"logit": "odds ratio", "log": "ratio of means", "cloglog": "hazard ratio"}
_COUNTS = ("poisson", "negative_binomial")
_LOG = re.compile(r"\s*(np\.)?log\([^~]*\)\s*~")


def ratio_name(fit: Fit) -> str:
    """What ``exp`` of a coefficient is: "odds ratio", "rate ratio", "hazard ratio", ...

    Raises
    ------
    MixedlabError
        Under a link where it is none of them.
    """
    if not has_ratios(fit):
        raise MixedlabError(
            f"Under the {fit.response_family.link.name} link exp(coefficient) is no ratio: "
            "exponentiate=True is for links logit (odds), log (rates, means) and cloglog "
            "(hazards), and for a response log(y)."
        )
    return _name(fit)


def has_ratios(fit: Fit) -> bool:
    """Whether ``exp`` of a coefficient is a ratio."""
    return _name(fit) != ""


def _name(fit: Fit) -> str:
    family = fit.response_family
    if family.link.name == "log" and family.name in _COUNTS:
        return "rate ratio"
    if family.link.name == "identity" and _LOG.match(fit.formula):
        return "ratio of geometric means"
    return _UNDER.get(family.link.name, "")


def exponentiated(
    table: pd.DataFrame, rows: Sequence[bool] | Sequence[str], columns: Sequence[str]
) -> pd.DataFrame:
    """The table with ``exp`` of some columns in some rows."""
    out = table.copy()
    out.loc[rows, list(columns)] = np.exp(out.loc[rows, list(columns)])
    return out
