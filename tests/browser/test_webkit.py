"""The same steps in WebKit, where it is installed: one chapter a part of the book."""

import inspect
from collections.abc import Iterator

import pytest
from selenium.webdriver import WebKitGTK
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from mixedlab.labs import catalogue
from tests.browser.contents import page_of_lab
from tests.browser.webkit import MISSING, webkit

LABS = page_of_lab()
IN_VIEW = """
const { top, bottom } = arguments[0].getBoundingClientRect();
return top >= 0 && bottom <= innerHeight;
"""

pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


@pytest.fixture(scope="module")
def safari() -> Iterator[WebKitGTK]:
    with webkit() as driver:
        yield driver


@pytest.mark.parametrize("name", ["three-poolings", "pseudoreplication", "conditional-marginal"])
def test_a_reader_with_webkit_uses_the_lab(url, safari, name):
    lab = catalogue.get(name)
    safari.get(f"{url}{LABS[name]}.html")
    root = safari.find_element(By.CSS_SELECTOR, f'[data-ml=lab][data-lab="{name}"]')

    def part(hook):
        return root.find_elements(By.CSS_SELECTOR, hook)

    def wait(condition, seconds=60):
        return WebDriverWait(safari, seconds, poll_frequency=0.05).until(
            lambda _: condition(), f"waited for {inspect.getsource(condition).strip()}"
        )

    wait(lambda: root.get_attribute("data-phase") == "ready", 120)
    safari.execute_script(
        """
        const root = arguments[0];
        root.scrollIntoView({ block: "start", behavior: "instant" });
        root.addEventListener("ml-drawn", ({ detail }) => { root.seen = detail.state; });
        window.failures = [];
        addEventListener("error", (event) => failures.push(event.message));
        """,
        root,
    )
    assert safari.execute_script(IN_VIEW, part("[data-hero]")[0])
    control = part(".ml-main [data-ml=control], [data-ml=new-sample]")[0]
    assert safari.execute_script(IN_VIEW, control)

    if options := part("[data-ml=option]"):
        options[0].click()
    else:
        part("[data-ml=bet]")[0].send_keys(Keys.ARROW_UP)
        part("[data-ml=bet-done]")[0].click()
    assert root.get_attribute("data-stage") == "estimate"
    headline = lab.run(lab.state()).headline
    assert bool(part("[data-ml=headline]")[0].text) == bool(headline)
    if truth := part("[data-ml=truth]"):
        truth[0].click()
        assert truth[0].text.startswith("Hide")

    slider = part(".ml-main [data-ml=slider]")[0]
    at_end = slider.get_property("value") == slider.get_property("max")
    slider.send_keys(Keys.ARROW_LEFT if at_end else Keys.ARROW_RIGHT)
    state = wait(lambda: safari.execute_script("return arguments[0].seen", root))
    assert lab.clean(state) != lab.state()

    if lab.statistics:
        part('[data-ml=replicate][data-count="50"]')[0].click()
        wait(lambda: part("[data-ml=count]")[0].get_property("textContent") == "50")
    assert safari.execute_script("return window.failures") == []
