"""Summaries that print well and have an HTML form for notebooks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Summary:
    """A title, some lines, and named tables.

    Attributes
    ----------
    title : str
    lines : sequence of str
    tables : dict of str to DataFrame
    """

    title: str
    lines: Sequence[str]
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [self.title, *self.lines]
        for name, table in self.tables.items():
            parts += ["", name, table.to_string(float_format="{:.5g}".format, na_rep="")]
        return "\n".join(parts)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        parts = [f"<p><strong>{escape(self.title)}</strong></p>"]
        parts += [f"<p>{escape(line)}</p>" for line in self.lines]
        for name, table in self.tables.items():
            body = table.to_html(float_format="{:.5g}".format, na_rep="", border=0)
            parts.append(f"<p>{escape(name)}</p>{body}")
        return "\n".join(parts)


class Report(ABC):
    """A result that shows its summary in a notebook and when printed."""

    @abstractmethod
    def summary(self) -> Summary:
        """Estimates as tables."""

    def __repr__(self) -> str:
        return str(self.summary())

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()
