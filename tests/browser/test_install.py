"""The address of the book stands in the line that installs it, and in a notebook that is saved."""

import json

import pytest

pytestmark = pytest.mark.browser


def test_the_install_line_names_the_wheel_of_this_site(page, url):
    page.goto(f"{url}/how-to-use.html")
    command, address = page.inner_text("[data-ml=install]").rsplit(" ", 1)
    assert command == "pip install"
    assert address.startswith(f"{url}/mixedlab-")
    wheel = page.request.get(address)
    assert wheel.ok
    assert wheel.body()[:2] == b"PK"


def test_a_notebook_is_saved_under_its_chapter_s_name_and_installs_the_package(page, url):
    page.goto(f"{url}/1-why-groups/shrinkage.html")
    with page.expect_download() as saved:
        page.click("a[data-ml=notebook]")
    assert saved.value.suggested_filename == "04-shrinkage.ipynb"
    notebook = json.loads(saved.value.path().read_text("utf-8"))
    line = "".join(notebook["cells"][1]["source"])
    assert line.startswith(f"%pip install -q {url}/mixedlab-")
