"""Residual panels: against fitted values, against the normal, and their spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mixedlab.errors import MixedlabError
from mixedlab.inference.contract import answers
from mixedlab.inference.explained import pearson_residuals, standardised_residuals
from mixedlab.pictures.style import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedlab.models.fit import MixedFit


def residual_panels(fit: MixedFit, *, ax: Sequence[Axes] | None = None) -> NDArray[np.object_]:
    """Three panels: residuals against fitted values, normal quantiles, spread against fitted.

    Residuals are over their own standard deviation (linear models) or Pearson's (generalised
    ones). An orange line joins the medians of ten equal parts of the rows, where a trend shows.

    Parameters
    ----------
    fit : MixedFit
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
    from scipy.special import ndtri

    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")[1]
    panels = np.asarray(ax, dtype=object).reshape(-1)
    if panels.size != 3:
        raise MixedlabError(f"Give three Axes, one for each panel, not {panels.size}.")
    if answers(fit, "leverage"):
        residual, what = standardised_residuals(fit), "Standardised residual"
    else:
        residual, what = pearson_residuals(fit), "Pearson residual"
    fitted = fit.fitted_values
    known = np.isfinite(residual)
    residual, fitted = residual[known], fitted[known]
    size = 12 if residual.size < 500 else 4
    panels[0].scatter(fitted, residual, s=size, color=BLUE, alpha=0.6, linewidths=0)
    panels[0].axhline(0, color=GREY, linestyle="--", linewidth=1)
    panels[0].plot(*_medians(fitted, residual), color=ORANGE, linewidth=1.8)
    panels[0].set(xlabel="Fitted value", ylabel=what, title="Trend?")
    ordered = np.sort(residual)
    normal = ndtri((np.arange(ordered.size) + 0.5) / ordered.size)
    panels[1].scatter(normal, ordered, s=size, color=BLUE, linewidths=0)
    ends = np.array([normal[0], normal[-1]])
    panels[1].plot(ends, ends, color=GREY, linestyle="--", linewidth=1)
    panels[1].set(xlabel="Normal quantile", ylabel=what, title="Normal?")
    spread = np.sqrt(np.abs(residual))
    panels[2].scatter(fitted, spread, s=size, color=BLUE, alpha=0.6, linewidths=0)
    panels[2].plot(*_medians(fitted, spread), color=ORANGE, linewidth=1.8)
    panels[2].set(xlabel="Fitted value", ylabel=f"Root of |{what.lower()}|", title="Even spread?")
    return panels


def _medians(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[list[float], list[float]]:
    """Medians of x and y in ten parts by x."""
    parts = np.array_split(np.argsort(x, kind="stable"), min(10, max(1, x.size // 5)))
    return [float(np.median(x[p])) for p in parts], [float(np.median(y[p])) for p in parts]
