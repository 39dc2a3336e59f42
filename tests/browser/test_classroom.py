"""The classroom's deck: one lab a screen, arrow keys, votes before the reveal, the whole screen."""

import pytest
from playwright.sync_api import expect

from tests.browser.contents import labs_of
from tests.browser.steps import LIVE_WITHIN, OpenLab

PAGE = "appendices/classroom"
FIRST, SECOND, *_, LAST = labs_of(PAGE)


def lab(page, name):
    return page.locator(f'[data-ml="lab"][data-lab="{name}"]')


def part(page, name):
    return page.locator(f'[data-ml="{name}"]')


@pytest.fixture
def deck(page, url):
    page.goto(f"{url}{PAGE}.html")
    page.locator("[data-ml=deck][data-live]").wait_for()
    return page


def test_one_lab_is_shown_at_a_time_and_arrow_keys_lead_on(deck):
    shown = deck.locator('[data-ml="lab"]:visible')
    expect(shown).to_have_count(1)
    expect(lab(deck, FIRST)).to_have_attribute("data-phase", "ready", timeout=LIVE_WITHIN)
    expect(lab(deck, LAST)).to_have_attribute("data-phase", "wait")
    deck.keyboard.press("ArrowRight")
    expect(shown).to_have_attribute("data-lab", SECOND)
    deck.keyboard.press("PageUp")
    expect(shown).to_have_attribute("data-lab", FIRST)
    expect(part(deck, "deck-back")).to_be_disabled()
    for _ in labs_of(PAGE):
        deck.keyboard.press("PageDown")
    expect(shown).to_have_attribute("data-lab", LAST)
    far = OpenLab(lab(deck, LAST))
    far.answer_the_gate()
    far.new_sample()
    # Arrows in a slider move the slider.
    far.press_arrow(far.sliders()[0])
    expect(shown).to_have_attribute("data-lab", LAST)


def test_a_link_opens_its_slide(page, url):
    page.goto(f"{url}{PAGE}.html#{LAST}?seed=7&answer=none&stage=estimate")
    far = lab(page, LAST)
    expect(far).to_have_attribute("data-phase", "ready", timeout=LIVE_WITHIN)
    expect(far).to_have_attribute("data-stage", "estimate")
    assert OpenLab(far).settled(lambda state: state["seed"] == 7)


def test_places_are_voted_for_with_the_handle(deck):
    deck.evaluate(f"location.hash = '{FIRST}?'")
    voted = OpenLab(lab(deck, FIRST))
    part(deck, "deck-votes").click()
    expect(part(deck, "deck-votes")).to_have_attribute("aria-pressed", "true")
    for presses in (1, 2, 3):
        for _ in range(presses):
            voted.part("bet").first.press("ArrowUp")
        deck.wait_for_timeout(300)
        voted.part("bet-done").click()
    expect(voted.root.locator(".ml-vote")).to_have_count(3)
    expect(voted.part("wager")).to_contain_text("3 votes")
    voted.part("skip").click()
    expect(part(deck, "deck-votes")).to_have_attribute("aria-pressed", "false")
    expect(voted.part("said")).to_contain_text("The class: 3 votes, the middle at")


def test_the_deck_fills_the_screen_and_never_scrolls(deck):
    deck.set_viewport_size({"width": 1280, "height": 720})
    part(deck, "deck-full").click()
    expect(part(deck, "deck-full")).to_have_text("Leave")
    deck.wait_for_timeout(300)
    root = "document.fullscreenElement"
    assert deck.evaluate(f"{root}.dataset.ml") == "deck"
    assert deck.evaluate(f"{root}.scrollHeight <= {root}.clientHeight + 1")
    part(deck, "deck-full").click()


def test_the_state_is_there_as_text_and_as_qr_code(deck):
    shown = OpenLab(lab(deck, FIRST))
    shown.open_fold("menu")
    expect(shown.part("link-text")).to_contain_text(f"#{FIRST}?")
    assert shown.root.locator("[data-ml=qr] path").get_attribute("d").count("h1v1h-1z") > 200
