"""A reader's Python, as a page's worker uses it: what a cell puts out, what answers become."""

import importlib.util
import json
import sys
import types

import pytest

from tests.paths import ROOT


@pytest.fixture
def session(monkeypatch):
    """A session whose pieces of output are kept in ``said``."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    spec = importlib.util.spec_from_file_location("session", ROOT / "book/_practice/session.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    said = []
    made = module.Session(lambda text: said.append(json.loads(text)), lambda name: None)
    made.said = said
    return made


def texts(session):
    return [piece["text"] for piece in session.said if piece["kind"] == "text"]


def test_the_last_value_is_shown_and_names_are_shared(session):
    assert session.run("x = 6\nprint('six')\nx * 7", "cell 1")
    assert session.run("x += 1", "cell 2")
    assert session.run("x;", "cell 3")
    shown = [piece["data"]["text/plain"] for piece in session.said if piece["kind"] == "data"]
    assert "".join(texts(session)) == "six\n"
    assert shown == ["42"]
    assert session.names["x"] == 7


def test_output_has_an_end(session):
    session.run("for _ in range(100): print('x' * 10_000)", "cell 1")
    assert sum(map(len, texts(session))) < 201_000
    assert texts(session)[-1].strip() == "... the rest is left out."


def test_errors_are_a_sentence_and_the_way(session):
    assert not session.run("def half(x):\n    return x / 0\n\nhalf(1)", "cell 1")
    (error,) = session.said
    assert error["says"] == "ZeroDivisionError: division by zero"
    assert "return x / 0" in error["trace"]
    assert "session.py" not in error["trace"]
    session.said.clear()
    session.run("import mixedlab as ml\nml.load('sleepstudi')", "cell 2")
    assert "sleepstudy" in session.said[-1]["says"]
    assert session.said[-1]["trace"] == ""


def test_the_streams_are_python_s_own_again(session):
    before = sys.stdout, sys.stderr
    session.run("raise SystemExit", "cell 1")
    assert (sys.stdout, sys.stderr) == before
    assert session.said[-1]["says"].startswith("SystemExit")


def test_tables_are_html_and_text(session):
    session.run("import pandas as pd\npd.DataFrame({'a': [1]})", "cell 1")
    data = session.said[-1]["data"]
    assert "<table" in data["text/html"]
    assert "a" in data["text/plain"]


@pytest.mark.parametrize(("text", "value"), [("1.5", 1.5), ("1,5", 1.5), ("−2", -2), ("x + 1", 4)])
def test_an_answer_is_a_number_or_an_expression(session, text, value):
    session.names["x"] = 3
    assert session.value_of(text) == value


@pytest.mark.parametrize(
    ("text", "says"), [("", "Write an answer"), ("y", "There is no 'y' yet"), ("1 +", "neither")]
)
def test_what_is_no_answer_is_said(session, text, says):
    found = session.judge("1.2", text)
    assert found["correct"] is None
    assert says in found["says"]


def test_a_verdict_never_tells_the_solution(session):
    for number in ("123456", "654321"):
        found = session.judge("1.2", number)
        assert found["correct"] is False
        assert "Solution:" not in found["says"]
    assert session.solution("1.2")


def test_completion_runs_no_code(session):
    class Touchy:
        @property
        def asked(self):
            raise AssertionError("was run")

    session.names["box"] = types.SimpleNamespace(one=1, inner=Touchy())
    assert "one" in session.complete("box")
    assert "asked" in session.complete("box.inner")
    assert session.complete("box.inner.asked") == []
    assert session.complete("nothing") == []
    assert "box" in session.complete("")


def test_columns_are_those_of_tables(session):
    session.run("import pandas as pd\nt = pd.DataFrame({'a': [1], 'b': [2]})", "cell 1")
    assert session.columns() == ["a", "b"]
