"""Build the book from nothing and write how long it takes and how large the site is.

``python benchmarks/site.py`` builds into a folder of its own, with every cell executed, and
writes ``results/site.md``. The downloads (Pyodide, MathJax) come from the cache: fill it before
with ``make assets``.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from side_by_side import write_table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

import assets  # noqa: E402
from self_contained import packages_needed  # noqa: E402

KINDS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("Python (Pyodide and its packages)", lambda path: path.startswith("_static/pyodide-")),
    ("MathJax", lambda path: path.startswith("_static/mathjax/")),
    ("the labs' scripts and styles", lambda path: path.startswith("_static/labs-")),
    ("pages", lambda path: path.endswith(".html") and not path.startswith("_static/")),
    ("figures", lambda path: path.startswith("_images/")),
    ("notebooks and sources", lambda path: path.startswith(("_sources/", "_downloads/"))),
    ("theme, fonts, search", lambda path: True),
)
LAB_PAGE = "1-why-groups/three-poolings.html"


def build(into: Path) -> float:
    """Build the book into a folder; return seconds."""
    program = Path(sys.executable).with_name("jupyter-book")
    command = [program, "build", "book", "-W", "--keep-going", "--path-output", into]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{done.stdout}\n{done.stderr}"[-4000:])
    return time.perf_counter() - start


def megabytes(files: Iterable[Path]) -> float:
    return sum(file.stat().st_size for file in files) / 1e6


def compressed(files: Iterable[Path]) -> float:
    """Megabytes as a server that compresses sends them."""
    return sum(min(len(gzip.compress(f.read_bytes(), 6)), f.stat().st_size) for f in files) / 1e6


def kind_of(path: str) -> str:
    return next(name for name, holds in KINDS if holds(path))


def first_visit(site: Path) -> list[Path]:
    """What a first visit to a page with a lab loads for Python."""
    needed = packages_needed((site / LAB_PAGE).read_text("utf-8")) | {"mixedlab", "started"}
    (folder,) = (site / "_static").glob("pyodide-*")
    archives = [f for f in folder.glob("*.gz") if f.name.rsplit("-", 1)[0] in needed]
    return [*(folder / name for name in assets.CORE_FILES), *archives]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder)
        fresh = build(into)
        again = build(into)
        site = into / "_build" / "html"
        files = [f for f in site.rglob("*") if f.is_file()]
        rows = []
        for name, _ in KINDS:
            own = [f for f in files if kind_of(f.relative_to(site).as_posix()) == name]
            rows.append((name, len(own), f"{megabytes(own):.1f}", f"{compressed(own):.1f}"))
        rows.append(
            (
                "**the whole site**",
                len(files),
                f"{megabytes(files):.1f}",
                f"{compressed(files):.1f}",
            )
        )
        visit = first_visit(site)
        notes = [
            f"Build from nothing, every cell executed, warnings as errors: {fresh:.0f} s. "
            f"Again, with the cells' results from the cache: {again:.0f} s.",
            f"A first visit to chapter 3 loads {megabytes(visit):.1f} MB of Python "
            f"({compressed(visit):.1f} MB where the server compresses); later pages load none.",
        ]
    header = ("what", "files", "MB", "MB compressed")
    print(
        write_table("site", "Size of the site, time to build it", header, rows, notes).read_text()
    )


if __name__ == "__main__":
    main()
