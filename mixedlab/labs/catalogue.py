"""The labs there are, found by their files.

A module of this folder that assigns ``LAB = Lab(name="...", ...)`` is a lab of that name; its file
may have another one. A lab is imported when it is asked for and not before, so that a page with one
lab loads one.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.resources import files

from mixedlab.labs.kit.lab import Lab

_LAB = re.compile(r'^LAB(: Lab)? = Lab\(\s*name="(?P<name>[\w-]+)"', re.MULTILINE)


def names() -> tuple[str, ...]:
    """Names of all labs, in alphabetical order, without importing them."""
    return tuple(sorted(_modules()))


@cache
def _modules() -> dict[str, str]:
    """Return the module that holds each lab, by the lab's name."""
    found = {}
    for entry in files("mixedlab.labs").iterdir():
        if entry.name.endswith(".py") and (match := _LAB.search(entry.read_text("utf-8"))):
            found[match["name"]] = f"mixedlab.labs.{entry.name.removesuffix('.py')}"
    return found


def get(name: str) -> Lab:
    """Return the lab of this name.

    Raises
    ------
    ValueError
        Where there is no such lab; the message names the nearest, or all.
    """
    if name not in names():
        nearest = get_close_matches(str(name).lower().replace("_", "-"), names(), n=1, cutoff=0.5)
        hint = f"Did you mean {nearest[0]!r}?" if nearest else f"There are: {', '.join(names())}."
        raise ValueError(f"There is no lab {name!r}. {hint}")
    return import_module(_modules()[name]).LAB
