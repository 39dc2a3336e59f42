"""The columns of each part of a formula, now and again for new rows; the groups of each bar.

formulaic evaluates all parts in one go, so that nothing is calculated twice. What it and a
formula's functions raise becomes a `FormulaError` that points at its place. Columns and random
terms that the data cannot tell apart are found here, before a model is fitted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
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

from mixedlab.data.columns import factorized, level_numbers
from mixedlab.data.formula import Bar, MixedFormula, Part
from mixedlab.data.names import context, restored, stand_in
from mixedlab.data.rows import Rows, refuse_infinite
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError, FormulaError

INTERCEPT = "(Intercept)"
# formulaic marks the place of an error in its message: text before, mark, place, mark.
_PLACE = re.compile(r"\n\n(?P<before>.*?)⧛(?:\x1b\[[\d;]*m)?(?P<place>.*?)(?:\x1b|⧚)", re.DOTALL)
# A column whose part not explained by earlier ones is below this share of its length is
# aliased. Rounding leaves about 1e-15; a year column of 2000 to 2010 has 1e-3.
_ALIASED = 1e-9
_ROWS_AT_ONCE = 65_536

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


def independent_columns(X: NDArray[np.float64]) -> NDArray[np.intp]:
    """Positions of the columns that are no linear combination of earlier ones.

    The triangle R of a QR factorisation has the same linear dependencies as X. It is gathered
    over blocks of rows, so that no second copy of X is made.

    Parameters
    ----------
    X : ndarray, shape (n, p)
    """
    length = np.sqrt(np.einsum("ij,ij->j", X, X))
    unit = np.where(length > 0, length, 1.0)
    R = np.empty((0, X.shape[1]))
    for start in range(0, X.shape[0], _ROWS_AT_ONCE):
        R = np.linalg.qr(np.vstack([R, X[start : start + _ROWS_AT_ONCE] / unit]), mode="r")
    basis = np.empty((R.shape[0], 0))
    kept = []
    for k in range(X.shape[1]):
        rest = R[:, k]
        for _ in range(2):  # the second pass removes what rounding left of the first
            rest = rest - basis @ (basis.T @ rest)
        size = np.linalg.norm(rest)
        if length[k] > 0 and size > _ALIASED:
            basis = np.column_stack([basis, rest / size])
            kept.append(k)
    return np.array(kept, dtype=np.intp)


@dataclass(frozen=True)
class Grouping:
    """The levels of one grouping factor.

    Attributes
    ----------
    factors : tuple of str
        The columns it is made of.
    labels : tuple of Index
        The labels of each column.
    pairs : tuple of ndarray of int
        For each column after the first, the combinations that occur, in order: the level before
        times the number of labels, plus the label.
    levels : tuple
        One factor keeps its labels; a combination is labelled ``"A:a"``.
    """

    factors: tuple[str, ...]
    labels: tuple[pd.Index, ...]
    pairs: tuple[NDArray[np.int64], ...]
    levels: tuple

    @classmethod
    def learn(cls, factors: tuple[str, ...], table: pd.DataFrame) -> tuple[Grouping, NDArray]:
        """The levels that occur, and the level number of each row."""
        index, first = factorized(table[factors[0]])
        levels, labels, pairs = first.tolist(), [first], []
        for name in factors[1:]:
            inner, found = factorized(table[name])
            index, occurring = pd.factorize(index.astype(np.int64) * len(found) + inner, sort=True)
            outer, inner = np.divmod(occurring, max(len(found), 1))
            levels = [f"{levels[a]}:{found[b]}" for a, b in zip(outer, inner, strict=True)]
            labels.append(found)
            pairs.append(occurring)
        grouping = cls(factors, tuple(labels), tuple(pairs), tuple(levels))
        return grouping, np.asarray(index, dtype=np.intp)

    def find(self, table: pd.DataFrame) -> NDArray[np.intp]:
        """Level number of each new row, -1 for a new level."""
        index = level_numbers(table[self.factors[0]], self.labels[0])
        for name, found, pairs in zip(self.factors[1:], self.labels[1:], self.pairs, strict=True):
            inner = level_numbers(table[name], found)
            pair = np.where((index < 0) | (inner < 0), -1, index * len(found) + inner)
            place = np.minimum(np.searchsorted(pairs, pair), len(pairs) - 1)
            index = np.where(pairs[place] == pair, place, -1)
        return np.asarray(index, dtype=np.intp)


def terms_of(
    bar: Bar, index: NDArray[np.intp], levels: tuple, Z: NDArray[np.float64], names: Sequence[str]
) -> list[RandomTerm]:
    """One term, or one for each column where the bar is ``||``."""
    if bar.correlated:
        return [RandomTerm(bar.group, index, levels, Z, tuple(names))]
    return [
        RandomTerm(bar.group, index, levels, np.ascontiguousarray(Z[:, [k]]), (name,))
        for k, name in enumerate(names)
    ]


def refuse_shared(bars: Sequence[Bar], names: Sequence[tuple[str, ...]], source: str) -> None:
    """Raise where a coefficient varies over the same groups in two terms."""
    seen: dict[tuple[frozenset, str], Bar] = {}
    for bar, columns in zip(bars, names, strict=True):
        for name in columns:
            key = (frozenset(bar.factors), name)
            if key not in seen:
                seen[key] = bar
                continue
            what = "The intercept" if name == "(Intercept)" else repr(name)
            both = f"{seen[key]} and {bar}" if str(seen[key]) != str(bar) else f"{bar} twice"
            raise FormulaError(
                f"{what} varies over {bar.group!r} in two terms, {both}: its two variances cannot "
                "be told apart. Leave it out of one of them; '0 + x' is a slope without an "
                "intercept.",
                source,
                bar.columns.position,
            )


def refuse_unidentified(
    term: RandomTerm, weights: NDArray[np.float64] | None, has_residual: bool
) -> None:
    """Raise where the variance of a term cannot be estimated from these groups."""
    if not term.names:
        raise DataError(
            f"Nothing varies over {term.group!r}: '(1 | {term.group})' is an intercept."
        )
    if term.n_levels < 2:
        raise DataError(
            f"Grouping factor {term.group!r} has one level ({term.levels[0]!r}): a variance "
            "between groups needs at least two, better ten. Leave the term out."
        )
    if has_residual and is_confounded_with_residual(term, weights):
        rows = len(term.index) / term.n_levels
        raise DataError(
            f"Grouping factor {term.group!r} has {term.n_levels} levels for {len(term.index)} "
            f"rows, {rows:.3g} a level: the variance of ({' + '.join(term.names)} | {term.group}) "
            "cannot be told apart from the residual variance. Leave the term out, or use groups "
            "with more rows."
        )


def is_confounded_with_residual(term: RandomTerm, weights: NDArray[np.float64] | None) -> bool:
    """Whether a random term can stand in for the residual variance.

    The term adds ``Z_i T Z_i'`` to the covariance of level i and the residual adds
    ``sigma2 W_i^-1``. If some symmetric T gives ``Z_i T Z_i' = W_i^-1`` for every level, only
    their sum is identified. That needs no level with more rows than coefficients: one row a
    group with a random intercept is the common case.
    """
    counts = np.bincount(term.index, minlength=term.n_levels)
    q = term.n_coefs
    if counts.max() > q:
        return False
    order = np.argsort(term.index, kind="stable")
    left, right = [], []
    for k in range(q):  # pairs of rows of one level, k places apart
        first = np.arange(len(order) - k)
        same = term.index[order[first]] == term.index[order[first + k]]
        left.append(order[first[same]])
        right.append(order[first[same] + k])
    i, j = np.concatenate(left), np.concatenate(right)
    a, b = np.triu_indices(q)
    products = term.Z[i][:, a] * term.Z[j][:, b] + term.Z[i][:, b] * term.Z[j][:, a]
    w = np.ones(len(term.index)) if weights is None else weights
    target = np.where(i == j, 1.0 / w[i], 0.0)
    scale = np.abs(products).max(axis=0)
    products = products / np.where(scale > 0, scale, 1.0)
    T = np.linalg.lstsq(products, target, rcond=None)[0]
    return bool(np.linalg.norm(products @ T - target) < 1e-8 * np.linalg.norm(target))
