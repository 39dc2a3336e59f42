"""The labs in JupyterLab: the same steps as in the book."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import notebooks
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import fresh_context
from tests.browser.steps import OpenLab

NAME = "three-poolings"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def jupyterlab(tmp_path_factory):
    """Start JupyterLab in a folder with a notebook that shows a lab; gives its address."""
    folder = tmp_path_factory.mktemp("jupyter")
    cells = [
        f'import mixedlab as ml\nlab = ml.lab("{NAME}", dial=0.3)\nlab',
        "import ipywidgets\nmirror = ipywidgets.FloatSlider(max=1, step=0.01)\n"
        'ipywidgets.link((lab, "dial"), (mirror, "value"))\nmirror',
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "lab.ipynb")
    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}", "--allow-root"]
    command += ["--IdentityProvider.token=", "--ServerApp.password=", "--ServerApp.ip=127.0.0.1"]
    command += ["--LabApp.news_url=None"]  # asks no other host for news
    settings = {"JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTER_PREFER_ENV_PATH": "1"}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, env={**os.environ, **settings}
        )
        try:
            for _ in range(240):
                try:
                    urllib.request.urlopen(f"{address}api")
                    break
                except (urllib.error.URLError, ConnectionError):
                    time.sleep(0.25)
            else:
                pytest.fail((folder / "log").read_text()[-3000:], pytrace=False)
            yield address
        finally:
            server.terminate()
            try:
                server.wait(40)
            except subprocess.TimeoutExpired:
                server.kill()


@pytest.fixture(scope="module")
def running(browser, jupyterlab):
    """Open the notebook and run it; gives the page."""
    with fresh_context(browser, reduced_motion="reduce") as context:
        page = context.new_page()
        page.goto(f"{jupyterlab}lab/tree/lab.ipynb?reset")
        page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=60_000)
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        page.locator('[data-ml="lab"]').wait_for(timeout=90_000)
        yield page


def test_reader_uses_the_lab(running):
    lab = OpenLab(running.locator('[data-ml="lab"]'))
    assert lab.value("dial") == 0.3  # as the notebook's cell has set it
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


def test_controls_are_traits_that_other_widgets_can_follow(running):
    lab = OpenLab(running.locator('[data-ml="lab"]'))
    if lab.stage == "data":
        lab.part("skip").click()
    lab.press_arrow("dial")
    shown = running.locator(".jupyter-widgets.widget-slider .widget-readout")
    expect(shown).to_have_text(f"{lab.value('dial'):.2f}")


def test_copied_state_is_a_line_of_python(running):
    lab = OpenLab(running.locator('[data-ml="lab"]'))
    line = lab.copy_link()
    assert line.startswith(f'ml.lab("{NAME}"')
    compile(line, "copied", "eval")


def test_a_restarted_python_is_told(running):
    """Last of the notebook's tests: afterwards its lab is dead."""
    lab = OpenLab(running.locator('[data-ml="lab"]'))
    running.get_by_role("menuitem", name="Kernel", exact=True).click()
    running.get_by_text("Restart Kernel…", exact=True).click()
    running.locator(".jp-Dialog .jp-mod-accept").click()
    status = lab.part("status-text")
    expect(status).to_have_text("Python has stopped: run the cell again.", timeout=30_000)
    expect(lab.root).to_have_attribute("data-phase", "failed")


def test_pages_become_notebooks_with_their_labs(tmp_path):
    written = notebooks.write_all(tmp_path)
    names = [path.name for path in written]
    assert any("three-poolings" in name for name in names)
    sources = {p.name: nbformat.read(p.open(), 4) for p in written if p.parent.name == "book"}
    for page, notebook in sources.items():
        nbformat.validate(notebook)
        assert "{lab} " not in "".join(
            c.source for c in notebook.cells if c.cell_type == "markdown" and "````" not in c.source
        ), page
    cells = [c.source for notebook in sources.values() for c in notebook.cells]
    assert 'import mixedlab as ml\n\nml.lab("three-poolings")' in cells

    mine = next(p for p in written if "three-poolings" in p.name)
    Path(mine).write_text("my own notes")
    assert notebooks.write_all(tmp_path) == []
    assert Path(mine).read_text() == "my own notes"


def test_state_of_a_lab_becomes_arguments():
    page = "# A page\n\n```{lab} three-poolings\n:state: dial=0.4 seed=3\n```\n\nAnd on.\n"
    title, install, lab, rest = notebooks.notebook_of(page).cells
    assert "%pip install" in install.source
    assert lab.source.endswith('ml.lab("three-poolings", dial=0.4, seed=3)')
    assert (title.source, rest.source) == ("# A page", "And on.")
