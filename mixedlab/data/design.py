"""From a formula and a table to arrays: y, X and one random term for each bar.

The steps, in order: parse the formula, take the columns it names, leave out rows with missing
values, let formulaic make the columns, drop aliased ones, code the groups, and refuse what no
model could identify. Each step keeps what it learned, so that `Design.rebuild` makes the same
columns for new rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from formulaic import Formula
from numpy.typing import ArrayLike, NDArray

from mixedlab.data.columns import (
    Recipe,
    as_frame,
    columns_used,
    first_rows,
    prepared,
    read,
    unknown_column,
    with_known_levels,
)
from mixedlab.data.formula import MixedFormula, parse
from mixedlab.data.groups import code_groups, find_groups, refuse_unidentified, terms_of
from mixedlab.data.identifiability import independent_columns
from mixedlab.data.response import (
    binomial_response,
    count_response,
    numeric_response,
    refuse_constant,
    successes_of_trials,
)
from mixedlab.data.rows import (
    complete_rows,
    one_a_row,
    refuse_duplicates,
    refuse_infinite,
    refuse_nonpositive_weights,
    refuse_one_level,
    report_missing,
    summed,
    take_rows,
    unused_levels,
)
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError, DataWarning, FormulaError, listed

Response = Literal["numeric", "binomial", "count"]


@dataclass(frozen=True)
class Design:
    """What a model is fitted to.

    Attributes
    ----------
    y : ndarray, shape (n,), or None
        The response; proportions for a binomial one. None in a rebuilt design.
    X : ndarray, shape (n, p)
        Fixed-effects columns, aliased ones dropped.
    names : tuple of str, length p
        Names of the columns of X; the intercept is ``"(Intercept)"``.
    aliased : tuple of str
        Columns dropped as linear combinations of earlier ones.
    terms : list of RandomTerm
        In formula order, ``a/b`` and ``||`` expanded. In a rebuilt design an ``index`` of -1
        marks a level that the fit has not seen.
    weights, offset : ndarray, shape (n,), or None
        Prior weights; the known part of the linear predictor.
    trials : ndarray, shape (n,), or None
        Binomial trials where given by ``cbind`` or weights (``weights`` is then None).
    rows : ndarray of int, shape (n,)
        Row numbers of the table that were kept.
    n_missing : int
        Number of rows left out for missing values.
    response : {"numeric", "binomial", "count"}
    formula : str
    index : Index, length n
        The table's own labels of the rows kept, for results that are Series on it.
    table_index : Index
        The labels of all rows of the table.
    unused_levels : dict of str to tuple
        Levels of factors that no row kept has; they were dropped.
    """

    y: NDArray[np.float64] | None
    X: NDArray[np.float64]
    names: tuple[str, ...]
    aliased: tuple[str, ...]
    terms: list[RandomTerm]
    weights: NDArray[np.float64] | None
    offset: NDArray[np.float64] | None
    trials: NDArray[np.float64] | None
    rows: NDArray[np.intp]
    n_missing: int
    response: Response
    formula: str
    index: pd.Index
    table_index: pd.Index
    unused_levels: dict[str, tuple] = field(default_factory=dict)
    recipe: _DesignRecipe | None = field(default=None, repr=False)

    def rebuild(
        self, newdata: Any, *, groups: bool = True, missing: Literal["error", "omit"] = "error"
    ) -> Design:
        """The same columns for new rows.

        Parameters
        ----------
        newdata : table
            The columns on the right of the formula; the response is not needed.
        groups : bool
            False leaves the random terms out, and needs no grouping columns.
        missing : {"error", "omit"}
            What to do with rows that have a gap: raise, or leave them out. ``rows`` then says
            which are there, and `spread` puts a result for them on the whole of ``table_index``.

        Raises
        ------
        DataError
            Missing or infinite values, unknown levels of a fixed factor, absent columns.
        """
        return _rebuild(self, as_frame(newdata), groups, missing)

    def spread(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values of the rows kept, one for each row of the table: NaN where it was left out."""
        values = np.asarray(values, dtype=float)
        if len(self.rows) == len(self.table_index):
            return values
        out = np.full((len(self.table_index), *values.shape[1:]), np.nan)
        out[self.rows] = values
        return out

    def with_new_groups(self, newdata: Any) -> pd.DataFrame:
        """The table with a group that no fit has seen where a grouping column is absent."""
        table = as_frame(newdata)
        factors = dict.fromkeys(c for bar in self.recipe.parsed.bars for c in bar.factors)
        absent = [name for name in factors if name not in table.columns]
        return table.assign(**dict.fromkeys(absent, "(new)")) if absent else table


@dataclass(frozen=True)
class _DesignRecipe:
    """What rebuilding needs: how each block was made, and the levels of each factor."""

    parsed: MixedFormula
    fixed: Recipe
    kept: NDArray[np.intp]
    bars: tuple[Recipe, ...]
    levels: tuple[tuple, ...]
    offsets: tuple[Recipe, ...]
    used: tuple[str, ...]
    factor_levels: dict[str, pd.Index]
    offset: str | None
    offset_is_array: bool


@dataclass(frozen=True)
class _Sides:
    """Each side of the formula, parsed by formulaic; keys are the texts."""

    response: dict[str, Formula]
    fixed: Formula
    bars: dict[str, Formula]
    offsets: dict[str, Formula]

    @classmethod
    def read(cls, parsed: MixedFormula) -> _Sides:
        source = parsed.source
        response = parsed.successes_failures or (parsed.response,)
        return cls(
            {text: _read_expression(text, source) for text in response},
            read(parsed.fixed, source),
            {bar.columns: read(bar.columns, source, bar.position) for bar in parsed.bars},
            {text: _read_expression(text, source) for text in parsed.offsets},
        )

    def predictors(self) -> list[Formula]:
        return [self.fixed, *self.bars.values(), *self.offsets.values()]


@dataclass
class _Blocks:
    """The evaluated columns of the rows in use."""

    response: dict[str, pd.Series]
    X: NDArray[np.float64]
    Z: dict[str, NDArray[np.float64]]
    offset: NDArray[np.float64] | None
    weights: NDArray[np.float64] | None

    def take(self, keep: NDArray[np.intp]) -> _Blocks:
        def part(values: Any) -> Any:
            return None if values is None else values[keep]

        return _Blocks(
            {text: column.iloc[keep] for text, column in self.response.items()},
            part(self.X),
            {text: part(Z) for text, Z in self.Z.items()},
            part(self.offset),
            part(self.weights),
        )

    def undefined(
        self,
        fixed_names: tuple[str, ...],
        bar_names: dict[str, tuple[str, ...]],
        rows: NDArray[np.intp],
    ) -> dict[str, NDArray[np.bool_]]:
        """Where an evaluated column is not a number, by column; an infinite value is an error."""
        columns = [*zip(fixed_names, self.X.T, strict=True)]
        for text, Z in self.Z.items():
            columns += zip(bar_names[text], Z.T, strict=True)
        columns += [(n, c.to_numpy()) for n, c in self.response.items() if c.dtype.kind == "f"]
        columns += [
            (name, values)
            for name, values in (("offset", self.offset), ("weights", self.weights))
            if values is not None
        ]
        where = {}
        for name, values in columns:
            if not np.isfinite(values).all():
                refuse_infinite(values, name, rows)
                where[name] = np.isnan(values)
        return where


def build_design(
    formula: str,
    data: Any,
    *,
    weights: ArrayLike | str | None = None,
    offset: ArrayLike | str | None = None,
    response: Response = "numeric",
    need_groups: bool = True,
) -> Design:
    """Evaluate a mixed-model formula on a table.

    Parameters
    ----------
    formula : str
        ``"y ~ x + (x | g)"``; nested ``a/b``, combinations ``a:b``, uncorrelated ``||``,
        ``cbind(successes, failures)`` and ``offset(...)`` are known; the rest is formulaic's.
    data : DataFrame or dict of columns
    weights, offset : array of one value a row, or a column's name
    response : {"numeric", "binomial", "count"}
        What the response must be.
    need_groups : bool
        Whether a formula without a random term is an error.

    Raises
    ------
    FormulaError
        Where the formula does not parse or names what is not there, with the place.
    DataError
        Where the data cannot identify the model or a column cannot be used.

    Warns
    -----
    DataWarning
        Once if rows with missing values were left out, once if columns were aliased.
    """
    parsed = parse(formula)
    source = parsed.source
    table = as_frame(data)
    if need_groups and not parsed.bars:
        raise FormulaError(
            "There is no random term: add one, for example '+ (1 | g)' where g holds the groups.",
            source,
            len(source),
        )
    if not parsed.response:
        raise FormulaError("There is no response on the left of '~'.", source, source.find("~"))
    sides = _Sides.read(parsed)
    predictors = _columns_of(sides.predictors(), table, source)
    used = list(dict.fromkeys(_columns_of(sides.response.values(), table, source) + predictors))
    grouping = _grouping_columns(parsed, table)
    refuse_duplicates(table, [*used, *grouping])
    weights_of_row = one_a_row(weights, "weights", table, source)
    offset_of_row = one_a_row(offset, "offset", table, source)

    # Rows with missing values are left out before formulaic sees the table, so that no state
    # (a mean, a spline's knots) is learned from them.
    gaps = {name: table[name].isna().to_numpy() for name in dict.fromkeys([*used, *grouping])}
    for name, values in (("weights", weights_of_row), ("offset", offset_of_row)):
        if values is not None:
            gaps[name] = np.isnan(values)
    rows = complete_rows(gaps, len(table))
    frame = _frame(table, used, rows)
    refuse_one_level(frame, columns_used(sides.fixed, table, source))

    fixed, X = Recipe.learn(sides.fixed, frame, source)
    bars = {text: Recipe.learn(part, frame, source) for text, part in sides.bars.items()}
    offsets = {text: Recipe.learn(part, frame, source) for text, part in sides.offsets.items()}
    blocks = _Blocks(
        {text: _expression(text, part, frame, source) for text, part in sides.response.items()},
        X,
        {text: Z for text, (_, Z) in bars.items()},
        summed([take_rows(offset_of_row, rows), *(column for _, column in offsets.values())]),
        take_rows(weights_of_row, rows),
    )
    # Rows where the formula itself is not defined, as log(x) at x < 0.
    undefined = blocks.undefined(fixed.names, {t: r.names for t, (r, _) in bars.items()}, rows)
    if undefined:
        keep = complete_rows(undefined, len(rows))
        for name, mask in undefined.items():
            gaps[name] = np.zeros(len(table), dtype=bool)
            gaps[name][rows[mask]] = True
        rows, blocks = rows[keep], blocks.take(keep)
    report_missing(gaps, len(table), len(rows))

    refuse_nonpositive_weights(blocks.weights, rows)
    y, w, trials = _response(response, blocks, parsed, rows)
    refuse_constant(y, parsed.response)

    kept = independent_columns(blocks.X)
    aliased = tuple(name for k, name in enumerate(fixed.names) if k not in kept)
    if aliased:
        warnings.warn(
            f"Dropped {listed(aliased)}: a linear combination of earlier columns, or zero in "
            "every row, has no coefficient of its own.",
            DataWarning,
            stacklevel=3,
        )
    X = np.ascontiguousarray(blocks.X[:, kept]) if aliased else blocks.X
    if X.shape[1] >= len(y):
        raise DataError(
            f"The fixed part has {X.shape[1]} coefficients, but there are only {len(y)} rows: "
            "use fewer terms or more data."
        )
    grouped = table if len(rows) == len(table) else table[grouping].iloc[rows]
    terms, levels_of_bars = [], []
    for bar in parsed.bars:
        index, levels = code_groups(grouped, bar)
        levels_of_bars.append(levels)
        terms += terms_of(bar, index, levels, blocks.Z[bar.columns], bars[bar.columns][0].names)
    for term in terms:
        refuse_unidentified(term, w, has_residual=response == "numeric")

    return Design(
        y=y,
        X=X,
        names=tuple(fixed.names[k] for k in kept),
        aliased=aliased,
        terms=terms,
        weights=w,
        offset=blocks.offset,
        trials=trials,
        rows=rows,
        n_missing=len(table) - len(rows),
        response=response,
        formula=formula,
        index=table.index[rows],
        table_index=table.index,
        unused_levels=unused_levels(table, rows, gaps),
        recipe=_DesignRecipe(
            parsed=parsed,
            fixed=fixed,
            kept=kept,
            bars=tuple(bars[bar.columns][0] for bar in parsed.bars),
            levels=tuple(levels_of_bars),
            offsets=tuple(r for r, _ in offsets.values()),
            used=tuple(predictors),
            factor_levels={
                c: frame[c].cat.categories for c in predictors if frame[c].dtype == "category"
            },
            offset=offset if isinstance(offset, str) else None,
            offset_is_array=offset is not None and not isinstance(offset, str),
        ),
    )


def _rebuild(design: Design, table: pd.DataFrame, groups: bool, missing: str) -> Design:
    recipe = design.recipe
    parsed, source = recipe.parsed, recipe.parsed.source
    if recipe.offset_is_array:
        raise DataError(
            "The fit has an offset given as an array, so new rows have none: give the offset as "
            "a column's name, or write offset(...) in the formula."
        )
    needed = [*recipe.used, *([recipe.offset] if recipe.offset else [])]
    needed += [c for bar in parsed.bars for c in bar.factors] if groups else []
    needed = list(dict.fromkeys(needed))
    for name in needed:
        if name not in table.columns:
            raise DataError(f"The new data have no column {name!r}, which the formula uses.")
    refuse_duplicates(table, needed)
    gaps = {name: table[name].isna().to_numpy() for name in needed}
    rows = _rows_without(
        gaps, np.arange(len(table)), missing, "have missing values in {name!r}, in"
    )
    frame = _frame(table, recipe.used, rows, recipe.factor_levels)
    offset = take_rows(one_a_row(recipe.offset, "offset", table, source), rows)
    Z = [bar.apply(frame, source) for bar in recipe.bars] if groups else []
    blocks = _Blocks(
        {},
        recipe.fixed.apply(frame, source),
        {bar.columns: columns for bar, columns in zip(parsed.bars, Z, strict=False)},
        summed([offset, *(r.apply(frame, source) for r in recipe.offsets)]),
        None,
    )
    names = {b.columns: r.names for b, r in zip(parsed.bars, recipe.bars, strict=True)}
    undefined = blocks.undefined(recipe.fixed.names, names, rows)
    if undefined:
        says = "leave {name!r} undefined, in"
        keep = _rows_without(undefined, rows, missing, says)
        rows, blocks = rows[keep], blocks.take(keep)
    terms: list[RandomTerm] = []
    if groups:
        grouped = table if len(rows) == len(table) else table.iloc[rows]
        for bar, bar_recipe, levels in zip(parsed.bars, recipe.bars, recipe.levels, strict=True):
            index = find_groups(grouped, bar, levels)
            terms += terms_of(bar, index, levels, blocks.Z[bar.columns], bar_recipe.names)
    return Design(
        y=None,
        X=np.ascontiguousarray(blocks.X[:, recipe.kept]),
        names=design.names,
        aliased=design.aliased,
        terms=terms,
        weights=None,
        offset=blocks.offset,
        trials=None,
        rows=rows,
        n_missing=len(table) - len(rows),
        response=design.response,
        formula=design.formula,
        index=table.index[rows],
        table_index=table.index,
        recipe=recipe,
    )


def _rows_without(
    gaps: dict[str, NDArray[np.bool_]], rows: NDArray[np.intp], missing: str, says: str
) -> NDArray[np.intp]:
    """Places of the new rows without a gap; raises where there is one and ``missing="error"``."""
    keep = np.ones(len(rows), dtype=bool)
    for name, gap in gaps.items():
        if missing == "error" and gap.any():
            raise DataError(
                f"The new data {says.format(name=name)} {first_rows(gap, rows)}: "
                "leave those rows out."
            )
        keep &= ~gap
    return np.flatnonzero(keep)


def _read_expression(text: str, source: str) -> Formula:
    """A response or an offset: one Python expression, where ``/`` divides and ``*`` multiplies."""
    return read("0 + {" + text + "}", source, source.find(text) - len("0 + {"))


def _columns_of(parts: Iterable[Formula], table: pd.DataFrame, source: str) -> list[str]:
    return list(dict.fromkeys(c for part in parts for c in columns_used(part, table, source)))


def _grouping_columns(parsed: MixedFormula, table: pd.DataFrame) -> list[str]:
    names = list(dict.fromkeys(c for bar in parsed.bars for c in bar.factors))
    for name in names:
        if name not in table.columns:
            raise unknown_column(name, table, parsed.source)
    return names


def _frame(
    table: pd.DataFrame,
    names: Iterable[str],
    rows: NDArray[np.intp],
    factor_levels: dict[str, pd.Index] | None = None,
) -> pd.DataFrame:
    """The columns that formulaic will see, for the rows in use; refuses infinite values."""
    columns = {}
    for name in names:
        column = table[name] if len(rows) == len(table) else table[name].iloc[rows]
        if factor_levels is not None and name in factor_levels:
            column = with_known_levels(column, factor_levels[name])
        elif factor_levels is not None and len(column) == 0:
            column = pd.Series(dtype=float)  # nothing says what an empty column holds
        else:
            column = prepared(column)
            if factor_levels is not None and column.dtype == "category":
                raise DataError(f"Column {name!r} holds numbers in the fit, not in the new data.")
        if column.dtype.kind == "f":
            refuse_infinite(column.to_numpy(), name, rows)
        columns[name] = column
    frame = pd.DataFrame(columns, index=table.index if len(rows) == len(table) else None)
    return frame.set_axis(pd.RangeIndex(len(rows)))


def _expression(text: str, part: Formula, frame: pd.DataFrame, source: str) -> pd.Series:
    """A response: a column as it is (it may be a factor), or the value of an expression."""
    name = text.strip("`")
    if name in frame.columns:
        return frame[name]
    _, values = Recipe.learn(part, frame, source)
    if values.shape[1] != 1:
        raise FormulaError(f"The response {text!r} is not one column of numbers.", source, 0)
    return pd.Series(values[:, 0], name=text)


def _response(
    kind: Response, blocks: _Blocks, parsed: MixedFormula, rows: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """The response, the prior weights and the trials; weights that are trials are no weights."""
    columns = list(blocks.response.values())
    if parsed.successes_failures is not None:
        if kind != "binomial":
            raise FormulaError(
                "cbind(successes, failures) is for family='binomial'.", parsed.source, 0
            )
        if blocks.weights is not None:
            raise DataError("cbind gives the number of trials: leave weights= out.")
        y, trials = successes_of_trials(columns[0], columns[1], rows)
        return y, None, trials
    if kind == "binomial":
        y, trials = binomial_response(columns[0], blocks.weights, rows)
        return y, None, trials
    y = count_response(columns[0], rows) if kind == "count" else numeric_response(columns[0])
    return y, blocks.weights, None
