"""What can be mended in a table by one click: a label for the button, and the line that does it.

A mend is what its line of pandas does, so the lines that leave the explorer make the same table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mixedlab.errors import listed
from mixedlab.labs.explorer.columns import column_is_text

if TYPE_CHECKING:
    import pandas as pd

    from mixedlab.labs.explorer.columns import Column, TableCheck

MOSTLY = 0.8  # share of cells that must be numbers, or dates, for the rest to be exceptions
STAND_INS = (-9, -99, -999, -9999, 99, 999, 9999)  # written where nothing was measured
DATES = ("%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d %b %Y", "%B %d, %Y")
MOST_LOOKED_AT = 20_000  # cells of a column


@dataclass(frozen=True)
class Mend:
    """A change of a table: for a column (empty: all), in words, as a line of Python, and done."""

    column: str
    label: str
    line: str
    apply: Callable[[pd.DataFrame], pd.DataFrame]


def mends_of(check: TableCheck) -> list[Mend]:
    """Return what looks as if it should be mended, column by column."""
    found = []
    for column in check.columns:
        values = check.df[column.name]
        for look in (alike_labels, text_among_numbers, dates, stand_ins):
            mend = look(column, values)
            if mend is not None:
                found.append(mend)
                break
    return found


def alike_labels(column: Column, values: pd.Series) -> Mend | None:
    """Labels that differ by case or spaces only become the most frequent of them."""
    if not column.alike:
        return None
    counts = values.value_counts()
    into = {}
    for same in column.alike:
        best = max(same, key=lambda label: counts[label])
        into |= {label: best for label in same if label != best}
    pairs = [f"{old!r} is {new!r}" for old, new in into.items()]
    more = f" and {len(pairs) - 2} more" if len(pairs) > 2 else ""
    name = _text(column.name)
    return Mend(
        column.name,
        f"Make them one: {listed(pairs[:2])}{more}",
        f"df[{name}] = df[{name}].replace({json.dumps(into, ensure_ascii=False)})",
        lambda df: df.assign(**{column.name: df[column.name].replace(into)}),
    )


def text_among_numbers(column: Column, values: pd.Series) -> Mend | None:
    """Cells like ``not done`` in a column of numbers become missing; ``27,5`` becomes 27.5."""
    import pandas as pd

    if column.kind not in ("labels", "two values") or not column_is_text(values):
        return None
    kept = values.dropna().head(MOST_LOOKED_AT).astype(str)
    numbers = pd.to_numeric(kept, errors="coerce")
    comma = pd.to_numeric(kept.str.replace(",", "."), errors="coerce")
    swaps = comma.notna().sum() > numbers.notna().sum()
    numbers = comma if swaps else numbers
    if numbers.notna().mean() < MOSTLY:
        return None
    culprits = list(kept[numbers.isna()].unique()[:2])
    lost = f": {listed(map(repr, culprits))} becomes missing" if culprits else ""
    name = _text(column.name)
    text = f'df[{name}].str.replace(",", ".")' if swaps else f"df[{name}]"

    def apply(df: pd.DataFrame) -> pd.DataFrame:
        cells = df[column.name].str.replace(",", ".") if swaps else df[column.name]
        return df.assign(**{column.name: pd.to_numeric(cells, errors="coerce")})

    return Mend(
        column.name,
        f"Read as numbers{lost}",
        f'df[{name}] = pd.to_numeric({text}, errors="coerce")',
        apply,
    )


def dates(column: Column, values: pd.Series) -> Mend | None:
    """Dates written as text become days since the first."""
    import pandas as pd

    if column.kind != "labels" or not column_is_text(values):
        return None
    kept = values.dropna().head(MOST_LOOKED_AT).astype(str)
    if not kept.str.contains(r"\d").all():
        return None
    form = next(
        (f for f in DATES if pd.to_datetime(kept, format=f, errors="coerce").notna().all()), None
    )
    if form is None:
        return None
    name, told = _text(column.name), _text(form)

    def apply(df: pd.DataFrame) -> pd.DataFrame:
        days = pd.to_datetime(df[column.name], format=form, errors="coerce")
        return df.assign(**{column.name: (days - days.min()).dt.days})

    return Mend(
        column.name,
        "Dates: make them days since the first",
        f'days = pd.to_datetime(df[{name}], format={told}, errors="coerce")\n'
        f"df[{name}] = (days - days.min()).dt.days",
        apply,
    )


def stand_ins(column: Column, values: pd.Series) -> Mend | None:
    """A number like -99, far from all others and there more than once, becomes missing."""
    if column.kind not in ("number", "whole number"):
        return None
    kept = values.dropna().to_numpy(dtype=float)
    for code in STAND_INS:
        n = int(np.sum(kept == code))
        others = kept[kept != code]
        if n < 2 or others.size < 3:
            continue
        low, high = others.min(), others.max()
        if max(low - code, code - high) > max(high - low, 1):
            name = _text(column.name)
            return Mend(
                column.name,
                f"{code} stands {n} times, far from the others: make it missing",
                f"df[{name}] = df[{name}].mask(df[{name}] == {code})",
                lambda df, code=code: df.assign(
                    **{column.name: df[column.name].mask(df[column.name] == code)}
                ),
            )
    return None


def keep_columns(names: Sequence[str]) -> Mend:
    """Keep these columns and no others."""
    kept = list(dict.fromkeys(names))
    return Mend(
        "",
        f"Keep {len(kept)} columns",
        f"df = df[{json.dumps(kept, ensure_ascii=False)}]",
        lambda df: df[kept],
    )


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
