"""Turn the book's pages and the exercises into notebooks for JupyterLab.

``python notebooks.py FOLDER`` writes them. A notebook that is already there is the reader's own
and stays; delete it to get it anew.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import nbformat
from myst_nb.core.read import read_myst_markdown_notebook
from myst_parser.config.main import MdParserConfig
from sphinx_external_toc.api import SiteMap
from sphinx_external_toc.parsing import parse_toc_yaml

BOOK = Path(__file__).parents[1]
EXERCISES = BOOK.parent / "exercises"
LAB = re.compile(
    r"^(?P<fence>`{3,}|:{3,})\{lab\}\s*(?P<name>[\w-]+)\n(?::state:(?P<state>.*)\n)?(?P=fence)$",
    re.MULTILINE,
)


def pages() -> list[str]:
    """Return the pages of the book in order, without suffix."""
    toc: SiteMap = parse_toc_yaml(BOOK / "_toc.yml")
    order: list[str] = []

    def visit(name: str) -> None:
        order.append(name)
        for tree in toc[name].subtrees:
            for item in tree.items:
                if isinstance(item, str) and item in toc:
                    visit(str(item))

    visit(toc.root.docname)
    return order


def notebook_of(source: str) -> nbformat.NotebookNode:
    """Return a page of the book as a notebook, its labs as cells that show them."""
    notebook = read_myst_markdown_notebook(source, MdParserConfig())
    cells = []
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            cells.append(cell)
            continue
        at = 0
        for match in LAB.finditer(cell.source):
            cells += text_cell(cell.source[at : match.start()])
            cells.append(nbformat.v4.new_code_cell(call_of_lab(match["name"], match["state"])))
            at = match.end()
        cells += text_cell(cell.source[at:])
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def text_cell(text: str) -> list[nbformat.NotebookNode]:
    """Return a cell of text, or none where there is none."""
    return [nbformat.v4.new_markdown_cell(text.strip())] if text.strip() else []


def call_of_lab(name: str, state: str | None) -> str:
    """Return the line of Python that shows a lab."""
    settings = "".join(f", {pair}" for pair in (state or "").replace(",", " ").split())
    return f'import mixedlab as ml\n\nml.lab("{name}"{settings})'


def write_all(folder: Path) -> list[Path]:
    """Write what is not there yet; return what was written."""
    written = []
    for number, page in enumerate(pages()):
        target = folder / "book" / f"{number:02}-{page.replace('/', '-')}.ipynb"
        source = BOOK / f"{page}.md"
        if source.exists() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook_of(source.read_text("utf-8")), target)
            written.append(target)
    for source in sorted(EXERCISES.rglob("questions.ipynb")):
        target = folder / "exercises" / f"{source.parent.name}.ipynb"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            written.append(target)
    return written


if __name__ == "__main__":
    place = Path(sys.argv[1])
    made = write_all(place)
    print(f"{len(made)} notebooks written into {place}/; what was there stays as it was.")
