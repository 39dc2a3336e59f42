"""Look at a lab without building the book: screenshots at three widths, light and dark.

``python -m tests.browser.look LAB [--out FOLDER] [--sizes phone,laptop,projector] [--dark]``
draws it before the bet, after it, and with the truth, and says what does not fit.
``python -m tests.browser.look LAB --serve`` serves it, to try it in a browser of one's own.

Python answers in this process: what the front end sends goes to `protocol.answer_json`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from mixedlab.labs import catalogue
from mixedlab.labs.kit import front_end, protocol
from mixedlab.labs.kit.bet import Choice
from mixedlab.labs.kit.lab import Lab
from mixedlab.labs.kit.shell import shell
from mixedlab.labs.kit.svg import pictures
from tests import paths

SIZES = {"phone": (400, 800), "laptop": (1280, 720), "projector": (1920, 1080)}
TYPES = {".js": "text/javascript", ".css": "text/css"}
HOST = """
import front from "./lab.js";
const data = JSON.parse(document.querySelector("script[type='application/json']").textContent);
const listeners = new Set();
const tell = (message) => listeners.forEach((listener) => listener(message));
const model = {
  get: (name) => data[name],
  set() {}, save_changes() {},
  on: (event, callback) => event === "msg:custom" && listeners.add(callback),
  off: (event, callback) => listeners.delete(callback),
  async send(message) {
    const reply = await fetch("answer", { method: "POST", body: JSON.stringify(message) });
    tell(await reply.json());
  },
};
addEventListener("ml-drawn", (event) => { window.drawn = event.detail; }, true);
window.close = front.render({ model, el: document.querySelector("main") });
tell({ kind: "status", phase: "ready" });
"""
# As wide as the book leaves it: its sidebar takes a fifth.
PAGE = """<!doctype html><html lang="en" data-theme="{theme}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>{name}</title>
<link rel="stylesheet" href="lab.css"><style>
body {{ margin: 0; font-family: system-ui, "DejaVu Sans", sans-serif;
  background: light-dark(#fff, #171b20); color-scheme: {theme}; }}
main {{ margin-inline: auto; padding-inline: 12px; }}
@media (min-width: 1000px) {{ main {{ margin-inline-start: 20%; padding-inline: 24px; }} }}
.ml-lab {{ margin-block: 40px 1rem !important; }}
</style></head><body><main>{shell}</main><script type="application/json">{data}</script>
<script type="module" src="host.js"></script></body></html>"""


def document(lab: Lab, theme: str) -> str:
    """Return a page with the lab and nothing else."""
    scene = lab.run(lab.state())
    traits = {
        "lab": lab.name,
        "description": protocol.describe(lab),
        "state": asdict(lab.state()),
        "scene": scene.to_dict(),
    }
    data = json.dumps(traits).replace("<", "\\u003c")
    html = shell(lab, pictures(scene, lab.name, lab.alt))
    return PAGE.format(theme=theme, name=lab.name, shell=html, data=data)


@contextmanager
def serving(lab: Lab, port: int = 0) -> Iterator[str]:
    """Serve the lab while the block runs; gives the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path[1:].partition("?")
            if path == "":
                self.reply(document(lab, "dark" if "dark" in query else "light"), "text/html")
            elif path == "host.js":
                self.reply(HOST, "text/javascript")
            elif (front_end.FOLDER / path).is_file():
                file = front_end.FOLDER / path
                self.reply(file.read_text("utf-8"), TYPES[file.suffix])
            else:
                self.reply("", "text/plain")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            message = json.loads(body)
            reply = protocol.json_of(protocol.answer(message, lab), message)
            self.reply(reply, "application/json")

        def reply(self, text: str, kind: str) -> None:
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def bet(page: Page, lab: Lab) -> None:
    """Make a bet: the second option, or the handle moved five steps."""
    if isinstance(lab.question, Choice):
        page.locator("[data-ml=option]").nth(1).click()
        return
    handle = page.locator("[data-ml=bet]:visible").first
    handle.focus()
    for _ in range(5):
        handle.press("ArrowRight")
    page.wait_for_timeout(400)
    page.locator("[data-ml=bet-done]").click()


FITS = """() => {
  const box = (el) => el?.getBoundingClientRect();
  const hero = box(document.querySelector("[data-hero]"));
  const control = box(document.querySelector(".ml-main .ml-control, [data-ml=new-sample]"));
  const lab = box(document.querySelector(".ml-sheet"));
  return {
    together: Math.max(hero.bottom, control.bottom) - Math.min(hero.top, control.top),
    hero: `${Math.round(hero.width)} x ${Math.round(hero.height)}`,
    lab: `${Math.round(lab.width)} x ${Math.round(lab.height)}`,
    sideways: document.documentElement.scrollWidth - innerWidth,
  };
}"""


def look(browser: Browser, lab: Lab, size: str, theme: str, out: Path) -> None:
    """Save the pictures of one lab at one size."""
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.on("pageerror", lambda error: print(f"  ERROR {error}"))
    page.on("console", lambda m: m.type in ("error", "warning") and print(f"  {m.type}: {m.text}"))
    with serving(lab) as address:
        page.goto(address + ("?dark" if theme == "dark" else ""))
        page.wait_for_selector('[data-ml=lab][data-phase="ready"]')
        page.wait_for_timeout(500)
        name = f"{lab.name}-{size}-{theme}"
        page.screenshot(path=out / f"{name}-0.png")
        fits = page.evaluate(FITS)
        bet(page, lab)
        page.wait_for_timeout(2600)
        page.screenshot(path=out / f"{name}-1.png")
        truth = page.locator("[data-ml=truth]")
        if truth.count():
            truth.click()
            page.wait_for_timeout(1200)
        if page.locator("[data-count='50']").count():
            page.locator("[data-count='50']").click()
            page.wait_for_timeout(2500)
        page.screenshot(path=out / f"{name}-2.png")
        print(f"{name}: {fits}; after: {page.evaluate(FITS)}; window {width} x {height}")
    context.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("lab")
    parser.add_argument("--out", type=Path, default=paths.ROOT / "book" / "_build" / "look")
    parser.add_argument("--sizes", default="phone,laptop,projector")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--serve", action="store_true")
    chosen = parser.parse_args()
    lab = catalogue.get(chosen.lab)
    if chosen.serve:
        with serving(lab) as address:
            print(f"{address}   (Ctrl-C stops)")
            while True:
                time.sleep(60)
    from tests.browser.conftest import CHROMIUM, CHROMIUM_FLAGS

    chosen.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_FLAGS))
        for size in chosen.sizes.split(","):
            look(browser, lab, size, "dark" if chosen.dark else "light", chosen.out)
        browser.close()


if __name__ == "__main__":
    main()
