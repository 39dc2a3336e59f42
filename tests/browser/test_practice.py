"""A reader practises in the page: cells, exercises, progress, and work that is taken home."""

import json

import assets
import pytest
from playwright.sync_api import expect

from mixedlab.exercises.report import read_class
from tests.browser.steps import LIVE_WITHIN, OpenLab, into_view

CHAPTER = "2-lines-that-differ/random-slopes"
POOLINGS = "1-why-groups/three-poolings"
SERIOUS = {"serious", "critical"}


def open_chapter(page, url, name=CHAPTER):
    page.goto(f"{url}{name}.html")
    expect(page.locator("html")).to_have_attribute("data-practice", "ready")
    return page.locator('[data-ml="code"]')


def part(box, name):
    return box.locator(f'[data-ml="{name}"]')


def write(cell, code):
    """Put other code into a cell, as a reader does."""
    cell.locator(".cm-content").click()
    cell.page.keyboard.press("ControlOrMeta+a")
    cell.page.keyboard.insert_text(code)


def run(cell, code=None):
    if code is not None:
        write(cell, code)
    part(cell, "run").click()
    expect(part(cell, "run-status")).to_contain_text("Done in", timeout=LIVE_WITHIN)


@pytest.fixture
def fresh(page, url):
    """A page of a reader who was never here."""
    page.goto(f"{url}genindex.html")
    page.evaluate("localStorage.clear()")
    return page


def test_nothing_is_loaded_before_it_is_asked_for(page, url):
    asked = []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    cells = open_chapter(page, url)
    into_view(cells.first)
    page.mouse.wheel(0, 2000)
    page.wait_for_timeout(500)
    later = (
        "editor.js",
        "session-worker.js",
        "session.py",
        "matplotlib",
        "formulaic",
        "exercises-",
    )
    assert [name for name in asked if name.startswith(later)] == []


def test_a_cell_is_edited_run_and_reset(fresh, url):
    cell = open_chapter(fresh, url).first
    built_code = cell.locator(".cm-content").inner_text()
    built_output = part(cell, "output").inner_text()
    assert built_output.strip()
    run(cell, "x = 6\nprint('six')\nx * 7")
    expect(part(cell, "output")).to_have_text("six\n42")
    expect(cell.locator(".cm-editor")).to_be_visible()
    # From then on Python is there.
    write(cell, "x + 1")
    fresh.keyboard.press("Shift+Enter")
    expect(part(cell, "output")).to_have_text("7")
    # What was edited is there when the page is opened again; it has not run.
    cell = open_chapter(fresh, url).first
    assert cell.locator(".cm-content").inner_text().strip() == "x + 1"
    part(cell, "reset").click()
    assert cell.locator(".cm-content").inner_text().split() == built_code.split()
    assert part(cell, "output").inner_text() == built_output
    expect(part(cell, "reset")).to_be_disabled()


def test_a_cell_runs_those_above_first_and_says_so(fresh, url):
    cells = open_chapter(fresh, url, POOLINGS)
    built = part(cells.nth(0), "output").inner_text().split()
    part(cells.nth(2), "run").click()
    expect(part(cells.nth(2), "run-status")).to_contain_text(
        "Ran 2 cells above first.", timeout=2 * LIVE_WITHIN
    )
    picture = part(cells.nth(1), "output").locator("img")
    expect(picture).to_have_attribute(
        "alt", "Figure. (Intercept) against county (rows), from few rows to many"
    )
    assert picture.evaluate("(image) => image.naturalWidth") > 600
    assert part(cells.nth(0), "output").inner_text().split() == built, "as in the book"
    part(cells.nth(2), "run").click()
    expect(part(cells.nth(2), "run-status")).not_to_contain_text("above", timeout=LIVE_WITHIN)
    write(cells.nth(0), "1 / 0")
    part(cells.nth(1), "run").click()
    expect(part(cells.nth(1), "run-status")).to_have_text(
        "Not run: cell 1 above ended in an error.", timeout=LIVE_WITHIN
    )


def test_errors_are_sentences(fresh, url):
    cell = open_chapter(fresh, url).first
    output = part(cell, "output")
    write(cell, 'import mixedlab as ml\n\nml.load("sleepstudi")')
    part(cell, "run").click()
    alert = output.get_by_role("alert")
    expect(alert).to_contain_text("sleepstudy", timeout=LIVE_WITHIN)
    expect(alert.locator("details")).to_have_count(0)
    write(cell, "def half(x):\n    return x / 0\n\nhalf(1)")
    part(cell, "run").click()
    expect(alert.locator("p")).to_have_text("ZeroDivisionError: division by zero")
    trace = alert.locator("pre")
    expect(trace).to_be_hidden()
    alert.locator("summary").click()
    expect(trace).to_contain_text("in half")
    expect(trace).not_to_contain_text("session.py")
    write(cell, "for")
    part(cell, "run").click()
    expect(alert.locator("p")).to_have_text("SyntaxError: invalid syntax")


def test_an_endless_loop_is_stopped_while_the_lab_goes_on(fresh, url):
    cell = open_chapter(fresh, url).first
    lab = OpenLab(fresh.locator('[data-ml="lab"]').first)
    lab.answer_the_gate()
    write(cell, "print('on')\nwhile True:\n    pass")
    part(cell, "run").click()
    expect(part(cell, "output")).to_have_text("on", timeout=LIVE_WITHIN)
    lab.press_arrow(lab.sliders()[0])  # the scene follows, as Python's own lab says
    expect(part(cell, "stop")).to_be_enabled()
    part(cell, "stop").click()
    expect(cell).to_have_attribute("data-state", "stopped", timeout=2000)
    expect(part(cell, "run-status")).to_contain_text("gone")
    lab.press_arrow(lab.sliders()[0])
    run(cell, "40 + 2")
    expect(part(cell, "output")).to_have_text("42")


def test_a_cell_is_left_by_escape(fresh, url):
    cell = open_chapter(fresh, url).first
    way_out = cell.get_by_text("Esc leaves the code")
    expect(way_out).to_be_hidden()
    cell.locator(".cm-content").focus()
    expect(cell.locator(".cm-editor .cm-content")).to_be_focused()
    expect(way_out).to_be_visible()
    fresh.keyboard.press("Tab")  # indents
    expect(cell.locator(".cm-content")).to_be_focused()
    fresh.keyboard.press("Escape")
    expect(part(cell, "run")).to_be_focused()
    name = cell.locator(".cm-content").get_attribute("aria-label")
    assert "Escape leaves it" in name


def test_an_editor_completes_public_names_and_columns(fresh, url):
    cell = open_chapter(fresh, url).first
    offered = fresh.locator(".cm-tooltip-autocomplete li")
    cell.locator(".cm-content").click()
    for written, wanted in (("ml.within", "within_between"), ('"Rea', "Reaction")):
        write(cell, 'import mixedlab as ml\nsleep = ml.load("sleepstudy")\n')
        fresh.keyboard.press("ControlOrMeta+End")
        fresh.keyboard.type(written)
        expect(offered.first).to_have_text(wanted)
        fresh.keyboard.press("Escape")


def test_an_exercise_is_solved_by_keyboard_and_taken_home(fresh, url, tmp_path):
    open_chapter(fresh, url)
    keys = fresh.keyboard
    solved, seen = (fresh.locator(f'[data-exercise="{name}"]') for name in ("6.2", "6.1"))

    # 6.1: a choice, twice wrong and then right.
    seen.locator("input").first.focus()
    keys.press("Space")
    keys.press("Enter")
    verdict = part(seen, "verdict")
    expect(verdict).to_have_attribute("data-verdict", "wrong", timeout=LIVE_WITHIN)
    expect(part(seen, "solution-text")).to_be_empty()
    keys.press("Enter")  # the same again is no second mistake
    expect(verdict).to_contain_text("You have tried this one.")
    expect(part(seen, "solution-text")).to_be_empty()
    keys.press("ArrowDown")
    keys.press("Enter")
    expect(part(seen, "solution-text")).to_contain_text("'near 1'", timeout=LIVE_WITHIN)
    keys.press("ArrowDown")
    keys.press("Enter")
    expect(verdict).to_have_attribute("data-verdict", "right")
    expect(seen).to_have_attribute("data-state", "seen")

    # 6.2: once wrong, then right.
    part(solved, "answer").focus()
    keys.type("1500")
    keys.press("Enter")
    verdict = part(solved, "verdict")
    expect(verdict).to_contain_text("sigma²")
    keys.press("ControlOrMeta+a")
    keys.type("variance")  # the cells that make it are run for it
    code = solved.locator(".cm-content").last
    words = 't00, t11, t01, s2 = fit.varcorr["vcov"]\nvariance = t00 + 12 * t01 + 36 * t11 + s2'
    write(solved.locator('[data-ml="code"]').last, words)
    expect(code).to_contain_text("t00")
    part(solved, "answer").focus()
    keys.press("Enter")
    expect(verdict).to_have_attribute("data-verdict", "right", timeout=2 * LIVE_WITHIN)
    expect(solved).to_have_attribute("data-state", "solved")
    words = "1 of 4 solved, 1 seen."
    head = fresh.locator('[data-ml="practice-progress"]')
    expect(head).to_contain_text(words)

    # A reload brings all of it back.
    open_chapter(fresh, url)
    expect(head).to_contain_text(words)
    expect(part(solved, "verdict")).to_contain_text("✓ Right.")
    expect(part(solved, "answer")).to_have_value("variance")
    expect(seen.locator("input:checked")).to_have_value("near 1")
    expect(part(seen, "solution-text")).to_contain_text("counts as seen")
    mark = fresh.locator(".bd-sidebar-primary a", has_text="Random slopes").locator("span")
    expect(mark).to_have_text("1/4")

    # The notebook that is saved is one that the class's report reads.
    with fresh.expect_download() as saving:
        part(head, "take").click()
    assert saving.value.suggested_filename == "mixedlab-6-random-slopes.ipynb"
    (tmp_path / "ada").mkdir()
    saving.value.save_as(tmp_path / "ada" / saving.value.suggested_filename)
    (notebook,) = read_class(tmp_path).notebooks
    assert not notebook.trouble
    assert notebook.state("6.2") == "solved"
    assert notebook.state("6.1") == "after the solution"
    assert notebook.state("6.3") == ""

    # And it can be forgotten.
    fresh.on("dialog", lambda dialog: dialog.accept())
    part(head, "clear").click()
    expect(head).to_contain_text("0 of 4 solved.")
    expect(part(solved, "verdict")).to_be_empty()


def test_a_solution_that_is_asked_for_counts_as_seen(fresh, url):
    open_chapter(fresh, url)
    exercise = fresh.locator('[data-exercise="6.4"]')
    part(exercise, "solution").click()
    expect(part(exercise, "solution-text")).to_contain_text("fit = ml.lmm(", timeout=LIVE_WITHIN)
    expect(exercise).to_have_attribute("data-state", "seen")


HOSTILE = "<img src=x onerror='window.hurt = true'><script>window.hurt = true</script>"


def test_hostile_output_and_stored_work_never_become_html(fresh, url, trouble):
    keep = {
        "answers": {
            "6.1": {
                "tries": [
                    {
                        "right": True,
                        "says": HOSTILE,
                        "answer": HOSTILE,
                        "given": HOSTILE,
                        "mistake": 3,
                    },
                    {"right": "yes"},
                    None,
                ],
                "solution": HOSTILE,
                "draft": HOSTILE,
            },
            "6.2": [HOSTILE],
            "__proto__": {"tries": []},
        },
        "places": {"/": HOSTILE},
    }
    for name, value in keep.items():
        fresh.evaluate(
            "([k, v]) => localStorage.setItem(k, v)", [f"mixedlab.{name}", json.dumps(value)]
        )
    cell = open_chapter(fresh, url).first
    verdict = part(fresh.locator('[data-exercise="6.1"]'), "verdict")
    expect(verdict).to_have_text(f"✓ Right. {HOSTILE}")
    assert verdict.locator("*").count() == 0
    shown = "class Hurt:\n    def _repr_html_(self):\n        return text\n\nHurt()"
    table = f"<table onclick='hurt()'><tr><td style='position:fixed'>1{HOSTILE}</td></tr></table>"
    run(cell, f"text = {table + '<a href=javascript:hurt()>link</a><style>*{}</style>'!r}\n{shown}")
    output = part(cell, "output")
    expect(output).to_contain_text("link")
    assert output.locator("table td").count() == 1
    assert output.locator("a, img, script, style, [onclick], [style]").count() == 0
    run(cell, f"print({HOSTILE!r})")
    expect(output).to_have_text(HOSTILE)
    assert fresh.evaluate("window.hurt") is None
    for broken in ("not json", "[]", "null", '{"6.1": null}'):
        fresh.evaluate("(v) => localStorage.setItem('mixedlab.answers', v)", broken)
        open_chapter(fresh, url)
    # The browser tells of each handler that it met while reading the table, and refused.
    refused = "Executing inline event handler violates"
    trouble.errors[:] = [error for error in trouble.errors if not error.startswith(refused)]


def test_a_page_that_is_left_and_opened_again_stands_where_it_was(fresh, url):
    open_chapter(fresh, url)
    exercise = fresh.locator('[data-exercise="6.2"]')
    exercise.evaluate("(one) => scrollTo(0, one.getBoundingClientRect().top + scrollY + 40)")
    fresh.goto(f"{url}genindex.html")
    open_chapter(fresh, url)
    for _ in range(40):
        top = exercise.evaluate("(one) => one.getBoundingClientRect().top")
        if abs(top + 40) < 120:
            break
        fresh.wait_for_timeout(100)
    assert abs(top + 40) < 120
    fresh.goto(f"{url}{CHAPTER}.html#exercises")
    heading = fresh.locator("#exercises")
    expect(heading).to_be_in_viewport()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_practice_is_accessible_and_fits_a_phone(fresh, url, scheme):
    fresh.emulate_media(color_scheme=scheme)
    cells = open_chapter(fresh, url)
    run(
        cells.first,
        "import pandas as pd\n\nprint(1)\npd.DataFrame({'a' * 80: [1.0], 'b' * 80: [2]})",
    )
    write(cells.nth(1), "1 / 0")
    part(cells.nth(1), "run").click()
    expect(part(cells.nth(1), "output").get_by_role("alert")).to_be_visible(timeout=LIVE_WITHIN)
    fresh.evaluate((assets.npm_package("axe-core") / "axe.min.js").read_text())
    found = fresh.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert [
        (v["id"], node["target"])
        for v in found["violations"]
        for node in v["nodes"]
        if v["impact"] in SERIOUS
    ] == []
    fresh.set_viewport_size({"width": 400, "height": 800})
    fresh.wait_for_timeout(200)
    assert fresh.evaluate("document.documentElement.scrollWidth") <= 400
