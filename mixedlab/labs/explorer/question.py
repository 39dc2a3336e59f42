"""What is asked of a table, as a formula, and the lines that ask the same of mixedlab and lme4."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.]*")
_TAKEN = {"NA", "NULL", "TRUE", "FALSE", "Inf", "NaN", "if", "else", "for", "while", "function",
          "in", "next", "break", "repeat", "True", "False", "None"}  # fmt: skip
_IMPORT = "import mixedlab as ml"
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
        known = f" + offset(log({quoted(column_of(self.offset))}))" if self.logs_offset else ""
        return f"{quoted(self.y)} ~ {fixed}{known} + ({effect} | {first}){second}"

    @property
    def logs_offset(self) -> bool:
        """Whether the offset is the logarithm of an exposure: ``log(hours)``."""
        return column_of(self.offset) != self.offset

    @property
    def offset_column(self) -> str | None:
        """The column that is the offset as it stands; none where the formula holds it."""
        return self.offset if self.offset and not self.logs_offset else None

    def code(self, table: Sequence[str] = ()) -> str:
        """Return the lines of mixedlab that make the fit, after those that make the table ``df``.

        Imports stand at the head.
        """
        imports = dict.fromkeys(line for line in table if line.startswith("import "))
        makes = [line for line in table if line not in imports]
        lines = [*imports, *([] if _IMPORT in imports else [_IMPORT]), "", *makes]
        lines += [""] * bool(makes)
        if self.split:
            names = f"{_text(self.x)}, {_text(self.factors[0])}"
            lines.append(f"df = ml.within_between(df, {names})")
        more = f", offset={_text(self.offset)}" if self.offset_column else ""
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
        offset = f", offset = {quoted(self.offset)}" if self.offset_column else ""
        if self.family == "gaussian":
            lines.append(f"fit <- lmer({self.formula()}, df{offset})")
        elif self.family == "negative_binomial":
            lines.append(f"fit <- glmer.nb({self.formula()}, df{offset})")
        else:
            family = _OF_LME4[self.family]
            link = '(link = "log")' if self.family == "gamma" else ""
            lines.append(f"fit <- glmer({self.formula()}, df, family = {family}{link}{offset})")
        return "\n".join([*lines, "summary(fit)"])


def column_of(offset: str) -> str:
    """Return the column of an offset, which may be its logarithm: ``hours`` of ``log(hours)``."""
    log = re.fullmatch(r"log\((.+)\)", offset)
    return log[1] if log else offset


def quoted(name: str) -> str:
    """Write a column's name as a formula takes it: in backticks unless it is a plain name."""
    return name if _PLAIN.fullmatch(name) and name not in _TAKEN else f"`{name}`"


def _text(text: str) -> str:
    """Write a text as Python and R both take it."""
    return json.dumps(text, ensure_ascii=False)
