"""Every page of the book: complete, self-contained, readable by everyone, at every width."""

from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import assets
import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import expect

from tests.browser.contents import labs_of, pages
from tests.browser.steps import LIVE_WITHIN, into_view

every_page = pytest.mark.parametrize("name", pages())
WIDTHS = (400, 1280, 1920)
SERIOUS = {"serious", "critical"}
# What sticks out to the right of the window although nothing around it scrolls.
STICKS_OUT = """
() => [...document.querySelectorAll("main *")].filter((el) => {
  if (el.getBoundingClientRect().right <= document.documentElement.clientWidth + 1) return false;
  for (let box = el; box !== document.body; box = box.parentElement) {
    if (getComputedStyle(box).overflowX !== "visible") return false;
  }
  return el.checkVisibility();
}).map((el) => el.outerHTML.slice(0, 120))
"""


def open_page(page, url, name):
    page.goto(f"{url}{name}.html")
    for lab in page.locator('[data-ml="lab"]:visible').all():
        into_view(lab)  # labs further down start when the reader comes near
        expect(lab).to_have_attribute("data-phase", "ready", timeout=LIVE_WITHIN)
    page.evaluate("window.MathJax?.startup?.promise.then(() => true)")


@every_page
def test_page_loads_from_the_site_alone_and_fits_every_width(page, url, name):
    open_page(page, url, name)  # the fixture holds that nothing went wrong
    assert page.locator('[data-ml="lab"]').count() == len(labs_of(name))
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(150)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(STICKS_OUT) == []


@every_page
def test_page_is_accessible_in_light_and_dark(page, url, name):
    # The theme keeps what was chosen on another page: let it follow the system again.
    page.add_init_script("localStorage.removeItem('mode'); localStorage.removeItem('theme')")
    open_page(page, url, name)
    for gate in page.locator('[data-ml="skip"]:visible').all():
        gate.click()
    page.evaluate((assets.npm_package("axe-core") / "axe.min.js").read_text())
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        expect(page.locator("html")).to_have_attribute("data-theme", scheme)
        found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        told = [
            f"{v['impact']} {v['id']}: {v['help']}\n    {node['target']}"
            for v in found["violations"]
            for node in v["nodes"]
            if v["impact"] in SERIOUS
        ]
        assert told == [], f"{scheme}:\n" + "\n".join(told)


def test_there_are_no_dead_links_in_the_site(site):
    soups = {
        path: BeautifulSoup(path.read_text("utf-8"), "html.parser")
        for path in site.rglob("*.html")
        if "_static" not in path.parts
    }
    dead = []
    for path, soup in soups.items():
        here = path.relative_to(site).as_posix()
        for tag, attribute in (("a", "href"), ("img", "src"), ("link", "href"), ("script", "src")):
            for link in (element.get(attribute) for element in soup.find_all(tag)):
                if link and not is_dead_end(link):
                    file, anchor = urldefrag(urljoin(here, link))
                    target = site / unquote(file.partition("?")[0])
                    if not target.is_file():
                        dead.append(f"{here}: {link}")
                    elif anchor and target in soups and not has_anchor(soups[target], anchor):
                        dead.append(f"{here}: {link} (no such place in the page)")
    assert dead == []


def is_dead_end(link: str) -> bool:
    """Whether a link leaves the site, or goes nowhere on purpose."""
    return link.startswith(("http:", "https:", "mailto:", "data:")) or link == "#"


def has_anchor(soup: BeautifulSoup, anchor: str) -> bool:
    return soup.find(id=unquote(anchor)) is not None or "?" in anchor


def test_every_picture_has_words(site):
    silent = []
    for path in site.rglob("*.html"):
        soup = BeautifulSoup(path.read_text("utf-8"), "html.parser")
        article = soup.find("article") or soup
        for picture in article.find_all("img"):
            alt = picture.get("alt", "")
            # Without words of its own, a notebook's figure gets its file's name.
            if not alt or alt.endswith((".png", ".svg")):
                silent.append(f"{path.relative_to(site)}: {picture.get('src')}")
    assert silent == []


def test_no_page_holds_a_script_that_the_policy_would_stop(site):
    for path in site.rglob("*.html"):
        if "_static" in path.parts:
            continue
        soup = BeautifulSoup(path.read_text("utf-8"), "html.parser")
        for script in soup.find_all("script"):
            kind = script.get("type", "text/javascript")
            assert script.get("src") or "json" in kind or not script.text.strip(), path
        for element in soup.find_all(True):
            assert not [name for name in element.attrs if name.startswith("on")], path
            assert not str(element.get("href", "")).startswith("javascript:"), path


def test_nothing_of_the_site_names_another_host_for_scripts_or_styles(site):
    """No file that a page loads names a place elsewhere, so no setting can bring one back."""
    for path in site.rglob("*.html"):
        soup = BeautifulSoup(path.read_text("utf-8"), "html.parser")
        for tag, attribute in (("script", "src"), ("link", "href"), ("img", "src")):
            for element in soup.find_all(tag):
                value = element.get(attribute) or ""
                assert not value.startswith(("http:", "https:", "//")), (path, value)


def test_search_finds_a_word_of_the_book(page, url):
    page.goto(f"{url}search.html?q=reliability")
    hit = page.locator('#search-results a[href^="appendices/a-lab-in-forty-lines.html"]').first
    expect(hit).to_be_visible()


def test_reader_can_choose_the_dark(page, url):
    page.goto(f"{url}index.html")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    for _ in range(3):
        page.locator(".theme-switch-button").first.click()
        if page.evaluate("document.documentElement.dataset.theme") == "dark":
            break
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before


def test_print_shows_all_stages_of_a_lab(page, url):
    name = next(p for p in pages() if labs_of(p))
    open_page(page, url, name)
    later = page.locator(".ml-plot :is(.ml-stage-estimate, .ml-stage-truth)")
    hidden = "(marks) => marks.filter((m) => getComputedStyle(m).display === 'none').length"
    assert later.evaluate_all(hidden) == later.count() > 0
    page.emulate_media(media="print")
    assert later.evaluate_all(hidden) == 0
    expect(page.locator(".bd-sidebar-primary")).to_be_hidden()


def test_built_site_holds_what_a_static_host_needs(site: Path):
    assert (site / ".nojekyll").exists()
    assert "Content-Security-Policy: default-src 'self'" in (site / "_headers").read_text()
    assert (site / "index.html").read_text().count('http-equiv="Content-Security-Policy"') == 1
