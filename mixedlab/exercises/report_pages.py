"""The pages of a class's report: who solved what, and common errors. No text becomes HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

from mixedlab.exercises.class_notebooks import (
    ABSENT,
    AFTER,
    BLANK,
    SOLVED,
    WRONG,
    Notebook,
    Student,
)
from mixedlab.exercises.exercise import Exercise

SIGNS = {SOLVED: "✓", AFTER: "(✓)", WRONG: "✗", BLANK: "…", ABSENT: ""}
MOST_OTHER_ERRORS = 5


def matrix_page(
    students: Sequence[Student], tasks: Sequence[Exercise], same: Mapping[str, Sequence[str]]
) -> str:
    """Return the matrix of class by exercise; ``same`` names those whose work is identical."""
    heads = "".join(
        f'<th scope="col" title="{escape(task.title)}">{escape(task.id)}</th>' for task in tasks
    )
    rows = []
    for student in students:
        cells = "".join(_cell(student, task.id) for task in tasks)
        note = f"identical to {', '.join(same[student.name])}" if same.get(student.name) else ""
        rows.append(
            f'<tr><th scope="row">{escape(student.name)}</th>{cells}'
            f"<td>{escape('; '.join(filter(None, (note, student.trouble))))}</td></tr>"
        )
    counts = "".join(
        f"<td>{sum(s.state(task.id) == SOLVED for s in students)}</td>" for task in tasks
    )
    return "\n".join(
        [
            _head("Class by exercise"),
            f"<h1>Class by exercise: {len(students)} students</h1>",
            "<p>✓ solved, (✓) after the solution had been shown, ✗ not solved, … left blank; the "
            "number counts the answers given. Work is called identical where code and answers of "
            "two exercises or more are the same, sign by sign.</p>",
            f'<table><tr><th scope="col">Student</th>{heads}<th scope="col">To look at</th></tr>',
            *rows,
            f'<tr><th scope="row">solved by</th>{counts}<td></td></tr></table></body></html>\n',
        ]
    )


def _cell(student: Student, exercise: str) -> str:
    state, attempts = student.state(exercise), student.attempts(exercise)
    kind = state.replace(" ", "-") or "absent"
    return f'<td class="{kind}" title="{state}">{SIGNS[state]} {attempts or ""}</td>'


def errors_page(
    students: Sequence[Student], notebooks: Sequence[Notebook], tasks: Sequence[Exercise]
) -> str:
    """Return the page of common errors, by exercise."""
    parts = [_head("Common errors"), f"<h1>Common errors: {len(notebooks)} notebooks</h1>"]
    parts += [_section(task, students) for task in tasks]
    if not tasks:
        parts.append("<p>No notebook holds a checked answer. Were they run and saved?</p>")
    if troubled := [(s.name, n) for s in students for n in s.notebooks if n.trouble]:
        items = "".join(
            f"<li>{escape(name)}, {escape(n.path.name)}: {escape(n.trouble)}</li>"
            for name, n in troubled
        )
        parts.append(f"<h2>Notebooks to look at</h2><ul>{items}</ul>")
    return "\n".join([*parts, "</body></html>\n"])


def _section(task: Exercise, students: Sequence[Student]) -> str:
    states = Counter(student.state(task.id) for student in students)
    known: Counter[str] = Counter()
    other: Counter[str] = Counter()
    for notebook in (n for student in students for n in student.notebooks):
        record = notebook.last(task.id)
        for wrong in record.wrong if record else ():
            if wrong.misconception:
                known[wrong.misconception] += 1
            else:
                other[wrong.answer] += 1
    hints = {mistake.name: mistake.hint for mistake in task.misconceptions}
    rows = [(count, name, hints.get(name, "")) for name, count in known.most_common()]
    rows += [(n, f"answered {text}", "") for text, n in other.most_common(MOST_OTHER_ERRORS)]
    body = "".join(
        f"<tr><td>{count}</td><td>{escape(name)}</td><td>{escape(hint)}</td></tr>"
        for count, name, hint in rows
    )
    table = (
        f"<table><tr><th>Times</th><th>Error</th><th>The hint given</th></tr>{body}</table>"
        if rows
        else "<p>No wrong answer is on record.</p>"
    )
    after = f" After the solution: {states[AFTER]}." if states[AFTER] else ""
    return (
        f"<h2>{escape(task.id)} {escape(task.title)}</h2><p>{escape(task.question)}</p>"
        f"<p>Solved by {states[SOLVED]}, not solved by {states[WRONG]}, "
        f"left blank by {states[BLANK]}.{after}</p>{table}"
    )


def _head(title: str) -> str:
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
  body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto }}
  table {{ border-collapse: collapse }} td, th {{ padding: 0.3rem 0.8rem; text-align: left;
  vertical-align: top; border-bottom: 1px solid #888 }}
  .solved {{ background: #cfeee3 }} .after-the-solution {{ background: #e4eef7 }}
  .not-solved {{ background: #fbe0d0 }}
</style></head><body>"""
