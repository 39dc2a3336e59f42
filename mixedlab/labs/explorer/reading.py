"""A file's bytes as a table: encoding, separator and decimal sign are guessed, and shown.

Nothing of the file is run: every cell stays a number or a text.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from mixedlab.errors import DataError, listed

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
DECIMALS = {".": "point", ",": "comma"}
ENCODINGS = {
    "utf-8-sig": "UTF-8",
    "cp1252": "Western (cp1252)",
    "latin-1": "Latin 1",
    "utf-16": "UTF-16",
}
LINES_READ = 60  # for a guess
MOST_BYTES = 150_000_000
_COMMA = re.compile(r"[-+]?\d+,\d+")
_POINT = re.compile(r"[-+]?\d+\.\d+")


@dataclass(frozen=True)
class Reading:
    """How a file's bytes become a table.

    ``renames`` says that columns of one name are told apart: ``y``, ``y.1``.
    """

    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8-sig"
    renames: bool = False

    def line(self, name: str) -> str:
        """Return the line of Python that reads the file ``name`` in the same way."""
        told = {"sep": self.separator, "decimal": self.decimal}
        told = {k: v for k, v in told.items() if v != DEFAULT[k]}
        if self.encoding not in ("utf-8-sig", "utf-8"):
            told["encoding"] = self.encoding
        more = "".join(f", {k}={json.dumps(v)}" for k, v in told.items())
        return f"df = pd.read_csv({json.dumps(name, ensure_ascii=False)}{more})"

    def changed(self, wanted: Mapping[str, object]) -> Reading:
        """Return a reading with what is wanted of it, as far as there is such a thing."""
        known: dict[str, Mapping[str, str]] = {
            "separator": SEPARATORS, "decimal": DECIMALS, "encoding": ENCODINGS,
        }  # fmt: skip
        kept = {k: v for k, v in wanted.items() if k in known and v in known[k]}
        return replace(self, **kept, renames=bool(wanted.get("renames", self.renames)))

    def to_dict(self) -> dict[str, object]:
        """Return the fields by name, and the whole in words."""
        words = (
            f"read with {SEPARATORS[self.separator]}, decimal {DECIMALS[self.decimal]}, "
            f"{ENCODINGS[self.encoding]}"
        )
        return asdict(self) | {"words": words}


DEFAULT = {"sep": ",", "decimal": "."}


def guess(raw: bytes) -> Reading:
    """Guess how a file is to be read.

    The separator is the sign that splits its first lines into the same number of parts, two or
    more; the decimal sign is a comma where cells like ``27,5`` outnumber those like ``27.5``.

    Raises
    ------
    DataError
        Where the bytes are no text.
    """
    if not raw.strip():
        raise DataError("The file is empty: there is no table in it.")
    if len(raw) > MOST_BYTES:
        raise DataError(
            f"The file has {len(raw) / 1e6:.0f} MB, and a page holds {MOST_BYTES // 10**6}. "
            "Take ml.explore in Jupyter for it."
        )
    encoding = _encoding(raw)
    text = raw[:400_000].decode(encoding, "ignore")
    lines = [line for line in text.splitlines() if line.strip()][:LINES_READ]
    separator = max(SEPARATORS, key=lambda sign: _fits(lines, sign))
    cells = [cell.strip() for row in csv.reader(lines[1:], delimiter=separator) for cell in row]
    commas = sum(map(bool, map(_COMMA.fullmatch, cells)))
    points = sum(map(bool, map(_POINT.fullmatch, cells)))
    decimal = "," if separator != "," and commas > points else "."
    return Reading(separator, decimal, encoding)


def read(raw: bytes, reading: Reading) -> pd.DataFrame:
    """Read a file's bytes.

    Raises
    ------
    DataError
        Where they are no table, or two columns have one name.
    """
    import pandas as pd

    try:
        text = raw.decode(reading.encoding).removeprefix("\ufeff")
        names = _names(text, reading.separator)
        if not reading.renames and (twice := [n for n, k in Counter(names).items() if k > 1]):
            raise SameNames(
                f"Two columns have one name: {listed(map(repr, twice))}. Rename one in the file, "
                "or have the later ones numbered."
            )
        df = pd.read_csv(io.StringIO(text), sep=reading.separator, decimal=reading.decimal)
    except DataError:
        raise
    except UnicodeError:
        raise DataError(
            f"The file is not in {ENCODINGS[reading.encoding]}: choose another encoding."
        ) from None
    except (ValueError, csv.Error) as error:  # pandas' ParserError and EmptyDataError are such
        words = str(error).strip().splitlines()[-1]
        raise DataError(f"This is no table of rows and columns: {words}") from None
    empty = [c for c in df.columns if str(c).startswith("Unnamed:") and df[c].isna().all()]
    return df.drop(columns=empty)


class SameNames(DataError):
    """Two columns have one name."""


def _names(text: str, separator: str) -> list[str]:
    lines = (line for line in io.StringIO(text) if line.strip())
    return [name for name in next(csv.reader(lines, delimiter=separator), []) if name]


def _encoding(raw: bytes) -> str:
    if raw[:2] == b"PK" or raw[:4] == b"\xd0\xcf\x11\xe0":
        raise DataError(
            "This is an Excel file or another archive. Save the sheet as CSV, or in Jupyter: "
            "ml.explore(pd.read_excel(...))."
        )
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    if b"\0" in raw[:10_000]:
        raise DataError("This file is no text, so it is no CSV. Save the table as CSV first.")
    try:
        raw.decode("utf-8")
        return "utf-8-sig"
    except UnicodeDecodeError:
        return "cp1252" if not set(raw) & set(b"\x81\x8d\x8f\x90\x9d") else "latin-1"


def _fits(lines: list[str], sign: str) -> tuple[float, int]:
    """How well a sign splits lines: the share of lines with as many parts as most, and how many."""
    counts = [len(row) for row in csv.reader(lines, delimiter=sign)] or [1]
    parts, agree = Counter(counts).most_common(1)[0]
    head = counts[0] in (parts, parts - 1)  # R may write a name less than there are columns
    return (agree / len(counts) if min(parts, counts[0]) > 1 and head else 0.0, parts)
