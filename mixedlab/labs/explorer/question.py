"""What is asked of a table, as a formula, and the lines that ask the same of mixedlab and lme4."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.]*")
_TAKEN = {"NA", "NULL", "TRUE", "FALSE", "Inf", "NaN", "if", "else", "for", "while", "function",
          "in", "next", "break", "repeat", "True", "False", "None"}  # fmt: skip
_OF_LME4 = {"gaussian": "", "binomial": "binomial", "poisson": "poisson", "gamma": "Gamma"}


@dataclass(frozen=True)
class Question:
    """The wells and the settings that a fit depends on; empty strings where there is none.

    ``factors`` are one grouping column or two: nested, the outer one first, or crossed.
    """

    y: str
    x: str
    factors: tuple[str, ...]
    nested: bool
    family: str
    slope: bool
    centring: str
    offset: str

    @property
    def crossed(self) -> bool:
        """Whether two grouping columns stand beside one another."""
        return len(self.factors) == 2 and not self.nested

    @property
    def group(self) -> str:
        """What the groups are called: ``batch/cask``, ``plate``."""
        return "/".join(self.factors) if self.nested else self.factors[0]

    @property
    def split(self) -> bool:
        """Whether the predictor is split into its groups' means and the deviations from them."""
        return self.centring == "split" and bool(self.x)

    @property
    def fixed(self) -> list[str]:
        """Columns of the fixed part."""
        if not self.x:
            return []
        return [f"{self.x}_mean", f"{self.x}_dev"] if self.split else [self.x]

    def formula(self, crossed: bool = True) -> str:
        """Return the formula; without ``crossed`` the second crossed factor is left out."""
        fixed = " + ".join(map(quoted, self.fixed)) or "1"
        effect = quoted(self.fixed[-1]) if self.slope and self.x else "1"
        names = list(map(quoted, self.factors))
        first = "/".join(names) if self.nested else names[0]
        second = f" + (1 | {names[1]})" if self.crossed and crossed else ""
        return f"{quoted(self.y)} ~ {fixed} + ({effect} | {first}){second}"

    def code(self) -> str:
        """Return the lines of mixedlab that make the fit from the table ``df``."""
        lines = ["import mixedlab as ml", ""]
        if self.split:
            names = f"{_text(self.x)}, {_text(self.factors[0])}"
            lines.append(f"df = ml.within_between(df, {names})")
        more = f", offset={_text(self.offset)}" if self.offset else ""
        if self.family == "gaussian":
            lines.append(f"fit = ml.lmm({_text(self.formula())}, df{more})")
        else:
            lines.append(
                f"fit = ml.glmm({_text(self.formula())}, df, family={_text(self.family)}{more})"
            )
        return "\n".join([*lines, "print(fit.summary())"])

    def code_of_lme4(self) -> str:
        """Return the lines of R's lme4 that make the same fit from the data frame ``df``."""
        lines = ["library(lme4)"]
        if self.split:
            x, g = (f"df[[{_text(name)}]]" for name in (self.x, self.factors[0]))
            mean, deviation = (f"df[[{_text(name)}]]" for name in self.fixed)
            lines += [
                f"{mean} <- ave({x}, {g}, FUN = function(v) mean(v, na.rm = TRUE))",
                f"{deviation} <- {x} - {mean}",
            ]
        offset = f", offset = {quoted(self.offset)}" if self.offset else ""
        if self.family == "gaussian":
            lines.append(f"fit <- lmer({self.formula()}, df{offset})")
        elif self.family == "negative_binomial":
            lines.append(f"fit <- glmer.nb({self.formula()}, df{offset})")
        else:
            family = _OF_LME4[self.family]
            link = '(link = "log")' if self.family == "gamma" else ""
            lines.append(f"fit <- glmer({self.formula()}, df, family = {family}{link}{offset})")
        return "\n".join([*lines, "summary(fit)"])


def quoted(name: str) -> str:
    """Write a column's name as a formula takes it: in backticks unless it is a plain name."""
    return name if _PLAIN.fullmatch(name) and name not in _TAKEN else f"`{name}`"


def _text(text: str) -> str:
    """Write a text as Python and R both take it."""
    return json.dumps(text, ensure_ascii=False)
