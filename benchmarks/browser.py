"""How soon a lab lives in the browser, and how closely its picture follows the hand.

Serves the built book on this machine and opens its pages in Chromium, each visit to live in a
fresh profile. Run `make book-build` first.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, expect, sync_playwright
from side_by_side import table, write_table

from mixedlab.labs import catalogue

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "book" / "_ext"), str(ROOT)]

from self_contained import POLICY  # noqa: E402
from serve import serving  # noqa: E402

from tests.browser.conftest import CHROMIUM, CHROMIUM_FLAGS  # noqa: E402
from tests.browser.contents import labs_of, pages  # noqa: E402

SITE = ROOT / "book" / "_build" / "html"
VISITS = 5
# Notes when the first lab is live, in ms since the visit began.
WATCH_LIFE = """
window.live = new Promise((resolve, reject) => {
  addEventListener("DOMContentLoaded", () => {
    const lab = document.querySelector("[data-ml=lab]");
    const note = () => {
      if (lab.dataset.phase === "ready") resolve(performance.now());
      if (lab.dataset.phase === "failed") reject(new Error(lab.innerText));
    };
    new MutationObserver(note).observe(lab, { attributes: true });
    note();
  });
});
"""
# For each value that the hand has set: the time until a frame shows it, or a newer one.
WATCH_DRAG = """
(field) => {
  window.delays = [];
  window.answers = [];
  const lab = document.querySelector("[data-ml=lab]");
  const slider = lab.querySelector(`[data-field="${field}"] [data-ml=slider]`);
  let set = [];
  slider.addEventListener("input", (e) => set.push([Number(slider.value), e.timeStamp]), true);
  lab.addEventListener("ml-drawn", ({ detail }) => {
    const last = set.map(([value]) => value).lastIndexOf(detail.state[field]);
    const shown = set.splice(0, last + 1);
    if (shown.length) window.answers.push(performance.now() - shown.at(-1)[1]);
    requestAnimationFrame(() => {
      const channel = new MessageChannel(); // a message after the frame's callbacks: painted
      channel.port1.onmessage = () => {
        for (const [, at] of shown) window.delays.push(performance.now() - at);
      };
      channel.port2.postMessage(0);
    });
  });
}
"""


def live_after(page: Page, address: str) -> float:
    """Open a page; return the seconds from the visit's begin until its lab is live."""
    page.goto(address)
    return page.evaluate("window.live") / 1000


def visits(browser: Browser, url: str, first: str, second: str, shared: bool) -> tuple:
    """Return seconds to live on a first page and on a second one, for each visit."""
    taken = []
    for _ in range(VISITS):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.add_init_script(WATCH_LIFE)
        if not shared:
            context.add_init_script("delete window.SharedWorker")
        page = context.new_page()
        taken.append(tuple(live_after(page, f"{url}{name}.html") for name in (first, second)))
        context.close()
    return tuple(zip(*taken, strict=True))


def drag(
    browser: Browser, url: str, name: str, lab_name: str
) -> tuple[list[float], list[float], float]:
    """Drag a slider of a lab to and fro from the first moment on, then repeat 500 times.

    Returns ms to the answers and to the paints, and seconds that the 500 samples take.
    """
    lab = catalogue.get(lab_name)
    field = next(f for f in lab.main_controls if lab.controls[f].kind == "slider")
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.add_init_script(WATCH_LIFE)
    page = context.new_page()
    live_after(page, f"{url}{name}.html")
    page.locator("[data-ml=skip]").click()
    page.evaluate(WATCH_DRAG, field)
    slider = page.locator(f'[data-field="{field}"] [data-ml=slider]')
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    for share in 0.5 + 0.45 * np.sin(np.linspace(0, 4 * np.pi, 160)):
        page.mouse.move(box["x"] + share * box["width"], y)
        page.wait_for_timeout(16)  # a mouse reports about as often as the screen is painted
    page.mouse.up()
    page.wait_for_timeout(300)
    answers, delays = page.evaluate("[window.answers, window.delays]")
    begun = time.perf_counter()
    page.locator('[data-ml="replicate"][data-count="500"]').click()
    expect(page.locator("[data-ml=count]")).to_have_text("500", timeout=120_000)
    taken = time.perf_counter() - begun
    context.close()
    return answers, delays, taken


def in_cpython(name: str, times: int = 50) -> float:
    """Return the median ms from a state to its scene, as plain data, in this Python."""
    lab = catalogue.get(name)
    state = lab.state()
    lab.run(state)
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        lab.run(state).to_dict()
        taken.append(1000 * (time.perf_counter() - start))
    return statistics.median(taken)


def summary(seconds: list[float]) -> str:
    """Return median and worst."""
    return f"{statistics.median(seconds):.2f} ({max(seconds):.2f})"


def main() -> None:
    """Measure and write the table."""
    with_lab = [page for page in pages() if len(labs_of(page)) == 1]
    rows = []
    with sync_playwright() as playwright, serving(SITE, POLICY) as url:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_FLAGS))
        version = browser.version
        first, second = "1-why-groups/three-poolings", with_lab[-1]
        lives = [
            ["shared worker", *map(summary, visits(browser, url, first, second, True))],
            ["worker of the page", *map(summary, visits(browser, url, first, second, False))],
        ]
        for page in with_lab:
            for name in labs_of(page):
                answers, delays, repeated = drag(browser, url, page, name)
                rows.append(
                    [
                        name,
                        f"{in_cpython(name):.1f}",
                        f"{statistics.median(answers):.1f}",
                        f"{statistics.median(delays):.0f}",
                        f"{np.quantile(delays, 0.95):.0f}",
                        str(len(delays)),
                        f"{repeated:.1f}",
                    ]
                )
        browser.close()
    to_live = table(["", "first page, s", "second page, s"], lives)
    write_table(
        "browser",
        "Labs in the browser",
        ["lab", "state to scene in CPython, ms", "in the browser, ms", "drag to paint, ms",
         "95th percentile, ms", "moves", "+500, s"],
        rows,
        notes=[
            f"Chromium {version}, headless, no graphics card; the site comes from this machine. "
            "*In the browser*: median time from a slider's event to the new scene drawn, which is "
            "the message to the worker, simulation and fit in Pyodide, JSON and SVG. *Drag to "
            "paint*: from the event of a mouse move to the end of the first frame that shows its "
            "value or a newer one; the mouse moves every 16 ms, from the moment when the lab is "
            "live. *+500*: from the click to the last of 500 new samples in the histogram.",
            "Seconds from opening a page, in a fresh profile, until its lab is live: median of "
            f"{VISITS} visits (worst).",
            "\n".join(to_live),
            f"First page: `{first}`, second: `{second}`. The shared worker stays alive from page "
            "to page; where a browser has none, each page starts its own, from the cache.",
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
