r"""Group analysis in two stages: an estimate for each subject, then a model of the estimates.

Subject j has an estimate y_j with standard error s_j. The second stage is

    y_j = mu + b_j + e_j,   b_j ~ N(0, tau^2),   e_j ~ N(0, s_j^2),

with s_j taken as known. Given tau^2 the weights are w_j = 1 / (s_j^2 + tau^2), and the estimate
of mu is the weighted mean. The methods differ in tau^2:

- fixed effect (FE): tau^2 = 0; mu is about *these* subjects, each weighed by its precision;
- DerSimonian and Laird (DL): tau^2 makes Cochran's Q equal its expectation;
- ML and REML: the tau^2 of highest (restricted) likelihood;

and at the other end the **random-effects** analysis of brain imaging, a t-test on the y_j,
weighs all subjects alike and does not use s_j. The **mixed-effects** analysis, REML here, lies
between: with tau^2 small it weighs by precision, with tau^2 large it weighs all alike.

Sources: DerSimonian and Laird (1986) Controlled Clinical Trials 7:177; Viechtbauer (2005) J.
Educ. Behav. Stat. 30:261 (REML, its likelihood); Higgins and Thompson (2002) Stat. Med. 21:1539
(I^2, H^2); Knapp and Hartung (2003) Stat. Med. 22:2693; Raudenbush (2009) in Cooper, Hedges and
Valentine, ch. 16 (BLUPs).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.errors import DataError
from mixedlab.inference.reporting import Report, Summary
from mixedlab.inference.tables import by_name, normal_quantile, on_rows

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

METHODS = ("FE", "DL", "ML", "REML")


@dataclass(frozen=True, eq=False, repr=False)
class TwoStageFit(Report):
    """The mean of the subjects' effects and their spread.

    Attributes
    ----------
    estimate, se : float
        mu and its standard error.
    tau2 : float
        Variance of the subjects' true effects.
    Q, Q_df, Q_p : float
        Cochran's test that all subjects have one effect.
    I2 : float
        Per cent of the variance of the estimates that is due to tau^2; for FE and DL from Q.
    H2 : float
        1 / (1 - I2/100): total variance over sampling variance.
    method : str
    knapp_hartung : bool
        Whether ``se`` is rescaled by the weighted residuals and tests use t with J - 1 df.
    loglik : float
        Log-likelihood (restricted for REML) at the estimates.
    labels : tuple
        Names of the subjects.
    y, s : ndarray, shape (J,)
        Estimates and standard errors that came in.
    """

    estimate: float
    se: float
    tau2: float
    Q: float
    I2: float
    H2: float
    method: str
    knapp_hartung: bool
    loglik: float
    labels: tuple
    y: Array
    s: Array

    @property
    def tau(self) -> float:
        """Standard deviation of the subjects' true effects."""
        return float(np.sqrt(self.tau2))

    @property
    def Q_df(self) -> int:
        """Degrees of freedom of Q."""
        return self.y.size - 1

    @property
    def Q_p(self) -> float:
        """P-value of Q."""
        from scipy.special import chdtrc

        return float(chdtrc(self.Q_df, self.Q))

    @property
    def statistic(self) -> float:
        """Estimate over standard error: z, or t with ``knapp_hartung``."""
        return self.estimate / self.se

    @property
    def df(self) -> float:
        """Degrees of freedom of ``statistic``; infinite for z."""
        return float(self.Q_df) if self.knapp_hartung else np.inf

    @property
    def p(self) -> float:
        """Two-sided p-value of a mean of 0."""
        from scipy import stats

        return float(2 * stats.t.sf(abs(self.statistic), self.df))

    @cached_property
    def weights(self) -> pd.Series:
        """Each subject's share of the estimate; they sum to 1."""
        w = 1.0 / (self.s**2 + self.tau2)
        return by_name(self.labels, w / w.sum(), "weight")

    def confint(self, level: float = 0.95) -> tuple[float, float]:
        """Interval for the mean."""
        from scipy import stats

        quantile = normal_quantile(level)
        if self.knapp_hartung:
            quantile = float(stats.t.ppf(0.5 + level / 2, self.df))
        margin = quantile * self.se
        return self.estimate - margin, self.estimate + margin

    def tidy(self, level: float = 0.95) -> pd.DataFrame:
        """The mean and the spread, a row each; columns as of every fit's ``tidy``."""
        from mixedlab.inference.tidying import tidy_rows

        nan = float("nan")
        return tidy_rows([
            ("fixed", "", "mean", self.estimate, self.se, self.df, *self.confint(level)),
            ("random", "subject", "sd mean", self.tau, nan, nan, nan, nan),
        ])  # fmt: skip

    @cached_property
    def blup(self) -> pd.DataFrame:
        """Best prediction of each subject's true effect, shrunk towards the mean.

        Columns ``pred`` and ``se``; the error counts that the mean is estimated.
        """
        shrink = self.s**2 / (self.s**2 + self.tau2)
        pred = self.y + shrink * (self.estimate - self.y)
        variance = self.tau2 * shrink + shrink**2 * self.se**2
        return on_rows({"pred": pred, "se": np.sqrt(variance)}, list(self.labels))

    def summary(self) -> Summary:
        """Estimate, spread, and the test that all subjects have one effect."""
        low, high = self.confint()
        statistic = "t" if self.knapp_hartung else "z"
        columns = {"estimate": self.estimate, "se": self.se, statistic: self.statistic, "p": self.p}
        table = on_rows(columns | {"lower": low, "upper": high}, ["mean"])
        lines = [
            f"{self.y.size} subjects; method {self.method}"
            + (", Knapp-Hartung" if self.knapp_hartung else ""),
            f"tau^2 = {self.tau2:.4f} (tau {self.tau:.4f}); I^2 = {self.I2:.1f} %; "
            f"H^2 = {self.H2:.2f}",
            f"All subjects alike? Q = {self.Q:.2f} on {self.Q_df} df, p = {self.Q_p:.3g}",
        ]
        return Summary("Two-stage analysis", lines, {"Mean effect": table})


def two_stage(
    estimate: ArrayLike,
    se: ArrayLike,
    method: str = "REML",
    knapp_hartung: bool = False,
    *,
    labels: ArrayLike | None = None,
) -> TwoStageFit:
    """Combine one estimate for each subject (or study).

    Parameters
    ----------
    estimate, se : array_like, shape (J,)
        Estimates and their standard errors, in the same units.
    method : {"FE", "DL", "ML", "REML"}
    knapp_hartung : bool
        Rescale the standard error by the weighted residuals, and use t with J - 1 degrees of
        freedom: nearer to the stated coverage with few subjects.
    labels : array_like, shape (J,), optional
        Names of the subjects; by default the index of a Series, or 1 to J.

    Returns
    -------
    TwoStageFit

    Raises
    ------
    DataError
        Where shapes differ, a standard error is not positive, a value is missing, or there are
        fewer than two subjects.

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.two_stage([0.2, 0.5, 0.1, 0.8], [0.1, 0.2, 0.15, 0.3], method="DL")
    >>> round(fit.estimate, 3), round(fit.se, 3), round(fit.tau2, 3)
    (0.309, 0.121, 0.029)
    """
    method = str(method).upper()
    if method not in METHODS:
        raise DataError(f"method must be one of {', '.join(METHODS)}, not {method!r}.")
    y, s, names = _checked(estimate, se, labels)
    # In units of a typical standard error: then nothing depends on the units of y.
    unit = float(np.median(s))
    y, s = y / unit, s / unit
    fixed = 1.0 / s**2
    mean = (fixed @ y) / fixed.sum()
    Q = float(fixed @ (y - mean) ** 2)
    df = y.size - 1
    # The method-of-moments denominator; also the inverse of a typical sampling variance times df.
    c = fixed.sum() - (fixed @ fixed) / fixed.sum()
    tau2 = {
        "FE": lambda: 0.0,
        "DL": lambda: max(0.0, (Q - df) / c),
        "ML": lambda: _best_tau2(y, s, reml=False),
        "REML": lambda: _best_tau2(y, s, reml=True),
    }[method]()
    w = 1.0 / (s**2 + tau2)
    mu = (w @ y) / w.sum()
    variance = 1.0 / w.sum()
    if knapp_hartung:
        variance *= (w @ (y - mu) ** 2) / df
    if method == "FE":
        I2 = max(0.0, 100 * (Q - df) / Q) if Q > 0 else 0.0
        H2 = Q / df
    else:
        I2 = 100 * tau2 / (tau2 + df / c)
        H2 = 1 + tau2 * c / df
    loglik, _ = _likelihood(tau2, y, s, reml=method == "REML")
    n_densities = df if method == "REML" else y.size
    return TwoStageFit(
        estimate=float(mu * unit),
        se=float(np.sqrt(variance) * unit),
        tau2=float(tau2 * unit**2),
        Q=Q,
        I2=float(I2),
        H2=float(H2),
        method=method,
        knapp_hartung=knapp_hartung,
        loglik=float(loglik - n_densities * np.log(unit)),
        labels=names,
        y=y * unit,
        s=s * unit,
    )


def _likelihood(tau2: float, y: Array, s: Array, reml: bool) -> tuple[float, float]:
    """Log-likelihood with mu profiled out, and its derivative in tau^2.

    ML: -1/2 sum [log 2 pi + log v_j + (y_j - mu)^2 / v_j], v_j = s_j^2 + tau^2. REML adds
    1/2 log 2 pi - 1/2 log sum w_j + 1/2 log J.
    """
    v = s**2 + tau2
    w = 1 / v
    r = y - (w @ y) / w.sum()
    value = -0.5 * float(np.sum(np.log(2 * np.pi * v) + r * r * w))
    slope = -0.5 * float(np.sum(w - (r * w) ** 2))
    if reml:
        value += 0.5 * float(np.log(2 * np.pi * y.size / w.sum()))
        slope += 0.5 * float((w @ w) / w.sum())
    return value, slope


def _best_tau2(y: Array, s: Array, reml: bool) -> float:
    """Highest point of the likelihood over tau^2 >= 0.

    The likelihood may have several peaks, so the sign of its slope is looked at on a grid, and
    every peak is solved for. tau^2 = 0 stands where the slope there is not positive and no other
    peak is higher.
    """
    from scipy.optimize import brentq

    # Beyond the spread of the y the slope is negative: every squared residual is below v.
    top = float(np.ptp(y) ** 2) + float(np.max(s) ** 2)
    grid = np.concatenate(([0.0], np.geomspace(1e-8 * float(np.min(s) ** 2), 4 * top, 200)))
    slopes = np.array([_likelihood(t, y, s, reml)[1] for t in grid])
    peaks = [0.0]
    for k in np.flatnonzero((slopes[:-1] > 0) & (slopes[1:] <= 0)):
        root = brentq(lambda t: _likelihood(t, y, s, reml)[1], grid[k], grid[k + 1], rtol=1e-14)
        peaks.append(float(root))
    return max(peaks, key=lambda t: _likelihood(t, y, s, reml)[0])


def compare_group_analyses(
    estimate: ArrayLike, se: ArrayLike, *, labels: ArrayLike | None = None
) -> pd.DataFrame:
    """Fixed-, random- and mixed-effects group analysis of the same subjects.

    Parameters
    ----------
    estimate, se, labels
        Of the subjects, as in ``ml.two_stage``.

    Returns
    -------
    DataFrame
        One row an analysis: what it is about, estimate, se, statistic, df, p, largest weight
        of one subject. ``fixed``: these subjects, weighed by precision. ``random``: people in
        general, a t-test that weighs all alike. ``mixed``: people in general, weighed by
        precision and tau^2 (REML, Knapp-Hartung).

    Examples
    --------
    >>> import mixedlab as ml
    >>> ml.compare_group_analyses([0.2, 0.5, 0.1, 0.8], [0.1, 0.2, 0.15, 0.3]).round(3)
                        about  estimate     se  ...   df      p  largest_weight
    fixed      these subjects     0.254  0.074  ...  inf  0.001           0.554
    random  people in general     0.400  0.158  ...  3.0  0.085           0.250
    mixed   people in general     0.311  0.135  ...  3.0  0.105           0.375
    <BLANKLINE>
    [3 rows x 7 columns]
    """
    import pandas as pd

    y, s, labels = _checked(estimate, se, labels)
    if np.ptp(y) == 0:
        raise DataError("All estimates are equal: a t-test has nothing to measure by.")
    # With equal weights the weighted mean is the mean, and its rescaled error that of the t-test.
    analyses = {
        "fixed": ("these subjects", two_stage(y, s, "FE", labels=labels)),
        "random": ("people in general", two_stage(y, np.ones(y.size), "FE", True, labels=labels)),
        "mixed": ("people in general", two_stage(y, s, "REML", True, labels=labels)),
    }
    rows = {
        name: (about, f.estimate, f.se, f.statistic, f.df, f.p, f.weights.max())
        for name, (about, f) in analyses.items()
    }
    columns = ["about", "estimate", "se", "statistic", "df", "p", "largest_weight"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def _checked(
    estimate: ArrayLike, se: ArrayLike, labels: ArrayLike | None
) -> tuple[Array, Array, tuple]:
    if labels is None and hasattr(estimate, "to_numpy"):
        labels = estimate.index
    y, s = (_numbers(values, name) for values, name in ((estimate, "estimate"), (se, "se")))
    if y.ndim != 1 or y.shape != s.shape:
        raise DataError(
            f"estimate has shape {y.shape} and se {s.shape}: give one of each a subject."
        )
    names = tuple(range(1, y.size + 1)) if labels is None else tuple(labels)
    if len(names) != y.size:
        raise DataError(f"{len(names)} labels for {y.size} subjects.")
    for values, name in ((y, "estimate"), (s, "se")):
        bad = ~np.isfinite(values)
        if bad.any():
            raise DataError(
                f"{name} of subject {names[int(np.flatnonzero(bad)[0])]!r} is missing or "
                "infinite: leave that subject out of both arrays."
            )
    if (s <= 0).any():
        raise DataError(f"se of subject {names[int(np.flatnonzero(s <= 0)[0])]!r} is not positive.")
    if y.size < 2:
        raise DataError("A group analysis needs at least two subjects.")
    return y, s, names


def _numbers(values: Any, name: str) -> Array:
    try:
        return np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise DataError(f"{name} must hold numbers.") from None
