"""What a class has solved: read from executed notebooks, written as a table and two pages."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mixedlab.errors import DataError
from mixedlab.exercises.class_notebooks import (
    AFTER,
    SOLVED,
    Notebook,
    Student,
    all_exercises,
    read_notebook,
)
from mixedlab.exercises.exercise import Exercise
from mixedlab.exercises.report_pages import errors_page, matrix_page


@dataclass(frozen=True)
class ClassReport:
    """All notebooks of a class."""

    folder: Path
    notebooks: Sequence[Notebook]

    @cached_property
    def students(self) -> list[Student]:
        """Those whose notebooks these are, by name; one student may have several."""
        own: defaultdict[str, list[Notebook]] = defaultdict(list)
        for notebook in self.notebooks:
            own[notebook.student].append(notebook)
        return [Student(name, tuple(own[name])) for name in sorted(own)]

    @cached_property
    def exercises(self) -> list[Exercise]:
        """The exercises that some notebook holds, in the book's order."""
        seen = {r.exercise for n in self.notebooks for r in n.records}
        return [task for task in all_exercises().values() if task.id in seen]

    @cached_property
    def identical(self) -> dict[str, list[str]]:
        """By student, the others whose code and answers are the same."""
        alike: defaultdict[str, list[str]] = defaultdict(list)
        for student in self.students:
            if student.fingerprint:
                alike[student.fingerprint].append(student.name)
        return {
            name: [other for other in names if other != name]
            for names in alike.values()
            for name in names
            if len(names) > 1
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row a student.

        Columns: student, notebook, each exercise's state, how many are solved, how many after
        their solution was shown, the answers given to each, whose work is identical, trouble.
        """
        table = []
        for student in self.students:
            states = {task.id: student.state(task.id) for task in self.exercises}
            paths = (n.path.relative_to(self.folder).as_posix() for n in student.notebooks)
            table.append(
                {
                    "student": student.name,
                    "notebook": "; ".join(paths),
                    **states,
                    "solved": sum(state == SOLVED for state in states.values()),
                    AFTER: sum(state == AFTER for state in states.values()),
                    **{f"{t.id} attempts": student.attempts(t.id) for t in self.exercises},
                    "identical to": ", ".join(self.identical.get(student.name, ())),
                    "trouble": student.trouble,
                }
            )
        return table

    def write_csv(self, path: Path) -> None:
        """Write `rows` as a csv that spreadsheets open."""
        rows = self.rows()
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows({k: _no_formula(v) for k, v in row.items()} for row in rows)

    def page(self) -> str:
        """Return the page of common errors as HTML, by exercise."""
        return errors_page(self.students, self.notebooks, self.exercises)

    def matrix(self) -> str:
        """Return the matrix of class by exercise as a page of HTML."""
        return matrix_page(self.students, self.exercises, self.identical)


def read_class(folder: str | Path) -> ClassReport:
    """Read all notebooks under a folder; none of them is run.

    A student is the outermost folder in which a notebook lies, or the notebook's name where it
    lies in ``folder`` itself. Of Moodle's names the student's part counts, and nbgrader's folders
    (``submitted/NAME/...``) are entered. All notebooks of one student make one row.

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
    return ClassReport(folder, [read_notebook(path, folder) for path in paths])


def _no_formula(value: Any) -> Any:
    """Keep a spreadsheet from running a text that starts like a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t" and value else value
