"""Every lab of the book, used by mouse and keys on the built site."""

from urllib.parse import quote

import pytest
from contents import page_of_lab
from playwright.sync_api import Page, expect
from steps import LIVE_WITHIN, OpenLab, assert_same

from mixedlab.labs import catalogue

LABS = page_of_lab()
every_lab = pytest.mark.parametrize("name", LABS)


def open_lab(page: Page, url: str, name: str, link: str = "") -> OpenLab:
    page.goto(f"{url}{LABS[name]}.html{link}")
    return OpenLab(page.locator(f'[data-ml="lab"][data-lab="{name}"]').first)


def other_state(name):
    """Return a state that differs from the default in every slider."""
    lab = catalogue.get(name)
    raw = {
        field: c.low + 0.3 * (c.high - c.low)
        for field, c in lab.controls.items()
        if c.kind == "slider"
    }
    return lab.clean({**raw, "seed": 11})


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


@every_lab
def test_replicates_run_and_stop(page, url, name):
    lab = open_lab(page, url, name)
    lab.answer_the_gate()
    lab.replicate_and_stop()


@every_lab
def test_every_preset_shows_its_state(page, url, name):
    lab = open_lab(page, url, name)
    lab.part("skip").click()
    for i, preset in enumerate(lab.lab.presets):
        wanted = vars(lab.lab.clean(preset.state))
        lab.root.locator(f'[data-ml="preset"][data-preset="{i}"]').click()
        drawn = lab.settled(
            lambda s, wanted=wanted: all(s[f] == v for f, v in wanted.items() if f != "seed")
        )
        lab.assert_scene_is_pythons(drawn)


@every_lab
def test_what_can_be_dragged_follows_mouse_and_keys(page, url, name):
    lab = open_lab(page, url, name)
    lab.part("skip").click()
    if lab.part("truth").count():
        lab.part("truth").click()
    handles = lab.root.locator(".ml-handle")
    if not handles.count():
        pytest.skip("this lab has nothing to drag")
    handle = handles.first
    handle.scroll_into_view_if_needed()
    before = handle.get_attribute("aria-valuetext")
    handle.focus()
    page.keyboard.press("ArrowRight")
    expect(handle).not_to_have_attribute("aria-valuetext", before)
    page.wait_for_timeout(400)

    before = handle.get_attribute("aria-valuetext")
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 9):
        page.mouse.move(x - 4 * step, y - 4 * step)
    page.mouse.up()
    expect(handle).not_to_have_attribute("aria-valuetext", before)
    drawn = lab.settled(lambda s: True)
    lab.assert_scene_is_pythons(drawn)


@every_lab
def test_link_restores_the_state(page, url, name):
    state = vars(other_state(name))
    query = "&".join(f"{field}={value}" for field, value in state.items())
    lab = open_lab(page, url, name, f"#{name}?{query}&answer=0&stage=truth")
    expect(lab.root).to_have_attribute(
        "data-stage", "truth" if lab.part("truth").count() else "estimate"
    )
    for field in lab.sliders():
        expect(lab.slider(field)).to_have_value(str(state[field]))
    expect(lab.part("seed")).to_have_value("11")
    expect(lab.part("option").first).to_have_attribute("aria-pressed", "true")
    # The link that the lab itself makes leads to the same.
    page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text }")
    lab.part("share").click()
    page.wait_for_function("window.copied")
    again = page.context.new_page()
    again.goto(page.evaluate("window.copied"))
    copy = OpenLab(again.locator(f'[data-lab="{name}"]').first)
    for field in lab.sliders():
        expect(copy.slider(field)).to_have_value(str(state[field]))


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


@every_lab
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_link_does_no_harm(page, url, name, text):
    fields = [*catalogue.get(name).controls, "seed", "answer", "stage", "unknown", "__proto__"]
    query = "&".join(f"{field}={quote(text)}" for field in fields)
    dialogs = []
    page.on("dialog", lambda d: (dialogs.append(d.message), d.dismiss()))
    lab = open_lab(page, url, name, f"#{name}?{query}")
    page.wait_for_timeout(300)

    assert dialogs == []
    assert page.evaluate("window.harmed") is None
    assert lab.root.locator("img").count() == 0
    drawn = lab.settled(lambda s: True)
    assert drawn["state"] == vars(lab.lab.clean(drawn["state"])), "a value outside its control"
    lab.part("skip").click()
    lab.press_arrow(lab.sliders()[0])


@every_lab
def test_picture_and_words_stand_without_scripts(browser, url, name):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{url}{LABS[name]}.html")
    lab = page.locator(f'[data-ml="lab"][data-lab="{name}"]').first
    for plot in lab.locator('[data-ml="panel"] [data-ml="plot"]').all():
        picture = plot.locator("svg").first
        expect(picture).to_be_visible()
        assert picture.get_attribute("aria-label") or picture.locator("title, desc").count()
    expect(lab.locator('[data-ml="alt"]')).to_have_text(catalogue.get(name).alt)
    context.close()


@every_lab
def test_nothing_moves_when_the_lab_goes_live(context, url, name):
    context.add_init_script(
        """
        window.shifts = [];
        new PerformanceObserver((list) => {
          for (const entry of list.getEntries()) {
            const where = entry.sources.map((s) => s.node?.className?.baseVal ?? s.node?.className);
            window.shifts.push([entry.value, entry.startTime, where.join(" | ")]);
          }
        }).observe({ type: "layout-shift", buffered: true });
        """
    )
    page = context.new_page()
    page.goto(f"{url}{LABS[name]}.html#lab-{name}")
    lab = page.locator(f'[data-ml="lab"][data-lab="{name}"]').first
    lab.evaluate("(el) => el.scrollIntoView({ block: 'start' })")
    height = lab.bounding_box()["height"]
    OpenLab(lab)
    page.wait_for_timeout(500)

    assert page.evaluate("window.shifts") == []
    assert lab.bounding_box()["height"] == height


@every_lab
def test_a_failing_lab_says_so_and_leaves_the_others_alive(page, url, name):
    """A page with the lab twice; the first asks Python for a lab that is not there."""

    def double(route):
        answer = route.fetch()
        html = answer.text()
        start = html.index('<div class="ml-host"')
        end = html.index("</script></div>", start) + len("</script></div>")
        host = html[start:end]
        broken = host.replace(f'"name":"{name}"', '"name":"no-such-lab"').replace(
            f'data-lab="{name}"', 'data-lab="broken"'
        )
        route.fulfill(response=answer, body=html[:start] + broken + html[start:])

    page.route("**/*.html", double)
    page.goto(f"{url}{LABS[name]}.html")
    broken = page.locator('[data-ml="lab"][data-lab="broken"]')
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


def test_engine_answers_a_second_page_at_once(context, url):
    """The next page of the book finds Python alive, where the browser has shared workers."""
    name = next(iter(LABS))
    first = context.new_page()
    open_lab(first, url, name)
    first.goto(f"{url}index.html")
    started = first.evaluate("performance.timeOrigin")
    lab = open_lab(first, url, name)
    took = first.evaluate("performance.timeOrigin + performance.now()") - started
    assert took < 5000
    drawn = lab.root.evaluate("(root) => root.dataset.phase")
    assert drawn == "ready"


def test_scenes_of_two_states_differ():
    """The comparison itself can fail."""
    name = next(iter(LABS))
    lab = catalogue.get(name)
    one, other = lab.run(lab.state()).to_dict(), lab.run(other_state(name)).to_dict()
    with pytest.raises(AssertionError):
        assert_same(one, other, "scene")
