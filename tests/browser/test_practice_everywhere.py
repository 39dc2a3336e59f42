"""A reader practises with Chromium, with Firefox and with WebKit: the same steps in each."""

import time
from contextlib import nullcontext

import pytest
from exercise_sources import chapter_number

from mixedlab.answers import of_chapter
from mixedlab.exercises.report import read_class
from tests.browser import readers
from tests.browser.contents import page_of_lab
from tests.browser.test_firefox import FIREFOX
from tests.browser.webkit import MISSING

PAGE = page_of_lab()["random-slopes"]
CHAPTER = chapter_number(PAGE)
PREDICT, COMPUTE = f"{CHAPTER}.1", f"{CHAPTER}.2"
OUTPUT, STATUS = "#cell [data-ml=output]", "#cell [data-ml=run-status]"
FIGURE = "import matplotlib.pyplot as plt; plt.plot([1, 3, 2]); plt.ylabel('height')"
# What is saved, and what the content policy stops.
WATCH = """
void (() => {
  window.saved = [];
  window.stopped = [];
  const made = URL.createObjectURL;
  URL.createObjectURL = (blob) => (window.saved.push(blob.text()), made(blob));
  addEventListener("securitypolicyviolation", (event) => window.stopped.push(event.blockedURI));
  document.querySelector("[data-ml=code]").id = "cell";
  document.querySelector("[data-ml=lab]").addEventListener("ml-drawn", ({ detail }) => {
    window.drawn = JSON.stringify(detail.state);
  });
})()
"""


@pytest.fixture(params=["chromium", "firefox", "webkit"])
def reader(request):
    if request.param == "chromium":
        driver = nullcontext(readers.ChromiumDriver(request.getfixturevalue("page")))
    elif request.param == "firefox":
        if FIREFOX is None:
            pytest.skip("Firefox is not installed")
        driver = readers.firefox(FIREFOX)
    else:
        if MISSING:
            pytest.skip(str(MISSING))
        driver = readers.safari()
    with driver as started:
        yield readers.Reader(started)


def open_chapter(reader, url):
    reader.open(f"{url}{PAGE}.html")
    reader.wait("document.documentElement.dataset.practice === 'ready'")
    reader.js(WATCH)


def run(reader, code):
    """Put code into the first cell by keyboard, and run it."""
    reader.click("#cell .cm-content")
    reader.wait("!!document.querySelector('#cell .cm-editor.cm-focused')")
    reader.press("Control", "a")
    reader.type(code)
    reader.press("Shift", "Enter")


def exercise(name, part=""):
    return f"[data-exercise='{name}'] {part}".strip()


def verdict(name, is_):
    where = exercise(name, "[data-ml=verdict]")
    return f'document.querySelector("{where}").dataset.verdict === "{is_}"'


def test_a_reader_practises(reader, url, tmp_path):
    open_chapter(reader, url)
    done = "document.querySelector('#cell').dataset.state === 'done'"

    # A cell is edited and run; from then on, Python is there.
    run(reader, "6 * 7")
    reader.wait(done)
    assert reader.text(OUTPUT) == "42"
    started = time.monotonic()
    run(reader, "6 * 8")
    reader.wait(f"document.querySelector('{OUTPUT}').textContent.trim() === '48'", 5)
    assert time.monotonic() - started < 4  # with the typing; how fast it is, benchmarks say

    # A figure is drawn.
    run(reader, FIGURE)
    reader.wait(f"document.querySelector('{OUTPUT} img')?.naturalWidth > 300")
    assert reader.js(f"document.querySelector('{OUTPUT} img').alt") == "Figure. height"

    # An endless loop is stopped, while the lab above stays live.
    reader.wait("document.querySelector('[data-ml=lab]').dataset.phase === 'ready'", 120)
    run(reader, "while True: pass")
    reader.wait("document.querySelector('#cell').dataset.state === 'running'")
    move_the_lab(reader)
    started = time.monotonic()
    reader.click("#cell [data-ml=stop]")
    reader.wait("document.querySelector('#cell').dataset.state === 'stopped'", 2)
    assert time.monotonic() - started < 2
    move_the_lab(reader)
    run(reader, "40 + 2")
    reader.wait(done)
    assert reader.text(OUTPUT) == "42"

    # An exercise is answered wrong twice and then right, by keyboard only.
    right = of_chapter(CHAPTER)[PREDICT].answer()
    options = list(of_chapter(CHAPTER)[PREDICT].options)
    reader.js(f"void (location.hash = 'exercise-{CHAPTER}-1')")
    reader.tab_to(exercise(PREDICT, "[data-ml=answer]"))
    reader.press(" ")
    for option in (o for o in options if o != right):
        pick(reader, PREDICT, option)
        reader.press("Enter")
        reader.wait(verdict(PREDICT, "wrong"))
        reader.wait(
            f'!document.querySelector("{exercise(PREDICT)} [data-ml=check][aria-disabled]")'
        )
    assert "Solution." in reader.text(exercise(PREDICT, "[data-ml=solution-text]"))
    pick(reader, PREDICT, right)
    reader.press("Enter")
    reader.wait(verdict(PREDICT, "right"))

    # Another one is solved: by a number, written after one wrong try.
    task = of_chapter(CHAPTER)[COMPUTE]
    reader.tab_to(exercise(COMPUTE, "[data-ml=answer]"))
    for number, said in (("1", "wrong"), (f"{task.answer():.6g}", "right")):
        reader.press("Control", "a")
        reader.type(number)
        reader.press("Enter")
        reader.wait(verdict(COMPUTE, said))

    # Progress is there after a reload.
    progress = f"1 of {len(of_chapter(CHAPTER))} solved, 1 seen."
    assert progress in reader.text("[data-ml=practice-progress]")
    assert reader.js("window.stopped.length") == 0
    reader.reload()
    open_chapter(reader, url)
    reader.wait(f"document.body.textContent.includes('{progress}')")
    assert "✓ Right." in reader.text(exercise(COMPUTE, "[data-ml=verdict]"))

    # The notebook that is saved is one that the class's report reads.
    reader.click("[data-ml=take]")
    reader.wait("window.saved.length === 1")
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "work.ipynb").write_text(reader.js("window.saved[0]"), "utf-8")
    (notebook,) = read_class(tmp_path).notebooks
    assert not notebook.trouble
    assert notebook.state(COMPUTE) == "solved"
    assert notebook.state(PREDICT) == "after the solution"
    assert reader.js("window.stopped.length") == 0


def pick(reader, name, option):
    """Go to an option of a choice with the arrow keys."""
    chosen = f'document.querySelector("{exercise(name)} input:checked")?.value'
    for _ in range(6):
        if reader.js(chosen) == option:
            return
        reader.press("ArrowDown")
    raise AssertionError(f"the arrows do not reach {option!r}")


def move_the_lab(reader):
    """Bet if that is still to be done, and move a slider: the scene must follow."""
    lab = "document.querySelector('[data-ml=lab]')"
    reader.js("void (window.drawn = '')")
    if reader.js(f"{lab}.dataset.stage") == "data":
        reader.click("[data-ml=lab] [data-ml=skip]")
    slider = f"{lab}.querySelector('.ml-main [data-ml=slider]')"
    reader.js(f"{slider}.focus()")
    reader.press("ArrowRight")
    reader.wait("window.drawn", 20)
