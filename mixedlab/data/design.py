"""From a formula and a table to arrays: y, X and one random term for each bar.

The way is a pipeline, one module a stage, and `build_design` reads like it:

1. `names`, `formula`: the text, cut into tokens; each name found among the table's columns; the
   response, the fixed part and the bars told apart;
2. `rows`: rows with missing values are left out, so that no state is learned from them;
3. `columns`: each column that the formula uses becomes numbers or a factor;
4. `matrices`: formulaic makes the columns of each part, and a recipe to make them again;
5. `rows`: y, checked against what the family can produce;
6. `matrices`: aliased columns are dropped, groups coded, and what no model could identify is
   refused.

`Design.rebuild` goes the same way for new rows, with what the first table taught.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mixedlab.data.columns import (
    as_frame,
    levels_of,
    refuse_one_level,
    refuse_unusable,
    typed_columns,
)
from mixedlab.data.exposure import warn_of_raw_exposure
from mixedlab.data.formula import MixedFormula, Part, columns_of, parse
from mixedlab.data.matrices import (
    Grouping,
    Matrices,
    Recipe,
    independent_columns,
    refuse_shared,
    refuse_unidentified,
    terms_of,
)
from mixedlab.data.rows import (
    ZERO,
    Response,
    Rows,
    gaps_in,
    one_a_row,
    refuse_bad_weights,
    refuse_constant,
    response_column,
    response_of,
    unused_levels,
    without_trials,
)
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError, DataWarning, FormulaError, first_rows, listed

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
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
        Number of rows left out: values missing, or a weight of zero.
    response : {"numeric", "binomial", "count"}
    formula : str
    index : Index, length n
        The table's own labels of the rows kept, for results that are Series on it.
    unused_levels : dict of str to tuple
        Levels of factors that no row kept has; they were dropped.
    recipe : DesignRecipe
        How to make the same columns for new rows.
    frame : DataFrame, n rows
        The columns of the table that the model uses, rows kept only.
    """

    y: Array | None
    X: Array
    names: tuple[str, ...]
    aliased: tuple[str, ...]
    terms: list[RandomTerm]
    weights: Array | None
    offset: Array | None
    trials: Array | None
    rows: NDArray[np.intp]
    n_missing: int
    response: Response
    formula: str
    index: pd.Index
    unused_levels: dict[str, tuple] = field(default_factory=dict)
    recipe: DesignRecipe | None = field(default=None, repr=False)
    frame: pd.DataFrame | None = field(default=None, repr=False)

    def rebuild(
        self, newdata: Any, *, groups: bool = True, missing: Literal["error", "mark"] = "error"
    ) -> Design:
        """The same columns for new rows.

        Parameters
        ----------
        newdata : table
            The columns on the right of the formula; the response is not needed.
        groups : bool
            False leaves the random terms out, and needs no grouping columns.
        missing : {"error", "mark"}
            What to do with rows that have a gap: raise, or mark them by NaN in X, Z and offset,
            which any prediction then is too; their level number is 0.

        Raises
        ------
        DataError
            Missing or infinite values, unknown levels of a fixed factor, absent columns.
        """
        return _rebuild(self, as_frame(newdata), groups, missing)

    def with_new_groups(self, newdata: Any) -> pd.DataFrame:
        """The table with a group that no fit has seen where a grouping column is absent."""
        table = as_frame(newdata)
        absent = [name for name in self.recipe.formula.factors if name not in table.columns]
        return table.assign(**dict.fromkeys(absent, "(new)")) if absent else table


@dataclass(frozen=True, eq=False)
class DesignRecipe:
    """What the first table taught.

    Attributes
    ----------
    formula : MixedFormula
    matrices : Recipe
        How the columns of each part are made.
    levels : dict of str to Index or None
        Levels of each column on the right of the formula; None for numbers.
    kept : ndarray of int
        The fixed columns that are not aliased.
    groupings : dict of tuple of str to Grouping
    offset : str, bool
        The column given as ``offset=``; True for an array, False for none.
    """

    formula: MixedFormula
    matrices: Recipe
    levels: dict[str, pd.Index | None]
    kept: NDArray[np.intp]
    groupings: dict[tuple[str, ...], Grouping]
    offset: str | bool


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
        ``cbind(successes, failures)`` and ``offset(...)`` are known; the rest is formulaic's,
        and R's habits.
    data : DataFrame or dict of columns
    weights, offset : array of one value a row, Series with the table's labels, or a column's name
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
        Once if rows were left out, once if columns were aliased.
    """
    table = as_frame(data)
    parsed = parse(formula, table.columns)
    _refuse_incomplete(parsed, need_groups)
    parts = (*parsed.responses, *parsed.predictors)
    needed = list(dict.fromkeys([*columns_of(parts), *parsed.factors]))
    refuse_unusable(table, needed)
    given = {
        name: one_a_row(values, name, table)
        for name, values in (("weights", weights), ("offset", offset))
        if values is not None
    }
    refuse_bad_weights(given.get("weights"))
    by_name = [name for name in (weights, offset) if isinstance(name, str)]

    rows = Rows.all_of(table)
    rows = rows.without(gaps_in(table, needed) | {n: np.isnan(v) for n, v in given.items()})
    if "weights" in given:
        rows = rows.without({"weights": rows.of(given["weights"]) == 0}, ZERO)
    rows.refuse_none()
    columns = typed_columns(table, parts, rows)
    refuse_one_level(columns, parsed.fixed)

    made = [part for part in parts if part not in parsed.responses or part.as_column is None]
    matrices, values = Recipe.learn(parsed, made, columns, len(rows.kept))
    left = [response_column(part, columns, values) for part in parsed.responses]
    gaps = matrices.undefined(values, rows, given)
    if parsed.successes_failures is not None:
        gaps |= without_trials(left)
    complete, rows = rows, rows.without(gaps)
    rows.refuse_none()
    if rows is not complete:
        at = rows.within(complete)
        values = {code: block[at] for code, block in values.items()}
        left = [column.iloc[at] for column in left]
    if not rows.is_all:
        warnings.warn(rows.report(), DataWarning, stacklevel=3)

    w = rows.of(given.get("weights"))
    y, w, trials = response_of(left, parsed, response, w, rows.kept)
    refuse_constant(y, parsed.response.text)
    if response == "count":
        warn_of_raw_exposure(parsed, offset, rows.of(given.get("offset")), values, y)
    X = values[parsed.fixed.code]
    names = matrices.names[parsed.fixed.code]
    kept = independent_columns(X)
    aliased = tuple(name for k, name in enumerate(names) if k not in kept)
    if aliased:
        warnings.warn(
            f"Dropped {listed(aliased)}: a linear combination of earlier columns, or zero in "
            "every row, has no coefficient of its own.",
            DataWarning,
            stacklevel=3,
        )
        X = np.ascontiguousarray(X[:, kept])
    if X.shape[1] >= len(y):
        raise DataError(
            f"The fixed part has {X.shape[1]} coefficients, but there are only {len(y)} rows: "
            "use fewer terms or more data."
        )

    codes = [bar.columns.code for bar in parsed.bars]
    refuse_shared(parsed.bars, [matrices.names[code] for code in codes], parsed.source)
    grouped = rows.of(table)
    coded = {f: Grouping.learn(f, grouped) for f in dict.fromkeys(b.factors for b in parsed.bars)}
    terms = [
        term
        for bar, code in zip(parsed.bars, codes, strict=True)
        for term in terms_of(
            bar, coded[bar.factors][1], coded[bar.factors][0].levels, values[code],
            matrices.names[code],
        )
    ]  # fmt: skip
    for term in terms:
        refuse_unidentified(term, w, has_residual=response == "numeric")

    return Design(
        y=y,
        X=X,
        names=tuple(names[k] for k in kept),
        aliased=aliased,
        terms=terms,
        weights=w,
        offset=_summed(rows.of(given.get("offset")), parsed.offsets, values),
        trials=trials,
        rows=rows.kept,
        n_missing=rows.n - len(rows.kept),
        response=response,
        formula=formula,
        index=table.index[rows.kept],
        unused_levels=unused_levels(table, rows, needed),
        recipe=DesignRecipe(
            parsed,
            matrices,
            levels_of(columns, columns_of(parsed.predictors)),
            kept,
            {factors: grouping for factors, (grouping, _) in coded.items()},
            offset if isinstance(offset, str) else offset is not None,
        ),
        frame=rows.of(table[list(dict.fromkeys([*needed, *by_name]))]),
    )


def _rebuild(design: Design, table: pd.DataFrame, groups: bool, missing: str) -> Design:
    recipe, parsed = design.recipe, design.recipe.formula
    if recipe.offset is True:
        raise DataError(
            "The fit has an offset given as an array, so new rows have none: give the offset as "
            "a column's name, or write offset(...) in the formula."
        )
    parts = parsed.predictors if groups else (parsed.fixed, *parsed.offsets)
    needed = [*columns_of(parts), *(parsed.factors if groups else ())]
    needed = list(dict.fromkeys([*needed, recipe.offset] if recipe.offset else needed))
    for name in needed:
        if name not in table.columns:
            raise DataError(f"The new data have no column {name!r}, which the formula uses.")
    refuse_unusable(table, needed)

    gaps, rows = gaps_in(table, needed), Rows.all_of(table)
    if missing == "error":
        _refuse_gaps(gaps, rows, "have missing values in {!r}, in")
    rows = rows.without(gaps)
    columns = typed_columns(table, parts, rows, recipe.levels)
    values = recipe.matrices.apply(parts, columns, len(rows.kept))
    given = {"offset": one_a_row(recipe.offset, "offset", table)} if recipe.offset else {}
    gaps = recipe.matrices.undefined(values, rows, given)
    if missing == "error":
        _refuse_gaps(gaps, rows, "leave {!r} undefined, in")
    complete, rows = rows, rows.without(gaps)
    # Rows with a gap come back as NaN.
    values = {c: rows.spread(v[rows.within(complete)], np.nan) for c, v in values.items()}

    terms: list[RandomTerm] = []
    if groups:
        index = {f: rows.spread(g.find(rows.of(table)), 0) for f, g in recipe.groupings.items()}
        for bar in parsed.bars:
            code, levels = bar.columns.code, recipe.groupings[bar.factors].levels
            names = recipe.matrices.names[code]
            terms += terms_of(bar, index[bar.factors], levels, values[code], names)
    return replace(
        design,
        y=None,
        X=np.ascontiguousarray(values[parsed.fixed.code][:, recipe.kept]),
        terms=terms,
        weights=None,
        offset=_summed(given.get("offset"), parsed.offsets, values),
        trials=None,
        rows=np.arange(rows.n),
        n_missing=rows.n - len(rows.kept),
        index=table.index,
        unused_levels={},
        frame=None,
    )


def _refuse_incomplete(parsed: MixedFormula, need_groups: bool) -> None:
    """Raise where the formula lacks a response, or a random term that is needed."""
    if need_groups and not parsed.bars:
        raise FormulaError(
            "There is no random term: add one, for example '+ (1 | g)' where g holds the groups.",
            parsed.source,
            len(parsed.source),
        )
    if parsed.response is None:
        raise FormulaError(
            "There is no response on the left of '~'.", parsed.source, parsed.source.find("~")
        )


def _refuse_gaps(gaps: dict[str, NDArray[np.bool_]], rows: Rows, says: str) -> None:
    for name, gap in gaps.items():
        if gap.any():
            raise DataError(
                f"The new data {says.format(name)} {first_rows(gap, rows.kept)}: "
                "leave those rows out."
            )


def _summed(given: Array | None, offsets: Iterable[Part], values: Matrices) -> Array | None:
    """Sum of the offsets; None where there is none."""
    parts = [values[part.code].sum(axis=1) for part in offsets]
    parts += [] if given is None else [given]
    return np.sum(parts, axis=0) if parts else None
