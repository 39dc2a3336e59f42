"""The directives of practice: exercises that are checked in the page, and questions to oneself.

.. code-block:: markdown

   ```{exercise} 6.2
   ```

   ```{self-check} Where is the fan narrowest?
   - On day 0: that is where the lines are named from.
   - (right) Left of day 0: intercepts and slopes go together.
   ```

Question, options and checks of an exercise are those of ``ml.check``; what else it gives the
reader, and its blanks, come from ``exercises/``. A self-check needs no script.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from exercise_sources import sources
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from mixedlab.answers import find
from mixedlab.errors import MixedlabError
from mixedlab.exercises.exercise import Choice, Exercise

OPTION = re.compile(
    r"^- (?P<right>\(right\) )?(?P<option>.+?): (?P<reason>.+?)(?=^- |\Z)", re.M | re.S
)
BLANK = re.compile(r"^(?P<name>\w+) = \.\.\.$", re.MULTILINE)


def in_code(text: str) -> str:
    """Return text as HTML, what stands in backticks as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))


def raw(html: str) -> nodes.raw:
    """Return a node of HTML that other outputs leave out."""
    return nodes.raw("", html, format="html")


class ExerciseDirective(SphinxDirective):
    """Put the exercise of this number here."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the question, what is given with it, and the form for the answer."""
        name = self.arguments[0].strip()
        try:
            task = find(name)
        except MixedlabError as error:
            raise self.error(str(error)) from error
        place = f"exercise-{name.replace('.', '-')}"
        source = sources(int(name.split(".")[0]))[name]
        self.env.metadata[self.env.docname].setdefault("exercises", []).append(name)
        title = f"{name} {escape(task.title)}"
        kind = "choice" if isinstance(task, Choice) else "number"
        start = (
            f'<div class="mp-exercise" role="group" data-ml="exercise" data-exercise="{name}" '
            f'data-kind="{kind}" id="{place}" aria-labelledby="{place}-title">'
            f'<h3 id="{place}-title">{title}</h3>'
            f'<p class="mp-question">{in_code(task.question)}</p>'
        )
        parts = [node for part in source.parts for node in self.part(*part)]
        blank = BLANK.findall(source.code)
        form = answer_form(task, place, blank[-1] if blank else "")
        return [raw(start), *parts, raw(f"{form}</div>")]

    def part(self, kind: str, text: str) -> list[nodes.Node]:
        """Return a piece of the exercise's source: a cell of code, or text."""
        box = nodes.container(nb_element="cell_code", classes=["cell"])
        if kind == "code":
            block = nodes.literal_block(text, text, language="ipython3")
            box += nodes.container("", block, nb_element="cell_code_source", classes=["cell_input"])
            return [box]
        self.state.nested_parse(StringList(text.splitlines(), "exercise"), self.content_offset, box)
        return box.children


def answer_form(task: Exercise, place: str, blank: str) -> str:
    """Return the form: options or a field, the buttons, and room for what is said."""
    if isinstance(task, Choice):
        options = "".join(
            f'<label><input type="radio" name="{place}" value="{escape(option)}">'
            f"<span><b>{escape(option)}</b>: {in_code(meaning)}</span></label>"
            for option, meaning in task.options.items()
        )
        answer = f'<fieldset data-ml="answer"><legend>Your answer</legend>{options}</fieldset>'
    else:
        name = f", or <code>{escape(blank)}</code> once its cell has run" if blank else ""
        unit = getattr(task, "unit", "")
        answer = (
            f'<label for="{place}-answer">Your answer: a number{name}</label>'
            f'<span class="mp-field"><input id="{place}-answer" data-ml="answer" type="text" '
            f'autocomplete="off" autocapitalize="off" spellcheck="false">{escape(unit)}</span>'
        )
    return (
        f'<form data-ml="exercise-form" autocomplete="off">{answer}'
        '<div class="mp-bar"><button type="submit" data-ml="check">Check</button>'
        '<button type="button" data-ml="solution">Show the solution</button></div>'
        '<p data-ml="verdict" role="status"></p>'
        '<p data-ml="solution-text" role="status"></p></form>'
    )


class SelfCheckDirective(SphinxDirective):
    """Ask a short question; a click on an option opens its reason, without any script."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the question and its options, each a fold."""
        options = list(OPTION.finditer("\n".join(self.content)))
        begun = sum(line.startswith("- ") for line in self.content)
        right = sum(bool(option["right"]) for option in options)
        if right != 1 or len(options) < 2 or begun != len(options):
            raise self.error(
                "A self-check has two or more options, each written '- option: reason'; the one "
                "that is right begins '- (right) '."
            )
        place = f"self-check-{self.env.new_serialno('self-check') + 1}"
        made = [
            raw(
                f'<div class="mp-self-check" role="group" data-ml="self-check" id="{place}" '
                f'aria-labelledby="{place}-question"><p id="{place}-question">'
                "<b>Check yourself.</b> "
            ),
            *self.inline(self.arguments[0]),
            raw("</p>"),
        ]
        for option in options:
            right, verdict = ("true", "Right:") if option["right"] else ("false", "No:")
            made += [
                raw(f'<details data-right="{right}"><summary><span>'),
                *self.inline(option["option"]),
                raw(f"</span></summary><p><b>{verdict}</b> "),
                *self.inline(option["reason"]),
                raw("</p></details>"),
            ]
        return [*made, raw("</div>")]

    def inline(self, text: str) -> list[nodes.Node]:
        """Return text with its inline marks, formulas among them."""
        made, messages = self.parse_inline(" ".join(text.split()))
        return [*made, *messages]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("exercise", ExerciseDirective)
    app.add_directive("self-check", SelfCheckDirective)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
