"""Make each chapter's two notebooks from its readable source, ``exercise.md``.

``questions.ipynb`` has blanks, ``solution.ipynb`` is the reference solution. In the source

* ``{2.2}`` stands for the question of exercise 2.2, as ``ml.check`` asks it;
* in a line that ends with ``# blank`` the questions have ``...`` right of the ``=``;
* a line that ends with ``# solution`` is in the solution only.

The first cell of both ends with the line that installs the package from the book.

After a change of a source run ``python exercises/make_notebooks.py``. The notebooks hold no
outputs.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import mixedlab
from mixedlab.answers import find

HERE = Path(__file__).parent
CELL = re.compile(r"^```python\n(.*?)^```\n?", re.DOTALL | re.MULTILINE)
QUESTION = re.compile(r"^\{(\d+\.\d+)\}$", re.MULTILINE)
BLANK, SOLUTION = "  # blank", "  # solution"


INSTALL = (
    "Without the package on this machine, run `%pip install https://ADDRESS-OF-THE-BOOK/"
    f"mixedlab-{mixedlab.__version__}-py3-none-any.whl` first: the book carries it."
)


def notebook(source: str, *, solved: bool) -> nbformat.NotebookNode:
    """Return the notebook that a source describes, with or without its solutions."""
    cells = []
    for i, part in enumerate(CELL.split(source)):
        text = code(part, solved=solved) if i % 2 else QUESTION.sub(_question, part)
        if text := text.strip():
            text = text if cells else f"{text}\n\n{INSTALL}"
            new_cell = new_code_cell if i % 2 else new_markdown_cell
            cells.append(new_cell(text, id=f"cell-{len(cells) + 1}"))
    return new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
    )


def code(source: str, *, solved: bool) -> str:
    """Fill in or blank out the marked lines of a cell."""
    lines = []
    for line in source.splitlines():
        if line.endswith(BLANK):
            line = line.removesuffix(BLANK)
            lines.append(line if solved else f"{line.split(' = ')[0]} = ...")
        elif not line.endswith(SOLUTION):
            lines.append(line)
        elif solved:
            lines.append(line.removesuffix(SOLUTION))
    return "\n".join(lines)


def written(source: Path) -> dict[Path, str]:
    """Return the text of both notebooks of a source by the file it belongs in."""
    text = source.read_text(encoding="utf-8")
    return {
        source.with_name(name): nbformat.writes(notebook(text, solved=solved)) + "\n"
        for name, solved in (("questions.ipynb", False), ("solution.ipynb", True))
    }


def sources() -> list[Path]:
    """All chapters' sources."""
    return sorted(HERE.glob("*/exercise.md"))


def _question(match: re.Match[str]) -> str:
    return f"> {find(match[1]).question}"


if __name__ == "__main__":
    for source in sources():
        for path, text in written(source).items():
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(HERE))
