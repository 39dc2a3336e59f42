"""All parameters of a fit in one table, a row each: what other programs' tables are joined with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedlab.inference.contract import Fit
from mixedlab.inference.denominators import Method
from mixedlab.inference.intervals import confint
from mixedlab.inference.ratios import exponentiated, ratio_name
from mixedlab.inference.tables import two_sided_p
from mixedlab.inference.tests_of_coefs import tests

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["effect", "group", "term", "estimate", "se", "df", "statistic", "p", "lower", "upper"]


def tidy(
    fit: Fit, level: float = 0.95, df: Method | None = None, *, exponentiate: bool = False
) -> pd.DataFrame:
    """One row a parameter: the coefficients, then standard deviations, correlations, dispersion.

    Parameters
    ----------
    fit : Fit
    level : float
        Of the Wald intervals.
    df : {"satterthwaite", "kenward-roger", "wald"}, optional
        Reference of tests and intervals of the coefficients, as in ``fit.tests``.
    exponentiate : bool
        Coefficients as ratios: of odds, rates, hazards. Other rows stay as they are.

    Returns
    -------
    DataFrame
        ``effect`` ("fixed", "random", "dispersion"), ``group``, ``term``, ``estimate``, ``se``,
        ``df``, ``statistic``, ``p``, ``lower``, ``upper``. Standard deviations, correlations and
        dispersions have no ``se`` and no test: their interval is not symmetric.

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.glmm("incidence / size ~ period + (1 | herd)", ml.load("cbpp"), weights="size")
    >>> fit.tidy(exponentiate=True)[["term", "estimate", "lower", "upper", "p"]].round(3)
                 term  estimate  lower  upper      p
    0     (Intercept)     0.247  0.157  0.389  0.000
    1     period[T.2]     0.371  0.203  0.676  0.001
    2     period[T.3]     0.323  0.171  0.614  0.001
    3     period[T.4]     0.206  0.089  0.476  0.000
    4  sd (Intercept)     0.642  0.372  1.107    NaN
    """
    import pandas as pd

    tested = tests(fit, df)
    ends = confint(fit, level, df=tested.attrs["df"])
    fixed = _fixed(tested, ends.loc[list(fit.names)])
    if exponentiate:
        ratio_name(fit)
        factor = np.exp(fixed["estimate"])
        fixed = exponentiated(fixed, fixed.index, ["estimate", "lower", "upper"])
        fixed["se"] *= factor  # by the delta method
    ends, rows = ends.reindex([p.name for p in fit.named_parameters]), []
    for parameter, (lower, upper) in zip(fit.named_parameters, ends.to_numpy(), strict=True):
        name = parameter.name
        term, _, group = name.partition(" | ")
        if parameter.kind in ("sd", "cor"):
            rows.append(("random", group, term, parameter.estimate, lower, upper))
        elif parameter.kind != "beta":
            rows.append(("dispersion", "", name, parameter.estimate, lower, upper))
    columns = ["effect", "group", "term", "estimate", "lower", "upper"]
    variation = pd.DataFrame(rows, columns=columns).reindex(columns=fixed.columns)
    return pd.concat([fixed, variation.astype(fixed.dtypes)], ignore_index=True)


def tidy_rows(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """Rows of ``effect, group, term, estimate, se, df, lower, upper`` as a table like `tidy`'s.

    The test against zero is of ``estimate / se``, as t with ``df`` degrees of freedom.
    """
    import pandas as pd

    columns = ["effect", "group", "term", "estimate", "se", "df", "lower", "upper"]
    table = pd.DataFrame(rows, columns=columns)
    table["statistic"] = table["estimate"] / table["se"]
    table["p"] = two_sided_p(table["statistic"].to_numpy(), table["df"].to_numpy())
    return table[COLUMNS]


def tidy_coefficients(of: Any, level: float) -> pd.DataFrame:
    """Coefficients alone, with normal tests and intervals; columns as in `tidy`."""
    return _fixed(tests(of, "wald"), of.confint(level).loc[list(of.names)])


def _fixed(tested: pd.DataFrame, ends: pd.DataFrame) -> pd.DataFrame:
    statistic = tested.columns[3]
    table = tested.rename(columns={statistic: "statistic"}).join(ends)
    table.insert(0, "effect", "fixed")
    table.insert(1, "group", "")
    table.insert(2, "term", list(table.index))
    table.attrs = {}
    return table.reset_index(drop=True)


def coefficients_table(fit: Fit, *, exponentiate: bool = False) -> pd.DataFrame:
    """The coefficients with their tests, for a summary; as ratios with 95 % intervals if asked."""
    tested = tests(fit)
    if exponentiate:
        name = ratio_name(fit)
        ends = confint(fit, parameters=fit.names, df=tested.attrs["df"], exponentiate=True)
        ratios = ends.assign(**{name: np.exp(tested["estimate"])})[[name, "lower", "upper"]]
        return ratios.join(tested.iloc[:, 3:])
    return tested if np.isfinite(tested["df"]).any() else tested.drop(columns="df")
