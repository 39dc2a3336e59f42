"""Say in a notebook's own terms what MyST's directives and roles say in a page.

`cells_of` turns a page's text into cells: labs, exercises and self-checks among them. Every role
and directive is known here or refused, so that none is left over for a reader to puzzle at.
"""

from __future__ import annotations

import inspect
import os.path
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import nbformat
from exercise_directive import OPTION
from exercise_sources import chapter_number, sources
from install import ADDRESS, WHEEL
from public_names import public
from pybtex.database import BibliographyData, Entry, parse_file
from pybtex.plugin import find_plugin

from mixedlab.answers import find
from mixedlab.exercises.exercise import Choice

BOOK = Path(__file__).parents[1]
# What is code to be read stays as it is; the rest of a match is a directive.
DIRECTIVE = re.compile(
    r"^(?P<plain>`{3,}|~{3,})(?!`|~|\{)(?:.*\n)*?(?P=plain)[ \t]*$"
    r"|^(?P<fence>`{3,}|:{3,})\{(?P<name>[\w-]+)\}[ \t]*(?P<argument>.*)\n"
    r"(?P<options>(?::[\w-]+:.*\n)*)(?P<content>(?:.*\n)*?)(?P=fence)[ \t]*$",
    re.MULTILINE,
)
# Likewise for roles.
ROLE = re.compile(
    r"^(?P<fence>`{3,}).*?^(?P=fence)[ \t]*$"
    r"|\{(?P<name>[a-z][a-z:-]*)\}`(?P<text>[^`]+)`"
    r"|(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)",
    re.MULTILINE | re.DOTALL,
)
TARGET = re.compile(r"(?P<words>.*?)\s*<(?P<target>[^<>]+)>$", re.DOTALL)
TITLE = re.compile(r"^# (.+)$", re.MULTILINE)

Cells = list[nbformat.NotebookNode]


class Untranslated(ValueError):
    """A role or directive that notebooks do not know."""


class Translator:
    """Turns the text of one page into cells.

    Parameters
    ----------
    page : str
        The page, without suffix; links in it are relative to it.
    file_of : dict
        The notebook of every page, by page.
    """

    def __init__(self, page: str, file_of: dict[str, str]) -> None:
        self.page, self.file_of = page, file_of
        self.directives: dict[str, Callable[[str, dict[str, str], str], Cells]] = {
            "lab": self.lab,
            "explorer": self.explorer,
            "deck": lambda _argument, _options, content: self.cells_of(content),
            "exercise": self.exercise,
            "self-check": self.self_check,
            "admonition": self.admonition,
            "literalinclude": self.included,
            "bibliography": self.bibliography,
            "install": self.install,
            "public-names": self.public_names,
        }

    def cells_of(self, source: str) -> Cells:
        """Return a page's text, or a part of it, as cells."""
        cells, at = [], 0
        for match in DIRECTIVE.finditer(source):
            if match["plain"]:
                continue
            cells += self.text(source[at : match.start()])
            name = match["name"]
            if name not in self.directives:
                raise Untranslated(f"{self.page}: notebooks do not know the directive {name!r}.")
            options = dict(re.findall(r"^:([\w-]+):[ \t]*(.*)$", match["options"], re.MULTILINE))
            cells += self.directives[name](match["argument"].strip(), options, match["content"])
            at = match.end()
        return cells + self.text(source[at:])

    def text(self, source: str) -> Cells:
        """Return a cell of text, or none where there is none."""
        text = self.inline(source).strip()
        return [nbformat.v4.new_markdown_cell(text)] if text else []

    # ---------------------------------------------------------------- roles

    def inline(self, source: str) -> str:
        """Translate the roles of a text."""
        return ROLE.sub(lambda match: self.role(match) if match["name"] else match[0], source)

    def role(self, match: re.Match[str]) -> str:
        """Return what a role says."""
        name, text = match["name"], " ".join(match["text"].split())
        named = TARGET.match(text)
        words, target = (named["words"], named["target"]) if named else ("", text)
        if name == "doc":
            page = os.path.normpath(os.path.join(os.path.dirname(self.page), target.lstrip("/")))
            return f"[{words or title_of(page)}]({self.file_of[page]})"
        if name == "download":
            path = Path(target)
            return f"[{words or path.name}](../exercises/{path.parent.name}{suffix_of(path.stem)})"
        if name in ("cite:t", "cite:p"):
            cited = [citation(key.strip()) for key in target.split(",")]
            link = self.file_of.get("references", "")
            if name == "cite:t":
                return ", ".join(f"[{names} ({year})]({link})" for names, year in cited)
            return f"[({'; '.join(f'{names} {year}' for names, year in cited)})]({link})"
        raise Untranslated(f"{self.page}: notebooks do not know the role {name!r}.")

    # ---------------------------------------------------------------- directives

    def lab(self, name: str, options: dict[str, str], _content: str) -> Cells:
        """Return the cell that shows a lab."""
        pairs = options.get("state", "").replace(",", " ").split()
        settings = "".join(f", {pair}" for pair in pairs)
        return [nbformat.v4.new_code_cell(f'import mixedlab as ml\n\nml.lab("{name}"{settings})')]

    def explorer(self, *_: object) -> Cells:
        """Return the cell that explores a table, one that is there."""
        code = 'import mixedlab as ml\n\nml.explore(ml.load("sleepstudy"))'
        return [nbformat.v4.new_code_cell(code)]

    def exercise(self, name: str, _options: dict[str, str], _content: str) -> Cells:
        """Return the question, what is given with it, and the cell that checks the answer."""
        task = find(name)
        lines = [f"### {name} {task.title}", task.question]
        if isinstance(task, Choice):
            lines.append("\n".join(f"- `{o!r}`: {meaning}" for o, meaning in task.options.items()))
        cells = self.text("\n\n".join(lines))
        for kind, part in sources(int(name.split(".")[0]))[name].all_parts:
            cells += self.text(part) if kind == "text" else [nbformat.v4.new_code_cell(part)]
        return cells

    def self_check(self, question: str, _options: dict[str, str], content: str) -> Cells:
        """Return the question with its options, and the reasons folded away."""
        options = list(OPTION.finditer(content))
        asked = "\n".join(f"- {' '.join(o['option'].split())}" for o in options)
        told = "\n".join(
            f"- {' '.join(o['option'].split())}: {'**right.**' if o['right'] else 'no.'} "
            f"{' '.join(o['reason'].split())}"
            for o in options
        )
        fold = f"<details><summary>Reasons</summary>\n\n{told}\n\n</details>"
        return self.text(f"**Check yourself.** {question}\n\n{asked}\n\n{fold}")

    def admonition(self, title: str, _options: dict[str, str], content: str) -> Cells:
        """Return a quotation with the title above it."""
        body = self.inline(f"**{title}**\n\n{content.strip()}")
        quoted = "\n".join(f"> {line}".rstrip() for line in body.splitlines())
        return [nbformat.v4.new_markdown_cell(quoted)]

    def included(self, path: str, options: dict[str, str], _content: str) -> Cells:
        """Return a file's text as code to be read."""
        file = (BOOK / self.page).parent / path
        caption = f"`{options['caption']}`\n\n" if "caption" in options else ""
        language = options.get("language", "")
        code = f"{caption}~~~~{language}\n{file.read_text('utf-8').rstrip()}\n~~~~"
        return [nbformat.v4.new_markdown_cell(code)]

    def install(self, *_: object) -> Cells:
        """Return the line that installs the package from the book."""
        return self.text(f"~~~~text\npip install {ADDRESS}/{WHEEL}\n~~~~")

    def public_names(self, source: str, _options: dict[str, str], _content: str) -> Cells:
        """Return the names with the first line of their docstrings."""
        told = [(name, inspect.getdoc(each).splitlines()[0]) for name, _, each in public(source)]
        return self.text("\n".join(f"- `{name}`: {line}" for name, line in told))

    def bibliography(self, *_: object) -> Cells:
        """Return all references as a list."""
        style = find_plugin("pybtex.style.formatting", "plain")()
        backend = find_plugin("pybtex.backends", "markdown")()
        entries = style.format_entries(references().entries.values())
        lines = [f"- {entry.text.render(backend)}" for entry in entries]
        return [nbformat.v4.new_markdown_cell("\n".join(lines))]


@cache
def references() -> BibliographyData:
    """The book's references."""
    return parse_file(str(BOOK / "references.bib"))


def citation(key: str) -> tuple[str, str]:
    """The names and the year that a citation shows."""
    entry: Entry = references().entries[key]
    names = ["".join(map(str, (*person.prelast_names, " ", *person.last_names))).strip("{} ")
             for person in entry.persons["author"]]  # fmt: skip
    names = [name.replace("{", "").replace("}", "") for name in names]
    if len(names) > 2:
        return f"{names[0]} et al.", entry.fields["year"]
    return " and ".join(names), entry.fields["year"]


def suffix_of(stem: str) -> str:
    """How the copy of an exercises' notebook ends in the reader's folder."""
    return {"questions": ".ipynb", "solution": "-solution.ipynb"}[stem]


@cache
def title_of(page: str) -> str:
    """The title of a page."""
    return TITLE.search((BOOK / f"{page}.md").read_text("utf-8"))[1]


def numbered(page: str, source: str) -> str:
    """Put a chapter's number before its title, as in the book."""
    number = chapter_number(page)
    return source if number is None else TITLE.sub(rf"# {number} \1", source, count=1)


def left_over(text: str) -> Iterator[str]:
    """Find roles and directives that stand in a text outside of code."""
    code = re.compile(r"^(`{3,}|~{3,})(?!`|~|\{)(?:.*\n)*?\1[ \t]*$", re.MULTILINE)
    bare = code.sub("", text)
    yield from re.findall(r"\{[a-z][\w:+-]*\}`|^[`:]{3,}.*", bare, re.MULTILINE)
