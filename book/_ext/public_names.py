"""The directive that lists public names with their docstrings, read from the package at build time.

.. code-block:: markdown

   ```{public-names} mixedlab
   ```

The argument is a module with ``__all__``, or ``fit`` for what every fit is asked. Nothing is copied
by hand: a new public name stands in the next build.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config
from sphinx.ext.napoleon.docstring import NumpyDocstring
from sphinx.util.docutils import SphinxDirective

SHORT = {"mixedlab": "ml", "mixedlab.simulate": "ml.simulate", "mixedlab.pictures": "ml.pictures"}
STYLE = Config(napoleon_use_rtype=False, napoleon_use_ivar=True, napoleon_preprocess_types=False)


class PublicNames(SphinxDirective):
    """Put the names of a module here, each with its signature and docstring."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return one description for each name."""
        text = StringList()
        for name, kind, function in public(self.arguments[0]):
            self.env.note_dependency(inspect.getfile(inspect.unwrap(function)))
            for line in described(name, kind, function):
                text.append(line, f"<docstring of {name}>")
        box = nodes.Element()
        self.state.nested_parse(text, self.content_offset, box)
        return box.children


def public(source: str) -> Iterator[tuple[str, str, Callable[..., Any]]]:
    """Public names of a module, or the questions of a fit: label, kind, function."""
    if source == "fit":
        from mixedlab.inference.questions import Question, Questions
        from mixedlab.models.fit import MixedFit

        asked = [name for name, value in vars(Questions).items() if isinstance(value, Question)]
        for name in sorted({*asked, "refit", "refit_many", "summary"}):
            yield f"fit.{name}", "method", getattr(MixedFit, name)
        return
    module = import_module(source)
    for name in module.__all__:
        if inspect.isroutine(value := getattr(module, name)):
            yield f"{SHORT[source]}.{name}", "function", value


def described(name: str, kind: str, function: Callable[..., Any]) -> list[str]:
    """The lines of a description in reStructuredText, inside MyST."""
    signature = inspect.signature(function)
    kept = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    if kind == "method":
        kept = kept[1:]
    shown = signature.replace(parameters=kept, return_annotation=signature.empty)
    body = NumpyDocstring(inspect.getdoc(function) or "", STYLE).lines()
    return [
        "````{eval-rst}",
        f".. py:{kind}:: {name}{shown}",
        "",
        *(f"   {line}" if line else "" for line in body),
        "````",
        "",
    ]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("public-names", PublicNames)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
