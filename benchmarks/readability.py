"""Words, reading time and grade level of every chapter of the book, as a table.

``python benchmarks/readability.py`` writes ``results/readability.md``. Counted is what a reader
reads as prose: headings, paragraphs, lists and admonitions; not code, labs, formulas or tables.

The grade levels are formulas from the numbers of letters, words and sentences (Smith and Senter
1967; Coleman and Liau 1975), so nothing has to be looked up. The grade is the year of school in
the United States whose pupils should follow the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import textstat
import yaml
from side_by_side import RESULTS, table

BOOK = Path(__file__).parents[1] / "book"
WORDS_A_MINUTE = 200  # slower than a novel (about 240): the reader stops at figures and formulas
MOST_WORDS = 1500

FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
PROSE_FENCE = re.compile(r"^:{3,}.*\n(?::[\w-]+:.*\n)*", re.MULTILINE)
FENCE = re.compile(r"^(`{3,})[^`]*?\n.*?^\1 *$", re.MULTILINE | re.DOTALL)
DISPLAY = re.compile(r"\$\$.*?\$\$", re.DOTALL)
TABLE_ROW = re.compile(r"^\|.*$", re.MULTILINE)
CITATION = re.compile(r"\{cite:(?P<kind>[tp])\}`[^`]*`")
ROLE = re.compile(r"\{[\w:]+\}`([^`<]*?)\s*(?:<[^`]*>)?`")
LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
HTML = re.compile(r"<[^>]+>")
INLINE_MATH = re.compile(r"\$[^$]+\$")
MARKUP = re.compile(r"^\s*(?:#+|[-*>]|\d+\.)\s+|[*`]", re.MULTILINE)


@dataclass(frozen=True)
class Reading:
    """What it takes to read one page."""

    page: str
    title: str
    words: int
    formulas: int
    ari: float
    coleman_liau: float

    @property
    def minutes(self) -> float:
        """Time to read the prose, without lab and exercises."""
        return self.words / WORDS_A_MINUTE


def chapters() -> list[str]:
    """The pages of the numbered parts of the book, in order, without suffix."""
    parts = yaml.safe_load((BOOK / "_toc.yml").read_text("utf-8"))["parts"]
    files = [chapter["file"] for part in parts for chapter in part["chapters"]]
    return [file for file in files if file[0].isdigit()]


def pages() -> Iterator[str]:
    """The chapters and the pages that a reader reads from beginning to end."""
    yield from ("index", "how-to-use")
    yield from chapters()
    yield from ("appendices/teachers", "appendices/a-lab-in-forty-lines")


def prose(source: str) -> str:
    """What of a page is read as sentences; each inline formula counts as one short word."""
    text = FENCE.sub("", FRONT_MATTER.sub("", source))
    text = PROSE_FENCE.sub("", text)
    text = TABLE_ROW.sub("", DISPLAY.sub("", text))
    # A citation is read as "Efron and Morris (1975)"; in parentheses it is passed over.
    text = CITATION.sub(lambda cited: "They" if cited["kind"] == "t" else "", text)
    text = LINK.sub(r"\1", ROLE.sub(r"\1", text))
    text = re.sub(r"^(#+ .*[^.?!\n])$", r"\1.", text, flags=re.MULTILINE)  # a heading ends
    return MARKUP.sub("", HTML.sub("", INLINE_MATH.sub("x", text))).strip()


def read(page: str) -> Reading:
    """Measure one page."""
    source = (BOOK / f"{page}.md").read_text("utf-8")
    body = FENCE.sub("", FRONT_MATTER.sub("", source))
    text = prose(source)
    return Reading(
        page=page,
        title=re.search(r"^# (.+)$", body, re.MULTILINE)[1],
        words=textstat.lexicon_count(text, removepunct=True),
        formulas=len(DISPLAY.findall(body)) + len(INLINE_MATH.findall(DISPLAY.sub("", body))),
        ari=textstat.automated_readability_index(text),
        coleman_liau=textstat.coleman_liau_index(text),
    )


def report() -> str:
    """The table as Markdown."""
    header = ("page", "words", "minutes", "formulas", "automated readability", "Coleman-Liau")
    rows = [
        (r.title, r.words, f"{r.minutes:.0f}", r.formulas, f"{r.ari:.1f}", f"{r.coleman_liau:.1f}")
        for r in map(read, pages())
    ]
    lines = [
        "# What it takes to read the book",
        "",
        f"Prose only, at {WORDS_A_MINUTE} words a minute; lab and exercises take their own time. "
        f"A chapter has {MOST_WORDS} words at most. Grades are years of school in the United "
        "States, from the lengths of words and sentences: they know nothing of how hard an idea "
        "is. Made by `benchmarks/readability.py`.",
        "",
        *table(header, rows),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "readability.md").write_text(report(), "utf-8")
    print(report())
