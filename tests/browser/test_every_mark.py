"""The front end by itself, on a lab with every mark and control, its answers made in this process.

No Python runs in the page: what the front end sends is answered by `protocol.answer` here,
at once or when the test says so. What the book's labs do in the reader's own Python, other tests
try.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from mixedlab.labs.kit import front_end, protocol
from mixedlab.labs.kit.shell import shell
from mixedlab.labs.kit.svg import pictures
from tests.labs import every_mark

LAB = every_mark.LAB
HOME = "http://lab.test/"
FRONT = front_end.FOLDER
POLICY = "default-src 'self'; style-src 'self' 'unsafe-inline'"
TYPES = {".js": "text/javascript", ".css": "text/css"}

HOST = """
import front from "./lab.js";
const data = JSON.parse(document.querySelector("script[type='application/json']").textContent);
const listeners = new Set();
window.tell = (message) => listeners.forEach((listener) => listener(message));
window.sent = [];
window.held = [];
window.traits = {};
const model = {
  get: (name) => data[name],
  set: (name, value) => { window.traits[name] = value; },
  save_changes() {},
  on: (event, callback) => event === "msg:custom" && listeners.add(callback),
  off: (event, callback) => listeners.delete(callback),
  async send(message) {
    window.sent.push(message);
    const reply = await fetch("answer", { method: "POST", body: JSON.stringify(message) });
    const answer = await reply.json();
    if (window.slow) window.held.push(answer);
    else window.tell(answer);
  },
};
document.addEventListener("ml-drawn", (event) => { window.drawn = event.detail; });
const close = front.render({ model, el: document.querySelector("main") });
window.close = close;
if (!location.search.includes("waiting")) window.tell({ kind: "status", phase: "ready" });
"""


@cache
def document() -> str:
    scene = LAB.run(LAB.state())
    traits = {
        "lab": LAB.name,
        "description": protocol.describe(LAB),
        "state": asdict(LAB.state()),
        "scene": scene.to_dict(),
    }
    island = json.dumps(traits).replace("<", "\\u003c")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Lab</title>'
        # Painted once it is read: half a lab, on a busy machine, would be seen to grow.
        '<link rel="expect" href="#end" blocking="render">'
        '<link rel="stylesheet" href="lab.css"></head><body><main>'
        f"{shell(LAB, pictures(scene))}</main><i id=end></i>"
        f'<script type="application/json">{island}</script>'
        '<script type="module" src="host.js"></script></body></html>'
    )


def answer(route: Route) -> None:
    path = route.request.url.removeprefix(HOME).split("?")[0]
    if path == "answer":
        route.fulfill(json=protocol.answer(route.request.post_data_json, LAB))
    elif path == "":
        headers = {"Content-Security-Policy": POLICY}
        route.fulfill(body=document(), content_type="text/html", headers=headers)
    elif path == "host.js":
        route.fulfill(body=HOST, content_type="text/javascript")
    elif (FRONT / path).is_file():
        route.fulfill(path=FRONT / path, content_type=TYPES[Path(path).suffix])
    else:
        route.fulfill(status=204)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1000, "height": 1400}, reduced_motion="reduce")
    context.set_default_timeout(10_000)
    context.route("**/*", answer)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda m: m.type == "error" and errors.append(m.text))
    page.on("dialog", lambda dialog: errors.append(f"dialog: {dialog.message}"))
    page.goto(HOME)
    yield page
    context.close()
    assert errors == []


def part(page: Page, name: str, within: str = "") -> Any:
    return page.locator(f'{within} [data-ml="{name}"]')


def wait_for(page: Page, condition: str) -> None:
    """Wait until an expression is true. Playwright's own wait needs eval, against the policy."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(25)
    pytest.fail(f"never true: {condition}; drawn: {page.evaluate('drawn.state')}")


def wait_for_state(page: Page, **fields: Any) -> None:
    """Wait until the scene of these values is drawn."""
    wait_for(
        page,
        f"Object.entries({json.dumps(fields)}).every(([f, v]) => window.drawn?.state[f] === v)",
    )


def shown(page: Page, mark: str) -> bool:
    return page.locator(f'[data-mark="{mark}"]').is_visible()


def test_the_question_comes_first(page):
    assert shown(page, "data")
    assert not shown(page, "fit")
    expect(part(page, "outcome")).to_be_hidden()
    expect(part(page, "truth")).to_be_disabled()
    expect(part(page, "replicate").first).to_be_disabled()
    part(page, "option").nth(1).click()
    assert shown(page, "fit")
    assert not shown(page, "true")
    expect(part(page, "said")).to_have_text('You said: That "one".')
    expect(part(page, "outcome-text")).to_have_text("The height is 0.5.")
    expect(part(page, "headline")).to_have_text("Not quite: the height is 0.5")
    expect(part(page, "headline", "[data-hero]")).to_be_visible()
    expect(part(page, "truth")).to_have_text("Show the truth")
    part(page, "truth").click()
    expect(part(page, "truth")).to_have_text("Hide the truth")
    assert shown(page, "true")
    expect(part(page, "outcome-text")).to_have_text("The height is 0.5. The truth is 0.9 of it.")
    expect(part(page, "summary")).to_have_text(
        f"Not quite: the height is 0.5. {LAB.run(LAB.state()).summary} The truth is 0.9 of it."
    )
    part(page, "truth").click()
    assert not shown(page, "true")
    part(page, "again").click()
    assert not shown(page, "fit")


def test_the_question_can_be_left_out(page):
    part(page, "skip").click()
    assert shown(page, "fit")
    expect(part(page, "said")).to_have_text("")


def test_nothing_moves_when_the_lab_goes_live_or_is_answered(page):
    page.goto(f"{HOME}?waiting")
    page.evaluate(
        "new PerformanceObserver((list) => { window.shift = (window.shift ?? 0) + "
        "list.getEntries().reduce((sum, e) => sum + (e.hadRecentInput ? 0 : e.value), 0); })"
        ".observe({ type: 'layout-shift', buffered: true })"
    )
    expect(part(page, "controls")).to_have_js_property("disabled", True)
    root = page.locator(".ml-lab")
    before = root.bounding_box()
    page.evaluate("tell({ kind: 'status', phase: 'download', text: 'Fetching', fraction: 0.5 })")
    expect(part(page, "status-text")).to_have_text("Fetching")
    page.evaluate("tell({ kind: 'status', phase: 'ready' })")
    expect(part(page, "controls")).to_have_js_property("disabled", False)
    assert root.bounding_box() == before
    sheet = page.locator(".ml-sheet")
    height = sheet.bounding_box()["height"]
    part(page, "option").first.click()
    part(page, "truth").click()
    assert sheet.bounding_box()["height"] == height
    assert page.evaluate("window.shift ?? 0") == 0


def test_a_failed_start_can_be_tried_again(page):
    page.goto(f"{HOME}?waiting")
    page.evaluate("tell({ kind: 'status', phase: 'failed', text: 'No connection.' })")
    expect(part(page, "status-text")).to_have_text("No connection.")
    part(page, "retry").click()
    assert page.evaluate("sent.at(-1).kind") == "retry"


def test_hero_and_main_control_are_in_view_together(page):
    for size in ({"width": 1280, "height": 720}, {"width": 1920, "height": 1080}):
        page.set_viewport_size(size)
        for where in ("[data-hero]", '.ml-main [data-ml="slider"]'):
            box = page.locator(where).first.bounding_box()
            assert box["y"] >= 0
            assert box["y"] + box["height"] <= size["height"], (where, size)
        hero = page.locator("[data-hero]").bounding_box()
        panels = page.locator(".ml-panels").bounding_box()
        assert 0.58 < hero["width"] / panels["width"] < 0.66


def test_on_a_phone_the_hero_stays_in_view_while_a_control_is_moved(page):
    page.set_viewport_size({"width": 400, "height": 800})
    part(page, "option").first.click()
    part(page, "more").locator("summary").click()
    slider = part(page, "toggle")
    slider.evaluate("el => el.scrollIntoView({ block: 'end' })")
    hero = page.locator("[data-hero]").bounding_box()
    assert -1 <= hero["y"] < 110  # below the fixed head of a page
    assert hero["y"] + hero["height"] <= slider.bounding_box()["y"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_helper_and_hero_change_places(page):
    part(page, "option").first.click()
    part(page, "swap", '[data-panel="bars"]').click()
    hero = page.locator("[data-hero]")
    expect(hero).to_have_attribute("data-panel", "bars")
    expect(part(page, "headline", "[data-hero]")).to_be_visible()
    assert hero.bounding_box()["width"] > 1.4 * part(page, "panel").first.bounding_box()["width"]


def test_no_axis_changes_while_a_control_is_held(page):
    labels = "document.querySelectorAll('[data-panel=bars] .ml-tick-label')"
    ticks = f"[...{labels}].map((text) => text.textContent)"
    before = page.evaluate(ticks)
    slider = part(page, "slider", "[data-field=groups]")
    box = slider.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.95 * box["width"], box["y"] + box["height"] / 2, steps=5)
    wait_for(page, "drawn.state.groups >= 8 && drawn.scene.panels[2].y.high > 30")
    assert page.evaluate(ticks) == before
    page.mouse.up()
    wait_for(page, f"JSON.stringify({ticks}) !== {json.dumps(json.dumps(before))}")


def test_twins_are_lit_in_every_panel_and_the_rest_dimmed(page):
    part(page, "option").first.click()
    page.locator('[data-mark="data"] [data-item="3"]').hover(force=True)
    lit = page.locator(".ml-twin")
    keys = set(lit.evaluate_all("all => all.map((el) => el.dataset.item)"))
    assert len(keys) == 1
    assert lit.count() == 2  # the point and its twin
    page.mouse.move(5, 5)
    expect(lit).to_have_count(0)


def test_keys_pressed_quickly_are_all_counted(page):
    page.evaluate("window.slow = true")
    handle = page.locator('[data-handle="line/0"]')
    handle.focus()
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
    page.evaluate("window.slow = false; tell(held.shift())")
    wait_for_state(page, line=3)


def test_a_goal_is_ticked_when_it_is_met_and_stays_so(page):
    part(page, "option").first.click()
    goal = part(page, "goal")
    expect(goal).to_have_attribute("data-met", "false")
    part(page, "slider", "[data-field=height]").press("End")
    expect(goal).to_have_attribute("data-met", "true")
    expect(part(page, "goals-met")).to_have_text("1")
    page.reload()
    expect(goal).to_have_attribute("data-met", "true")
    part(page, "option").first.click()
    part(page, "goals").locator("summary").click()
    part(page, "solve").click()
    wait_for_state(page, height=2)


def test_a_slider_by_mouse_keys_and_number(page):
    slider = part(page, "slider", "[data-field=height]")
    number = part(page, "number", "[data-field=height]")
    box = slider.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + box["width"], y, steps=10)
    page.mouse.up()
    wait_for_state(page, height=2)
    slider.press("ArrowLeft")
    wait_for_state(page, height=1.9)
    slider.press("Home")
    wait_for_state(page, height=-2)
    number.fill("0.749")
    number.press("Enter")
    wait_for_state(page, height=0.7)
    expect(number).to_have_value("0.7")
    number.fill("50")
    number.press("Tab")
    expect(number).to_have_value("2")
    number.fill("")
    number.press("Tab")
    expect(number).to_have_value("2")


def test_choices_and_switches(page):
    part(page, "more").locator("summary").click()
    page.get_by_label("Second").check()
    wait_for_state(page, kind="two")
    part(page, "select").select_option("m3")
    wait_for_state(page, many="m3")
    assert shown(page, "heat-numbers")
    part(page, "toggle").uncheck()
    wait_for_state(page, numbers=False)
    assert page.locator('[data-mark="heat-numbers"]').count() == 0


def test_a_mark_is_dragged_by_mouse_and_by_keys(page):
    handle = page.locator('[data-handle="point/0"]')
    assert min(handle.bounding_box()["width"], handle.bounding_box()["height"]) >= 24
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y - 40, steps=6)
    page.mouse.up()
    wait_for(page, "drawn.state.px > 1 && drawn.state.py > 3")
    wait_for_state(page, kind="two")  # what taking hold of it sets
    wait_for(page, "drawn.state.px === sent.at(-1).state.px")
    after = handle.bounding_box()
    assert after["x"] - box["x"] == pytest.approx(60, abs=15)
    handle.focus()
    was = page.evaluate("drawn.state")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    wait_for_state(page, px=was["px"] + 0.5, py=was["py"] + 0.5)
    assert page.evaluate("document.activeElement.dataset.handle") == "point/0"
    expect(handle).to_have_attribute(
        "aria-valuetext", f"point x {was['px'] + 0.5:g}, point y {was['py'] + 0.5:g}"
    )
    page.locator('[data-handle="line/0"]').press("End")
    wait_for_state(page, line=10)


def test_what_stands_over_a_mark_can_be_read_by_mouse_and_by_keys(page):
    tip = page.locator('[data-panel="every"] .ml-tip')
    page.locator('[data-mark="data"] [data-item="3"]').hover(force=True)
    expect(tip).to_have_text(re.compile("point "))
    page.mouse.move(5, 5)
    expect(tip).to_be_hidden()
    page.locator('[data-panel="every"] .ml-svg').focus()
    page.keyboard.press("ArrowRight")
    expect(tip).to_have_text("point 0")
    page.keyboard.press("ArrowRight")
    expect(tip).to_have_text("point 1")


def test_a_drag_never_queues(page):
    page.evaluate("window.slow = true")
    slider = part(page, "slider", "[data-field=height]")
    for _ in range(8):
        slider.press("ArrowRight")
    wait_for(page, "held.length === 1")
    assert page.evaluate("sent.length") == 1
    page.evaluate("window.slow = false; tell(held.shift())")
    wait_for_state(page, height=1.3)
    assert page.evaluate("sent.map((m) => m.state.height)") == [0.6, 1.3]


def test_a_late_answer_to_nothing_is_dropped(page):
    page.evaluate("tell({ id: 'other-1', kind: 'error', message: 'not ours' })")
    expect(part(page, "error")).to_be_hidden()


def test_step_back_and_reset(page):
    slider = part(page, "slider", "[data-field=height]")
    back = part(page, "back")
    expect(back).to_be_disabled()
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    wait_for_state(page, height=0.7)
    part(page, "new-sample").click()
    part(page, "option").first.click()
    part(page, "menu").locator("summary").click()
    back.click()
    wait_for_state(page, height=0.7, seed=1)
    back.click()
    wait_for_state(page, height=0.5, seed=1)
    expect(back).to_be_disabled()
    part(page, "menu").locator("summary").click()
    part(page, "new-sample").click()
    wait_for_state(page, seed=2)
    part(page, "menu").locator("summary").click()
    part(page, "reset").click()
    wait_for_state(page, **asdict(LAB.state()))


def test_a_class_votes_by_options_and_what_most_said_is_the_bet(page):
    root = part(page, "lab").first
    root.evaluate("lab => { lab.dataset.vote = 'open'; lab.dispatchEvent(new Event('ml-vote')); }")
    options, tallies = part(page, "option"), part(page, "tally")
    for choice in (1, 0, 1, 0):
        options.nth(choice).click()
    root.evaluate("lab => lab.dispatchEvent(new Event('ml-unvote'))")  # the last is taken back
    expect(tallies.nth(0)).to_have_text("1")
    expect(tallies.nth(1)).to_have_text("2")
    expect(root).to_have_attribute("data-stage", "data")
    expect(part(page, "skip")).to_have_text("Close the vote")
    part(page, "skip").click()
    expect(root).to_have_attribute("data-stage", "estimate")
    expect(part(page, "said")).to_contain_text("The class: 3 votes: 1, 2")
    expect(options.nth(1)).to_have_attribute("aria-pressed", "true")


def test_dragging_a_control_keeps_the_sample(page):
    part(page, "menu").locator("summary").click()
    part(page, "seed").fill("12")
    part(page, "seed").press("Enter")
    wait_for_state(page, seed=12)
    before = page.evaluate("JSON.stringify(drawn.scene.panels[2].marks)")
    part(page, "slider", "[data-field=height]").press("ArrowRight")
    wait_for_state(page, height=0.6, seed=12)
    assert page.evaluate("JSON.stringify(drawn.scene.panels[2].marks)") == before


def test_replicates_run_stop_and_clear(page):
    part(page, "skip").click()
    part(page, "replicate").nth(0).click()
    count = part(page, "count")
    expect(count).to_have_text("1")
    part(page, "replicate").nth(1).click()
    expect(count).to_have_text("51")
    sent = page.evaluate("sent.at(-1)")
    assert sent["kind"] == "replicate"
    dots = page.locator('[data-mark="values-mean"] [data-item]')
    bars = page.locator('[data-mark="bars-mean"] [data-item]')
    assert dots.count() == 51 or bars.count() > 0
    page.evaluate("window.slow = true")
    part(page, "replicate").nth(2).click()
    wait_for(page, "held.length === 1")
    part(page, "stop").click()
    page.evaluate("window.slow = false; tell(held.shift())")
    expect(count).to_have_text("51")
    expect(part(page, "replicate-summary")).to_have_text(re.compile(r"Mean of x: mean \d"))
    part(page, "slider", "[data-field=height]").press("ArrowRight")
    expect(part(page, "replicate-panel")).to_be_hidden()
    expect(count).to_have_text("")


def test_an_error_shows_in_words_with_its_link_and_goes(page):
    part(page, "more").locator("summary").click()
    part(page, "select").select_option("m5")
    expect(part(page, "error-text")).to_have_text(
        "This did not work: There is nothing to fit in <b>option 5</b>."
    )
    assert "many=m5" in part(page, "error-link").get_attribute("href")
    part(page, "select").select_option("m2")
    wait_for_state(page, many="m2")
    expect(part(page, "error")).to_be_hidden()


def test_a_link_carries_the_whole_state(page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        "Object.defineProperty(navigator, 'clipboard', "
        "{ value: { writeText: async (text) => { window.copied = text; } } })"
    )
    part(page, "option").nth(2).click()
    part(page, "truth").click()
    part(page, "slider", "[data-field=height]").press("End")
    part(page, "more").locator("summary").click()
    page.get_by_label("Second").check()
    part(page, "toggle").uncheck()
    wait_for_state(page, height=2, kind="two", numbers=False)
    part(page, "menu").locator("summary").click()
    part(page, "share").click()
    link = page.evaluate("copied")
    page.goto("about:blank")
    page.goto(link)
    wait_for_state(page, height=2, kind="two", numbers=False, seed=1)
    expect(page.locator(".ml-lab")).to_have_attribute("data-stage", "truth")
    expect(part(page, "said")).to_have_text("You said: Neither of the two.")


def test_a_hostile_link_does_no_harm(page):
    evil = "<img src=x onerror=alert(1)>"
    page.goto("about:blank")
    page.goto(
        f"{HOME}#every-mark?height=1e999&groups=-7&kind={evil}&many=constructor&numbers=[]&seed=-1"
        "&px=NaN&__proto__=1&constructor=2&answer=99&stage=__proto__"
    )
    wait_for(page, "sent.length === 1 && drawn.state.groups === 2")
    expected = asdict(LAB.state()) | {"groups": 2, "seed": 0}
    assert page.evaluate("drawn.state") == expected
    expect(page.locator(".ml-lab")).to_have_attribute("data-stage", "data")
    assert page.locator("img").count() == 0


def test_a_link_on_the_page_is_followed(page):
    page.evaluate("location.hash = 'every-mark?height=1&answer=0'")
    wait_for_state(page, height=1)
    expect(part(page, "said")).to_have_text("You said: This.")
    part(page, "truth").click()
    page.evaluate("location.hash = 'every-mark?height=1.5'")
    wait_for_state(page, height=1.5)
    # What the reader has seen stays seen, and one step leads back.
    expect(page.locator(".ml-lab")).to_have_attribute("data-stage", "truth")
    part(page, "menu").locator("summary").click()
    part(page, "back").click()
    wait_for_state(page, height=1)
    page.evaluate("location.hash = 'some-heading'")
    page.evaluate("location.hash = 'other-lab?height=2'")
    assert page.evaluate("drawn.state.height") == 1


def test_after_closing_nothing_is_heard(page):
    page.evaluate("window.close()")
    before = page.evaluate("sent.length")
    part(page, "slider", "[data-field=height]").press("ArrowRight")
    assert page.evaluate("sent.length") == before


def test_in_a_notebook_the_fields_are_traits(browser):
    """As anywidget runs it: one module, the shell from the model, traits both ways."""
    context = browser.new_context()
    page = context.new_page()
    page.goto("about:blank")
    traits = {"shell": shell(LAB), "description": protocol.describe(LAB) | {"share": "python"}}
    page.expose_function("answered", lambda message: protocol.answer(message, LAB))
    page.evaluate(
        """async ([code, traits]) => {
          const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
          const { default: front } = await import(url);
          const heard = new Map();
          const call = (event, ...what) => (heard.get(event) ?? []).forEach((f) => f(...what));
          window.values = traits;
          window.setTrait = (name, value) => { traits[name] = value; call(`change:${name}`); };
          const model = {
            get: (name) => traits[name],
            set: window.setTrait,
            save_changes() { window.saved = (window.saved ?? 0) + 1; },
            on: (event, f) => heard.set(event, [...(heard.get(event) ?? []), f]),
            off() {},
            async send(message) { call("msg:custom", await window.answered(message)); },
          };
          const el = document.body.appendChild(document.createElement("div"));
          document.addEventListener("ml-drawn", (event) => { window.drawn = event.detail; });
          front.render({ model, el });
        }""",
        [front_end.script(), traits | asdict(LAB.state()) | {"height": -1.0}],
    )
    wait_for(page, "window.drawn")
    wait_for_state(page, height=-1)
    expect(page.locator(".ml-lab")).to_have_attribute("data-phase", "ready")
    part(page, "slider", "[data-field=height]").press("End")
    wait_for(page, "values.height === 2 && saved > 0")
    page.evaluate("setTrait('groups', 7)")
    wait_for_state(page, groups=7, height=2)
    expect(part(page, "number", "[data-field=groups]")).to_have_value("7")
    expect(part(page, "share-text")).to_have_text("Copy as Python")
    context.close()
