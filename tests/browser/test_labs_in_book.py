"""Every lab of the book, used by mouse and keys on the built site."""

from urllib.parse import quote

import numpy as np
import pytest
from playwright.sync_api import expect

from mixedlab.labs import catalogue
from mixedlab.labs.kit.bet import Choice
from tests.browser.conftest import fresh_context
from tests.browser.contents import page_of_lab
from tests.browser.steps import LIVE_WITHIN, OpenLab, assert_same, into_view

LABS = page_of_lab()
every_lab = pytest.mark.parametrize("name", LABS)
HOSTILE = (
    '<img src=x onerror="window.harmed=1">',
    "javascript:window.harmed=1",
    "1e999",
    "NaN",
    "-1e308",
    "__proto__",
    "';import os;os.remove('/')#",
    "9" * 5000,
)
WATCH_SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const { value, startTime, sources } of list.getEntries()) {
    if (!sources.some(({ node }) => node?.parentElement?.closest(".ml-host"))) continue;
    const where = sources.map(({ node, previousRect: from, currentRect: to }) =>
      [node?.className?.baseVal ?? node?.className, from.x, from.y, to.x, to.y].join(" "));
    window.shifts.push(`${value.toFixed(4)} at ${startTime | 0} ms: ${where.join(" | ")}`);
  }
}).observe({ type: "layout-shift", buffered: true });
"""


def open_lab(page, url, name, link=""):
    page.goto("about:blank")  # a link to another state of the same page is a new visit
    page.goto(f"{url}{LABS[name]}.html{link}")
    return OpenLab(page.locator(f'[data-ml="lab"][data-lab="{name}"]').first)


def other_state(name):
    """Return a state that differs from the default in every slider."""
    lab = catalogue.get(name)
    sliders = {f: c for f, c in lab.controls.items() if c.kind == "slider"}
    raw = {field: c.low + 0.3 * (c.high - c.low) for field, c in sliders.items()}
    return lab.clean({**raw, "seed": 11})


def made_bet(name):
    """Return a bet as a link has it: the first option, or the handle where it stands at first."""
    bet = catalogue.get(name).question
    return "0" if isinstance(bet, Choice) else ",".join(map(str, np.ravel(bet.start)))


@every_lab
def test_reader_uses_the_lab(page, url, name):
    lab = open_lab(page, url, name)
    lab.answer_the_gate()
    for field in lab.sliders():
        lab.drag_slider(field)
        lab.press_arrow(field)
    lab.show_the_truth()
    lab.new_sample()
    lab.step_back_and_reset()
    lab.replicate_and_stop()
    lab.try_goals()
    lab.move_a_handle()


@every_lab
def test_link_restores_the_state(page, url, name):
    state = vars(other_state(name))
    query = "&".join(f"{field}={value}" for field, value in state.items())
    lab = open_lab(page, url, name, f"#{name}?{query}&answer={made_bet(name)}&stage=truth")
    last_stage = "truth" if lab.part("truth").count() else "estimate"

    def assert_restored(lab):
        drawn = lab.settled(lambda s: s == state)
        lab.assert_scene_is_pythons(drawn)
        expect(lab.root).to_have_attribute("data-stage", last_stage)
        if lab.part("option").count():
            expect(lab.part("option").first).to_have_attribute("aria-pressed", "true")
        else:
            expect(lab.part("said")).to_contain_text("Your bet")
        for field in lab.sliders():
            assert lab.value(field) == state[field]

    assert_restored(lab)
    # The link that the lab itself makes leads to the same.
    link = lab.copy_link()
    assert_restored(open_lab(page, url, name, f"#{link.partition('#')[2]}"))


@every_lab
def test_hostile_link_does_no_harm(page, url, name):
    fields = [*catalogue.get(name).controls, "seed", "answer", "stage", "unknown", "__proto__"]
    dialogs = []
    page.on("dialog", lambda d: (dialogs.append(d.message), d.dismiss()))
    for first in (0, 4):  # each field meets two of the texts, and each text two fields
        texts = [HOSTILE[(first + i) % len(HOSTILE)] for i in range(len(fields))]
        query = "&".join(f"{f}={quote(t)}" for f, t in zip(fields, texts, strict=True))
        lab = open_lab(page, url, name, f"#{name}?{query}")
        if lab.stage == "data":  # some of the texts are places that a bet may have
            lab.part("skip").click()
        lab.part("new-sample").click()
        drawn = lab.settled(lambda s: True)

        assert dialogs == []
        assert page.evaluate("window.harmed") is None
        assert lab.root.locator("img").count() == 0
        assert drawn["state"] == vars(lab.lab.clean(drawn["state"])), "outside its control"
        lab.press_arrow(lab.sliders()[0])


@every_lab
def test_nothing_moves_when_the_lab_goes_live(browser, url, name):
    with fresh_context(browser) as context:
        context.add_init_script(WATCH_SHIFTS)
        page = context.new_page()
        page.goto(f"{url}{LABS[name]}.html")
        lab = page.locator(f'[data-ml="lab"][data-lab="{name}"]').first
        lab.evaluate("(el) => el.scrollIntoView({ block: 'start', behavior: 'instant' })")
        height = lab.bounding_box()["height"]
        OpenLab(lab)
        page.wait_for_timeout(500)

        assert page.evaluate("window.shifts") == []
        assert lab.bounding_box()["height"] == height


@every_lab
def test_picture_and_words_stand_without_scripts(browser, url, name):
    with fresh_context(browser, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{url}{LABS[name]}.html")
        lab = page.locator(f'[data-ml="lab"][data-lab="{name}"]').first
        open_plots = '[data-ml="panel"]:not([data-folded]) [data-ml="plot"]'
        for plot in lab.locator(open_plots).all():
            picture = plot.locator("svg").first
            expect(picture).to_be_visible()
            assert picture.get_attribute("aria-label") or picture.locator("title, desc").count()
        expect(lab.locator('[data-ml="alt"]')).to_have_text(catalogue.get(name).alt)


@every_lab
def test_a_failing_lab_says_so_and_leaves_the_others_alive(page, url, name):
    """A page with the lab twice; the first asks Python for a lab that is not there."""

    def double(route):
        answer = route.fetch()
        html = answer.text()
        start = html.index(f'<div class="ml-host" data-ml-host="{name}"')
        end = html.index("</script></div>", start) + len("</script></div>")
        broken = html[start:end].replace(f'"name":"{name}"', '"name":"no-such-lab"')
        broken = broken.replace(f'data-lab="{name}"', 'data-lab="broken"')
        route.fulfill(response=answer, body=html[:start] + broken + html[start:])

    page.route("**/*.html", double)
    page.goto(f"{url}{LABS[name]}.html")
    broken = page.locator('[data-ml="lab"][data-lab="broken"]')
    into_view(broken)
    expect(broken).to_have_attribute("data-phase", "ready", timeout=LIVE_WITHIN)
    broken.locator('[data-ml="skip"]').click()
    broken.locator('[data-ml="new-sample"]').click()
    error = broken.locator('[data-ml="error"]')
    expect(error).to_be_visible()
    expect(error).to_contain_text("no-such-lab")
    assert "seed=" in error.locator("a").get_attribute("href")

    sound = OpenLab(page.locator(f'[data-ml="lab"][data-lab="{name}"]').first)
    sound.part("skip").click()
    sound.press_arrow(sound.sliders()[0])


def test_comparison_of_scenes_can_fail():
    name = next(iter(LABS))
    lab = catalogue.get(name)
    one, other = lab.run(lab.state()).to_dict(), lab.run(other_state(name)).to_dict()
    with pytest.raises(AssertionError):
        assert_same(one, other, "scene")


def test_a_lab_fills_the_screen_for_a_class_and_leaves_it(page, url):
    page.set_viewport_size({"width": 1920, "height": 1080})
    lab = open_lab(page, url, "three-poolings")
    lab.answer_the_gate()
    button = lab.root.locator("[data-ml=full]")
    button.click()
    expect(button).to_have_text("Leave")
    assert page.evaluate("document.fullscreenElement?.dataset.lab") == "three-poolings"
    assert lab.root.bounding_box()["width"] == 1920
    lab.press_arrow("dial")
    button.click()
    expect(button).to_have_text("Full screen")
    assert page.evaluate("document.fullscreenElement") is None
