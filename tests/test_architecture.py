"""The shape of the package: where imports point, what a file is called, how long it is."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import grimp
import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

import mixedlab as ml
from tests import paths

PACKAGE = paths.ROOT / "mixedlab"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
LONGEST = 400


# Examples of a docstring are run as tests of it, and are not counted as lines of a file.
EXAMPLES = re.compile(r'\n *Examples\n *-{8}\n.*?(?=""")', re.DOTALL)


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def test_imports_point_one_way():
    """The rows are in pyproject.toml, under ``tool.importlinter``."""
    found = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=paths.ROOT,
        env=os.environ | {"PYTHONPATH": str(paths.ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_no_files_import_each_other_in_a_circle():
    graph = grimp.build_graph("mixedlab", cache_dir=None)
    names = sorted(graph.modules)
    at = {name: k for k, name in enumerate(names)}
    arrows = [
        (at[name], at[other])
        for name in names
        for other in graph.find_modules_directly_imported_by(name)
    ]
    rows, columns = np.array(arrows).T
    shape = (len(names), len(names))
    matrix = coo_array((np.ones(len(arrows)), (rows, columns)), shape=shape)
    count, circle = connected_components(matrix, directed=True, connection="strong")
    circles = [[names[k] for k in np.flatnonzero(circle == c)] for c in range(count)]
    assert [members for members in circles if len(members) > 1] == []


def test_no_file_has_the_name_of_a_public_function():
    """Importing such a file would put the module in the function's place.

    Labs are named by what they show.
    """
    files = {path.stem for path in MODULES if "labs" not in path.parts}
    assert files & set(ml._HOME_OF) == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_file_is_short_or_says_why_not(path):
    source = path.read_text("utf-8")
    words = " ".join((ast.get_docstring(ast.parse(source)) or "").split())
    lines = EXAMPLES.sub("", source).count("\n")
    assert lines <= LONGEST or "one file because" in words.lower()


def homes_of_tests(path: Path) -> list[str]:
    """Names whose test file will do: the file's own; of a lab's private file also the lab's."""
    words = path.stem.split("_")
    shorter = ["_".join(words[:k]) for k in range(1, len(words))] if "labs" in path.parts else []
    return [path.stem, *(name for name in shorter if path.with_stem(name).exists())]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_file_has_tests_of_its_name(path):
    folder = paths.ROOT / "tests" / path.relative_to(PACKAGE).parent
    assert any((folder / f"test_{name}.py").exists() for name in homes_of_tests(path))
