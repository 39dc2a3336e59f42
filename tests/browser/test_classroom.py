"""Many labs on one page: one Python for all, and each starts when the reader comes near."""

from playwright.sync_api import expect

from tests.browser.contents import labs_of
from tests.browser.steps import LIVE_WITHIN, OpenLab

PAGE = "appendices/classroom"
FIRST, *_, LAST = labs_of(PAGE)


def lab(page, name):
    return page.locator(f'[data-ml="lab"][data-lab="{name}"]')


def test_labs_far_down_wait_until_the_reader_comes(page, url):
    page.goto(f"{url}{PAGE}.html")
    expect(lab(page, FIRST)).to_have_attribute("data-phase", "ready", timeout=LIVE_WITHIN)
    expect(lab(page, LAST)).to_have_attribute("data-phase", "wait")
    far = OpenLab(lab(page, LAST))
    far.answer_the_gate()
    far.new_sample()
    near = OpenLab(lab(page, FIRST))
    near.answer_the_gate()
    near.new_sample()


def test_a_link_starts_its_lab_wherever_it_stands(page, url):
    page.goto(f"{url}{PAGE}.html#{LAST}?seed=7&answer=0")
    far = lab(page, LAST)
    expect(far).to_have_attribute("data-phase", "ready", timeout=LIVE_WITHIN)
    expect(far).to_have_attribute("data-stage", "estimate")
    expect(far).to_be_in_viewport()
    assert OpenLab(far).settled(lambda state: state["seed"] == 7)
