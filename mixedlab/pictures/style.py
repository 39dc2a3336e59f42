"""Colours and small helpers that the pictures share.

Okabe-Ito colours, which readers with any colour vision tell apart; what differs in colour also
differs in shape, dash or hatch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mixedlab.errors import MixedlabError, nearest
from mixedlab.inference.contract import answers

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mixedlab.engine.terms import RandomTerm
    from mixedlab.models.fit import MixedFit

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, YELLOW, GREY, LIGHT = "#56B4E9", "#E69F00", "#777777", "#BBBBBB"


def axes_or_new(ax: Axes | None, width: float = 6.4, height: float = 4.4) -> Axes:
    """The Axes given, or new ones of this size in inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def at_least_one(at_most: int) -> None:
    """Raise where no group would be drawn."""
    if at_most < 1:
        raise MixedlabError(f"at_most is a number of groups, 1 or more, not {at_most!r}.")


def check_fit(fit: object) -> None:
    """Raise for what is no fit."""
    answers(fit, "picture")


def term_of(fit: MixedFit, group: str | None, n_coefs: int = 1) -> int:
    """Position of the random term to draw: the one named, or the first with enough coefficients."""
    check_fit(fit)
    groups = [t.group for t in fit.terms]
    if group is not None and group not in groups:
        raise MixedlabError(f"There is no grouping factor {group!r}.{nearest(group, groups)}")
    for t, term in enumerate(fit.terms):
        if group in (None, term.group) and term.n_coefs >= n_coefs:
            return t
    where = "" if group is None else f" on {group!r}"
    raise MixedlabError(
        f"There is no random term{where} with {n_coefs} coefficients, as (x | g) has."
    )


def coef_of(term: RandomTerm, name: str | None, default: int = 0) -> int:
    """Position of a random coefficient by name."""
    if name is None:
        return default
    if name not in term.names:
        raise MixedlabError(f"There is no random coefficient {name!r}.{nearest(name, term.names)}")
    return term.names.index(name)
