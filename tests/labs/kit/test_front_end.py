import re
import shutil
import subprocess

import pytest

from mixedlab.labs.kit import front_end


def test_modules_come_after_those_they_import():
    order = front_end.modules()
    assert order[-1] == "lab.js"
    assert order.index("scale.js") < order.index("plot.js")
    assert order.index("marks.js") < order.index("plot.js")


def test_one_module_has_no_imports_and_one_export():
    text = front_end.script()
    assert "import {" not in text
    assert re.findall(r"^export .*", text, re.MULTILINE) == ["export default { render };"]


def test_no_top_level_name_is_used_twice():
    declared = re.findall(
        r"^(?:const|let|class|function|async function) (\w+)", front_end.script(), re.MULTILINE
    )
    assert len(declared) > 20
    assert len(set(declared)) == len(declared)


def test_nothing_is_fetched_and_no_text_becomes_html_but_the_shell():
    text = front_end.script()
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert re.findall(r"\w+\.innerHTML = .*", text) == ['el.innerHTML = model.get("shell");']
    assert "eval(" not in text
    assert "@import" not in front_end.style()
    assert "url(" not in front_end.style()


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node on this machine")
def test_one_module_is_valid_javascript(tmp_path):
    path = tmp_path / "lab.mjs"
    path.write_text(front_end.script(), encoding="utf-8")
    done = subprocess.run(["node", "--check", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
