"""Terms that a remedy suggests, written so that they parse.

The names of coefficients are not always formulas: ``Machine[T.B]`` is a column that formulaic made
of one. Then the term is written as the formula has it.
"""

from __future__ import annotations

from mixedlab.data.formula import Bar
from mixedlab.data.names import in_formula
from mixedlab.engine.terms import RandomTerm
from mixedlab.inference.contract import MixedModel


def column_of(fit: MixedModel, name: str) -> str | None:
    """A coefficient that is one numeric column of the table, as a formula writes it; or None."""
    if fit.design is None:
        return name
    levels = fit.design.recipe.levels
    return in_formula(name) if name in levels and levels[name] is None else None


def written(fit: MixedModel, name: str) -> str:
    """What a formula writes for the column of a coefficient: ``Machine`` for ``Machine[T.B]``."""
    text = name.split("[")[0]
    return column_of(fit, text) or (
        in_formula(text) if fit.design is not None and text in fit.design.recipe.levels else text
    )


def bar_of(fit: MixedModel, term: RandomTerm) -> Bar | None:
    """The bar of the formula that a term comes from."""
    if fit.design is None:
        return None
    bars = [bar for bar in fit.design.recipe.formula.bars if bar.group == term.group]
    return next((bar for bar in bars if bar.correlated), bars[0] if bars else None)


def group_of(fit: MixedModel, term: RandomTerm) -> str:
    """A grouping factor as a formula writes it."""
    bar = bar_of(fit, term)
    return term.group if bar is None else ":".join(in_formula(name) for name in bar.factors)


def uncorrelated(fit: MixedModel, term: RandomTerm, names: list[str]) -> str:
    """The term ``(1 + x || g)`` of these coefficients."""
    group = group_of(fit, term)
    columns = [column_of(fit, name) for name in names if name != "(Intercept)"]
    if None not in columns:
        inner = " + ".join(["1" if "(Intercept)" in names else "0", *columns])
        return f"({inner} || {group})"
    bar = bar_of(fit, term)
    return f"({bar.columns.text} || {group})"
