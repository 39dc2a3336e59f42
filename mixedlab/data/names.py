"""Cut a formula into tokens, say what each name is, and write it so that formulaic can read it.

A name is what may name a column: letters, digits, dots and underscores, and any sign outside
ASCII, so that ``total.fruits``, ``2nd`` and ``µg/m³`` hold one, one and two names. Anything else
goes between backticks. Each token knows its place, so that an error can point at it.

formulaic evaluates Python, but a column's name need not be Python: ``class``, ``total.fruits``,
``log``. So each column gets a *stand-in*, ``ǂ0ǂ``, ``ǂ1ǂ``, ..., a name that nothing else has.
formulaic sees the stand-ins only, in the formula and in the table; the names of the
coefficients get the columns' own names back (`restored`).

A name in front of ``(`` is a function where there is one of that name. Else the column comes
first, whatever Python says of the name. Habits from R are understood: ``I(x^2)``, ``factor(x)``,
``as.factor(x)``, ``sqrt(x)``, ``TRUE``.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Literal

import numpy as np
from formulaic.transforms import TRANSFORMS

from mixedlab.errors import FormulaError, nearest

_TOKEN = re.compile(
    r"""\s+
    | `(?P<quoted>[^`]*)`
    | (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<name>(?:[\w.]|(?!\s)[^\x00-\x7f])+)
    | (?P<operator>%\w*%|\*\*|\|\||//|[=!<>]=|.)""",
    re.VERBOSE | re.DOTALL,
)
_CLOSER = {"(": ")", "[": "]", "{": "}"}
_MARK = "ǂ"
_STAND_IN = re.compile(rf"{_MARK}(\d+){_MARK}")
_PLAIN = re.compile(r"[^\W\d][\w.]*")

# What formulaic does not know, or knows wrongly (its exp10 is x**10).
R_FUNCTIONS: dict[str, Any] = {
    **{n: getattr(np, n) for n in ("sqrt", "abs", "log1p", "expm1", "sin", "cos", "tan", "pi")},
    **{"floor": np.floor, "ceiling": np.ceil, "exp10": lambda x: 10.0**x},
    **{"factor": TRANSFORMS["C"], "as.factor": TRANSFORMS["C"]},
}
_FUNCTIONS = {name: f for name, f in TRANSFORMS.items() if name != "Q"} | R_FUNCTIONS
_TO_FACTOR = ("C", "factor", "as.factor")
_WORDS = {"TRUE": "True", "FALSE": "False"}


@dataclass(frozen=True, slots=True)
class Token:
    """One sign or word of a formula. The last four say what it means; `resolve` finds that.

    Attributes
    ----------
    kind : str
        ``quoted`` is a name in backticks; ``open`` and ``close`` are brackets.
    text : str
        As typed, a quoted name with its backticks.
    start, stop : int
        Its place in the formula, ``source[start:stop]``.
    depth : int
        Number of brackets open around it; a bracket has the depth outside it.
    code : str
        What formulaic reads in its place.
    column : str or None
        The column that it names.
    is_function : bool
        Whether it is called.
    declared : bool
        Whether it is a column made a factor in so many words, as in ``factor(x)``.
    """

    kind: Literal["name", "quoted", "number", "string", "operator", "open", "close"]
    text: str
    start: int
    stop: int
    depth: int
    code: str = ""
    column: str | None = None
    is_function: bool = False
    declared: bool = False

    @property
    def name(self) -> str:
        """The text without backticks."""
        return self.text[1:-1] if self.kind == "quoted" else self.text


def tokenize(source: str) -> list[Token]:
    """Cut a formula into tokens; blanks are left out.

    Raises
    ------
    FormulaError
        For a quote or a bracket that is never closed, and a bracket that closes nothing.
    """
    tokens: list[Token] = []
    opened: list[Token] = []
    for match in _TOKEN.finditer(source):
        kind = match.lastgroup
        if kind is None:
            continue
        text, start, stop = match[0], *match.span()
        if text in ("`", '"', "'") and kind == "operator":
            raise FormulaError(f"This {text} is never closed.", source, start)
        if kind == "operator" and text in _CLOSER:
            tokens.append(Token("open", text, start, stop, len(opened)))
            opened.append(tokens[-1])
        elif kind == "operator" and text in _CLOSER.values():
            if not opened or _CLOSER[opened.pop().text] != text:
                raise FormulaError(f"This {text!r} closes nothing.", source, start)
            tokens.append(Token("close", text, start, stop, len(opened)))
        else:
            tokens.append(Token(kind, text, start, stop, len(opened)))
    if opened:
        raise FormulaError(f"This {opened[-1].text!r} is never closed.", source, opened[-1].start)
    return tokens


def context() -> dict[str, Any]:
    """The functions that formulaic is to know besides its own."""
    return {name.replace(".", _MARK): f for name, f in R_FUNCTIONS.items()}


def stand_in(number: int) -> str:
    """The name of a formula's column of that number in the table that formulaic sees."""
    return f"{_MARK}{number}{_MARK}"


def in_formula(name: str) -> str:
    """A column's name as a formula has it: in backticks where it needs them."""
    return name if _PLAIN.fullmatch(name) else f"`{name}`"


def restored(text: str, columns: Sequence[str]) -> str:
    """Columns' own names for their stand-ins; in an expression, backticks where it needs them."""

    def own(match: re.Match) -> str:
        name = columns[int(match[1])]
        before, after = text[: match.start()], text[match.end() :]
        is_whole = before[-1:] in ("", ":") and after[:1] in ("", ":", "[")
        return name if is_whole else in_formula(name)

    return re.sub(rf"(?<=\w){_MARK}(?=\w)", ".", _STAND_IN.sub(own, text))


def unknown_column(
    name: str, known: Iterable[object], source: str | None = None, position: int | None = None
) -> FormulaError:
    """The error for a name that is no column, with what is meant instead."""
    known = [str(k) for k in known]
    hint = nearest(name, known)
    meant = re.search(r"mean '(.+)'\?$", hint)
    if position is not None and source is not None:
        here = [k for k in known if in_formula(k) != k and source.startswith(k, position)]
        beside = re.match(rf"{re.escape(name)}\s+([^\W\d][\w.]*)", source[position:])
        if here:
            hint = f" A name like this stands in backticks: {in_formula(max(here, key=len))}."
        elif beside and not meant:
            hint += f" A name with a space stands in backticks: `{beside[0]}`."
    if meant and not _PLAIN.fullmatch(meant[1]) and "backticks" not in hint:
        hint += f" It stands in backticks: `{meant[1]}`."
    return FormulaError(f"There is no column {name!r} in the data.{hint}", source, position)


def resolve(source: str, known: Iterable[str] | None = None) -> tuple[list[Token], tuple[str, ...]]:
    """The tokens of a formula with their meanings, and its columns in the order of stand-ins.

    Parameters
    ----------
    source : str
    known : iterable of str, optional
        The table's columns. Without them any name that is not called is taken for one.

    Raises
    ------
    FormulaError
        For a name that is neither a column nor a function, with the place.
    """
    tokens = tokenize(source)
    tilde = next((t.start for t in tokens if t.text == "~" and t.depth == 0), 0)
    columns: dict[str, int] = {}
    known = None if known is None else dict.fromkeys(known)
    in_call: list[bool] = []  # for each open bracket, whether Python reads what is inside
    out: list[Token] = []
    for i, token in enumerate(tokens):
        after = tokens[i + 1].text if i + 1 < len(tokens) else ""
        called = any(in_call)
        if token.kind == "open":
            in_call.append(token.text != "(" or bool(out and out[-1].is_function))
        elif token.kind == "close":
            in_call.pop()
        if token.name == "(Intercept)":
            raise FormulaError(
                "'(Intercept)' is what the model's own intercept is called: rename this column.",
                source,
                token.start,
            )
        if token.kind not in ("name", "quoted"):
            meant = {"code": _sign(token, called or token.start < tilde, source)}
        elif _is_attribute(token, out) or _is_argument(token, out, after, called):
            meant = {"code": token.text, "is_function": after == "("}
        else:
            meant = _meaning(token, out, after, called, known, columns, source)
        out.append(replace(token, **meant))
    return out, tuple(columns)


def _sign(token: Token, in_python: bool, source: str) -> str:
    """What formulaic reads for a token that is no name."""
    if token.text == "%in%":
        raise FormulaError(
            "'%in%' is not known here. For b nested in a write a / b; for membership in a list, "
            "I(x.isin([1, 2])).",
            source,
            token.start,
        )
    return "**" if in_python and token.text == "^" else token.text


def _is_attribute(token: Token, before: list[Token]) -> bool:
    """The ``.mean`` of ``(x + z).mean()``."""
    owner = before[-1] if before else None
    touches = owner is not None and owner.stop == token.start
    return touches and token.text[:1] == "." and owner.kind in ("close", "string", "quoted")


def _is_argument(token: Token, before: list[Token], after: str, in_call: bool) -> bool:
    """The ``df`` of ``bs(x, df=4)``."""
    return in_call and token.kind == "name" and after == "=" and before[-1].text in ("(", ",")


def _meaning(
    token: Token,
    before: list[Token],
    after: str,
    in_call: bool,
    known: dict[str, None] | None,
    columns: dict[str, int],
    source: str,
) -> dict[str, Any]:
    """A column, a function or a word of Python; a new column gets the next number."""
    text = token.name
    is_plain, is_called = token.kind == "name", token.kind == "name" and after == "("
    is_known = text in ("cbind", "offset") or _function(text) is not None
    if is_called and (known is None or is_known):
        code = text.replace(".", _MARK) if text in R_FUNCTIONS else text
        return {"code": code, "is_function": True}

    # The longest part up to a dot that is a column; the rest is an attribute, as in x.clip(0).
    column = text
    if is_plain and (is_called or in_call) and known is not None:
        while column and column not in known:
            column = column.rpartition(".")[0]
        column = column or text
    if text != "." if known is None else column in known:
        attribute = text[len(column) :]
        opened = len(before) > 1 and before[-1].text == "("
        return {
            "code": stand_in(columns.setdefault(column, len(columns))) + attribute,
            "column": column,
            "is_function": is_called and bool(attribute),
            "declared": opened and before[-2].text in _TO_FACTOR,
        }
    if in_call and is_plain and (is_known or keyword.iskeyword(text) or text in _WORDS):
        return {"code": _WORDS.get(text, text)}
    raise _unknown(text, is_called, known, source, token.start)


def _function(path: str) -> Any:
    """The function of that name, ``np.log`` too; None where there is none."""
    first, *rest = path.split(".")
    if path in _FUNCTIONS:
        return _FUNCTIONS[path]
    if not rest:
        return getattr(builtins, path, None)
    return reduce(lambda value, name: getattr(value, name, None), rest, _FUNCTIONS.get(first))


def _unknown(
    name: str, is_called: bool, known: Iterable[str] | None, source: str, position: int
) -> FormulaError:
    if name == ".":
        return FormulaError("'.' is not known here: name the columns.", source, position)
    if not is_called:
        return unknown_column(name, known or (), source, position)
    first, _, last = name.rpartition(".")
    inside = getattr(_FUNCTIONS.get(first), "__dict__", None) if first else None
    if inside is not None:
        hint = nearest(last, [n for n in inside if n[0].islower()])
    elif name == "Q":
        hint = " Write the column's name in backticks."
    else:
        hint = nearest(name, [f for f in _FUNCTIONS if f[0].islower() and f not in ("np", "contr")])
    return FormulaError(f"There is no function {name!r} in formulas.{hint}", source, position)
