"""Where the variance comes from, as one bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixedlab.inference.contract import refuse
from mixedlab.inference.explained import variance_parts
from mixedlab.pictures.style import (
    BLUE,
    GREEN,
    GREY,
    LIGHT,
    ORANGE,
    PURPLE,
    SKY,
    YELLOW,
    axes_or_new,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedlab.models.fit import MixedFit

_NAMES = {"fixed": "fixed effects", "residual": "residual"}


def variance_bar(fit: MixedFit, *, ax: Axes | None = None) -> Axes:
    """Shares of the variance: fixed effects, each grouping factor, the residual.

    A generalised model's shares are on the scale of its link. For random slopes a factor's share
    is its mean over the rows.

    Parameters
    ----------
    fit : MixedFit
    ax : matplotlib Axes, optional

    Examples
    --------
    >>> import mixedlab as ml
    >>> fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    >>> ml.pictures.variance_bar(fit).has_data()
    True
    """
    refuse(fit, "R squared")
    parts = variance_parts(fit)
    total = sum(parts.values())
    colours = {"fixed": GREEN, "residual": LIGHT}
    groups = [name for name in parts if name not in colours]
    colours |= dict(zip(groups, (BLUE, ORANGE, SKY, PURPLE, YELLOW) * len(groups), strict=False))
    hatches = dict(zip(parts, ("", "//", "..", "xx", "--", "++") * len(parts), strict=False))
    ax = axes_or_new(ax, 7.0, 1.9)
    start = 0.0
    for name, part in parts.items():
        share = part / total
        label = _NAMES.get(name, name)
        ax.barh(
            0,
            share,
            left=start,
            height=0.6,
            color=colours[name],
            edgecolor="white",
            hatch=hatches[name],
            label=f"{label} {100 * share:.1f} %",
        )
        start += share
    ax.set_xlim(0, 1)
    ax.set_ylim(-0.45, 0.45)
    ax.set_yticks([])
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    ax.tick_params(colors=GREY)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.legend(
        ncols=min(len(parts), 3), loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize="small"
    )
    return ax
