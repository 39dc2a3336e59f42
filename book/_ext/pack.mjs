// Make an archive of a Python package that the browser only has to unpack and import.
//
//   node pack.mjs PYODIDE_FOLDER OUT.tar.gz PACKAGE WHEEL_OR_FOLDER...
//
// Runs Pyodide itself, so that the modules are compiled by the very Python that will run them.
// The sources of wheels are left out: imports are faster, and the archive smaller.

import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [pyodideFolder, out, name, ...inputs] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(path.join(pyodideFolder, "pyodide.mjs")));
const py = await loadPyodide({ indexURL: pyodideFolder });
const site = py.runPython("import site; site.getsitepackages()[0]");

for (const input of inputs) {
  if (fs.statSync(input).isDirectory()) {
    py.FS.mkdirTree("/input");
    py.FS.mount(py.FS.filesystems.NODEFS, { root: path.resolve(input) }, "/input");
    py.runPython(`import shutil; shutil.copytree("/input", "${site}/mixedlab")`);
  } else {
    py.unpackArchive(new Uint8Array(fs.readFileSync(input)), "whl", { extractDir: site });
  }
}

py.globals.set("name", name);
py.globals.set("site", site);
const program = `
import gzip, importlib.util, io, pathlib, py_compile, sys, tarfile

site = pathlib.Path(site)
importlib.invalidate_caches()

# Folders that no page can reach, and files that only a compiler or a person reads.
UNUSED = {"tests", "_examples", "include", "__pycache__", "_precompute", "front", "exercises"}
UNUSED |= {"sample_data", "afm", "pdfcorefonts", "web_backend", "images"}
UNREAD = {".pyi", ".pyx", ".pxd", ".h", ".hpp", ".c", ".cpp", ".f", ".a", ".lib", ".md", ".txt"}
# scipy is large: keep the subpackages that these bring with them.
SCIPY_REACHED_FROM = (
    "linalg", "special", "optimize", "stats", "sparse.linalg", "sparse.csgraph", "integrate",
    "interpolate",
)


def subpackages_of_scipy():
    for part in SCIPY_REACHED_FROM:
        importlib.import_module("scipy." + part)
    return {m.split(".")[1] for m in sys.modules if m.startswith("scipy.")}


others = {"numpy", "numpy.libs"} if name != "numpy" else set()
scipy_parts = subpackages_of_scipy() if name == "scipy" else set()


def wanted(path):
    parts = path.relative_to(site).parts
    if name == "exercises":  # what the archive of mixedlab leaves out
        return path.suffix == ".py" and parts[:2] == ("mixedlab", "exercises")
    if not path.is_file() or parts[0] in others or UNUSED & set(parts):
        return False
    if parts[0].endswith(".dist-info"):
        return path.name == "METADATA" and not (parts[0].startswith("numpy-") and others)
    if path.suffix in UNREAD:
        return False
    is_folder_of_scipy = parts[0] == "scipy" and len(parts) > 2
    return not is_folder_of_scipy or parts[1] in scipy_parts


def compiled(path, inside):
    file = py_compile.compile(
        str(path), cfile="/tmp/module.pyc", dfile=inside, doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    return pathlib.Path(file).read_bytes()


def members():
    for path in sorted(p for p in site.rglob("*") if wanted(p)):
        inside = str(path.relative_to(site))
        if path.suffix != ".py":
            yield inside, path.read_bytes()
        elif name in ("mixedlab", "exercises"):  # its labs and chapters are found by their source
            yield inside, path.read_bytes()
            yield importlib.util.cache_from_source(inside), compiled(path, inside)
        else:
            yield inside + "c", compiled(path, inside)


buffer = io.BytesIO()
with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
    for inside, content in members():
        info = tarfile.TarInfo(inside)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
pathlib.Path("/tmp/out").write_bytes(gzip.compress(buffer.getvalue(), mtime=0))
`;
try {
  py.runPython(program);
} catch (error) {
  console.error(error.message); // Python's own words, without a page of Pyodide's source
  process.exit(1);
}
fs.writeFileSync(out, py.FS.readFile("/tmp/out"));
