"""Make the built site serve all that it needs itself, under a strict content policy.

After the build: MathJax, Pyodide, the scripts of the labs and of practice are copied in, inline
scripts become files, and each page states the policy that it was built for.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import assets
import practice
from sphinx.application import Sphinx
from sphinx.util import logging

import mixedlab
from mixedlab.labs.kit import front_end

logger = logging.getLogger(__name__)

# What a page may load: the site itself, and WebAssembly for Python. Styles may be inline
# because figures, the theme and MathJax set them; pictures may be data because notebooks do.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "worker-src 'self'",
    )
)
MATHJAX_FILES = ("tex-mml-chtml.js", "output/chtml/fonts/woff-v2", "input/tex/extensions")
FRONT = front_end.FOLDER
PRACTICE = Path(__file__).parents[1] / "_practice"
EXPLORE = Path(__file__).parents[1] / "_explore"
ENGINE_FOLDER = f"pyodide-{assets.PYODIDE}"
EXECUTABLE = {"", "text/javascript", "application/javascript"}
SCRIPT = re.compile(r"<script(?P<attributes>[^>]*)>(?P<body>.*?)</script>", re.DOTALL)
TYPE = re.compile(r"""\btype=["']([^"']*)["']""")
NEEDS = re.compile(r"""<div [^>]*\bdata-ml-host=[^>]*\bdata-needs="([^"]*)\"""")
# What the theme and the notebooks' HTML would get wrong, as (pattern, replacement).
AMENDMENTS = (
    # An inline handler, which the policy stops: see _static/book.js.
    (r'onclick="window\.print\(\)"', "data-print"),
    # Names for screen readers that differ from what is seen; what is seen says enough.
    (r'(<button class="btn search-button-field[^>]*) aria-label="[^"]*"', r"\1"),
    # A list without list items.
    (r'<div role="list" class="citation-list"', '<div class="citation-list"'),
    (r'<summary aria-label="[^"]*"', "<summary"),
    (r'(<i class="theme-switch[^>]*) title="[^"]*"', r"\1"),
)
EVENT_HANDLER = re.compile(r"""<[^>]+\son[a-z]+\s*=\s*["']""")


def copy_mathjax(static: Path) -> None:
    """Copy the parts of MathJax that the pages load."""
    source, target = assets.npm_package("mathjax") / "es5", static / "mathjax"
    for name in MATHJAX_FILES:
        origin, goal = source / name, target / name
        goal.parent.mkdir(parents=True, exist_ok=True)
        if origin.is_dir():
            shutil.copytree(origin, goal, dirs_exist_ok=True)
        else:
            shutil.copyfile(origin, goal)


def copy_engine(static: Path) -> dict[str, dict[str, Any]]:
    """Copy Pyodide, its started memory and the packages' archives; return addresses and sizes.

    Every name holds a version or a digest: a host may let browsers keep these files for ever.
    """
    folder = static / ENGINE_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name in assets.CORE_FILES:
        shutil.copyfile(assets.npm_package("pyodide") / name, folder / name)
    archives = assets.engine_packages(tuple(assets.ENGINE_PACKAGES))
    archives |= {name: assets.pure_packages(name) for name in assets.PURE_PACKAGES}
    for part in ("mixedlab", "exercises"):
        archives[part] = assets.pack_mixedlab(Path(mixedlab.__file__).parent, part)
    archives["started"] = assets.started_python()
    placed = {}
    for name, archive in archives.items():
        content = archive.read_bytes()
        file = f"{name}-{hashlib.sha256(content).hexdigest()[:12]}{''.join(archive.suffixes)}"
        (folder / file).write_bytes(content)
        placed[name] = {"file": f"../{ENGINE_FOLDER}/{file}", "size": len(content)}
    return placed


def copy_front(static: Path, archives: Mapping[str, Any], chapters: Mapping[str, Any]) -> str:
    """Copy the scripts and styles of labs and practice into a folder named by their content.

    Returns the folder's name.
    """
    pyodide = assets.npm_package("pyodide")
    site = {
        "ENGINE": f"../{ENGINE_FOLDER}/",
        "CORE": [{"file": f, "size": (pyodide / f).stat().st_size} for f in assets.CORE_FILES],
        "LOCK_INFO": assets.pyodide_lock()["info"],
        "ARCHIVES": archives,
        "CHAPTERS": chapters,
        "NAMES": practice.names(),
    }
    lines = [f"export const {name} = {json.dumps(value)};\n" for name, value in site.items()]
    files = {"site.js": "// Written at build time.\n" + "".join(lines)}
    folders = (FRONT, PRACTICE, EXPLORE)
    for file in (*(f for folder in folders for f in sorted(folder.iterdir())), assets.editor()):
        if file.suffix in {".js", ".css", ".py"}:
            files[file.name] = file.read_text("utf-8")
    digest = hashlib.sha256(json.dumps(files).encode()).hexdigest()[:12]
    folder = static / f"labs-{digest}"
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content, "utf-8")
    return folder.name


def packages_needed(html: str) -> set[str]:
    """Return the large packages that the labs of a page import."""
    return {name for names in NEEDS.findall(html) for name in names.split()}


def head_of_lab_page(front: str, root: str, packages: set[str]) -> str:
    """Return the head's lines of a page with labs: style, script, and early downloads."""
    folder = f"{root}_static/{front}/"
    preloads = "".join(
        f'<link rel="modulepreload" href="{folder}{name}">' for name in front_end.modules()
    )
    return (
        f'<link rel="stylesheet" href="{folder}lab.css">'
        f'<script type="module" async src="{folder}page.js" '
        f'data-packages="{" ".join(sorted(packages))}"></script>{preloads}'
    )


def head_of_explorer(front: str, root: str) -> str:
    """Return the head's lines of the explorer's page: the lab's style and the page's own."""
    folder = f"{root}_static/{front}/"
    styles = "".join(
        f'<link rel="stylesheet" href="{folder}{name}.css">' for name in ("lab", "explore")
    )
    return f'{styles}<script type="module" async src="{folder}explore.js"></script>'


def mark_as_lab_page(html: str) -> str:
    """Have the style sheet give the page's labs the room that they need."""
    return re.sub(r"<body(?=[\s>])", "<body data-labs", html, count=1)


def head_of_page(front: str, root: str) -> str:
    """Return the head's lines that every page has: the reader's progress, cells and exercises."""
    folder = f"{root}_static/{front}/"
    return (
        f'<link rel="stylesheet" href="{folder}practice.css">'
        f'<script type="module" async src="{folder}practice.js"></script>'
    )


def externalise_scripts(html: str, static: Path, root: str) -> str:
    """Turn inline scripts into files of the site, named by their content."""

    def replace(match: re.Match[str]) -> str:
        attributes, body = match["attributes"], match["body"].strip()
        kind = TYPE.search(attributes)
        if "src=" in attributes or not body or (kind[1] if kind else "") not in EXECUTABLE:
            return match[0]
        name = f"inline-{hashlib.sha256(body.encode()).hexdigest()[:12]}.js"
        (static / name).write_text(body + "\n", "utf-8")
        return f'<script{attributes} src="{root}_static/{name}"></script>'

    return SCRIPT.sub(replace, html)


def finish_page(path: Path, out: Path, front: str) -> None:
    """Rewrite one built page in place."""
    root = "../" * (len(path.relative_to(out).parts) - 1)
    html = path.read_text("utf-8")
    head = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    head += head_of_page(front, root)
    if "data-ml-host=" in html:
        head += head_of_lab_page(front, root, packages_needed(html))
        html = mark_as_lab_page(html)
    if 'data-ml="explore"' in html:
        head += head_of_explorer(front, root)
        html = mark_as_lab_page(html)
    # After the character set, which must stand within a page's first bytes.
    html, found = re.subn(r"(<meta charset=[^>]*>)", rf"\1{head}", html, count=1)
    if not found:
        return  # a redirect, or a fragment that no reader opens
    for pattern, replacement in AMENDMENTS:
        html = re.sub(pattern, replacement, html)
    html = externalise_scripts(html, out / "_static", root)
    if handler := EVENT_HANDLER.search(html):
        logger.warning("%s has an inline event handler, which no policy lets run: %s",
                       path.name, handler[0][:120])  # fmt: skip
    path.write_text(html, "utf-8")


def forget_pages(app: Sphinx) -> None:
    """Have every page written anew, since each names the files of this build."""
    if app.builder.format == "html":
        for page in Path(app.outdir).rglob("*.html"):
            page.unlink()


def finish_site(app: Sphinx, error: Exception | None) -> None:
    """Complete the site once Sphinx has written it."""
    if error or app.builder.format != "html":
        return
    out = Path(app.outdir)
    static = out / "_static"
    pages = sorted(p for p in out.rglob("*.html") if "_static" not in p.parts)
    copy_mathjax(static)
    for old in (*static.glob("labs-*"), *static.glob("pyodide-*")):
        shutil.rmtree(old)
    front = copy_front(static, copy_engine(static), practice.chapters(app))
    for page in pages:
        finish_page(page, out, front)
    copy_starters(out)
    (out / "_headers").write_text(headers(), "utf-8")
    (out / ".nojekyll").touch()  # GitHub Pages would leave out folders named _static


def copy_starters(out: Path) -> None:
    """Put beside the site what serves it from a stick by a double click on each system."""
    here = Path(__file__).parent
    for file in (*sorted((here.parent / "_stick").iterdir()), here / "serve.py"):
        shutil.copy(file, out / file.name)  # with its right to be run


def headers() -> str:
    """Return what hosts that read a file ``_headers`` should send."""
    keep = "  Cache-Control: public, max-age=31536000, immutable\n"
    return (
        f"/*\n  Content-Security-Policy: {POLICY}\n  X-Content-Type-Options: nosniff\n"
        f"/_static/{ENGINE_FOLDER}/*\n{keep}/_static/labs-*\n{keep}"
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register what happens before and after the build."""
    # Jupyter Book sets this, though the extension that reads it is not used.
    app.add_config_value("comments_config", {}, "html")
    app.connect("builder-inited", forget_pages)
    app.connect("build-finished", finish_site)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
