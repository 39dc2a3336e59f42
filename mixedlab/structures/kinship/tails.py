"""Tail probabilities so small that a double cannot hold them: their decimal logarithms."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_LN10 = float(np.log(10.0))


def log10_t_two_sided(t: ArrayLike, df: float) -> NDArray[np.float64]:
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


def log10_chi2_1(x: ArrayLike) -> NDArray[np.float64]:
    """Return log10 P(chi-squared with 1 degree of freedom > x)."""
    from scipy.special import log_ndtr

    return (np.log(2.0) + log_ndtr(-np.sqrt(np.asarray(x, dtype=float)))) / _LN10
