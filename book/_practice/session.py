"""A reader's Python in a page: runs cells in one namespace and tells what a notebook would show.

The page's worker gives two functions: ``emit(json)`` takes what a cell puts out, one piece at a
time, and ``load(name)`` installs the archive of a package at the moment it is first imported, so
that nothing is loaded that no cell asks for. Nothing here knows of the browser beyond that.
"""

from __future__ import annotations

import ast
import base64
import builtins
import importlib
import importlib.util
import io
import json
import keyword
import linecache
import re
import sys
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

LONGEST_TEXT = 200_000  # characters that one run may put out
RECORD = "application/vnd.mixedlab.answer+json"
# The archive that holds a module, by the module's name.
ARCHIVES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "pandas": "pandas",
    "dateutil": "pandas",
    "formulaic": "formulaic",
    "narwhals": "formulaic",
    "typing_extensions": "formulaic",
    "matplotlib": "matplotlib",
    "mpl_toolkits": "matplotlib",
    "PIL": "matplotlib",
    "mixedlab": "mixedlab",
    "mixedlab.exercises": "exercises",
}


class Archives:
    """Finder that installs a package's archive when the package is first imported."""

    def __init__(self, load: Callable[[str], Any]) -> None:
        self.load = load
        self.there: set[str] = set()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Install what ``name`` stands in, and let Python's own finders find it."""
        archive = ARCHIVES.get(name)
        if archive and archive not in self.there:
            self.there.add(archive)
            self.load(archive)
            importlib.invalidate_caches()


class PictureBackend:
    """Finder and loader of the module that matplotlib draws by: its Agg, and the page's show."""

    NAME = "mixedlab_page"

    def __init__(self, show: Callable[..., None]) -> None:
        self.show = show

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Answer for the one module."""
        return importlib.util.spec_from_loader(name, self) if name == self.NAME else None

    def create_module(self, spec: Any) -> None:
        """Leave it to Python."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Set what matplotlib asks of a backend."""
        agg = importlib.import_module("matplotlib.backends.backend_agg")
        module.FigureCanvas, module.show = agg.FigureCanvasAgg, self.show


class Printed(io.TextIOBase):
    """A stream whose text goes to the page, up to a length."""

    def __init__(self, session: Session, name: str) -> None:
        self.session, self.name = session, name

    def write(self, text: str) -> int:
        """Send the text on."""
        self.session.put_out_text(text, self.name)
        return len(text)


class Session:
    """One namespace, the same for all cells and exercises of a page."""

    def __init__(self, emit: Callable[[str], Any], load: Callable[[str], Any]) -> None:
        self._emit = emit
        self.names: dict[str, Any] = {"__name__": "__main__", "display": self.display}
        self.room = LONGEST_TEXT
        sys.meta_path[:0] = [Archives(load), PictureBackend(self.show_pictures)]

    # ---------------------------------------------------------------- running a cell

    def run(self, code: str, name: str) -> bool:
        """Run a cell; returns whether it came to its end. ``name`` is what errors call it."""
        self.room = LONGEST_TEXT
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        kept = sys.stdout, sys.stderr, warnings.showwarning
        sys.stdout, sys.stderr = Printed(self, "stdout"), Printed(self, "stderr")
        warnings.showwarning = self._warn
        try:
            tree = ast.parse(code, name)
            last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, name, "exec"), self.names)
            if last is not None:
                value = eval(compile(ast.Expression(last.value), name, "eval"), self.names)
                if value is not None and not code.rstrip().endswith(";"):
                    self.names["_"] = value
                    self.display(value)
            self.show_pictures()
        except BaseException as error:
            self._tell(error, name)
            return False
        finally:
            sys.stdout, sys.stderr, warnings.showwarning = kept
        return True

    def emit(self, output: dict[str, Any]) -> None:
        """Give the page one piece of output."""
        self._emit(json.dumps(output))

    def put_out_text(self, text: str, name: str) -> None:
        """Give the page printed text, up to what it has room for."""
        if self.room <= 0 or not text:
            return
        piece, self.room = text[: self.room], self.room - len(text)
        self.emit({"kind": "text", "stream": name, "text": piece})
        if self.room <= 0:
            self.emit({"kind": "text", "stream": "stderr", "text": "\n... the rest is left out.\n"})

    def _warn(self, message: Any, category: type, *_where: Any) -> None:
        self.put_out_text(f"{category.__name__}: {message}\n", "stderr")

    def _tell(self, error: BaseException, name: str) -> None:
        """Put out an error: mixedlab's as its sentence, another as its last line and the way."""
        ours = getattr(sys.modules.get("mixedlab.errors"), "MixedlabError", ())
        if isinstance(error, ours):
            self.emit({"kind": "error", "says": str(error), "trace": ""})
            return
        *before, says = "".join(traceback.format_exception_only(error)).strip().splitlines()
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != name:
            trace = trace.tb_next  # what stands above the reader's own lines is this file's
        lines = [*traceback.format_tb(trace), *(f"{line}\n" for line in before)]
        self.emit({"kind": "error", "says": says, "trace": "".join(lines)[-20_000:]})

    # ---------------------------------------------------------------- showing

    def display(self, *values: Any) -> None:
        """Show values as a notebook does."""
        for value in values:
            self.emit({"kind": "data", "data": self.bundle(value)})

    def bundle(self, value: Any) -> dict[str, Any]:
        """Return a value's representations by MIME type."""
        figure = getattr(sys.modules.get("matplotlib.figure"), "Figure", ())
        if isinstance(value, figure):
            return self._picture(value)
        if not isinstance(value, type):
            if whole := getattr(value, "_repr_mimebundle_", None):
                made = whole()
                return made[0] if isinstance(made, tuple) else made
            for kind, method in (("text/html", "_repr_html_"), ("image/svg+xml", "_repr_svg_")):
                if (made := getattr(value, method, None)) and (content := made()):
                    return {"text/plain": repr(value), kind: content}
        return {"text/plain": repr(value)[:LONGEST_TEXT]}

    def _picture(self, figure: Any) -> dict[str, Any]:
        file = io.BytesIO()
        figure.savefig(file, format="png", bbox_inches="tight", dpi=2 * figure.dpi)
        png = file.getvalue()
        width = int.from_bytes(png[16:20], "big") // 2  # of the header; twice as fine as shown
        words = "; ".join(filter(None, map(_words_of_axes, figure.axes)))
        return {
            "text/plain": f"Figure. {words}".strip(),
            "image/png": base64.b64encode(png).decode(),
            "width": width,
        }

    def show_pictures(self, *_args: Any, **_options: Any) -> None:
        """Show and close all open figures."""
        if plt := sys.modules.get("matplotlib.pyplot"):
            for number in plt.get_fignums():
                figure = plt.figure(number)
                plt.close(figure)
                self.display(figure)

    # ---------------------------------------------------------------- exercises

    def judge(self, exercise: str, text: str) -> dict[str, Any]:
        """Return what ``ml.check`` says of an answer as it was written; never the solution."""
        answers = importlib.import_module("mixedlab.answers")
        task = answers.find(exercise)
        try:
            answer = text if hasattr(task, "options") else self.value_of(text)
        except Unreadable as error:
            return {"correct": None, "says": str(error), "title": task.title}
        answers.start_over(exercise)
        result = answers.check(exercise, answer)
        answers.start_over(exercise)
        wrong = result.wrong[-1] if result.wrong and not result.correct else None
        return {
            "correct": result.correct,
            "says": result.says,
            "title": result.title,
            "answer": result.answer,
            "misconception": wrong.misconception if wrong else "",
        }

    def solution(self, exercise: str) -> str:
        """Return an exercise's solution in words."""
        task = importlib.import_module("mixedlab.answers").find(exercise)
        return task.solution(task.answer())

    def value_of(self, text: str) -> Any:
        """Read an answer: a number, or what an expression is in this namespace."""
        text = text.strip()
        if re.fullmatch(r"[-+−]?\d+,\d+", text):
            text = text.replace(",", ".")  # a decimal comma
        text = text.replace("−", "-")
        if not text:
            raise Unreadable("Write an answer first.")
        try:
            return eval(text, self.names)
        except NameError as error:
            raise Unreadable(
                f"There is no {error.name!r} yet. Run the cell that makes it, or write the number."
            ) from None
        except Exception:
            raise Unreadable(f"{text!r} is neither a number nor the name of one.") from None

    # ---------------------------------------------------------------- completion

    def complete(self, owner: str) -> list[str]:
        """Return the public names of an object, and of a table its columns, without running code.

        ``owner`` is a dotted name, or empty for the names of this namespace.
        """
        if not owner:
            return [name for name in self.names if not name.startswith("_")]
        first, *rest = owner.split(".")
        value = self.names.get(first)
        for part in rest:
            held = getattr(value, "__dict__", {})
            value = held.get(part) if isinstance(held, dict) else None
        return [] if value is None else [n for n in dir(value) if not n.startswith("_")]

    def columns(self) -> list[str]:
        """Return the columns of all tables in this namespace."""
        found = dict.fromkeys(str(c) for table in self._tables() for c in table.columns)
        return list(found)

    def _tables(self) -> Iterator[Any]:
        kind = getattr(sys.modules.get("pandas"), "DataFrame", ())
        return (value for value in list(self.names.values()) if isinstance(value, kind))


class Unreadable(Exception):
    """An answer that is neither a number nor a name."""


def _words_of_axes(axes: Any) -> str:
    """Say what a picture's axes show, for who cannot see it."""
    x, y, title = axes.get_xlabel(), axes.get_ylabel(), axes.get_title()
    against = f"{y} against {x}" if x and y else x or y
    return ": ".join(filter(None, (title, against)))


def names_for_completion() -> list[str]:
    """Return Python's own names, which every cell knows."""
    own = [name for name in dir(builtins) if not name.startswith("_")]
    return [*keyword.kwlist, *own]
