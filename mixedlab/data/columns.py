"""Evaluate one side of a formula against a table, now and again for new rows.

formulaic evaluates; this module prepares the table for it (one meaning for each dtype), finds
the columns a formula uses, and turns what formulaic raises into errors that name the place.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from formulaic import Formula, ModelSpec
from formulaic.errors import FormulaicError
from formulaic.transforms import TRANSFORMS
from numpy.typing import NDArray

from mixedlab.data.formula import place_of
from mixedlab.errors import DataError, FormulaError, listed, nearest

INTERCEPT = "(Intercept)"


@dataclass(frozen=True)
class Recipe:
    """How to make one block of columns from a table, with what the first table taught.

    The state of ``scale``, ``poly`` or splines, and the levels of each factor, are kept in
    ``spec``: new rows get the same columns, however few they are.
    """

    spec: ModelSpec
    names: tuple[str, ...]

    @classmethod
    def learn(cls, formula: Formula, frame: pd.DataFrame, source: str) -> tuple[Recipe, NDArray]:
        """Columns of ``formula`` for this table, and the recipe to make them again."""
        with _in_words(source):
            matrix = formula.get_model_matrix(frame, na_action="ignore", output="numpy")
        names = tuple(INTERCEPT if n == "Intercept" else n for n in matrix.model_spec.column_names)
        return cls(matrix.model_spec, names), np.ascontiguousarray(matrix, dtype=float)

    def apply(self, frame: pd.DataFrame, source: str) -> NDArray:
        """Make the same columns for new rows."""
        with _in_words(source):
            matrix = self.spec.get_model_matrix(frame, na_action="ignore", output="numpy")
        return np.ascontiguousarray(matrix, dtype=float)


def as_frame(data: Any) -> pd.DataFrame:
    """The table as a pandas DataFrame: a DataFrame, a dict of columns, or what has to_pandas."""
    if isinstance(data, pd.DataFrame):
        return data
    if hasattr(data, "to_pandas"):
        return data.to_pandas()
    if isinstance(data, dict):
        try:
            return pd.DataFrame(data)
        except ValueError as error:
            raise DataError(f"The columns of data do not fit together: {error}.") from None
    raise DataError(
        f"data must be a table (pandas DataFrame or dict of columns), not {type(data).__name__}."
    )


def read(text: str, source: str, shift: int = 0) -> Formula:
    """Let formulaic parse ``text``, which starts at ``shift`` in the formula ``source``."""
    dot = re.search(r"(?<![\w.)`])\.(?![\w.])", text)
    if dot is not None:
        raise FormulaError("'.' is not known here: name the columns.", source, shift + dot.start())
    try:
        return Formula(text)
    except FormulaicError as error:
        message, place = place_of(error)
        raise FormulaError(
            message, source, None if place is None else min(shift + place, len(source))
        ) from None


def columns_used(formula: Formula, frame: pd.DataFrame, source: str) -> list[str]:
    """Names of the table's columns in a parsed formula.

    Raises
    ------
    FormulaError
        For a name that is neither a column nor a function that formulaic knows.
    """
    used: dict[str, None] = {}
    for factor in dict.fromkeys(f for term in formula for f in term.factors):
        if factor.eval_method.value == "literal":
            continue
        variables, functions = (
            ([factor.expr], []) if factor.eval_method.value == "lookup" else _names(factor.expr)
        )
        for name in variables:
            if name in frame.columns:
                used[name] = None
            elif name not in TRANSFORMS and not hasattr(builtins, name):
                raise unknown_column(name, frame, source)
        for name in functions:
            if name not in TRANSFORMS and not hasattr(builtins, name) and name not in frame.columns:
                known = [t for t in TRANSFORMS if t[0].islower()]
                raise FormulaError(
                    f"There is no function {name!r} in formulas.{nearest(name, known)}",
                    source,
                    _position(name, source),
                )
    return list(used)


def _names(expression: str) -> tuple[list[str], list[str]]:
    """Variables and called functions of a Python expression with backticked names."""
    quoted: dict[str, str] = {}

    def stand_in(match: re.Match) -> str:
        key = f"_quoted_{len(quoted)}"
        quoted[key] = match.group(1)
        return key

    try:
        tree = ast.parse(re.sub(r"`([^`]+)`", stand_in, expression).strip(), mode="eval")
    except SyntaxError:
        return [], []  # evaluation will say what is wrong, with the expression
    called = {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    names = [n for n in ast.walk(tree) if isinstance(n, ast.Name)]
    local = {n.id for n in names if isinstance(n.ctx, ast.Store)}
    variables = [quoted.get(n.id, n.id) for n in names if id(n) not in called]
    return [v for v in variables if v not in local], [n.id for n in names if id(n) in called]


def unknown_column(name: str, frame: pd.DataFrame, source: str) -> FormulaError:
    """The error for a name that is no column, with the nearest one."""
    return FormulaError(
        f"There is no column {name!r} in the data.{nearest(name, frame.columns)}",
        source,
        _position(name, source),
    )


def _position(name: str, source: str) -> int | None:
    found = re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", source)
    return found.start() if found else None


class _in_words:
    """Turn what formulaic and a formula's functions raise into a FormulaError."""

    def __init__(self, source: str):
        self.source = source

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if not isinstance(error, Exception) or isinstance(error, (FormulaError, DataError)):
            return
        message = str(error).split("\n\n")[0]
        factor = re.search(r"factor `(.+?)`\. \[", message)
        hint = " In Python a power is '**'." if factor and "^" in factor[1] else ""
        raise FormulaError(
            f"{message}{hint}", self.source, _position(factor[1], self.source) if factor else None
        ) from error


def prepared(column: pd.Series) -> pd.Series:
    """One meaning for each dtype: numbers as they are, all else a factor with its used levels.

    Strings and bools become factors with sorted levels; a factor keeps the order of its levels.
    Unused levels are dropped.
    """
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return column.cat.remove_unused_categories()
    if pd.api.types.is_bool_dtype(dtype):
        return column.astype(pd.CategoricalDtype([False, True])).cat.remove_unused_categories()
    if pd.api.types.is_complex_dtype(dtype):
        raise DataError(f"Column {column.name!r} holds complex numbers.")
    if pd.api.types.is_numeric_dtype(dtype):
        if isinstance(dtype, np.dtype):
            return column
        return pd.Series(column.to_numpy(float, na_value=np.nan), column.index, name=column.name)
    if pd.api.types.is_datetime64_any_dtype(dtype) or pd.api.types.is_timedelta64_dtype(dtype):
        raise DataError(
            f"Column {column.name!r} holds dates or durations: turn it into a number first, "
            f"for example days since the first."
        )
    values = column.dropna()
    if len(values) and all(isinstance(v, (int, float, np.number)) for v in values):
        return pd.to_numeric(column)
    codes, levels = factorized(column)
    return pd.Series(
        pd.Categorical.from_codes(codes, categories=levels), column.index, name=column.name
    )


def factorized(column: pd.Series) -> tuple[NDArray[np.intp], pd.Index]:
    """Level number of each row (-1 where missing) and the levels in use, in order."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.remove_unused_categories()
        return column.cat.codes.to_numpy(np.intp), column.cat.categories
    try:
        return pd.factorize(column, sort=True)
    except TypeError:  # numbers and strings side by side have no order
        return pd.factorize(column.where(column.isna(), column.astype(str)), sort=True)


def with_known_levels(column: pd.Series, levels: pd.Index) -> pd.Series:
    """New rows of a factor, coded by the levels the model was fitted with.

    Raises
    ------
    DataError
        For a level that the fit has not seen.
    """
    coded = level_numbers(column, levels)
    unknown = (coded < 0) & column.notna().to_numpy()
    if unknown.any():
        raise DataError(
            f"Column {column.name!r} has levels the fit has not seen: "
            f"{listed(pd.unique(column[unknown]))}. It knows: {listed(levels)}."
        )
    return pd.Series(pd.Categorical.from_codes(coded, levels), column.index, name=column.name)


def level_numbers(column: pd.Series, levels: pd.Index) -> NDArray[np.intp]:
    """Number of each value among ``levels``, -1 for a new one.

    The number 308 finds the level ``"308"``, since tables differ in how they hold labels.
    """
    values = pd.Index(column.astype(object))
    coded = pd.Index(levels.astype(object)).get_indexer(values)
    if (coded < 0).any():
        as_text = pd.Index([str(level) for level in levels])
        if as_text.is_unique:
            coded = np.where(coded < 0, as_text.get_indexer(pd.Index(values.map(str))), coded)
    return coded


def first_rows(mask: NDArray[np.bool_], rows: Iterable[int] | None = None) -> str:
    """Name the first rows where ``mask`` holds: ``"rows 3, 17 (counted from 0)"``."""
    where = np.flatnonzero(mask)
    where = where if rows is None else np.asarray(rows)[where]
    return f"row{'s' if len(where) > 1 else ''} {listed(where, 5)} (counted from 0)"
