"""Every lab on its stage: it fits the screen, keeps calm, moves, and can be used by keys alone.

The labs are served by `look`: Python answers in this process, so nothing waits for Pyodide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import assets
import pytest
from playwright.sync_api import Browser, Page, expect

from mixedlab.labs import catalogue
from mixedlab.labs.kit.bet import Choice
from tests.browser.look import bet, serving

LABS = [name for name in catalogue.names() if catalogue.get(name).goals]
SCREENS = [(1280, 720), (1920, 1080)]
PHONE = (400, 800)
SERIOUS = {"serious", "critical"}
every_lab = pytest.mark.parametrize("name", LABS)


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Give a function that opens a lab at a size; afterwards, nothing may have gone wrong."""
    errors: list[str] = []
    with ExitStack() as stack:

        def open_lab(name: str, size: tuple[int, int], motion: str = "reduce", **more) -> Page:
            address = stack.enter_context(serving(catalogue.get(name)))
            viewport = {"width": size[0], "height": size[1]}
            context = browser.new_context(viewport=viewport, reduced_motion=motion, **more)
            stack.callback(context.close)
            context.set_default_timeout(20_000)
            page = context.new_page()
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.on("console", lambda m: m.type == "error" and errors.append(m.text))
            page.goto(address)
            page.locator('[data-ml=lab][data-phase="ready"]').wait_for()
            return page

        yield open_lab
    assert errors == []


def inside(page: Page, where: str) -> bool:
    box = page.locator(where).first.bounding_box()
    size = page.viewport_size
    return (
        box["y"] >= 0
        and box["y"] + box["height"] <= size["height"]
        and box["x"] >= 0
        and box["x"] + box["width"] <= size["width"]
    )


@every_lab
@pytest.mark.parametrize("size", SCREENS, ids=str)
def test_hero_and_main_control_are_seen_together_and_full_screen_never_scrolls(opened, name, size):
    page = opened(name, size)
    lab = catalogue.get(name)
    for stage in ("data", "estimate", "truth"):
        if stage == "estimate":
            bet(page, lab)
        elif stage == "truth" and page.locator("[data-ml=truth]").count():
            page.locator("[data-ml=truth]").click()
        assert inside(page, "[data-hero]"), stage
        if page.locator(".ml-main [data-ml=control]").count():
            assert inside(page, ".ml-main [data-ml=control]"), stage
        hero = page.locator("[data-hero]").bounding_box()["width"]
        row = page.locator(".ml-panels").bounding_box()["width"]
        helpers = page.locator("[data-ml=panel]:not([data-hero]):visible").count()
        assert 0.6 <= hero / row <= 0.65 or not helpers
    page.locator("[data-ml=full]").click()
    expect(page.locator("[data-ml=full]")).to_have_text("Leave")
    page.wait_for_timeout(300)
    for what in ("document.fullscreenElement", "document.fullscreenElement.firstChild"):
        assert page.evaluate(f"{what}.scrollHeight <= {what}.clientHeight + 1"), what
        assert page.evaluate(f"{what}.scrollWidth <= {what}.clientWidth + 1"), what
    assert inside(page, "[data-hero]")
    assert inside(page, "[data-ml=controls]")


@every_lab
def test_on_a_phone_the_hero_stays_while_a_control_is_moved(opened, name):
    page = opened(name, PHONE)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    bet(page, catalogue.get(name))
    controls = page.locator(".ml-main [data-ml=control], [data-ml=new-sample]")
    for control in controls.all():
        control.evaluate("(el) => el.scrollIntoView({ block: 'end', behavior: 'instant' })")
        hero = page.locator("[data-hero]").bounding_box()
        box = control.bounding_box()
        assert hero["y"] >= -1
        assert hero["y"] + hero["height"] <= box["y"] + 1, "the hero covers the control"
        assert box["y"] + box["height"] <= PHONE[1] + 1
    page.wait_for_timeout(2000)  # a reveal that moves the state begins the samples anew
    page.locator("[data-count='50']").click()
    page.wait_for_timeout(1500)
    hero = page.locator("[data-hero]").bounding_box()
    box = page.locator("[data-ml=replicate-panel]").bounding_box()
    assert hero["y"] + hero["height"] <= box["y"] + 1, "the hero covers the histograms"
    assert box["y"] + box["height"] <= PHONE[1] + 1


@every_lab
def test_the_surprise_moves_and_jumps_where_motion_is_not_wanted(opened, name):
    moving = (
        "() => [...document.querySelectorAll('[data-ml=panel] .ml-moves path')]"
        ".filter((el) => el.checkVisibility()).map((el) => el.getAttribute('d')).join()"
    )
    lab = catalogue.get(name)
    for motion in ("no-preference", "reduce"):
        page = opened(name, (1280, 720), motion)
        bet(page, lab)
        page.wait_for_timeout(60)
        early = page.evaluate(moving)
        page.wait_for_timeout(2500)
        late = page.evaluate(moving)
        if motion == "no-preference":
            assert early != late, "nothing moves at the reveal"
        elif not lab.reveal:
            assert early == late, "it moves though motion is not wanted"


@every_lab
def test_keys_alone_lead_through_the_whole_lab(opened, name):
    page = opened(name, (1280, 720))
    lab = catalogue.get(name)

    def tab_to(*names: str) -> None:
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement?.dataset.ml") in names:
                return
        pytest.fail(f"no tab leads to {names}")

    if isinstance(lab.question, Choice):
        tab_to("option")
    else:
        tab_to("bet")
        page.keyboard.press("ArrowUp")
        page.wait_for_timeout(300)
        page.locator("[data-ml=bet-done]").focus()
    page.keyboard.press("Enter")
    root = page.locator("[data-ml=lab]")
    expect(root).to_have_attribute("data-stage", "estimate")
    assert page.evaluate("document.activeElement.dataset.ml") in ("truth", "again")
    if page.locator("[data-ml=truth]").count():
        page.keyboard.press("Enter")
        expect(root).to_have_attribute("data-stage", "truth")
    for _ in range(40):  # a panel reads its marks one by one
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement?.classList.contains('ml-svg')"):
            break
    page.keyboard.press("ArrowRight")
    expect(page.locator(".ml-tip:visible")).to_have_count(1)
    page.locator("[data-ml=menu] summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    assert page.locator("[data-ml=menu]").get_attribute("open") is None


@every_lab
def test_a_lab_is_accessible_before_and_after_the_bet(opened, name):
    page = opened(name, (1280, 720))
    page.evaluate((assets.npm_package("axe-core") / "axe.min.js").read_text())
    lab = catalogue.get(name)
    for step in (lambda: None, lambda: bet(page, lab)):
        step()
        page.wait_for_timeout(300)
        found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        told = [
            f"{v['impact']} {v['id']}: {node['target']}: {node['failureSummary'][:200]}"
            for v in found["violations"]
            for node in v["nodes"]
            if v["impact"] in SERIOUS
        ]
        assert told == [], "\n".join(told)
