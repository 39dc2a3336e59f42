"""Check a reader's answer to an exercise: in words, with a hint first and the solution later.

Each result is shown in the notebook and recorded in its output, so that
``python -m mixedlab report FOLDER`` can read what a class has solved.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from functools import cache
from html import escape
from importlib import import_module
from importlib.resources import files
from typing import Any

from mixedlab.errors import MixedlabError, listed, nearest
from mixedlab.exercises.exercise import Exercise, WrongKind

RECORD = "application/vnd.mixedlab.answer+json"
"""MIME type under which a result is recorded in a notebook's output."""


@dataclass(frozen=True)
class WrongAnswer:
    """An answer as Python writes it, and the name of the mistake that leads to it, if known."""

    answer: str
    misconception: str = ""


_wrong_answers: defaultdict[str, list[WrongAnswer]] = defaultdict(list)


@dataclass(frozen=True)
class Result:
    """What became of one answer.

    Attributes
    ----------
    exercise, title : str
    correct : bool or None
        None where there was nothing to judge: a blank, or an answer of another kind.
    says : str
        What the reader is told.
    answer : str
        The answer given, as Python writes it; empty for a blank.
    wrong : tuple of WrongAnswer
        Wrong answers so far, this one included.
    """

    exercise: str
    title: str
    correct: bool | None
    says: str
    answer: str = ""
    wrong: tuple[WrongAnswer, ...] = ()

    def __bool__(self) -> bool:
        return self.correct is True

    @property
    def _head(self) -> str:
        mark = {True: "✓ Right", False: "✗ Not yet", None: "… Not answered"}[self.correct]
        return f"{self.exercise} {self.title}: {mark}."

    def __str__(self) -> str:
        return f"{self._head} {self.says}"

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        colour = {True: "#009e73", False: "#d55e00", None: "#56b4e9"}[self.correct]
        html = (
            f'<div role="status" style="border-left: 5px solid {colour}; padding: 0.3em 0.8em">'
            f"<strong>{escape(self._head)}</strong> {escape(self.says)}</div>"
        )
        return {"text/plain": str(self), "text/html": html, RECORD: asdict(self)}


def check(exercise: str, answer: Any = ...) -> Result:
    """Check the answer to an exercise of the book.

    Parameters
    ----------
    exercise : str
        ``"2.2"``: chapter and number.
    answer
        A number, a word or a fit, as the exercise asks. Without one (``...``) the question is
        repeated, and what comes after it runs on.

    Returns
    -------
    Result
        True if right. After a first wrong answer it holds a hint, after a second one that differs
        from it the solution.
        What is right is computed when you ask, and the tolerance is said.

    Raises
    ------
    MixedlabError
        If there is no such exercise; names those there are.

    Examples
    --------
    >>> import mixedlab as ml
    >>> ml.check("2.1", "less").correct
    False
    """
    task = find(exercise)
    if answer is ...:
        return Result(task.id, task.title, None, task.question)
    given = _written(answer)
    try:
        verdict = task.judge(answer)
    except WrongKind as error:
        return Result(task.id, task.title, None, f"{error} Asked: {task.question}", given)
    says, so_far = verdict.says, _wrong_answers[task.id]
    if not verdict.correct:
        # A cell that runs again gives no new answer, and no reason to tell the solution.
        if given not in [wrong.answer for wrong in so_far]:
            so_far.append(WrongAnswer(given, verdict.misconception))
        if len(so_far) > 1:
            says = f"{says} Solution: {task.solution(task.answer())}"
    return Result(task.id, task.title, verdict.correct, says.strip(), given, tuple(so_far))


def start_over(exercise: str | None = None) -> None:
    """Forget the wrong answers given so far, to one exercise or to all."""
    if exercise is None:
        _wrong_answers.clear()
    else:
        _wrong_answers.pop(find(exercise).id, None)


def find(exercise: str) -> Exercise:
    """Return the exercise of this number; raises `MixedlabError` where there is none."""
    name = str(exercise).strip()
    chapter = name.split(".")[0]
    if not (chapter.isdecimal() and int(chapter) in chapters()):
        raise MixedlabError(
            f"There is no exercise {name!r}. Chapters with exercises: {listed(chapters(), 40)}; "
            'the second one of chapter 2 is "2.2".'
        )
    tasks = of_chapter(int(chapter))
    if name not in tasks:
        raise MixedlabError(f"There is no exercise {name!r}.{nearest(name, tasks)}")
    return tasks[name]


@cache
def chapters() -> tuple[int, ...]:
    """Numbers of the chapters that have exercises."""
    names = (entry.name for entry in files("mixedlab.exercises").iterdir())
    return tuple(sorted(int(n[2:-3]) for n in names if n.startswith("ch") and n.endswith(".py")))


@cache
def of_chapter(number: int) -> dict[str, Exercise]:
    """Exercises of one chapter by their number."""
    module = import_module(f"mixedlab.exercises.ch{number:02d}")
    return {task.id: task for task in module.EXERCISES}


def _written(answer: Any) -> str:
    text = repr(answer)
    return text if len(text) <= 200 else f"{text[:197]}..."
