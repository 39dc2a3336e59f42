"""Tests of whole terms: F with approximate degrees of freedom, chi-squared, likelihood ratio.

A term of k coefficients is tested by ``L beta = 0`` (`mixedlab.inference.hypotheses`):
``F = (L b)' (L V L')^-1 (L b) / k`` with the denominator of `mixedlab.inference.denominators`.
Where the variances are taken as known, ``k F`` is chi-squared.

References
----------
Searle (1987), Linear Models for Unbalanced Data; Fox (2016), Applied Regression Analysis, ch. 8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from mixedlab.errors import MixedlabError
from mixedlab.inference.contract import Fit, MixedModel, answers, refuse
from mixedlab.inference.denominators import reference
from mixedlab.inference.hypotheses import hypotheses

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
Reference = Literal["satterthwaite", "kenward-roger", "wald", "likelihood-ratio"]


def terms_table(fit: Fit, type: int = 3, df: Reference | None = None) -> pd.DataFrame:
    """Test each term of the fixed part.

    Parameters
    ----------
    fit : Fit
    type : {3, 2, 1}
        What a term is adjusted for. 3: all other terms, averaged equally over the levels of the
        factors it interacts with. 2: all terms that do not contain it. 1: the terms before it.
    df : {"satterthwaite", "kenward-roger", "wald", "likelihood-ratio"}, optional
        The reference: F with approximate denominator degrees of freedom, chi-squared with the
        variances taken as known, or twice the fall of the log-likelihood when the hypothesis is
        lifted (both models by maximum likelihood). By default Satterthwaite's where it can be
        had, otherwise Wald's.

    Returns
    -------
    DataFrame
        One row a term, as the formula writes it: ``df1, df2, F, p``, or ``df, chisq, p``.

    Raises
    ------
    MixedlabError
        For a type or reference that does not exist or that the fit does not answer, and for type
        III where a combination of levels is empty.

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.lmm("distance ~ age * Sex + (1 | Subject)", ml.load("orthodont"))
    >>> fit.terms_table(type=3, df="kenward-roger").round(4)
             df1       df2         F       p
    age        1   79.0000  108.3559  0.0000
    Sex        1  103.9864    0.4507  0.5035
    age:Sex    1   79.0000    6.3027  0.0141
    """
    import pandas as pd
    from scipy.special import chdtrc, fdtrc

    if df is None:
        df = "satterthwaite" if answers(fit, "satterthwaite") else "wald"
    if df not in Reference.__args__:
        raise MixedlabError(f"df is one of {Reference.__args__}, not {df!r}.")
    if df == "likelihood-ratio":
        refuse(fit, "likelihood ratio of a term")
    else:
        used = reference(fit, df)
    contrasts = hypotheses(fit, type, by_information=not answers(fit, "satterthwaite"))
    names, k = list(contrasts), np.array([len(L) for L in contrasts.values()], dtype=int)
    if df in ("satterthwaite", "kenward-roger"):
        found = [used.F(fit.beta, L) for L in contrasts.values()]
        F, m = np.array(found).reshape(-1, 2).T
        p = np.where(np.isfinite(m), fdtrc(k, m, F), chdtrc(k, k * F))
        return pd.DataFrame({"df1": k, "df2": m, "F": F, "p": p}, index=names)
    if df == "wald":
        chisq = k * [used.F(fit.beta, L)[0] for L in contrasts.values()]
    else:
        full = fit.by_maximum_likelihood()
        chisq = np.array([_likelihood_ratio(full, L) for L in contrasts.values()])
    return pd.DataFrame({"df": k, "chisq": chisq, "p": chdtrc(k, chisq)}, index=names)


def _likelihood_ratio(fit: MixedModel, L: Array) -> float:
    """Fall of the deviance when ``L beta = 0`` is lifted.

    Under the hypothesis beta is a combination of the null space of L, so that its columns of X
    are combinations too.
    """
    free = np.linalg.svd(L)[2][len(L) :]
    small = fit.with_columns(fit.X @ free.T, [f"column {j + 1}" for j in range(len(free))])
    return max(small.criterion - fit.criterion, 0.0)
