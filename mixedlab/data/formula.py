"""Split a mixed-model formula into the parts that formulaic can evaluate.

``"y ~ x + (x | g)"`` is read as a response ``y``, a fixed part ``x`` and a random part
``(x | g)``, a *bar*. formulaic knows the first two and the left of each bar; this module
finds the bars, expands nesting (``a/b`` is ``a`` and ``a:b``) and keeps every position, so
that an error can point at its place in the formula that was typed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mixedlab.errors import FormulaError

_OPEN, _CLOSE = "([{", ")]}"
_QUOTED = 99  # depth of what stands in quotes
_COLUMN = re.compile(r"\s*(?:`(?P<quoted>[^`]+)`|(?P<plain>[^\W\d][\w.]*))\s*")
# formulaic marks the place of an error in its message: text before, mark, place, mark.
_PLACE = re.compile(r"\n\n(?P<before>.*?)⧛(?:\x1b\[[\d;]*m)?(?P<place>.*?)(?:\x1b|⧚)", re.DOTALL)


@dataclass(frozen=True)
class Bar:
    """One grouping factor and the columns that vary over it, ``(columns | factor)``.

    Attributes
    ----------
    columns : str
        What varies, as formulaic reads it: ``"1"``, ``"0 + x"``, ``"bs(x, df=4)"``.
    factors : tuple of str
        The columns whose combinations are the levels: ``("batch", "cask")`` for ``batch:cask``.
    correlated : bool
        False for ``||``: each column is a term of its own.
    position : int
        Where ``columns`` starts in the formula.
    """

    columns: str
    factors: tuple[str, ...]
    correlated: bool
    position: int

    @property
    def group(self) -> str:
        """Name of the grouping factor, ``"batch:cask"``."""
        return ":".join(self.factors)


@dataclass(frozen=True)
class MixedFormula:
    """The parts of a formula.

    Attributes
    ----------
    source : str
        The formula as typed, on one line.
    response : str
        Left of ``~``; empty where there is none.
    successes_failures : tuple of two str, or None
        The arguments of ``cbind(successes, failures)``, where the response is that.
    fixed : str
        Right of ``~`` with bars and offsets blanked out. It has the length of ``source``, so
        that a position in one is a position in the other.
    bars : tuple of Bar
        In the order typed; ``a/b`` gives two.
    offsets : tuple of str
        The arguments of ``offset(...)``.
    """

    source: str
    response: str
    successes_failures: tuple[str, str] | None
    fixed: str
    bars: tuple[Bar, ...]
    offsets: tuple[str, ...]


def parse(formula: str) -> MixedFormula:
    """Read a mixed-model formula.

    Raises
    ------
    FormulaError
        Where it does not parse, with the place.
    """
    if not isinstance(formula, str):
        raise FormulaError(
            f"A formula is a string such as 'y ~ x + (x | g)', not {type(formula).__name__}."
        )
    source = " ".join(formula.splitlines())
    depth = _depths(source)
    tildes = [i for i, c in enumerate(source) if c == "~" and depth[i] == 0]
    if len(tildes) != 1:
        raise FormulaError(
            "A formula has one '~' between the response and the terms, as in 'y ~ x + (1 | g)'.",
            source,
            tildes[1] if tildes else len(source.rstrip()),
        )
    tilde = tildes[0]
    _no_stray_bar(source, depth)
    _no_caret_in_calls(source, depth)

    fixed = list(" " * (tilde + 1) + source[tilde + 1 :])
    bars: list[Bar] = []
    offsets: list[str] = []
    for start, stop in _top_level_parentheses(source, depth, tilde + 1):
        called = re.search(r"[\w.]+$", source[tilde + 1 : start])
        strokes = [i for i in range(start, stop) if source[i] == "|" and depth[i] == 1]
        if called and called.group() == "offset":
            offsets.append(source[start + 1 : stop].strip())
            _blank(fixed, source, start - len("offset"), stop, tilde)
        elif called is None and strokes:
            bars += _read_bar(source, start, stop, strokes)
            _blank(fixed, source, start, stop, tilde)
        elif called is None and (buried := source.find("|", start, stop)) >= 0:
            raise FormulaError(
                "A random term stands on its own, joined to the others by '+'.", source, buried
            )
    text = "".join(fixed)
    if text.lstrip().startswith("+"):  # it joined a term that is blanked now
        text = text.replace("+", " ", 1)
    if not text.strip():
        if not bars and not offsets:
            raise FormulaError("There is nothing on the right of '~'.", source, len(source))
        text = text[:-1] + "1"
    response = source[:tilde].strip()
    return MixedFormula(
        source, response, _cbind(response, source), text, tuple(bars), tuple(offsets)
    )


def place_of(error: Exception) -> tuple[str, int | None]:
    """Message of a formulaic error in one line, and the position it marks, if it marks one."""
    text = str(error)
    mark = _PLACE.search(text)
    message = text.split("\n\n")[0].replace("insuffient", "insufficient").strip()
    if mark is None:
        return message, None
    before, place = mark["before"], mark["place"]
    # "++" is marked from its first sign; the sign too many is the last one.
    return message, len(before) + (len(place.rstrip()) - 1 if set(place) <= set("+-*:/ ") else 0)


def _depths(source: str) -> list[int]:
    """Depth of brackets at each character; brackets carry the depth outside them.

    Characters inside quotes or backticks get depth `_QUOTED`: nothing in them is syntax.
    """
    depth, opened, quote = [], [], None
    for i, c in enumerate(source):
        if quote is not None:
            depth.append(_QUOTED)
            if c == source[quote]:
                quote = None
        elif c in "\"'`":
            quote = i
            depth.append(_QUOTED)
        elif c in _OPEN:
            depth.append(len(opened))
            opened.append(i)
        elif c in _CLOSE:
            if not opened or _OPEN.index(source[opened[-1]]) != _CLOSE.index(c):
                raise FormulaError(f"This {c!r} closes nothing.", source, i)
            opened.pop()
            depth.append(len(opened))
        else:
            depth.append(len(opened))
    if quote is not None:
        raise FormulaError(f"This {source[quote]} is never closed.", source, quote)
    if opened:
        raise FormulaError(f"This {source[opened[-1]]!r} is never closed.", source, opened[-1])
    return depth


def _no_stray_bar(source: str, depth: list[int]) -> None:
    for i, c in enumerate(source):
        if c == "|" and depth[i] == 0:
            raise FormulaError("Put a random term in parentheses: '+ (x | g)'.", source, i)


def _no_caret_in_calls(source: str, depth: list[int]) -> None:
    """Refuse ``I(x^2)``, a power in R: Python reads ``^`` as "exclusive or" and goes on."""
    in_python: list[bool] = []  # for each open bracket
    for i, c in enumerate(source):
        if depth[i] == _QUOTED:
            continue
        if c in _OPEN:
            in_python.append(c != "(" or re.search(r"[\w.]$", source[:i]) is not None)
        elif c in _CLOSE:
            in_python.pop()
        elif c == "^" and any(in_python):
            raise FormulaError("A power inside a function is written '**': I(x**2).", source, i)


def _top_level_parentheses(source: str, depth: list[int], start: int) -> list[tuple[int, int]]:
    """Positions of the outermost ``(`` and ``)`` from ``start`` on."""
    at_top = [i for i in range(start, len(source)) if depth[i] == 0]
    opens = [i for i in at_top if source[i] == "("]
    return [(i, next(k for k in at_top if k > i and source[k] == ")")) for i in opens]


def _blank(fixed: list[str], source: str, start: int, stop: int, tilde: int) -> None:
    """Blank a term of the fixed part together with the ``+`` that joins it."""
    term = source[start : stop + 1]
    before, after = start - 1, stop + 1
    while before > tilde and source[before] == " ":
        before -= 1
    while after < len(source) and source[after] == " ":
        after += 1
    if before > tilde and source[before] != "+":
        raise FormulaError(f"Join {term} to the other terms by '+'.", source, before)
    if after < len(source) and source[after] not in "+-":
        raise FormulaError(f"Join {term} to the other terms by '+'.", source, after)
    first = before if before > tilde else start
    fixed[first : stop + 1] = " " * (stop + 1 - first)


def _read_bar(source: str, start: int, stop: int, strokes: list[int]) -> list[Bar]:
    """The terms of one pair of parentheses: several where the factor is nested."""
    first, last = strokes[0], strokes[-1]
    double = len(strokes) == 2 and last == first + 1
    if len(strokes) > 1 and not double:
        raise FormulaError("One random term has one '|' (or '||').", source, last)
    columns = source[start + 1 : first]
    if not columns.strip():
        raise FormulaError(
            "Say what varies over the groups: '(1 | g)' for an intercept.", source, first
        )
    position = start + 1 + len(columns) - len(columns.lstrip())
    return [
        Bar(columns.strip(), factors, not double, position)
        for factors in _nested_factors(source, last + 1, stop)
    ]


def _nested_factors(source: str, start: int, stop: int) -> list[tuple[str, ...]]:
    """``a/b:c`` as ``[("a",), ("a", "b", "c")]``."""
    nested: list[tuple[str, ...]] = []
    so_far: tuple[str, ...] = ()
    at = start
    while True:
        name = _COLUMN.match(source, at, stop)
        if name is None:
            raise FormulaError(
                "Right of '|' stands the column that holds the groups: 'g', 'a/b' or 'a:b'.",
                source,
                _skip_blanks(source, at, stop),
            )
        so_far += (name["quoted"] or name["plain"],)
        at = name.end()
        if at == stop:
            return [*nested, so_far]
        if source[at] not in "/:":
            raise FormulaError(
                "Groups are columns joined by '/' (nested) or ':' (combinations). "
                "A column of numbers is a factor here as it stands.",
                source,
                at,
            )
        if source[at] == "/":
            nested.append(so_far)
        at += 1


def _skip_blanks(source: str, at: int, stop: int) -> int:
    while at < stop and source[at] == " ":
        at += 1
    return at


def _cbind(response: str, source: str) -> tuple[str, str] | None:
    called = re.fullmatch(r"cbind\s*\((.*)\)", response)
    if called is None:
        return None
    inside = called.group(1)
    commas = [i for i, d in enumerate(_depths(inside)) if d == 0 and inside[i] == ","]
    if len(commas) != 1:
        raise FormulaError(
            "cbind takes two columns: 'cbind(successes, failures)'.", source, source.find("cbind")
        )
    return inside[: commas[0]].strip(), inside[commas[0] + 1 :].strip()
