"""The explorer in a page of the book: its side in Python, which never leaves the reader's browser.

The page gives a file's bytes and gets what stands in them as plain data; then it asks as a lab
does (`kit.protocol`). Nothing here reaches for a network or a disk.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mixedlab.errors import DataError, MixedlabError
from mixedlab.labs.explorer.columns import MOST_COLUMNS, Pair, TableCheck, look_at
from mixedlab.labs.explorer.leaving import notebook
from mixedlab.labs.explorer.mends import Mend, keep_columns, mends_of
from mixedlab.labs.explorer.reading import (
    DECIMALS,
    ENCODINGS,
    SEPARATORS,
    Reading,
    SameNames,
    guess,
    read,
)
from mixedlab.labs.explorer.table_lab import Table
from mixedlab.labs.kit import protocol
from mixedlab.labs.kit.shell import shell
from mixedlab.labs.kit.svg import pictures

if TYPE_CHECKING:
    import pandas as pd


class Page:
    """One table at a time: how it was read, what was mended in it, and its lab."""

    def __init__(self) -> None:
        self._forget("", b"", None)

    def _forget(self, name: str, raw: bytes, reading: Reading | None) -> None:
        self.name, self.raw, self.reading = name, raw, reading
        self.mended: list[Mend] = []
        self.df: pd.DataFrame | None = None
        self.check: TableCheck | None = None
        self.table: Table | None = None

    # ---- a table comes in

    def open(self, raw: Any, name: str, settings: str = "{}") -> str:
        """Read a file's bytes, as guessed or as ``settings`` say; return what the page shows."""
        raw = raw.to_py() if hasattr(raw, "to_py") else raw
        raw = raw.encode() if isinstance(raw, str) else bytes(raw)
        self._forget(name, raw, None)
        return self._said(lambda: self._read(json.loads(settings)))

    def again(self, settings: str) -> str:
        """Read the same bytes in another way; what was mended is left behind."""
        self._forget(self.name, self.raw, self.reading)
        return self._said(lambda: self._read(json.loads(settings)))

    def shipped(self, name: str) -> str:
        """Take a table that the package ships."""
        from mixedlab.data.registry import load

        self._forget(name, b"", None)

        def take() -> None:
            self.df = load(name)

        return self._said(take)

    def _read(self, settings: Mapping[str, Any]) -> None:
        self.reading = (self.reading or guess(self.raw)).changed(settings)
        self.df = read(self.raw, self.reading)

    # ---- mending

    def mend(self, number: int) -> str:
        """Do one of the mends that were offered."""
        offered = mends_of(self.check)
        return self._mended([*self.mended, offered[number]])

    def keep(self, names: str) -> str:
        """Keep some of many columns."""
        return self._mended([*self.mended, keep_columns(json.loads(names))])

    def unmend(self) -> str:
        """Take the last mend back."""
        return self._mended(self.mended[:-1])

    def _mended(self, mends: list[Mend]) -> str:
        self.mended = mends
        return self._said(lambda: None)

    # ---- what the page shows of it

    def _said(self, act: Callable[[], None]) -> str:
        """Do something with the table, and say what stands there then; or why it is none."""
        refused, renames = "", False
        self.check = self.table = None
        try:
            act()
            df = self.df
            for mend in self.mended:
                df = mend.apply(df)
            self.check = look_at(df)
            if len(self.check.columns) <= MOST_COLUMNS:
                self.table = Table(df)
            else:
                refused = f"The table has {len(self.check.columns)} columns: name those to explore."
        except SameNames as error:
            refused, renames = str(error), True
        except DataError as error:
            refused = str(error).split("\n\n")[0]
        told = {"name": self.name, "refused": refused, "renames": renames}
        if self.reading is not None:
            told["reading"] = self.reading.to_dict()
        if self.check is not None:
            told |= self._columns()
        if self.table is not None:
            told["lab"] = self._lab()
        return json.dumps(told, allow_nan=False)

    def _columns(self) -> dict[str, Any]:
        check = self.check
        many = len(check.columns) > MOST_COLUMNS
        columns = check.columns[:MOST_COLUMNS]
        told = {
            "rows": len(check.df),
            "n_columns": len(check.columns),
            "columns": [asdict(c) for c in columns],
            "mends": [] if many else [
                {"column": m.column, "label": m.label} for m in mends_of(check)
            ],
            "mended": [m.label for m in self.mended],
            "pairs": [] if many else [
                asdict(pair) | {"group": self._group_of(pair)} for pair in check.pairs
            ],
        }  # fmt: skip
        return told | ({"choose": [c.name for c in check.columns]} if many else {})

    def _group_of(self, pair: Pair) -> str:
        """The option of the group's well in which two columns stand together, if there is one."""
        sign = "/" if pair.nested else " + "
        name = f"{pair.outer}{sign}{pair.inner}"
        return name if self.table and name in self.table.groupings else ""

    def _lab(self) -> dict[str, Any]:
        lab = self.table.lab
        state = lab.state()
        scene = lab.run(state)
        return {
            "lab": lab.name,
            "shell": shell(lab, pictures(scene, lab.name, lab.alt)),
            "description": protocol.describe(lab) | {"linked": ["y", "x", "group"]},
            "scene": scene.to_dict(),
            "state": asdict(state),
        }

    # ---- the lab

    def answer(self, text: str) -> str:
        """Answer one message of the lab, as JSON."""
        message = json.loads(text)
        return protocol.json_of(protocol.answer(message, self.table.lab), message)

    # ---- what leaves

    def leave(self, state: str) -> str:
        """Return what can be taken along for a state: lines of code and the paragraph."""
        state = self.table.lab.clean(json.loads(state))
        question = self.table.question(state)
        return json.dumps(
            {
                "code": question.code(self._table_lines()),
                "lme4": question.code_of_lme4(),
                "report": self._report(state),
            }
        )

    def _report(self, state: Any) -> str:
        fits = self.table.fit(self.table.simulate(state))
        if fits.trouble:
            return fits.trouble
        try:
            return str(fits.fit.report())
        except MixedlabError as error:
            return f"The report could not be made: {error}"

    def notebook(self, state: str, with_data: bool) -> str:
        """Return a notebook with the code; the table itself only where it is asked for."""
        state = self.table.lab.clean(json.loads(state))
        question, report = self.table.question(state), self._report(state)
        data = self.table.check.df.to_csv(index=False) if with_data else None
        made = notebook(self.name, self._table_lines(), question, report, data)
        return json.dumps(made, indent=1)

    def _table_lines(self) -> list[str]:
        """The lines of Python that make the table ``df`` from its file, mends and all."""
        if self.reading is None:
            lines = ["import mixedlab as ml", f"df = ml.load({json.dumps(self.name)})"]
        else:
            lines = ["import pandas as pd", self.reading.line(self.name)]
        return [*lines, *(mend.line for mend in self.mended)]

    def picture(self, state: str, stage: str) -> str:
        """Return the picture as SVG that carries its own colours."""
        from mixedlab.labs.kit.still import still_svg

        lab = self.table.lab
        scene = lab.run(lab.clean(json.loads(state)))
        return still_svg(lab, scene, ("data",) if stage == "data" else ("data", "estimate"))


def options() -> dict[str, Any]:
    """What the page must offer before any table is there: ways of reading, shipped tables."""
    from mixedlab.data.registry import registry

    return {
        "separator": SEPARATORS,
        "decimal": DECIMALS,
        "encoding": ENCODINGS,
        "shipped": {name: entry.title for name, entry in registry().items()},
    }
