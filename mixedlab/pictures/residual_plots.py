r"""Residuals that look the same where a model is right, whatever its family.

A linear model's are over their own standard deviation. Of other families they are randomised
quantile residuals, which are normal if the model is right, for counts and 0/1 outcomes too.

A 0/1 outcome has no residual that one could look at; its *binned residuals* are means of
``y - fitted`` in bins of the fitted value, which lie within two standard errors nineteen times of
twenty (Gelman and Hill 2007, section 5.6).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mixedlab.errors import MixedlabError
from mixedlab.inference.normal_residuals import normal_residuals
from mixedlab.pictures.data_behind import is_binary
from mixedlab.pictures.style import BLUE, GREY, ORANGE, axes_or_new, check_fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedlab.models.fit import MixedFit

Array = NDArray[np.float64]

_IN_A_BIN = 30


def residuals(
    fit: MixedFit,
    x: ArrayLike | None = None,
    *,
    label: str | None = None,
    seed: int = 1,
    ax: Axes | None = None,
) -> Axes:
    """Residuals against the fitted value or a covariate: is there a trend?

    Parameters
    ----------
    fit : MixedFit
        0/1 outcomes get binned residuals with bounds, other generalised models randomised
        quantile residuals, linear models standardised ones.
    x : array (n,), optional
        Values for the horizontal axis, one for each row fitted; by default the fitted values.
    label : str, optional
        Name of ``x``; a Series brings its own.
    seed : int
        Of the randomised residuals.
    ax : matplotlib Axes, optional

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.glmm("y ~ lbase + (1 | subject)", ml.load("epil"), family="poisson")
    >>> ml.pictures.residuals(fit).get_ylabel()
    'Quantile residual'
    """
    check_fit(fit)
    name = label or str(getattr(x, "name", None) or ("Fitted value" if x is None else "x"))
    at = fit.fitted_values if x is None else np.asarray(x, dtype=float)
    if at.shape != (fit.n_obs,):
        raise MixedlabError(f"x has shape {at.shape}: give a value for each of {fit.n_obs} rows.")
    ax = axes_or_new(ax)
    if is_binary(fit):
        return _binned(ax, at, fit.residuals, fit.fitted_values, name)
    residual, what = normal_residuals(fit, seed)
    return _against(ax, at, residual, name, what)


def residual_panels(
    fit: MixedFit, *, seed: int = 1, ax: Sequence[Axes] | None = None
) -> NDArray[np.object_]:
    """Three panels: residuals against fitted values, normal quantiles, spread against fitted.

    Residuals are over their own standard deviation (linear models) or randomised quantile
    residuals (generalised ones), which are normal where the model is right. An orange line joins
    the medians of ten equal parts of the rows, where a trend shows. Of 0/1 outcomes the first
    panel has binned residuals.

    Parameters
    ----------
    fit : MixedFit
    seed : int
        Of the randomised residuals.
    ax : sequence of three matplotlib Axes, optional

    Returns
    -------
    ndarray of three Axes

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    >>> panels = ml.pictures.residual_panels(fit)
    >>> len(panels)
    3
    """
    check_fit(fit)
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")[1]
    panels = np.asarray(ax, dtype=object).reshape(-1)
    if panels.size != 3:
        raise MixedlabError(f"Give three Axes, one for each panel, not {panels.size}.")
    residual, what = normal_residuals(fit, seed)
    fitted = fit.fitted_values
    known = np.isfinite(residual)
    residual, fitted = residual[known], fitted[known]
    if is_binary(fit):
        _binned(panels[0], fitted, fit.residuals[known], fitted, "Fitted value")
    else:
        _against(panels[0], fitted, residual, "Fitted value", what)
    panels[0].set_title("Trend?")
    _normal(panels[1], residual, what)
    spread = np.sqrt(np.abs(residual))
    _against(panels[2], fitted, spread, "Fitted value", f"Root of |{what.lower()}|", zero=False)
    panels[2].set_title("Even spread?")
    return panels


def _size(n: int) -> int:
    return 12 if n < 500 else 4


def _against(
    ax: Axes, x: Array, residual: Array, name: str, what: str, *, zero: bool = True
) -> Axes:
    ax.scatter(x, residual, s=_size(x.size), color=BLUE, alpha=0.6, linewidths=0)
    if zero:
        ax.axhline(0, color=GREY, linestyle="--", linewidth=1)
    part = "at each value" if np.unique(x).size <= 10 else "of a tenth"
    ax.plot(*_medians(x, residual), color=ORANGE, linewidth=1.8, label=f"median {part}")
    ax.set(xlabel=name, ylabel=what)
    ax.legend(fontsize="x-small", loc="best")
    return ax


def _normal(ax: Axes, residual: Array, what: str) -> None:
    """Ordered residuals against normal quantiles, with the band of 95 % at each point."""
    from scipy.special import betaincinv, ndtri

    ordered, n = np.sort(residual), residual.size
    rank = np.arange(1, n + 1)
    normal = ndtri((rank - 0.5) / n)
    low, high = (ndtri(betaincinv(rank, n + 1 - rank, p)) for p in (0.025, 0.975))
    ax.scatter(normal, ordered, s=_size(n), color=BLUE, linewidths=0)
    ax.plot(normal[[0, -1]], normal[[0, -1]], color=GREY, linestyle="--", linewidth=1)
    ax.plot(normal, low, color=GREY, linewidth=0.8, label="95 % at each point")
    ax.plot(normal, high, color=GREY, linewidth=0.8)
    ax.set(xlabel="Normal quantile", ylabel=what, title="Normal?")
    ax.legend(fontsize="x-small", loc="upper left")


def _binned(ax: Axes, x: Array, residual: Array, fitted: Array, name: str) -> Axes:
    """Means of raw residuals in bins of x, with two standard errors about zero."""
    order = np.argsort(x, kind="stable")
    parts = np.array_split(order, max(2, min(40, x.size // _IN_A_BIN)))
    middle = np.array([x[p].mean() for p in parts])
    mean = np.array([residual[p].mean() for p in parts])
    two_se = np.array([2 * np.sqrt(np.sum(fitted[p] * (1 - fitted[p]))) / p.size for p in parts])
    ax.plot(middle, two_se, color=GREY, linewidth=1, label="two standard errors")
    ax.plot(middle, -two_se, color=GREY, linewidth=1)
    ax.axhline(0, color=GREY, linestyle="--", linewidth=1)
    ax.scatter(middle, mean, s=22, color=BLUE, label=f"mean of {parts[0].size} rows", zorder=3)
    ax.set(xlabel=name, ylabel="Mean of y - fitted")
    ax.legend(fontsize="x-small", loc="best")
    return ax


def _medians(x: Array, y: Array) -> tuple[list[float], list[float]]:
    """Medians of x and y in ten parts by x; at each value where there are no more than ten."""
    values, of = np.unique(x, return_inverse=True)
    if values.size <= 10:
        parts = [np.flatnonzero(of == k) for k in range(values.size)]
    else:
        parts = np.array_split(np.argsort(x, kind="stable"), min(10, max(1, x.size // 5)))
    return [float(np.median(x[p])) for p in parts], [float(np.median(y[p])) for p in parts]
