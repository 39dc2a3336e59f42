"""WebKit, what Safari is made of: Debian's build, driven by selenium on a display of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver

DRIVER = shutil.which("WebKitWebDriver")
DISPLAY = shutil.which("Xvfb")
MINI_BROWSER = next(iter(sorted(Path("/usr/lib").glob("**/webkit2gtk-4.1/MiniBrowser"))), None)
MISSING = None if DRIVER and DISPLAY and MINI_BROWSER else "WebKit or Xvfb is not installed"


@contextmanager
def display(size: str = "1400x1000x24") -> Iterator[str]:
    """Start a screen that nobody sees; give its name."""
    read, write = os.pipe()
    command = [DISPLAY, "-displayfd", str(write), "-screen", "0", size, "-nolisten", "tcp"]
    screen = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with os.fdopen(read) as said:
            yield f":{said.readline().strip()}"
    finally:
        screen.terminate()
        screen.wait()


@contextmanager
def webkit(width: int = 1280, height: int = 720) -> Iterator[webdriver.WebKitGTK]:
    """Start WebKit with an empty profile; its window shows `width` x `height` pixels of a page."""
    with display() as name:
        options = webdriver.WebKitGTKOptions()
        options.binary_location = str(MINI_BROWSER)
        options.add_argument("--automation")
        environment = {**os.environ, "DISPLAY": name, "WEBKIT_DISABLE_COMPOSITING_MODE": "1"}
        service = webdriver.WebKitGTKService(DRIVER, env=environment)
        driver = webdriver.WebKitGTK(options=options, service=service)
        try:
            driver.set_script_timeout(120)
            seen = driver.execute_script("return [innerWidth, innerHeight]")
            size = driver.get_window_size()
            driver.set_window_size(
                size["width"] + width - seen[0], size["height"] + height - seen[1]
            )
            yield driver
        finally:
            driver.quit()
