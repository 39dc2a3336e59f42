"""The same steps in Firefox, where it is installed: one chapter a part of the book."""

import json
import os
import shutil
from pathlib import Path

import assets
import pytest

from mixedlab.labs import catalogue
from tests.browser.contents import page_of_lab

FIREFOX = (
    os.environ.get("MIXEDLAB_FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")
)
LABS = page_of_lab()

pytestmark = pytest.mark.skipif(FIREFOX is None, reason="Firefox is not installed")


@pytest.mark.parametrize("name", ["three-poolings", "pseudoreplication", "conditional-marginal"])
def test_a_reader_with_firefox_uses_the_lab(url, name):
    script = Path(__file__).with_name("firefox.mjs")
    address = f"{url}{LABS[name]}.html"
    seen = json.loads(assets.node(script, assets.firefox_driver(), FIREFOX, address, name))
    lab = catalogue.get(name)
    assert seen["errors"] == []
    assert seen["stage"] == "estimate"
    assert seen["heroInView"]
    assert seen["controlInView"]
    assert bool(seen["headline"]) == bool(lab.run(lab.state()).headline)
    if "truth" in seen:
        assert seen["truth"].startswith("Hide")
    assert lab.clean(seen["state"]) != lab.state()
    assert seen.get("replicates", 0) == (50 if lab.statistics else 0)
