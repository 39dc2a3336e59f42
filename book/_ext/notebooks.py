"""Turn the book's pages and the exercises into notebooks for JupyterLab.

``python notebooks.py FOLDER`` writes them. A notebook that is already there is the reader's own
and stays; delete it to get it anew.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import nbformat
from install import HOW
from myst_nb.core.read import read_myst_markdown_notebook
from myst_parser.config.main import MdParserConfig
from sphinx_external_toc.api import SiteMap
from sphinx_external_toc.parsing import parse_toc_yaml
from translation import Translator, numbered, suffix_of

BOOK = Path(__file__).parents[1]
EXERCISES = BOOK.parent / "exercises"


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


def file_names() -> dict[str, str]:
    """Return the file of each page's notebook, by page."""
    return {
        page: f"{number:02}-{page.replace('/', '-')}.ipynb" for number, page in enumerate(pages())
    }


def notebook_of(source: str, page: str = "index") -> nbformat.NotebookNode:
    """Return a page of the book as a notebook: what its directives and roles say, in cells."""
    translator = Translator(page, file_names())
    cells = []
    for cell in read_myst_markdown_notebook(numbered(page, source), MdParserConfig()).cells:
        cells += translator.cells_of(cell.source) if cell.cell_type == "markdown" else [cell]
    if any(cell.cell_type == "code" for cell in cells):
        cells.insert(1, nbformat.v4.new_markdown_cell(HOW))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def write_all(folder: Path) -> list[Path]:
    """Write what is not there yet; return what was written."""
    written = []
    for page, name in file_names().items():
        target = folder / "book" / name
        source = BOOK / f"{page}.md"
        if source.exists() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook_of(source.read_text("utf-8"), page), target)
            written.append(target)
    for source in sorted(EXERCISES.rglob("*.ipynb")):
        target = folder / "exercises" / f"{source.parent.name}{suffix_of(source.stem)}"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            written.append(target)
    return written


if __name__ == "__main__":
    place = Path(sys.argv[1])
    made = write_all(place)
    print(f"{len(made)} notebooks written into {place}/; what was there stays as it was.")
