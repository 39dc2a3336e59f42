"""Make chapters places to practise: numbers in their titles, progress, cells that run."""

from __future__ import annotations

from functools import cache
from typing import Any

from docutils import nodes
from exercise_sources import chapter_number
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform

import mixedlab as ml

PROGRESS = (
    '<div class="mp-progress" data-ml="practice-progress"><p><a href="#exercises">Exercises</a>: '
    '<span data-ml="progress-text">0 of {count} solved.</span> '
    "<small>Kept on this device only.</small></p>"
    '<button type="button" data-ml="take" disabled>Take my work with me</button>'
    '<button type="button" data-ml="clear" disabled>Clear</button></div>'
)
BAR = (
    '<div class="mp-bar"><button type="button" data-ml="run">Run</button>'
    '<button type="button" data-ml="stop" disabled>Stop</button>'
    '<button type="button" data-ml="reset" disabled>Reset</button>'
    '<span class="mp-leave">Esc leaves the code</span>'
    '<span data-ml="run-status" role="status"></span></div><div data-ml="output">'
)


class NumberChapter(SphinxTransform):
    """Put a chapter's number before its title, from where headings, sidebar and links have it."""

    default_priority = 400

    def apply(self, **_: Any) -> None:
        """Number the title of a chapter's page."""
        number = chapter_number(self.env.docname)
        title = next(iter(self.document.findall(nodes.title)), None)
        if number is not None and title is not None:
            title.insert(0, nodes.Text(f"{number} "))


class PracticePage(SphinxPostTransform):
    """Give a chapter's cells their buttons, and its head the reader's progress."""

    default_priority = 250  # once myst-nb has folded what is to be hidden
    formats = ("html",)

    def run(self, **_: Any) -> None:
        """Complete the page where it is a chapter."""
        if chapter_number(self.env.docname) is None:
            return
        for cell in list(self.document.findall(is_cell)):
            add_buttons(cell)
        exercises = self.env.metadata[self.env.docname].get("exercises", ())
        title = next(iter(self.document.findall(nodes.title)))
        if exercises:
            place = title.parent.index(title) + 1
            title.parent.insert(place, raw(PROGRESS.format(count=len(exercises))))


def is_cell(node: nodes.Node) -> bool:
    """Whether a node is a cell whose code is shown."""
    if not isinstance(node, nodes.container) or node.get("nb_element") != "cell_code":
        return False
    inputs = node.findall(lambda n: isinstance(n, nodes.container))
    return any(n.get("nb_element") == "cell_code_source" for n in inputs)


def add_buttons(cell: nodes.container) -> None:
    """Wrap a cell, put the buttons below its code and a place around its output."""
    after = next(
        (i for i, n in enumerate(cell.children) if n.get("nb_element") == "cell_code_output"),
        len(cell.children),
    )
    cell.insert(after, raw(BAR))
    cell.append(raw("</div>"))
    place = cell.parent.index(cell)
    cell.parent.insert(place + 1, raw("</div>"))
    cell.parent.insert(place, raw('<div class="mp-code" data-ml="code">'))


def raw(html: str) -> nodes.raw:
    """Return a node of HTML."""
    return nodes.raw("", html, format="html")


@cache
def names() -> dict[str, Any]:
    """What editors complete: public names by their owner, columns by data set."""
    fit = ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))
    owners = {"ml": ml, "ml.simulate": ml.simulate, "ml.pictures": ml.pictures, "fit": fit}
    return {
        "attributes": {
            name: [each for each in dir(owner) if not each.startswith("_")]
            for name, owner in owners.items()
        },
        "columns": {name: list(ml.load(name).columns) for name in ml.datasets().index},
    }


def chapters(app: Sphinx) -> dict[str, list[str]]:
    """The exercises that stand in each page."""
    found = ((page, known.get("exercises")) for page, known in app.env.metadata.items())
    return {page: list(names) for page, names in found if names}


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the transforms."""
    app.add_transform(NumberChapter)
    app.add_post_transform(PracticePage)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
