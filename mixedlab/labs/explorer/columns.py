"""What stands in a table, before anything is fitted: kinds of columns, gaps, labels, nesting.

Nothing is mended silently: what looks wrong is said, and what can't be used is refused in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import numpy as np

from mixedlab.diagnosis.groups import labels_alike
from mixedlab.errors import DataError, listed

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["number", "whole number", "two values", "labels", "constant", "empty", "other"]

MOST_COLUMNS = 60  # offered in a list; a table may have more
MOST_FACTORS = 8  # whose pairs are looked at
MOST_THIN = 5000  # groups of which most may have one row


@dataclass(frozen=True)
class Column:
    """One column: its kind, how many values are missing, how many differ, what looks alike.

    ``is_label`` says that the values look like names: texts, or the first whole numbers.
    """

    name: str
    kind: Kind
    n: int
    n_missing: int
    n_values: int
    is_label: bool = False
    alike: tuple[tuple[str, ...], ...] = ()

    @property
    def groups_rows(self) -> bool:
        """Whether its values can be names of groups: three or more, and some come again."""
        return self.kind in ("labels", "whole number") and not self.why_no_groups

    @property
    def why_no_groups(self) -> str:
        """Why its values are no names of groups; empty where they may be."""
        rows = self.n - self.n_missing
        if self.kind == "two values":
            return (
                f"{self.name!r} makes 2 groups: between so few no variance can be told. Take it as "
                "the predictor."
            )
        if self.kind in ("labels", "whole number") and self.n_values == rows:
            return f"{self.name!r} makes a group of each row."
        if self.n_values > MOST_THIN and rows < 2 * self.n_values:
            return (
                f"{self.name!r} makes {self.n_values} groups of {rows} rows: most would be alone."
            )
        return ""

    def words(self) -> str:
        """Say what stands in the column, and what to mend."""
        told = f"{self.name!r}: {self.kind}, {self.n_values} different"
        if self.n_missing:
            told += f", {self.n_missing} of {self.n} missing"
        if self.alike:
            pairs = "; ".join(" = ".join(map(repr, same)) for same in self.alike[:2])
            told += (
                f". Labels that differ by case or spaces only: {pairs}. Make them one: "
                f"df[{self.name!r}] = df[{self.name!r}].str.strip().str.lower()"
            )
        return f"{told}."


@dataclass(frozen=True)
class Pair:
    """Two grouping columns, the one with fewer levels first: nested or crossed."""

    outer: str
    inner: str
    nested: bool


@dataclass(frozen=True, eq=False)
class TableCheck:
    """A table's columns, as they were found."""

    df: pd.DataFrame
    columns: tuple[Column, ...]

    def __getitem__(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    @property
    def outcomes(self) -> list[str]:
        """Columns that can be an outcome: measurements first, numbers that name groups last."""
        order = ("number", "two values", "whole number")
        usable = [c for c in self.columns if c.kind in order]
        return [c.name for c in sorted(usable, key=lambda c: order.index(c.kind))]

    @property
    def predictors(self) -> list[str]:
        """Columns that can be a predictor: numbers, and labels of which there are few."""
        return [
            c.name
            for c in self.columns
            if c.kind in ("number", "whole number", "two values")
            or (c.kind == "labels" and c.n_values <= 12)
        ]

    @property
    def factors(self) -> list[str]:
        """Columns that can name groups: labels first, and those with many levels first."""
        usable = [c for c in self.columns if c.groups_rows]
        first = [c for c in usable if c.kind == "labels" and c.n / c.n_values >= 2]
        rest = [c for c in usable if c not in first]
        levels = {c.name: -c.n_values for c in usable}
        return [
            c.name
            for part in (first, rest)
            for c in sorted(part, key=lambda c: (c.kind != "labels", levels[c.name]))
        ]

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """How each two of the first grouping columns stand to each other."""
        pairs = [c for c in self.columns if c.is_label and c.kind == "two values"]
        named = [*(c for c in self.factors if self[c].is_label), *(c.name for c in pairs)]
        found = []
        for a, b in combinations(named[:MOST_FACTORS], 2):
            outer, inner = sorted((a, b), key=lambda name: self[name].n_values)
            found.append(Pair(outer, inner, self.is_nested(inner, outer)))
        return tuple(found)

    def is_nested(self, inner: str, outer: str) -> bool:
        """Whether each label of one column stands with one label of the other."""
        pairs = self.df[[outer, inner]].dropna().drop_duplicates()
        return len(pairs) == pairs[inner].nunique()

    def words(self) -> str:
        """Say the whole check, a line a column."""
        rows = f"{len(self.df)} rows, {len(self.columns)} columns."
        stand = [
            f"{p.inner!r} is nested in {p.outer!r}."
            if p.nested
            else f"{p.outer!r} and {p.inner!r} cross."
            for p in self.pairs
        ]
        return "\n".join([rows, *(c.words() for c in self.columns), *stand])


def check_table(df: pd.DataFrame) -> TableCheck:
    """Look at a table's columns, and whether there is something to explore.

    Raises
    ------
    DataError
        As `look_at` does, and for a table without an outcome or without groups.
    """
    check = look_at(df)
    told = "; ".join(c.words().rstrip(".") for c in check.columns[:6])
    if not check.outcomes:
        raise DataError(f"No column can be an outcome (numbers, or two values). Found: {told}.")
    if not check.factors:
        why = " ".join(c.why_no_groups for c in check.columns if c.is_label and c.why_no_groups)
        raise DataError(
            f"No column can name groups: labels, of which some come again. {why or told}"
        )
    return check


def look_at(df: pd.DataFrame) -> TableCheck:
    """Look at a table's columns.

    Raises
    ------
    DataError
        For what is no table, a table of one column or of no rows, two columns of one name, and a
        name that a formula cannot take.
    """
    from mixedlab.data.columns import as_frame

    df = as_frame(df).rename(columns=str)
    # An index that has the name of a column is a second column of that name to pandas.
    df.index = df.index.set_names([None] * df.index.nlevels)
    twice = df.columns[df.columns.duplicated()].unique()
    if len(twice):
        raise DataError(f"Two columns have one name: {listed(map(repr, twice))}. Rename one.")
    marked = [name for name in df.columns if "`" in name or not name.strip()]
    if marked:
        raise DataError(f"Rename these columns, a formula cannot name them: {listed(marked)}.")
    if df.shape[1] < 2:
        raise DataError(
            f"The table has {df.shape[1]} column: an outcome and a group are the least. If it is "
            "a CSV, was its separator another one? pd.read_csv(..., sep=None, engine='python')"
        )
    if len(df) < 3:
        raise DataError(f"The table has {len(df)} rows: there is nothing to fit.")
    return TableCheck(df, tuple(_column(df[name]) for name in df.columns))


def family_of(values: Sequence | np.ndarray) -> str:
    """Guess an outcome's family: two values binomial, counts from 0 Poisson, else Gaussian."""
    values = np.asarray(values, dtype=float)
    distinct = np.unique(values[np.isfinite(values)])
    if len(distinct) == 2 and set(distinct) == {0.0, 1.0}:
        return "binomial"
    counts = len(distinct) > 2 and distinct[0] == 0 and np.all(distinct == np.round(distinct))
    return "poisson" if counts else "gaussian"


def as_numbers(column: pd.Series) -> tuple[pd.Series, str]:
    """Return an outcome as numbers, and which of two labels is 1 (empty: it was numbers).

    Of two labels the second is 1, in the order of the categories or of the alphabet, as in
    `ml.glmm`.
    """
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    if is_bool_dtype(column):
        return column.astype(float), "True"
    if is_numeric_dtype(column):
        return column.astype(float), ""
    kept = column.dropna()
    levels = list(
        kept.cat.remove_unused_categories().cat.categories
        if hasattr(kept, "cat")
        else sorted(kept.unique(), key=str)
    )
    if len(levels) != 2:
        raise DataError(
            f"The outcome {column.name!r} has {len(levels)} labels: it must be numbers or have "
            "two values."
        )
    return column.map({levels[0]: 0.0, levels[1]: 1.0}).astype(float), str(levels[1])


def _column(column: pd.Series) -> Column:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    kept = column.dropna()
    missing = len(column) - len(kept)
    try:
        n_values = int(kept.nunique())
    except TypeError:  # lists and the like in cells
        return Column(column.name, "other", len(column), missing, 0)
    labels: tuple[tuple[str, ...], ...] = ()
    numeric = is_numeric_dtype(column) and not is_bool_dtype(column)
    if n_values == 0:
        kind: Kind = "empty"
    elif n_values == 1:
        kind = "constant"
    elif numeric and not np.all(np.isfinite(kept.to_numpy(dtype=float))):
        kind = "other"
    elif n_values == 2 and (not numeric or set(kept.unique()) == {0, 1}):
        kind = "two values"
    elif numeric:
        kind = "whole number" if np.all(kept == np.round(kept)) else "number"
    elif column.dtype.kind in "mM":
        kind = "other"
    else:
        kind = "labels"
    if not numeric and kind in ("labels", "two values"):
        labels = tuple(map(tuple, labels_alike(kept.unique())))
    return Column(
        column.name, kind, len(column), missing, n_values, _is_label(kept, kind, n_values), labels
    )


def _is_label(kept: pd.Series, kind: Kind, n_values: int) -> bool:
    """Whether values look like names: texts, or 1, 2, ..., k (or from 0), each in some rows."""
    if kind == "whole number" and len(kept) >= 4 * n_values:
        return bool(kept.min() in (0, 1) and kept.max() - kept.min() == n_values - 1)
    return kind in ("labels", "two values") and column_is_text(kept)


def column_is_text(column: pd.Series) -> bool:
    """Whether a column holds texts or categories rather than numbers, dates or truths."""
    return column.dtype.kind not in "biufcmM"
