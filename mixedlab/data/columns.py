"""A table as a pandas DataFrame, and one meaning for each kind of column.

Numbers stay numbers; strings, booleans and categoricals are factors with the levels that occur.
What is likely a mistake of reading is said: numbers or dates that came as text, a table whose
only column holds the whole line.
"""

from __future__ import annotations

import datetime
import numbers
import re
import sys
import warnings
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mixedlab.data.formula import Part, columns_of
from mixedlab.data.names import in_formula
from mixedlab.data.rows import Rows, refuse_infinite
from mixedlab.errors import DataError, DataWarning, listed, nearest

_SEPARATORS = ";,\t|"
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d+,\d+\s*")
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_DATE = re.compile(
    r"\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}"
    rf"|\d{{1,2}}[-\s]{_MONTH}[-\s]\d{{2,4}}|{_MONTH}\s\d{{1,2}},?\s\d{{4}})\b.*",
    re.IGNORECASE,
)
_NO_VALUE = {"missing", "none", "unknown", "not known", "n.a.", "na", "n/a", "nan", "-", "?", "."}
_TO_DAYS = "turn it into numbers first, such as days since the first, (d - d.min()).dt.days"
_FEW = 12  # as many whole numbers in text may well be labels


def as_frame(data: Any) -> pd.DataFrame:
    """The table as a pandas DataFrame.

    Parameters
    ----------
    data : DataFrame, dict of columns, a polars or pyarrow table, or what has ``to_pandas``

    Raises
    ------
    DataError
        For what is no table, and for one that was read with the wrong separator.
    """
    if isinstance(data, dict):
        try:
            table = pd.DataFrame(data)
        except ValueError as error:
            raise DataError(f"The columns of data do not fit together: {error}.") from None
    elif isinstance(data, pd.DataFrame):
        table = data
    elif "polars" in sys.modules and type(data).__module__.startswith("polars"):
        table = _from_polars(data)
    elif hasattr(data, "to_pandas"):
        table = data.to_pandas()
    else:
        raise DataError(
            "data must be a table (pandas or polars DataFrame, or dict of columns), not "
            f"{type(data).__name__}."
        )
    if isinstance(table.columns, pd.MultiIndex):
        raise DataError(
            f"The columns are named on {table.columns.nlevels} levels: give each one name, "
            "data.columns = ['_'.join(map(str, name)) for name in data.columns]."
        )
    if len(table.columns) == 1:
        only = str(table.columns[0])
        separator = next((s for s in _SEPARATORS if s in only), None)
        if separator is not None:
            raise DataError(
                f"The table has one column, {only!r}: the file was read with the wrong "
                f"separator. Read it with pd.read_csv(..., sep={separator!r})."
            )
    return table


def _from_polars(data: Any) -> pd.DataFrame:
    """A polars table, column by column, so that pyarrow is not needed."""
    import narwhals as nw

    native = data.collect() if hasattr(data, "collect") else data
    columns = {}
    for column in nw.from_native(native, eager_only=True).iter_columns():
        if isinstance(column.dtype, nw.Enum):
            levels = list(column.dtype.categories)
            columns[column.name] = pd.Categorical(column.to_list(), categories=levels)
        elif column.dtype.is_float():
            columns[column.name] = column.to_numpy()
        else:
            columns[column.name] = column.to_list()
    return pd.DataFrame(columns)


def refuse_unusable(table: pd.DataFrame, names: Iterable[str]) -> None:
    """Raise where a name stands for several columns, or a column holds lists, sets or arrays."""
    for name in names:
        column = table[name]
        if isinstance(column, pd.DataFrame):
            raise DataError(f"The data have several columns named {name!r}: rename them.")
        if column.dtype == object:
            first = next((v for v in column if v is not None), None)
            if isinstance(first, list | dict | set | np.ndarray):
                raise DataError(
                    f"Column {name!r} holds a {type(first).__name__} in each row: a column needs "
                    "one number or label a row. data.explode(...) gives each its own row."
                )


def numbers_of(table: pd.DataFrame, name: str) -> pd.Series:
    """A column as floating-point numbers, NaN where it is missing.

    Raises
    ------
    DataError
        Where there is no such column, or several, or it holds no real numbers.
    """
    if not isinstance(name, Hashable) or name not in table.columns:
        raise DataError(f"There is no column {name!r}.{nearest(name, table.columns)}")
    refuse_unusable(table, [name])
    column = table[name]
    values = column.dropna()
    is_real = pd.api.types.is_numeric_dtype(column.dtype) and column.dtype.kind != "c"
    if not (
        is_real
        or (
            len(values)
            and all(isinstance(v, numbers.Number) and not isinstance(v, complex) for v in values)
        )
    ):
        raise DataError(
            f"Column {name!r} is not numeric ({column.dtype}): only numbers have a group mean. "
            "Give a factor as a 0/1 column for each level but the first."
        )
    return pd.Series(column.to_numpy(float, na_value=np.nan), column.index, name=name)


def typed_columns(
    table: pd.DataFrame,
    parts: Sequence[Part],
    rows: Rows,
    levels: dict[str, pd.Index | None] | None = None,
) -> dict[str, pd.Series]:
    """The columns that the parts use, as numbers or factors; by the fit's levels, if given."""
    undeclared = {name for part in parts for name in part.columns if name not in part.declared}
    columns = {}
    for name in columns_of(parts):
        column = rows.of(table[name])
        if levels is None:
            column = typed(column, declared=name not in undeclared)
        else:
            column = typed_as(column, levels[name])
        if column.dtype.kind == "f":
            refuse_infinite(column.to_numpy(), name, rows.kept)
        columns[name] = column.set_axis(pd.RangeIndex(len(rows.kept)))
    return columns


def levels_of(columns: dict[str, pd.Series], names: Iterable[str]) -> dict[str, pd.Index | None]:
    """Levels of each factor, None for numbers."""
    return {
        name: columns[name].cat.categories if columns[name].dtype == "category" else None
        for name in names
    }


def refuse_one_level(columns: dict[str, pd.Series], fixed: Part) -> None:
    """Raise where a factor of the fixed part has one level in the rows used."""
    for name, levels in levels_of(columns, fixed.columns).items():
        if levels is not None and len(levels) == 1:
            raise DataError(
                f"Factor {name!r} has one level in the rows used ({levels[0]!r}): it has no "
                "effect to estimate, leave it out of the fixed part."
            )


def typed(column: pd.Series, *, declared: bool = False) -> pd.Series:
    """Numbers as numpy's, all else as a factor with the levels that occur.

    Strings and booleans become factors with sorted levels; a factor keeps the order of its
    levels. Numbers with a missing value of their own, decimals and fractions are numbers.

    Parameters
    ----------
    column : Series without missing values
    declared : bool
        The formula makes it a factor in so many words: then numbers and dates are labels too.

    Raises
    ------
    DataError
        For complex numbers, dates, and numbers or dates that came as text.

    Warns
    -----
    DataWarning
        For many whole numbers that came as text: they may be labels.
    """
    kind = _kind(column)
    if kind == "factor":
        return column.cat.remove_unused_categories()
    if kind == "number" and not declared:
        if isinstance(column.dtype, np.dtype) and column.dtype.kind != "O":
            return column
        return pd.Series(column.to_numpy(float), column.index, name=column.name)
    if kind == "date" and not declared:
        raise DataError(_not_numbers(column.name, "dates or durations", _TO_DAYS))
    codes, levels = factorized(column.astype(bool) if kind == "boolean" else column)
    if kind == "text" and not declared:
        _refuse_numbers_as_text(column.name, [str(level) for level in levels])
    return _factor(column, codes, levels)


def typed_as(column: pd.Series, levels: pd.Index | None) -> pd.Series:
    """New rows of a column that held numbers in the fit (``levels=None``), or these levels.

    Raises
    ------
    DataError
        For a level that the fit has not seen, and for labels in place of numbers.
    """
    if levels is None:
        if not len(column):
            return pd.Series(dtype=float)  # nothing says what an empty column holds
        column = typed(column)
        if column.dtype == "category":
            raise DataError(
                f"Column {column.name!r} holds numbers in the fit, not in the new data."
            )
        return column
    coded = level_numbers(column, levels)
    if (coded < 0).any():
        raise DataError(
            f"Column {column.name!r} has levels the fit has not seen: "
            f"{listed(pd.unique(column[coded < 0]))}. It knows: {listed(levels)}."
        )
    return _factor(column, coded, levels)


def factorized(column: pd.Series) -> tuple[NDArray[np.intp], pd.Index]:
    """Level number of each row (-1 where missing) and the levels in use, in order.

    Labels of several types have no order of their own: numbers come first, then the rest by
    type. A label may be a tuple.
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.remove_unused_categories()
        return column.cat.codes.to_numpy(np.intp), column.cat.categories
    if column.dtype != object:
        return pd.factorize(column, sort=True)
    codes, labels = pd.factorize(column.to_numpy())
    try:
        order = np.argsort(labels, kind="stable")
    except TypeError:
        order = np.array(sorted(range(len(labels)), key=lambda k: _rank(labels[k])))
    place = np.empty(len(order) + 1, dtype=np.intp)
    place[order], place[-1] = np.arange(len(order)), -1
    return place[codes], pd.Index([labels[k] for k in order], dtype=object, tupleize_cols=False)


def level_numbers(column: pd.Series, levels: pd.Index) -> NDArray[np.intp]:
    """Number of each value among ``levels``, -1 for a new one.

    The number 308 finds the level ``"308"``, since tables differ in how they hold labels.
    """
    values = pd.Index(column.astype(object), tupleize_cols=False)
    coded = pd.Index(levels.astype(object), tupleize_cols=False).get_indexer(values)
    if (coded < 0).any():
        as_text = pd.Index([str(level) for level in levels])
        if as_text.is_unique:
            coded = np.where(coded < 0, as_text.get_indexer([str(v) for v in values]), coded)
    return coded


def _kind(column: pd.Series) -> str:
    """``factor``, ``boolean``, ``number``, ``date`` or ``text``."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return "factor"
    if pd.api.types.is_bool_dtype(dtype) or _all_are(column, bool | np.bool_):
        return "boolean"
    if pd.api.types.is_complex_dtype(dtype):
        raise DataError(f"Column {column.name!r} holds complex numbers.")
    if pd.api.types.is_numeric_dtype(dtype) or _all_are(column, numbers.Number):
        return "number"
    if dtype.kind in "mM" or isinstance(dtype, pd.PeriodDtype) or _all_are(column, datetime.date):
        return "date"
    return "text"


def _all_are(column: pd.Series, kind: Any) -> bool:
    """Whether each value of a column of objects is of one kind."""
    return column.dtype.kind == "O" and len(column) > 0 and all(isinstance(v, kind) for v in column)


def _rank(label: Any) -> tuple:
    if isinstance(label, numbers.Real):
        return (0, label)
    if isinstance(label, tuple):
        return (2, *(_rank(part) for part in label))
    return (1, type(label).__name__, label if isinstance(label, str) else str(label))


def _factor(column: pd.Series, codes: NDArray, levels: pd.Index) -> pd.Series:
    return pd.Series(
        pd.Categorical.from_codes(codes, categories=levels), column.index, name=column.name
    )


def _refuse_numbers_as_text(name: str, levels: list[str]) -> None:
    """Raise for labels that are numbers or dates; warn where they may well be labels."""
    if sum(any("0" <= c <= "9" for c in level) for level in levels) < 3:
        return
    if all(_DATE.fullmatch(level) for level in levels):
        raise DataError(_not_numbers(name, f"dates as text, such as {levels[0]!r}", _TO_DAYS))
    comma = [level for level in levels if _DECIMAL_COMMA.fullmatch(level)]
    parsed = pd.to_numeric(pd.Series(levels, dtype=object), errors="coerce")
    culprits = [v for v, p in zip(levels, parsed, strict=True) if np.isnan(p) and v not in comma]
    n = len(levels) - len(culprits)
    are_whole = not comma and bool((parsed.dropna() % 1 == 0).all())
    no_value = bool(culprits) and all(c.strip().lower() in _NO_VALUE for c in culprits)
    if n < max(3, 3 * len(culprits)) or (are_whole and n <= _FEW and not no_value):
        return
    held = f"{n} different numbers as text"
    remedy = f"make numbers of them with pd.to_numeric(data[{name!r}])"
    if culprits:
        held += f", and {listed(map(repr, culprits), 4)} among them"
        remedy = f"read the file with pd.read_csv(..., na_values=[{culprits[0]!r}])"
    if comma:
        held += f", with a decimal comma as in {comma[0]!r}"
        remedy = "read the file with pd.read_csv(..., decimal=',')"
    message = _not_numbers(name, held, remedy)
    if culprits or not are_whole:
        raise DataError(message)
    warnings.warn(f"{message} It is a factor of {n} levels here.", DataWarning, stacklevel=6)


def _not_numbers(name: str, held: str, remedy: str) -> str:
    """Say what a column holds, and how it becomes numbers or labels."""
    return (
        f"Column {name!r} holds {held}: {remedy}. If they are labels, say so with "
        f"factor({in_formula(name)}) in the formula, or data[{name!r}].astype('category')."
    )
