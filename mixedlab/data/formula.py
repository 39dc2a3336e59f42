"""Split a mixed-model formula into the parts that formulaic can evaluate.

``"y ~ x + (x | g)"`` is read as a response ``y``, a fixed part ``x`` and a random part
``(x | g)``, a *bar*. formulaic knows the first two and the left of each bar; this module
finds the bars, expands nesting (``a/b`` is ``a`` and ``a:b``) and keeps every position, so
that an error can point at its place in the formula that was typed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest

from mixedlab.data.names import Token, resolve
from mixedlab.errors import FormulaError


@dataclass(frozen=True)
class Part:
    """A piece of a formula that makes columns.

    Attributes
    ----------
    text : str
        As typed, blanks aside.
    code : str
        As formulaic reads it: stand-ins for the columns.
    origin : tuple of int
        Where in the formula each character of ``code`` comes from, and where the part ends.
    columns : tuple of str
        The table's columns it uses.
    declared : tuple of str
        Those that it uses as factors in so many words only, as in ``factor(x)``.
    """

    text: str
    code: str
    origin: tuple[int, ...]
    columns: tuple[str, ...]
    declared: tuple[str, ...] = ()

    @classmethod
    def of(cls, named: Sequence[Token], source: str, before: str = "", after: str = "") -> Part:
        """Join tokens; ``before`` and ``after`` are put round the code."""
        start = named[0].start
        text, code, origin = "", before, [start] * len(before)
        for last, token in zip([None, *named[:-1]], named, strict=True):
            blank = last is not None and last.stop < token.start
            text += " " * blank + token.text
            if last is not None and token.text == "(" and last.kind in ("name", "quoted"):
                blank = not last.is_function  # "f (x)" is a call of f, "x(z)" is none of x
            code += " " * blank + token.code
            origin += [token.start] * (blank + len(token.code))
        code, origin = code + after, origin + [named[-1].stop] * (len(after) + 1)
        used = dict.fromkeys(n.column for n in named if n.column is not None)
        plainly = {n.column for n in named if not n.declared}
        return cls(
            text,
            code,
            tuple(origin),
            tuple(used),
            tuple(column for column in used if column not in plainly),
        )

    @classmethod
    def expression(cls, named: Sequence[Token], source: str) -> Part:
        """A response or an offset: one value, where ``/`` divides and ``*`` multiplies."""
        return cls.of(named, source, "0 + {", "}")

    @property
    def position(self) -> int:
        """Where it starts in the formula."""
        return self.origin[0]

    @property
    def as_column(self) -> str | None:
        """The column that it is, if it is no more than that."""
        only = self.columns[0] if len(self.columns) == 1 else None
        return only if self.text in (only, f"`{only}`") else None


def columns_of(parts: Iterable[Part]) -> list[str]:
    """The columns that the parts use."""
    return list(dict.fromkeys(name for part in parts for name in part.columns))


@dataclass(frozen=True)
class Bar:
    """One grouping factor and the columns that vary over it, ``(columns | factor)``.

    Attributes
    ----------
    columns : Part
        What varies: ``1``, ``0 + x``, ``bs(x, df=4)``.
    factors : tuple of str
        The columns whose combinations are the levels: ``("batch", "cask")`` for ``batch:cask``.
    correlated : bool
        False for ``||``: each column is a term of its own.
    """

    columns: Part
    factors: tuple[str, ...]
    correlated: bool

    @property
    def group(self) -> str:
        """Name of the grouping factor, ``"batch:cask"``."""
        return ":".join(self.factors)

    def __str__(self) -> str:
        return f"({self.columns.text} {'|' if self.correlated else '||'} {self.group})"


@dataclass(frozen=True)
class MixedFormula:
    """The parts of a formula.

    Attributes
    ----------
    source : str
        The formula as typed, on one line.
    names : tuple of str
        The table's columns it names, in the order of their stand-ins.
    response : Part or None
        Left of ``~``; the parts of ``cbind`` stand in ``successes_failures``.
    successes_failures : tuple of two Part, or None
        The arguments of ``cbind(successes, failures)``, where the response is that.
    fixed : Part
        Right of ``~`` without bars and offsets.
    bars : tuple of Bar
        In the order typed; ``a/b`` gives two.
    offsets : tuple of Part
        The arguments of ``offset(...)``.
    """

    source: str
    names: tuple[str, ...]
    response: Part | None
    successes_failures: tuple[Part, Part] | None
    fixed: Part
    bars: tuple[Bar, ...]
    offsets: tuple[Part, ...]

    @property
    def responses(self) -> tuple[Part, ...]:
        """The response, or both parts of ``cbind``."""
        return self.successes_failures or ((self.response,) if self.response else ())

    @property
    def predictors(self) -> tuple[Part, ...]:
        """Everything on the right that makes columns."""
        return (self.fixed, *(bar.columns for bar in self.bars), *self.offsets)

    @property
    def factors(self) -> tuple[str, ...]:
        """The columns that hold groups."""
        return tuple(dict.fromkeys(name for bar in self.bars for name in bar.factors))


def parse(formula: str, known: Iterable[str] | None = None) -> MixedFormula:
    """Read a mixed-model formula.

    Parameters
    ----------
    formula : str
    known : iterable of str, optional
        The columns of the table; without them any name is taken for one.

    Raises
    ------
    FormulaError
        Where it does not parse or names what is not there, with the place.
    """
    if not isinstance(formula, str):
        raise FormulaError(
            f"A formula is a string such as 'y ~ x + (x | g)', not {type(formula).__name__}."
        )
    return _parse(" ".join(formula.splitlines()), None if known is None else tuple(known))


@lru_cache(maxsize=64)
def _parse(source: str, known: tuple[str, ...] | None) -> MixedFormula:
    named, names = resolve(source, known)
    tildes = [i for i, n in enumerate(named) if n.text == "~" and n.depth == 0]
    if len(tildes) != 1:
        raise FormulaError(
            "A formula has one '~' between the response and the terms, as in 'y ~ x + (1 | g)'.",
            source,
            named[tildes[1]].start if tildes else len(source.rstrip()),
        )
    left, right = named[: tildes[0]], named[tildes[0] + 1 :]
    for n in right:
        if n.depth == 0 and n.text in ("|", "||"):
            raise FormulaError("Put a random term in parentheses: '+ (x | g)'.", source, n.start)
        if n.is_function and n.text == "cbind":
            raise FormulaError("cbind stands on the left of '~' only.", source, n.start)

    bars: list[Bar] = []
    offsets: list[Part] = []
    taken: list[tuple[int, int]] = []
    for first, last in _top_level_parentheses(right):
        inside = right[first + 1 : last]
        called = right[first - 1] if first and right[first - 1].is_function else None
        buried = [i for i, n in enumerate(inside) if n.text in ("|", "||")]
        strokes = [i for i in buried if inside[i].depth == 1]
        if called is not None and called.text == "offset":
            offsets.append(_argument(inside, called, source))
            taken.append(_span(right, first - 1, last, source))
        elif called is None and strokes:
            bars += _read_bar(inside, right[last], strokes, source)
            taken.append(_span(right, first, last, source))
        elif called is None and buried:
            raise FormulaError(
                "A random term stands on its own, joined to the others by '+'.",
                source,
                inside[buried[0]].start,
            )
    rest = [n for i, n in enumerate(right) if not any(a <= i < b for a, b in taken)]
    if rest and rest[0].text == "+":  # it joined a term that is taken out now
        rest = rest[1:]
    if not rest and not taken:
        raise FormulaError("There is nothing on the right of '~'.", source, len(source))
    fixed = Part.of(rest, source) if rest else Part("1", "1", (len(source),) * 2, ())
    response, pair = _left(left, source)
    return MixedFormula(source, names, response, pair, fixed, tuple(bars), tuple(offsets))


def _left(named: list[Token], source: str) -> tuple[Part | None, tuple[Part, Part] | None]:
    """The response, and its two parts where it is ``cbind(successes, failures)``."""
    if not named:
        return None, None
    response = Part.expression(named, source)
    if named[0].text != "cbind" or not named[0].is_function or named[-1].text != ")":
        return response, None
    inside = named[2:-1]
    commas = [i for i, n in enumerate(inside) if n.text == "," and n.depth == 1]
    if len(commas) != 1 or commas[0] in (0, len(inside) - 1):
        raise FormulaError(
            "cbind takes two columns: 'cbind(successes, failures)'.", source, named[0].start
        )
    two = inside[: commas[0]], inside[commas[0] + 1 :]
    return response, (Part.expression(two[0], source), Part.expression(two[1], source))


def _argument(inside: list[Token], called: Token, source: str) -> Part:
    if not inside:
        raise FormulaError("offset() takes one expression: 'offset(log(x))'.", source, called.start)
    return Part.expression(inside, source)


def _top_level_parentheses(named: list[Token]) -> list[tuple[int, int]]:
    """Places of the outermost ``(`` and their ``)``."""
    outer = [i for i, n in enumerate(named) if n.depth == 0 and n.text in ("(", ")")]
    return list(zip(outer[::2], outer[1::2], strict=True))


def _span(right: list[Token], first: int, last: int, source: str) -> tuple[int, int]:
    """The tokens of a term together with the ``+`` in front of it."""
    term = source[right[first].start : right[last].stop]
    wrong = []
    if first > 0 and right[first - 1].text != "+":
        wrong.append(right[first - 1])
    if last + 1 < len(right) and right[last + 1].text not in ("+", "-"):
        wrong.append(right[last + 1])
    for neighbour in wrong:
        raise FormulaError(f"Join {term} to the other terms by '+'.", source, neighbour.start)
    return max(first - 1, 0), last + 1


def _read_bar(inside: list[Token], end: Token, strokes: list[int], source: str) -> list[Bar]:
    """The terms of one pair of parentheses: several where the factor is nested."""
    if len(strokes) > 1:
        raise FormulaError(
            "One random term has one '|' (or '||').", source, inside[strokes[-1]].start
        )
    stroke = strokes[0]
    if stroke == 0:
        raise FormulaError(
            "Say what varies over the groups: '(1 | g)' for an intercept.",
            source,
            inside[0].start,
        )
    columns = Part.of(inside[:stroke], source)
    correlated = inside[stroke].text == "|"
    bars = [
        Bar(columns, factors, correlated)
        for factors in _nested_factors(inside[stroke + 1 :], end, source)
    ]
    for bar in bars:
        if bar.group in columns.columns:
            raise FormulaError(
                f"{bar.group!r} is the same in all rows of one of its levels, so it cannot vary "
                f"over them. An effect of each level is '(1 | {bar.group})'.",
                source,
                columns.position,
            )
    return bars


def _nested_factors(named: list[Token], end: Token, source: str) -> list[tuple[str, ...]]:
    """``a/b:c`` as ``[("a",), ("a", "b", "c")]``."""
    nested: list[tuple[str, ...]] = []
    so_far: tuple[str, ...] = ()
    wanted = "Right of '|' stands the column that holds the groups: 'g', 'a/b' or 'a:b'."
    for name, joint in zip_longest(named[::2], named[1::2]):
        if name.column is None and not name.is_function:
            raise FormulaError(wanted, source, name.start)
        if joint is None:
            return [*nested, (*so_far, name.column)]
        if joint.text not in ("/", ":"):
            raise FormulaError(
                "Groups are columns joined by '/' (nested) or ':' (combinations). A column of "
                "numbers is a factor here as it stands; a name with a space stands in backticks.",
                source,
                joint.start,
            )
        so_far += (name.column,)
        if joint.text == "/":
            nested.append(so_far)
    raise FormulaError(wanted, source, end.start)
