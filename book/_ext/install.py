"""The book carries the package: an install line, the wheel, and notebooks that name both.

The wheel lies at the root of the site, so that ``pip install ADDRESS/mixedlab-...whl`` needs no
clone and no index. Where the site will stand is known when it is built, if ``html_baseurl`` says
so, or else when it is read: ``_static/book.js`` puts the address in place of `ADDRESS`.

Exercises' notebooks get the name of their chapter, and a cell that installs the package.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from html import escape
from pathlib import Path
from typing import Any

import assets
import nbformat
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import mixedlab

ROOT = Path(__file__).parents[2]
ADDRESS = "https://ADDRESS-OF-THE-BOOK"
WHEEL = f"mixedlab-{mixedlab.__version__}-py3-none-any.whl"
HOW = (
    f"Without the package on this machine, run `%pip install {ADDRESS}/{WHEEL}` first: the book "
    "carries it."
)
FOLDER = "notebooks"
TAKE = 'data-ml="take"'  # the button that saves a reader's work as a notebook
DOWNLOAD = re.compile(r'download="" href="(?P<up>[^"]*)_downloads/(?P<file>[^"]+\.ipynb)"')


class Install(SphinxDirective):
    """Put the line here that installs the package from this book."""

    def run(self) -> list[nodes.Node]:
        """Return the line; the page's script completes its address."""
        line = f"pip install {address(self.env.app)}/{WHEEL}"
        html = f'<pre class="ml-install"><code data-ml="install">{escape(line)}</code></pre>'
        return [nodes.raw("", html, format="html")]


def address(app: Sphinx) -> str:
    """Where the site will stand, or what is to be replaced by it."""
    return app.config.html_baseurl.rstrip("/") or ADDRESS


def build_wheel() -> Path:
    """Return the wheel of the package, built once for each state of its sources."""
    digest = hashlib.sha256()
    sources = [f for f in sorted((ROOT / "mixedlab").rglob("*")) if "__pycache__" not in f.parts]
    for file in (ROOT / "pyproject.toml", ROOT / "README.md", *sources):
        if file.is_file():
            digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    target = assets.cache_dir() / "wheels" / digest.hexdigest()[:16]
    with assets.filled_once(target) as work:
        if work:
            own = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            uv = shutil.which("uv", path=own)
            command = [uv, "build", "--quiet", "--wheel", "--out-dir", work, ROOT]
            if uv is None:
                command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", work, ROOT]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise assets.AssetError(f"The wheel cannot be built:\n{done.stderr[-2000:]}")
    return target / WHEEL


def with_install_cell(notebook: nbformat.NotebookNode, site: str) -> nbformat.NotebookNode:
    """A copy of a notebook that installs the package in its second cell."""
    cell = nbformat.v4.new_code_cell(f"%pip install -q {site}/{WHEEL}", id="install")
    cells = [notebook.cells[0], cell, *notebook.cells[1:]]
    return nbformat.v4.new_notebook(cells=cells, metadata=notebook.metadata)


def place(app: Sphinx, error: Exception | None) -> None:
    """Put the wheel and the notebooks into the built site, and lead the pages to them."""
    if error or app.builder.format != "html":
        return
    out, site = Path(app.outdir), address(app)
    shutil.copy(build_wheel(), out / WHEEL)
    named = {}
    for file, (_, copied) in app.env.dlfiles.items():
        source = Path(app.srcdir) / file
        if source.suffix == ".ipynb":
            named[copied] = f"{source.parent.name}.ipynb"
            target = out / FOLDER / named[copied]
            target.parent.mkdir(exist_ok=True)
            made = with_install_cell(nbformat.read(source, as_version=4), site)
            text = nbformat.writes(made).replace(ADDRESS, site)
            target.write_text(text + "\n", "utf-8")

    def named_link(match: re.Match[str]) -> str:
        return f'data-ml="notebook" download="" href="{match["up"]}{FOLDER}/{named[match["file"]]}"'

    for page in out.rglob("*.html"):
        html = page.read_text("utf-8")
        made = DOWNLOAD.sub(named_link, html).replace(TAKE, f'{TAKE} data-wheel="{WHEEL}"')
        if made != html:
            page.write_text(made, "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive and what happens after the build."""
    app.add_directive("install", Install)
    app.connect("build-finished", place)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
