"""Tests of the fixed effects: Wald, Satterthwaite, Kenward-Roger.

A ratio of estimate and standard error is normal only when the variances are known. Both
corrections refer it to t with fewer degrees of freedom; Kenward and Roger also enlarge the
standard error (`mixedlab.inference.denominators`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixedlab.inference.contract import Fit, answers
from mixedlab.inference.denominators import Method, reference
from mixedlab.inference.tables import two_sided_p

if TYPE_CHECKING:
    import pandas as pd


def tests(fit: Fit, df: Method | None = None) -> pd.DataFrame:  # noqa: PT028
    """Test each coefficient against zero.

    Parameters
    ----------
    fit : Fit
    df : {"satterthwaite", "kenward-roger", "wald"}, optional
        How the reference distribution is chosen: t with approximate degrees of freedom, or
        normal. The first two are for linear models, Kenward-Roger for REML fits. By default
        Satterthwaite's where they can be had, otherwise Wald's.

    Returns
    -------
    DataFrame
        One row a coefficient: ``estimate, se, df, t, p`` (``z`` for Wald, ``df`` infinite);
        ``attrs["df"]`` names the method.

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    >>> fit.tests(df="kenward-roger").round({"estimate": 2, "se": 2, "df": 1, "t": 2})
                 estimate    se    df      t             p
    (Intercept)    251.41  6.82  17.0  36.84  1.170888e-17
    Days            10.47  1.55  17.0   6.77  3.263788e-06
    """
    import pandas as pd

    if df is None:
        df = "satterthwaite" if answers(fit, "satterthwaite") else "wald"
    found = reference(fit, df)
    se, freedom = found.se, found.df
    ratio = fit.beta / se
    p = two_sided_p(ratio, freedom)
    columns = {"estimate": fit.beta, "se": se, "df": freedom}
    columns |= {"z" if df == "wald" else "t": ratio, "p": p}
    table = pd.DataFrame(columns, index=list(fit.names))
    table.attrs["df"] = df
    return table
