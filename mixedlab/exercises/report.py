"""What a class has solved: read from executed notebooks, written as a table and a page.

Every result of ``ml.check`` leaves a record in its cell's output. A notebook is untrusted: a
record of an unknown exercise or with fields of another kind is ignored, and no text of it
becomes HTML.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from mixedlab.answers import RECORD, WrongAnswer, chapters, of_chapter
from mixedlab.errors import DataError
from mixedlab.exercises.exercise import Exercise

SOLVED, WRONG, BLANK, ABSENT = "solved", "not solved", "blank", ""


@dataclass(frozen=True)
class Record:
    """One checked answer, as a notebook holds it."""

    exercise: str
    correct: bool | None
    wrong: tuple[WrongAnswer, ...]


@dataclass
class Notebook:
    """One executed notebook of a student."""

    path: Path
    student: str
    records: list[Record] = field(default_factory=list)
    trouble: str = ""
    """Why it could not be read, or the error its run ended with."""

    def last(self, exercise: str) -> Record | None:
        """The latest answer to an exercise: a right one, if there is any."""
        own = [r for r in self.records if r.exercise == exercise]
        right = [r for r in own if r.correct]
        return right[-1] if right else own[-1] if own else None

    def state(self, exercise: str) -> str:
        """Whether an exercise is solved, not solved, blank, or not in this notebook."""
        record = self.last(exercise)
        if record is None:
            return ABSENT
        return {True: SOLVED, False: WRONG, None: BLANK}[record.correct]


@dataclass(frozen=True)
class ClassReport:
    """All notebooks of a class."""

    folder: Path
    notebooks: Sequence[Notebook]

    @property
    def exercises(self) -> list[Exercise]:
        """The exercises that some notebook holds, in the book's order."""
        seen = {r.exercise for n in self.notebooks for r in n.records}
        return [task for task in _all_exercises().values() if task.id in seen]

    def rows(self) -> list[dict[str, Any]]:
        """One row a notebook: student, notebook, each exercise's state, how many are solved."""
        table = []
        for notebook in self.notebooks:
            states = {task.id: notebook.state(task.id) for task in self.exercises}
            table.append(
                {
                    "student": notebook.student,
                    "notebook": notebook.path.relative_to(self.folder).as_posix(),
                    **states,
                    "solved": sum(state == SOLVED for state in states.values()),
                    "trouble": notebook.trouble,
                }
            )
        return table

    def write_csv(self, path: Path) -> None:
        """Write `rows` as a csv that spreadsheets open."""
        columns = ["student", "notebook", *(t.id for t in self.exercises), "solved", "trouble"]
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows({k: _no_formula(v) for k, v in row.items()} for row in self.rows())

    def write_page(self, path: Path) -> None:
        """Write the page of common errors as HTML, by exercise."""
        path.write_text(self.page(), encoding="utf-8")

    def page(self) -> str:
        """Return the page of common errors."""
        parts = [_PAGE_HEAD, f"<h1>Common errors: {len(self.notebooks)} notebooks</h1>"]
        for task in self.exercises:
            parts.append(self._section(task))
        if not self.exercises:
            parts.append("<p>No notebook holds a checked answer. Were they run and saved?</p>")
        troubled = [n for n in self.notebooks if n.trouble]
        if troubled:
            items = "".join(
                f"<li>{escape(n.path.relative_to(self.folder).as_posix())}: "
                f"{escape(n.trouble)}</li>"
                for n in troubled
            )
            parts.append(f"<h2>Notebooks to look at</h2><ul>{items}</ul>")
        return "\n".join([*parts, "</body></html>\n"])

    def _section(self, task: Exercise) -> str:
        states = Counter(n.state(task.id) for n in self.notebooks)
        known: Counter[str] = Counter()
        other: Counter[str] = Counter()
        for notebook in self.notebooks:
            record = notebook.last(task.id)
            for wrong in record.wrong if record else ():
                if wrong.misconception:
                    known[wrong.misconception] += 1
                else:
                    other[wrong.answer] += 1
        hints = {mistake.name: mistake.hint for mistake in task.misconceptions}
        rows = [(count, name, hints.get(name, "")) for name, count in known.most_common()]
        rows += [(count, f"answered {text}", "") for text, count in other.most_common(5)]
        body = "".join(
            f"<tr><td>{count}</td><td>{escape(name)}</td><td>{escape(hint)}</td></tr>"
            for count, name, hint in rows
        )
        table = (
            f"<table><tr><th>Times</th><th>Error</th><th>The hint given</th></tr>{body}</table>"
            if rows
            else "<p>No wrong answer is on record.</p>"
        )
        return (
            f"<h2>{escape(task.id)} {escape(task.title)}</h2><p>{escape(task.question)}</p>"
            f"<p>Solved by {states[SOLVED]}, not solved by {states[WRONG]}, "
            f"left blank by {states[BLANK]}.</p>{table}"
        )


def read_class(folder: str | Path) -> ClassReport:
    """Read all notebooks under a folder.

    A student is the folder in which the notebook lies, or the notebook's name where it lies in
    ``folder`` itself.

    Raises
    ------
    DataError
        If there is no such folder, or no notebook in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"There is no folder {str(folder)!r}.")
    paths = sorted(p for p in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
    if not paths:
        raise DataError(f"The folder {str(folder)!r} holds no notebook (.ipynb).")
    return ClassReport(folder, [_read(path, folder) for path in paths])


def _read(path: Path, folder: Path) -> Notebook:
    inside = path.relative_to(folder).parts
    notebook = Notebook(path, inside[0] if len(inside) > 1 else path.stem)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        outputs = list(_outputs(content))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        notebook.trouble = f"cannot be read: {error}"
        return notebook
    for output in outputs:
        if output.get("output_type") == "error":
            notebook.trouble = f"stopped: {output.get('evalue') or output.get('ename')}"
        record = _record(output.get("data"))
        if record is not None:
            notebook.records.append(record)
    if not notebook.records and not notebook.trouble:
        notebook.trouble = "holds no checked answer: was it run and saved?"
    return notebook


def _outputs(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for cell in content.get("cells", []):
        yield from (o for o in cell.get("outputs", []) if isinstance(o, dict))


def _record(data: Any) -> Record | None:
    raw = data.get(RECORD) if isinstance(data, dict) else None
    if not isinstance(raw, dict) or not _known(raw.get("exercise")):
        return None
    correct, wrong = raw.get("correct"), raw.get("wrong")
    if correct not in (True, False, None):
        return None
    wrong = [w for w in wrong if isinstance(w, dict)] if isinstance(wrong, list) else []
    return Record(
        raw["exercise"],
        correct,
        tuple(
            WrongAnswer(str(w.get("answer", ""))[:200], str(w.get("misconception", ""))[:200])
            for w in wrong[:100]
        ),
    )


def _all_exercises() -> dict[str, Exercise]:
    return {key: task for number in chapters() for key, task in of_chapter(number).items()}


def _known(exercise: Any) -> bool:
    return isinstance(exercise, str) and exercise in _all_exercises()


def _no_formula(value: Any) -> Any:
    """Keep a spreadsheet from running a text that starts like a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t" and value else value


_PAGE_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Common errors</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 1rem }
  table { border-collapse: collapse } td, th { padding: 0.3rem 0.8rem; text-align: left;
  vertical-align: top; border-bottom: 1px solid #888 }
</style></head><body>"""
