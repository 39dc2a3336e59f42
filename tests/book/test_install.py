"""The site carries the package and notebooks of its own names, which install it from there."""

import subprocess
import sys
import zipfile
from types import SimpleNamespace

import install
import nbformat
import notebooks
import pytest

from tests import paths


@pytest.fixture(scope="module")
def wheel():
    return install.build_wheel()


def test_the_wheel_holds_the_package_with_its_tables_and_types(wheel):
    assert wheel.name == install.WHEEL
    names = set(zipfile.ZipFile(wheel).namelist())
    package = paths.ROOT / "mixedlab"
    for file in package.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            assert file.relative_to(paths.ROOT).as_posix() in names
    assert "mixedlab/py.typed" in names


def test_what_the_wheel_holds_runs_without_the_clone(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "import mixedlab as ml, pathlib\n"
        "fit = ml.lmm('Yield ~ 1 + (1 | Batch)', ml.load('dyestuff'))\n"
        "print(pathlib.Path(ml.__file__).parents[1], round(fit.criterion, 2))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [str(tmp_path), "319.65"]


def test_every_notebook_with_code_says_how_to_install_the_package():
    for page in notebooks.pages():
        source = paths.ROOT / "book" / f"{page}.md"
        made = notebooks.notebook_of(source.read_text("utf-8"), page)
        runs = any(cell.cell_type == "code" for cell in made.cells)
        assert runs == any(cell.source == install.HOW for cell in made.cells)
    for file in (paths.ROOT / "exercises").rglob("*.ipynb"):
        assert install.HOW in nbformat.read(file, as_version=4).cells[0].source


@pytest.mark.parametrize(
    ("base", "said"), [("", install.ADDRESS), ("https://example.org/b/", "https://example.org/b")]
)
def test_pages_lead_to_a_notebook_named_as_its_chapter(tmp_path, base, said):
    source, out = paths.ROOT / "book", tmp_path
    copied = "0f3a/questions.ipynb"
    page = out / "2-lines-that-differ" / "shrinkage.html"
    page.parent.mkdir()
    page.write_text(f'<a class="x" download="" href="../_downloads/{copied}">it</a>', "utf-8")
    file = "../exercises/04-shrinkage/questions.ipynb"
    app = SimpleNamespace(
        builder=SimpleNamespace(format="html"), outdir=out, srcdir=source,
        config=SimpleNamespace(html_baseurl=base),
        env=SimpleNamespace(dlfiles={file: (set(), copied)}),
    )  # fmt: skip
    install.place(app, None)
    assert 'href="../notebooks/04-shrinkage.ipynb"' in page.read_text("utf-8")
    assert (out / install.WHEEL).exists()
    made = nbformat.read(out / "notebooks" / "04-shrinkage.ipynb", as_version=4)
    nbformat.validate(made)
    assert made.cells[1].source == f"%pip install -q {said}/{install.WHEEL}"
    assert f"{said}/{install.WHEEL}" in made.cells[0].source
