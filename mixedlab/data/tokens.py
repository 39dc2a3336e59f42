"""Cut the text of a formula into names, numbers, strings, brackets and operators.

A name is what may name a column: letters, digits, dots and underscores, and any sign outside
ASCII, so that ``total.fruits``, ``2nd`` and ``µg/m³`` hold one, one and two names. Anything else
goes between backticks. Each token knows its place, so that an error can point at it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from mixedlab.errors import FormulaError

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


@dataclass(frozen=True, slots=True)
class Token:
    """One sign or word of a formula. The last four say what it means; `names` finds that.

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
