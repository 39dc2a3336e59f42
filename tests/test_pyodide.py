"""The package under Pyodide, in Node: it imports, and it computes what CPython computes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import assets
import numpy as np
import pytest

pytestmark = pytest.mark.pyodide
ROOT = Path(__file__).parents[1]

FRONT = ROOT / "mixedlab" / "labs" / "front"
# Runs a program in a Pyodide that holds these archives and folders, and prints what it returns.
HOST = """
import fs from "node:fs";
import { pathToFileURL } from "node:url";
const [folder, archive, program, ...packages] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(`${folder}/pyodide.mjs`));
const { gunzip, install } = await import(pathToFileURL(archive));
const pyodide = await loadPyodide({ indexURL: folder });
for (const each of packages) {
  if (fs.statSync(each).isFile()) {
    install(pyodide, await gunzip(new Uint8Array(fs.readFileSync(each))));
  } else {
    pyodide.FS.mkdirTree("/more");
    pyodide.FS.mount(pyodide.FS.filesystems.NODEFS, { root: each }, "/more");
    pyodide.runPython("import sys; sys.path.append('/more')");
  }
}
try {
  console.log(pyodide.runPython(fs.readFileSync(program, "utf-8")));
} catch (error) {
  console.error(error.message); // Python's own words, not Node's
  process.exit(1);
}
"""
# What both Pythons compute: a fit from arrays, and every lab.
FROM_ARRAYS = """
import json, sys
import numpy as np
import mixedlab
from mixedlab.engine.terms import RandomTerm
from mixedlab.labs import catalogue
from mixedlab.models.linear import fit_linear

rng = np.random.default_rng(3)
J, n = 18, 10
group = np.repeat(np.arange(J), n)
x = np.tile(np.linspace(0, 9, n), J)
b = rng.standard_normal((J, 2)) @ np.array([[24.0, 1.0], [0.0, 6.0]])
y = 250 + 10 * x + b[group, 0] + b[group, 1] * x + 25 * rng.standard_normal(J * n)
X = np.column_stack([np.ones_like(x), x])
told = {}
for reml in (True, False):
    fit = fit_linear(y, X, [RandomTerm.from_arrays(group, X)], reml=reml)
    told[f"fit, reml={reml}"] = {
        "beta": fit.beta.tolist(), "sigma": float(fit.sigma), "theta": fit.theta.tolist(),
        "criterion": float(fit.criterion), "b": fit.b[0].tolist(),
    }
for name in catalogue.names():
    lab = catalogue.get(name)
    told[f"lab {name}"] = lab.run(lab.state()).to_dict()["panels"]
    if lab.statistics:
        told[f"replicates of {name}"] = lab.replicate(lab.state(), 0, 3)
told["pandas"] = "pandas" in sys.modules
json.dumps(told)
"""
# The public names, with formulas and tables.
FROM_FORMULAS = """
import json
import mixedlab as ml

told = {}
for name, formula in {
    "sleepstudy": "Reaction ~ Days + (Days | Subject)",
    "dyestuff": "Yield ~ 1 + (1 | Batch)",
    "penicillin": "diameter ~ 1 + (1 | plate) + (1 | sample)",
}.items():
    fit = ml.lmm(formula, ml.load(name))
    told[name] = {
        "fixef": fit.fixef.tolist(), "se": fit.se.tolist(), "criterion": float(fit.criterion),
        "sdcor": fit.varcorr["sdcor"].tolist(), "fitted": fit.fitted.tolist()[:20],
    }
json.dumps(told)
"""
# What formulas need beyond Pyodide's own packages is pure Python, and taken from here.
PURE_PYTHON = ("formulaic", "interface_meta", "narwhals", "wrapt", "typing_extensions.py")


def under_pyodide(program: str, tmp_path: Path, packages: tuple[str, ...], *folders: str) -> dict:
    """Run a program in Pyodide under Node; its last line's value is JSON."""
    (tmp_path / "host.mjs").write_text(HOST)
    (tmp_path / "program.py").write_text(program)
    archives = assets.engine_packages(packages)
    told = assets.node(
        tmp_path / "host.mjs",
        assets.npm_package("pyodide"),
        FRONT / "archive.js",
        tmp_path / "program.py",
        *archives.values(),
        assets.pack_mixedlab(ROOT / "mixedlab"),
        *folders,
    )
    return json.loads(told.strip().splitlines()[-1])


def under_cpython(program: str) -> dict:
    """Run the same program in a CPython of its own."""
    *lines, last = program.strip().splitlines()
    program = "\n".join([*lines, f"print({last})"])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return json.loads(done.stdout)


def assert_close(found, wanted, where=""):
    """Compare plain data; numbers agree to 1e-6 of the largest near them."""
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys(), where
        for key in wanted:
            assert_close(found[key], wanted[key], f"{where} {key}")
    elif isinstance(wanted, list) and wanted and all(isinstance(v, float) for v in wanted):
        np.testing.assert_allclose(
            found, wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max(), err_msg=where
        )
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), where
        for i, (one, other) in enumerate(zip(found, wanted, strict=True)):
            assert_close(one, other, f"{where}[{i}]")
    elif isinstance(wanted, float):
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-9, err_msg=where)
    else:
        assert found == wanted, where


def test_arrays_and_labs_give_the_numbers_of_cpython(tmp_path):
    found = under_pyodide(FROM_ARRAYS, tmp_path, ("numpy", "scipy"))
    assert found["pandas"] is False
    assert_close(found, under_cpython(FROM_ARRAYS))


def test_formulas_and_tables_give_the_numbers_of_cpython(tmp_path):
    more = tmp_path / "more"
    more.mkdir()
    for name in PURE_PYTHON:
        source = Path(np.__file__).parents[1] / name
        if source.is_dir():
            shutil.copytree(source, more / name, ignore=shutil.ignore_patterns("*.so", "*.pyd"))
        else:
            shutil.copy(source, more)
    found = under_pyodide(FROM_FORMULAS, tmp_path, ("numpy", "scipy", "pandas"), str(more))
    assert_close(found, under_cpython(FROM_FORMULAS))


def test_comparison_can_fail():
    assert_close({"a": [1.0, 2.0]}, {"a": [1.0, 2.0 + 1e-9]})
    with pytest.raises(AssertionError):
        assert_close({"a": [1.0, 2.0]}, {"a": [1.0, 2.0 + 1e-5]})
