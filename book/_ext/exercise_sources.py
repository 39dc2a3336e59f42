"""What stands around an exercise: its chapter's readable source, ``exercises/NN-name/exercise.md``.

The folder's name is where a chapter's number comes from, in headings and sidebar too.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

EXERCISES = Path(__file__).parents[2] / "exercises"
SECTION = re.compile(r"^## (?P<id>\d+\.\d+).*\n", re.MULTILINE)
CHECK = re.compile(r"^ml\.check\(.*\)\n?", re.MULTILINE)


@dataclass(frozen=True)
class Source:
    """What a reader is given with an exercise.

    Attributes
    ----------
    all_parts : tuple of (str, str)
        ``("text", Markdown)`` and ``("code", Python with its blank)``, in their order, as a
        notebook has them.
    """

    all_parts: tuple[tuple[str, str], ...]

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """What a page needs: no calls of ``ml.check``, and no cell that is nothing but a choice."""
        without = ((kind, CHECK.sub("", text).strip()) for kind, text in self.all_parts)
        return tuple((kind, text) for kind, text in without if text not in ("", "answer = ..."))

    @property
    def code(self) -> str:
        """All code, cell after cell."""
        return "\n\n".join(text for kind, text in self.parts if kind == "code")


@cache
def notebooks() -> ModuleType:
    """The script that makes notebooks of the same sources, with its marks for blanks."""
    path = EXERCISES / "make_notebooks.py"
    spec = importlib.util.spec_from_file_location("make_notebooks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def folders() -> dict[str, Path]:
    """The folder of each chapter with exercises, by the chapter's page without its path."""
    return {source.parent.name[3:]: source.parent for source in sorted(EXERCISES.glob("*/*.md"))}


def chapter_number(page: str) -> int | None:
    """The number of the chapter that a page is, or None."""
    folder = folders().get(page.rpartition("/")[2])
    return int(folder.name[:2]) if folder else None


@cache
def sources(chapter: int) -> dict[str, Source]:
    """The sources of a chapter's exercises, by number.

    What the chapter's notebook does before its first exercise comes with the first exercise that
    has code.
    """
    (folder,) = (f for f in folders().values() if int(f.name[:2]) == chapter)
    start, *rest = SECTION.split((folder / "exercise.md").read_text("utf-8"))
    found, before = {}, tuple(part for part in _parts(start) if part[0] == "code")
    for name, text in zip(rest[::2], rest[1::2], strict=True):
        parts = _parts(text)
        if before and any(kind == "code" for kind, _ in Source(parts).parts):
            parts, before = (*before, *parts), ()
        found[name] = Source(parts)
    return found


def _parts(text: str) -> tuple[tuple[str, str], ...]:
    script, made = notebooks(), []
    for i, piece in enumerate(script.CELL.split(text)):
        code = script.code(piece, solved=False) if i % 2 else script.QUESTION.sub("", piece)
        if code.strip():
            made.append(("code" if i % 2 else "text", code.strip()))
    return tuple(made)
