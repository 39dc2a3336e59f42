"""The built book, a server with a strict content policy, and a real Chromium."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from self_contained import POLICY
from serve import serving

from tests.browser.steps import RECORD

ROOT = Path(__file__).parents[2]

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NO_CHROMIUM = (
    "The tests in a browser were left out: no Chromium was found. Install one "
    "(Debian, Ubuntu: `sudo apt-get install chromium`; elsewhere: `.venv/bin/playwright install "
    "chromium`), or name its program in MIXEDLAB_CHROMIUM."
)


def find_chromium() -> str | None:
    """Return the program of a Chromium or Chrome, if there is one."""
    if named := os.environ.get("MIXEDLAB_CHROMIUM"):
        return named
    for name in CHROMIUM_NAMES:
        if found := shutil.which(name):
            return found
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


CHROMIUM = find_chromium()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and skip them where there is no browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None and "browser" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason=NO_CHROMIUM))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, and how to get it."""
    if CHROMIUM is None:
        terminalreporter.write_line(NO_CHROMIUM, yellow=True)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, testrun_uid: str) -> Path:
    """Return the folder of the built book: built once a run, with warnings as errors."""
    shared = tmp_path_factory.getbasetemp().parent
    stamp = shared / f"book-{testrun_uid}"
    with FileLock(shared / "book.lock"):
        if not stamp.exists():
            program = Path(sys.executable).with_name("jupyter-book")
            command = [program, "build", "book", "-W", "--keep-going"]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            stamp.write_text(f"{done.stdout}\n{done.stderr}" if done.returncode else "")
    if failure := stamp.read_text():
        pytest.fail(f"The book does not build:\n{failure[-6000:]}", pytrace=False)
    return ROOT / "book" / "_build" / "html"


@pytest.fixture(scope="session")
def url(site: Path) -> Iterator[str]:
    """Serve the site under the policy that it claims to need; the address ends with a slash."""
    with serving(site, POLICY) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start one Chromium for all tests of a process."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_FLAGS))
        yield browser
        browser.close()


@dataclass
class Trouble:
    """What a page should never have: errors in the console, requests to other hosts."""

    home: str
    errors: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Note whatever happens in the page and its workers."""
        page.on("request", lambda r: self._request(r.url))
        page.on("response", lambda r: r.status >= 400 and self.missing.append(r.url))
        page.on("console", lambda m: m.type == "error" and self.errors.append(m.text))
        page.on("pageerror", lambda e: self.errors.append(str(e)))

    def _request(self, address: str) -> None:
        if not address.startswith((self.home, "data:", "blob:")):
            self.elsewhere.append(address)

    def assert_none(self) -> None:
        """Fail where there was any."""
        assert self.elsewhere == [], "requests to other hosts"
        assert self.missing == [], "files that are not there"
        assert self.errors == [], "errors in the console"


@pytest.fixture(scope="session")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Give a browser profile in which Python stays alive from one test to the next.

    Marks jump to their places, so that nobody has to wait for them.
    """
    with fresh_context(browser, reduced_motion="reduce") as context:
        yield context


@contextmanager
def fresh_context(browser: Browser, **options: Any) -> Iterator[BrowserContext]:
    """Give a browser profile with nothing cached and nothing stored."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    context.set_default_timeout(20_000)
    context.add_init_script(RECORD)
    yield context
    context.close()


@pytest.fixture
def trouble(url: str) -> Trouble:
    """What has gone wrong in the test's page."""
    return Trouble(url)


@pytest.fixture
def page(context: BrowserContext, trouble: Trouble) -> Iterator[Page]:
    """Give an empty page; after the test, nothing may have gone wrong in it."""
    page = context.new_page()
    trouble.watch(page)
    yield page
    page.close()
    trouble.assert_none()
