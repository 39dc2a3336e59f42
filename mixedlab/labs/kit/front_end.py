"""The front end's files as text, for hosts that cannot import one module from another.

``front/lab.js`` imports its neighbours, and a browser loads them as they are. Jupyter's anywidget
takes a single module: `script` writes them into one, each in the order in which it is needed.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ENTRY = "lab.js"
FOLDER = Path(__file__).parents[1] / "front"
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./(?P<name>[\w.]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=const|class|function|async)", re.MULTILINE)


@cache
def script() -> str:
    """Return the front end as one JavaScript module.

    The modules must not use a top-level name twice; a test runs the result.
    """
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", _read(name))) for name in modules())


@cache
def style() -> str:
    """Return the style sheet."""
    return _read("lab.css")


@cache
def modules() -> tuple[str, ...]:
    """Names of the modules that ``lab.js`` needs, each after those it imports itself."""
    order: dict[str, None] = {}

    def visit(name: str) -> None:
        for match in _IMPORT.finditer(_read(name)):
            visit(match["name"])
        order.setdefault(name)

    visit(ENTRY)
    return tuple(order)


def _read(name: str) -> str:
    return (FOLDER / name).read_text("utf-8")
