"""A class's executed notebooks: whose they are, and what their outputs record.

Every result of ``ml.check``, in Jupyter or in the book's page, leaves a record in its cell's
output. A notebook is untrusted: a record of an unknown exercise or with fields of another kind is
ignored.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixedlab.answers import RECORD, WrongAnswer, chapters, of_chapter
from mixedlab.exercises.exercise import Exercise

SOLVED, AFTER, WRONG, BLANK, ABSENT = (
    "solved",
    "after the solution",
    "not solved",
    "blank",
    "",
)
BEST_FIRST = (SOLVED, AFTER, WRONG, BLANK)
LONGEST, MOST = 200, 100  # signs of an answer, wrong answers of a record
# "Ada Lovelace_4711_assignsubmission_file_", a folder or the begin of a file's name.
MOODLE = re.compile(r"(?P<student>.+?)_\d+_assignsubmission_(?:file|onlinetext)(?:_|$)")
# nbgrader's exchange: "ada+ps1+2026-11-24 22:00:00 UTC".
NBGRADER_INBOUND = re.compile(r"(?P<student>[^+]+)\+[^+]+\+\d{4}-")
# nbgrader's steps, each a folder of students.
NBGRADER_STEPS = {"submitted", "autograded", "feedback", "collected", "inbound"}


@dataclass(frozen=True)
class Record:
    """One checked answer, as a notebook holds it.

    ``after_solution`` says that the solution had been shown before; ``attempts`` counts answers.
    """

    exercise: str
    correct: bool | None
    wrong: tuple[WrongAnswer, ...]
    answer: str = ""
    after_solution: bool = False
    attempts: int = 0

    @property
    def state(self) -> str:
        """Whether this answer solves its exercise."""
        if self.after_solution:
            return AFTER
        return {True: SOLVED, False: WRONG, None: BLANK}[self.correct]


@dataclass
class Notebook:
    """One executed notebook of a student."""

    path: Path
    student: str
    records: list[Record] = field(default_factory=list)
    code: str = ""
    """The text of its code cells, without white space."""
    trouble: str = ""
    """Why it could not be read, or the error its run ended with."""

    def last(self, exercise: str) -> Record | None:
        """The answer that counts: of those of the best state the latest."""
        own = [r for r in self.records if r.exercise == exercise]
        return min(reversed(own), key=lambda r: BEST_FIRST.index(r.state), default=None)

    def state(self, exercise: str) -> str:
        """Whether an exercise is solved, and how; blank; or not in this notebook."""
        record = self.last(exercise)
        return record.state if record else ABSENT

    def attempts(self, exercise: str) -> int:
        """How many answers were given; each record counts those before it."""
        return max((r.attempts for r in self.records if r.exercise == exercise), default=0)


@dataclass(frozen=True)
class Student:
    """All notebooks of one student."""

    name: str
    notebooks: tuple[Notebook, ...]

    def state(self, exercise: str) -> str:
        """The best state of an exercise in any notebook."""
        states = {notebook.state(exercise) for notebook in self.notebooks}
        return next((state for state in BEST_FIRST if state in states), ABSENT)

    def attempts(self, exercise: str) -> int:
        """How many answers were given in all notebooks."""
        return sum(notebook.attempts(exercise) for notebook in self.notebooks)

    @property
    def trouble(self) -> str:
        """What is to be looked at in the notebooks."""
        return "; ".join(n.trouble for n in self.notebooks if n.trouble)

    @property
    def fingerprint(self) -> str:
        """A digest of code and answers; empty where there is too little to compare.

        Two answers are asked for: one choice is the same for many by chance.
        """
        records = [r for n in self.notebooks for r in n.records if r.correct is not None]
        if len({r.exercise for r in records}) < 2:
            return ""
        code = sorted(notebook.code for notebook in self.notebooks)
        given = sorted((r.exercise, r.answer, *(w.answer for w in r.wrong)) for r in records)
        return hashlib.sha256(repr((code, given)).encode()).hexdigest()


def read_notebook(path: Path, folder: Path) -> Notebook:
    """Read one notebook; what is wrong with it is said in its ``trouble``."""
    notebook = Notebook(path, student_of(path.relative_to(folder)))
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        outputs = list(_outputs(content))
        notebook.code = _code(content)
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


def student_of(path: Path) -> str:
    """Name the student whose notebook lies at a path within the class's folder.

    That is the outermost folder, or the file's name where there is none. Moodle's names are cut to
    the student's; nbgrader's folders of students are entered.
    """
    parts = path.with_suffix("").parts
    if len(parts) > 2 and parts[0] in NBGRADER_STEPS:
        parts = parts[1:]
    for pattern in (MOODLE, NBGRADER_INBOUND):
        if match := pattern.match(parts[0]):
            return match["student"]
    return parts[0]


def all_exercises() -> dict[str, Exercise]:
    """All exercises of the book by number, in its order."""
    return {key: task for number in chapters() for key, task in of_chapter(number).items()}


def _cells(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from content.get("cells", [])


def _outputs(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for cell in _cells(content):
        yield from (o for o in cell.get("outputs", []) if isinstance(o, dict))


def _code(content: Mapping[str, Any]) -> str:
    sources = (c.get("source", "") for c in _cells(content) if c.get("cell_type") == "code")
    text = "\n".join("".join(s) if isinstance(s, list) else str(s) for s in sources)
    return "".join(text.split())


def _record(data: Any) -> Record | None:
    raw = data.get(RECORD) if isinstance(data, dict) else None
    if not isinstance(raw, dict) or not _known(raw.get("exercise")):
        return None
    correct, wrong = raw.get("correct"), raw.get("wrong")
    if correct not in (True, False, None):
        return None
    wrong = [w for w in wrong if isinstance(w, dict)] if isinstance(wrong, list) else []
    told = tuple(
        WrongAnswer(str(w.get("answer", ""))[:LONGEST], str(w.get("misconception", ""))[:LONGEST])
        for w in wrong[:MOST]
    )
    given = len(told) + (correct is True)
    attempts = raw.get("attempts")
    return Record(
        raw["exercise"],
        correct,
        told,
        str(raw.get("answer", ""))[:LONGEST],
        # ml.check shows the solution with the second wrong answer; the page says so itself.
        after_solution=raw.get("after_solution", correct is True and len(told) > 1) is True,
        attempts=attempts if isinstance(attempts, int) and 0 <= attempts <= MOST else given,
    )


def _known(exercise: Any) -> bool:
    return isinstance(exercise, str) and exercise in all_exercises()
