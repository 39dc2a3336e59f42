"""When Python does not come, the lab says why, keeps its picture, and can try again."""

import time
from contextlib import contextmanager
from threading import Thread

import pytest
from playwright.sync_api import expect
from self_contained import POLICY
from serve import make_server

from tests.browser.conftest import fresh_context
from tests.browser.contents import labs_of, pages
from tests.browser.steps import LIVE_WITHIN

PAGE = next(p for p in pages() if labs_of(p))


@contextmanager
def troubled(site, *, missing=(), stalls_for=None, policy=POLICY):
    """Serve the site with some files missing, or with one that comes in drips."""
    server = make_server(site, policy=policy)
    handler = server.RequestHandlerClass.func
    state = {"missing": tuple(missing)}

    class Troubled(handler):
        def do_GET(self):
            if any(part in self.path for part in state["missing"]):
                self.send_error(404)
            else:
                super().do_GET()

        def copyfile(self, source, outputfile):
            if stalls_for and stalls_for[0] in self.path:
                while piece := source.read(150_000):
                    outputfile.write(piece)
                    outputfile.flush()
                    time.sleep(stalls_for[1])
            else:
                super().copyfile(source, outputfile)

    def finish(*args, **options):
        return Troubled(*args, directory=str(site), **options)

    server.RequestHandlerClass = finish
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", state
    finally:
        server.shutdown()
        server.server_close()


def assert_picture_stands(lab):
    for plot in lab.locator('[data-ml="panel"]:not([data-folded]) [data-ml="plot"]').all():
        expect(plot.locator("svg")).to_be_visible()
    lab.locator('[data-ml="option"], [data-ml="bet-done"]').first.click()  # needs no Python
    expect(lab).to_have_attribute("data-stage", "estimate")


@pytest.mark.parametrize("file", ["numpy-", "mixedlab-", "pyodide.asm.wasm", "python_stdlib.zip"])
def test_a_missing_file_is_told_and_a_second_try_works(browser, site, file):
    with troubled(site, missing=[file]) as (url, state), fresh_context(browser) as context:
        page = context.new_page()
        page.goto(f"{url}{PAGE}.html")
        lab = page.locator('[data-ml="lab"]').first
        expect(lab).to_have_attribute("data-phase", "failed", timeout=LIVE_WITHIN)
        expect(lab.locator('[data-ml="status-text"]')).to_contain_text("could not be loaded")
        assert_picture_stands(lab)

        state["missing"] = ()
        lab.locator('[data-ml="retry"]').click()
        expect(lab).to_have_attribute("data-phase", "ready", timeout=LIVE_WITHIN)


@pytest.mark.parametrize("file", ["worker.js", "archive.js"])
def test_a_missing_worker_is_told(browser, site, file):
    with troubled(site, missing=[file]) as (url, _), fresh_context(browser) as context:
        page = context.new_page()
        page.goto(f"{url}{PAGE}.html")
        lab = page.locator('[data-ml="lab"]').first
        expect(lab).to_have_attribute("data-phase", "failed", timeout=LIVE_WITHIN)
        expect(lab.locator('[data-ml="status-text"]')).to_contain_text("could not be started")
        assert_picture_stands(lab)


def test_a_policy_without_webassembly_is_told(browser, site):
    policy = POLICY.replace(" 'wasm-unsafe-eval'", "")
    with troubled(site, policy=policy) as (url, _), fresh_context(browser) as context:
        page = context.new_page()
        page.goto(f"{url}{PAGE}.html")
        lab = page.locator('[data-ml="lab"]').first
        expect(lab).to_have_attribute("data-phase", "failed", timeout=LIVE_WITHIN)
        expect(lab.locator('[data-ml="status-text"]')).to_contain_text("WebAssembly")
        assert_picture_stands(lab)


def test_a_slow_download_says_how_far_it_is(browser, site):
    slow = ("numpy-", 0.15)
    with troubled(site, stalls_for=slow) as (url, _), fresh_context(browser) as context:
        page = context.new_page()
        page.goto(f"{url}{PAGE}.html")
        lab = page.locator('[data-ml="lab"]').first
        words = lab.locator('[data-ml="status-text"]')
        expect(words).to_contain_text(" MB", timeout=LIVE_WITHIN)
        first = words.inner_text()
        expect(words).not_to_have_text(first)
        assert_picture_stands(lab)
        expect(lab).to_have_attribute("data-phase", "ready", timeout=LIVE_WITHIN)


def test_without_shared_workers_a_worker_of_the_page_does(browser, url):
    with fresh_context(browser) as context:
        context.add_init_script("delete window.SharedWorker")
        page = context.new_page()
        page.goto(f"{url}{PAGE}.html")
        lab = page.locator('[data-ml="lab"]').first
        expect(lab).to_have_attribute("data-phase", "ready", timeout=LIVE_WITHIN)


def test_without_webassembly_the_lab_says_so(browser, url):
    with fresh_context(browser) as context:
        context.add_init_script("delete window.WebAssembly")
        page = context.new_page()
        page.goto(f"{url}{PAGE}.html")
        lab = page.locator('[data-ml="lab"]').first
        expect(lab).to_have_attribute("data-phase", "failed", timeout=LIVE_WITHIN)
        expect(lab.locator('[data-ml="status-text"]')).to_contain_text("WebAssembly")
        assert_picture_stands(lab)
