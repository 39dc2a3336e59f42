"""Exercises and self-checks as the page has them."""

import re
from io import StringIO

import pytest
from bs4 import BeautifulSoup
from exercise_directive import answer_form, in_code
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace
from translation import DIRECTIVE

from mixedlab.answers import find
from tests.book.test_frame import chapters, source
from tests.paths import ROOT

SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
CHECK = """\
```{self-check} Is $x$ big?
- One: too `few`.
- (right) Two $y$: just
  so.
```
"""


@pytest.fixture
def built(tmp_path):
    """Build a page of Markdown with the book's directives; gives it and what Sphinx warned of."""
    (tmp_path / "conf.py").write_text(
        f"import sys\nsys.path.append({str(ROOT / 'book' / '_ext')!r})\n"
        "extensions = ['myst_parser', 'exercise_directive']\n"
        "myst_enable_extensions = ['dollarmath']\n"
    )

    def build(text):
        (tmp_path / "index.md").write_text(f"# Page\n\n{text}")
        out, log = tmp_path / "out", StringIO()
        with docutils_namespace():
            folders = (tmp_path, tmp_path, out, tmp_path / "trees")
            Sphinx(*folders, "html", status=None, warning=log).build()
        return BeautifulSoup((out / "index.html").read_text("utf-8"), "html.parser"), log.getvalue()

    return build


def test_a_self_check_has_a_reason_behind_each_option(built):
    page, warned = built(CHECK * 2)
    assert not warned
    first, second = page.select('[data-ml="self-check"]')
    assert first["id"] != second["id"]
    question = page.find(id=first["aria-labelledby"])
    assert question.get_text() == r"Check yourself. Is \(x\) big?"
    one, two = first.find_all("details")
    assert (one["data-right"], two["data-right"]) == ("false", "true")
    assert two.summary.get_text(strip=True) == r"Two\(y\)"
    assert one.p.get_text(" ", strip=True) == "No: too few ."
    assert one.p.code.get_text() == "few"
    assert two.p.get_text(" ", strip=True) == "Right: just so."
    assert not one.has_attr("open")


@pytest.mark.parametrize(
    "options",
    ["- (right) One: yes.\n", "- One: a.\n- Two: b.\n", "- (right) One: a.\n- (right) Two: b.\n"],
)
def test_a_self_check_has_one_right_option_among_several(built, options):
    _, warned = built(f"```{{self-check}} Which?\n{options}```\n")
    assert "A self-check has two or more options" in warned


def test_an_exercise_that_is_not_there_is_refused(built):
    _, warned = built("```{exercise} 99.1\n```\n")
    assert "There is no exercise '99.1'" in warned


def test_what_a_question_says_is_text():
    assert in_code("a < b, `c > d`") == "a &lt; b, <code>c &gt; d</code>"


@pytest.mark.parametrize("page", [page for page in chapters() if "{self-check}" in source(page)])
def test_every_main_section_ends_with_a_question(page):
    """Where a published fit is reproduced, there may be none."""
    titles, texts = SECTION.split(source(page))[1::2], SECTION.split(source(page))[2::2]
    for title, text in zip(titles, texts, strict=True):
        if title == "Exercises":
            return
        found = [match for match in DIRECTIVE.finditer(text) if match["name"] == "self-check"]
        assert len(found) == 1 or ("ublished" in title and not found), title
        if found:
            assert not text[found[0].end() :].strip(), f"{title}: the question comes last"


def test_forms_are_of_their_exercise():
    for task in map(find, ("1.1", "1.2")):
        form = BeautifulSoup(answer_form(task, "place", "x"), "html.parser")
        options = [option["value"] for option in form.select("input[type=radio]")]
        assert options == list(getattr(task, "options", ()))
        assert len(form.select('[data-ml="answer"]')) == 1
        for hook in ("check", "solution", "verdict"):
            assert len(form.select(f'[data-ml="{hook}"]')) == 1
