"""What the book's sources say about its pages and labs, for tests to be made from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

BOOK = Path(__file__).parents[2] / "book"
LAB = re.compile(r"^```+\s*\{lab\}\s+(?P<name>[\w-]+)", re.MULTILINE)
FENCED = re.compile(r"^````+.*?^````+", re.MULTILINE | re.DOTALL)


def _files(entry: Any) -> Iterator[str]:
    if isinstance(entry, list):
        for one in entry:
            yield from _files(one)
    elif isinstance(entry, dict):
        for key, value in entry.items():
            if key in {"root", "file"}:
                yield value
            elif isinstance(value, list):
                yield from _files(value)


def pages() -> list[str]:
    """Return the pages of the table of contents, without suffix."""
    return list(_files(yaml.safe_load((BOOK / "_toc.yml").read_text())))


def labs_of(page: str) -> list[str]:
    """Return the names of a page's labs. An example of how to write one does not count."""
    source = (BOOK / f"{page}.md").read_text("utf-8")
    return [match["name"] for match in LAB.finditer(FENCED.sub("", source))]


def page_of_lab() -> dict[str, str]:
    """Return the first page that holds each lab, by lab."""
    homes: dict[str, str] = {}
    for page in pages():
        for lab in labs_of(page):
            homes.setdefault(lab, page)
    return homes
