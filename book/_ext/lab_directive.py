"""The directive that puts a lab into a page of the book.

.. code-block:: markdown

   ```{lab} three-poolings
   :state: dial=0.4 seed=3
   ```

At build time the lab is run once: its controls as HTML and its first scene as inline SVG stand
in the page, together with what the scripts need to bring it to life, as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import mixedlab

PACKAGE = Path(mixedlab.__file__).parent
# Of these, the site holds archives; everything else that a lab imports must be mixedlab's own.
HEAVY = ("numpy", "scipy", "pandas")


class LabDirective(SphinxDirective):
    """Put the lab named by the argument here, in its default state or in ``:state:``."""

    required_arguments = 1
    option_spec: ClassVar = {"state": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """Return the lab as HTML, and its description in words for every other output."""
        for file in PACKAGE.rglob("*.py"):  # whatever changes there may change the picture
            self.env.note_dependency(str(file))
        name = self.arguments[0].strip()
        try:
            html, alt = lab_html(name, self.options.get("state", ""))
        except Exception as error:
            raise self.error(f"The lab {name!r} cannot be drawn: {error}") from error
        self.env.metadata[self.env.docname]["labs"] = True
        in_words = nodes.paragraph("", f"[The lab {name}: {alt}]")
        return [
            nodes.raw("", html, format="html"),
            *([] if self.env.app.builder.format == "html" else [in_words]),
        ]


DECK_BAR = (
    '<div class="ml-deck-bar" role="group" aria-label="The deck">'
    '<button type="button" data-ml="deck-back" aria-label="Lab before">←</button>'
    '<button type="button" data-ml="deck-next" aria-label="Next lab">→</button>'
    '<p data-ml="deck-place" role="status"></p>'
    '<button type="button" data-ml="deck-votes" aria-pressed="false">Take votes</button>'
    '<button type="button" data-ml="deck-full">Full screen</button></div>'
)


class DeckDirective(SphinxDirective):
    """Show the labs within one at a time: each with the words after it is a slide."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the slides between the HTML that makes them a deck."""
        box = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, box)
        start = f'<div class="ml-deck" data-ml="deck">{DECK_BAR}<div data-ml="deck-slides">'
        return [
            nodes.raw("", start, format="html"),
            *box.children,
            nodes.raw("", "</div></div>", format="html"),
        ]


def lab_html(name: str, state_text: str = "") -> tuple[str, str]:
    """Return the HTML of a lab with its first picture, and the picture's alternative text."""
    from mixedlab.labs import catalogue
    from mixedlab.labs.kit import protocol
    from mixedlab.labs.kit.shell import shell
    from mixedlab.labs.kit.svg import pictures

    lab = catalogue.get(name)
    wanted = parse_state(state_text)
    if unknown := set(wanted) - set(protocol.state_fields(lab)):
        raise ValueError(f"it has no control {', '.join(sorted(unknown))}")
    reply = protocol.answer({"kind": "scene", "state": wanted}, lab)
    if reply["kind"] == "error":
        raise ValueError(reply["message"])
    traits = {
        "lab": name,
        "description": protocol.describe(lab),
        "scene": reply["scene"],
        "state": reply["state"],
    }
    # "<" as an escape: no text of a lab can end the script element.
    data = json.dumps(traits, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    scene = lab.run(lab.clean(wanted))
    html = (
        f'<div class="ml-host" data-ml-host="{escape(name)}" id="lab-{escape(name)}" '
        f'data-needs="{" ".join(packages_of(name))}">'
        f"{shell(lab, pictures(scene, lab.name, lab.alt))}"
        f'<script type="application/json">{data}</script></div>'
    )
    return html, lab.alt


def parse_state(text: str) -> dict[str, str]:
    """Read ``"dial=0.4 seed=3"``."""
    pairs = [part.partition("=") for part in text.replace(",", " ").split()]
    if bad := [name for name, sign, _ in pairs if not sign]:
        raise ValueError(f"`:state:` is written as dial=0.4 seed=3; {bad[0]!r} has no value")
    return {name: value for name, _, value in pairs}


PROBE = """
import sys
from mixedlab.labs import catalogue
lab = catalogue.get(sys.argv[1])
named = [*(g.solution for g in lab.goals), lab.reveal]
for state in (lab.state(), *(lab.clean(fields) for fields in named)):
    lab.run(state)
if lab.statistics:
    lab.replicate(lab.state(), 0, 2)
print(*[name for name in sys.argv[2:] if name in sys.modules])
"""


@cache
def packages_of(name: str) -> list[str]:
    """Return which large packages a lab imports, by running it in a Python of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, name, *HEAVY], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ValueError(done.stderr.strip().splitlines()[-1])
    return done.stdout.split()


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("lab", LabDirective)
    app.add_directive("deck", DeckDirective)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
