"""Let formulaic make the columns of each part of a formula, now and again for new rows.

All parts are evaluated in one go, so that nothing is calculated twice. What formulaic and a
formula's functions raise becomes a `FormulaError` that points at its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from formulaic import Formula
from formulaic.errors import FormulaicError
from formulaic.formula import SimpleFormula, StructuredFormula
from formulaic.model_spec import ModelSpec, ModelSpecs
from numpy.typing import NDArray

from mixedlab.data.formula import MixedFormula, Part
from mixedlab.data.names import context, restored, stand_in
from mixedlab.data.rows import Rows, refuse_infinite
from mixedlab.errors import FormulaError

INTERCEPT = "(Intercept)"
# formulaic marks the place of an error in its message: text before, mark, place, mark.
_PLACE = re.compile(r"\n\n(?P<before>.*?)⧛(?:\x1b\[[\d;]*m)?(?P<place>.*?)(?:\x1b|⧚)", re.DOTALL)

Matrices = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Recipe:
    """How to make the columns of each part of a formula, with what the first table taught.

    The state of ``scale``, ``poly`` or splines, and the levels of each factor, are kept in the
    specs: new rows get the same columns, however few they are.

    Attributes
    ----------
    formula : MixedFormula
    specs : dict of str to ModelSpec
        formulaic's own recipe for a part, by the part's code.
    names : dict of str to tuple of str
        Names of the columns of a part, by its code.
    """

    formula: MixedFormula
    specs: dict[str, ModelSpec]
    names: dict[str, tuple[str, ...]]

    @classmethod
    def learn(
        cls, formula: MixedFormula, parts: Iterable[Part], columns: dict[str, pd.Series], n: int
    ) -> tuple[Recipe, Matrices]:
        """The columns of the parts, by code, for n rows; and the recipe to make them again."""
        by_code = {part.code: part for part in parts}
        formulas = [_read(part, formula) for part in by_code.values()]
        made = _evaluate(StructuredFormula(tuple(formulas)), by_code, formula, columns, n)
        specs = dict(zip(by_code, (m.model_spec for m in made), strict=True))
        names = {
            code: tuple(
                INTERCEPT if name == "Intercept" else restored(name, formula.names)
                for name in spec.column_names
            )
            for code, spec in specs.items()
        }
        return cls(formula, specs, names), _arrays(by_code, made)

    def apply(self, parts: Iterable[Part], columns: dict[str, pd.Series], n: int) -> Matrices:
        """Make the same columns of these parts for n new rows."""
        by_code = {part.code: part for part in parts}
        specs = ModelSpecs(tuple(self.specs[code] for code in by_code))
        return _arrays(by_code, _evaluate(specs, by_code, self.formula, columns, n))

    def undefined(
        self, values: Matrices, rows: Rows, given: dict[str, NDArray]
    ) -> dict[str, NDArray[np.bool_]]:
        """Where the formula itself is not defined, as log(x) at x < 0, by column of a matrix.

        An infinite value, in a matrix or in what was given for all rows of the table, is an error.
        """
        columns = [(name, rows.of(column)) for name, column in given.items()]
        for code, block in values.items():
            if not np.isfinite(block).all():
                columns += zip(self.names[code], block.T, strict=True)
        for name, column in columns:
            refuse_infinite(column, name, rows.kept)
        return {name: np.isnan(column) for name, column in columns}


def _arrays(codes: Iterable[str], made: Iterable) -> Matrices:
    return {c: np.ascontiguousarray(m, dtype=float) for c, m in zip(codes, made, strict=True)}


def _evaluate(
    specs: StructuredFormula | ModelSpecs,
    parts: dict[str, Part],
    formula: MixedFormula,
    columns: dict[str, pd.Series],
    n: int,
) -> Iterable:
    """One matrix for each part."""
    used = dict.fromkeys(name for part in parts.values() for name in part.columns)
    frame = pd.DataFrame(
        {stand_in(formula.names.index(name)): columns[name] for name in used},
        index=pd.RangeIndex(n),
    )
    with _in_words(formula, parts, columns):
        return specs.get_model_matrix(frame, context=context(), na_action="ignore", output="numpy")


@lru_cache(maxsize=256)
def _read_code(code: str) -> SimpleFormula:
    return Formula(code)


def _read(part: Part, formula: MixedFormula) -> SimpleFormula:
    """Let formulaic parse a part."""
    try:
        return _read_code(part.code)
    except FormulaicError as error:
        text = str(error)
        mark = _PLACE.search(text)
        message = text.split("\n\n")[0].replace("insuffient", "insufficient").strip()
        place = None
        if mark is not None:
            # "++" is marked from its first sign; the sign too many is the last one.
            signs = mark["place"].rstrip() if set(mark["place"]) <= set("+-*:/ ") else " "
            place = len(mark["before"]) + len(signs) - 1
    except SyntaxError as error:  # Python's, inside a call
        expression = (error.text or "").strip()
        message = f"This cannot be read: {error.msg.split('.')[0]}."
        start = part.code.find(expression)
        place = max(start, 0) + (error.offset or 1) - 1
    origin = part.origin[min(place, len(part.origin) - 1)] if place is not None else None
    raise FormulaError(restored(message, formula.names), formula.source, origin) from None


@contextmanager
def _in_words(
    formula: MixedFormula, parts: dict[str, Part], columns: dict[str, pd.Series]
) -> Iterator[None]:
    """Turn what formulaic and a formula's functions raise into a FormulaError with its place.

    A value that is not defined, as log(-1), is reported by row later: numpy need not warn of it.
    """
    try:
        with np.errstate(all="ignore"):
            yield
    except Exception as error:
        text, place = str(error).split("\n\n")[0], None
        found = re.match(r"Unable to evaluate factor `(.+?)`\. \[(\w+): (.*)\]", text, re.DOTALL)
        if found is not None:
            place, used = _where(found[1], parts)
            labels = [name for name in used if columns[name].dtype == "category"]
            why = f"{found[3]}."
            if labels and found[2] == "TypeError":
                why = f"column {labels[0]!r} holds labels, not numbers."
            text = f"{found[1]} cannot be calculated: {why}"
        raise FormulaError(restored(text, formula.names), formula.source, place) from error


def _where(expression: str, parts: dict[str, Part]) -> tuple[int | None, tuple[str, ...]]:
    """Place of a factor that formulaic names, and the columns of the part it stands in."""
    for part in parts.values():
        for term in _read_code(part.code):
            for factor in term.factors:
                if factor.expr == expression and factor.token is not None:
                    return part.origin[factor.token.source_start], part.columns
    return None, ()
