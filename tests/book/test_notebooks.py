"""Every page as a notebook: whole, with nothing left over that only the book understands."""

import nbformat
import pytest
from exercise_directive import OPTION
from notebooks import file_names, notebook_of, pages, write_all
from translation import Translator, Untranslated, left_over

from mixedlab.answers import of_chapter
from tests.paths import ROOT

BOOK = ROOT / "book"


def notebook(page):
    return notebook_of((BOOK / f"{page}.md").read_text("utf-8"), page)


def texts(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


@pytest.mark.parametrize("page", pages())
def test_no_role_or_directive_is_left_over(page):
    made = notebook(page)
    nbformat.validate(made)
    for text in texts(made):
        assert list(left_over(text)) == []


@pytest.mark.parametrize(
    "text",
    ["See {doc}`x`.", "{cite:t}`y`", "```{lab} three-poolings\n```", ":::{note}\nx\n:::"],
)
def test_what_is_left_over_is_found(text):
    assert list(left_over(text))


def test_code_that_shows_a_directive_is_left_alone():
    text = "````markdown\n```{lab} name\n```\n````"
    assert list(left_over(text)) == []
    assert texts(notebook_of(text)) == [text]


@pytest.mark.parametrize("text", ["A {strange}`role`.", "```{strange}\n```"])
def test_what_is_not_known_is_refused(text):
    with pytest.raises(Untranslated, match="'strange'"):
        notebook_of(text)


def test_links_lead_to_notebooks_that_are_written(tmp_path):
    written = {path.name for path in write_all(tmp_path)}
    assert set(file_names().values()) <= written
    made = notebook_of(
        "See {doc}`the next <../1-why-groups/three-poolings>`.", "appendices/teachers"
    )
    name = file_names()["1-why-groups/three-poolings"]
    assert texts(made) == [f"See [the next]({name})."]
    assert (tmp_path / "book" / name).exists()
    download = "{download}`a <../../exercises/02-three-poolings/solution.ipynb>`"
    (text,) = texts(notebook_of(download, "1-why-groups/three-poolings"))
    assert text == "[a](../exercises/02-three-poolings-solution.ipynb)"
    assert (tmp_path / "exercises" / "02-three-poolings-solution.ipynb").exists()


def test_citations_name_authors_and_year():
    (text,) = texts(notebook_of("{cite:t}`efron1975` and {cite:p}`efron1975, gelman2007`"))
    assert "[Efron and Morris (1975)](" in text
    assert "(Efron and Morris 1975; Gelman and Hill " in text


def test_references_hold_all_that_is_cited():
    listed = "".join(texts(notebook("references")))
    assert listed.count("\n- ") >= 20
    assert "Efron" in listed


def test_exercises_become_cells_that_ml_check_judges():
    made = notebook("2-lines-that-differ/random-slopes")
    code = "\n".join(cell.source for cell in made.cells if cell.cell_type == "code")
    for name, task in of_chapter(6).items():
        assert f'ml.check("{name}", ' in code
        assert any(task.question in text for text in texts(made))
    assert "variance = ..." in code


def test_a_self_check_keeps_question_options_and_reasons():
    source = "```{self-check} Which?\n- One: too few.\n- (right) Two: just so,\n  as seen.\n```\n"
    assert [bool(match["right"]) for match in OPTION.finditer(source)] == [False, True]
    (text,) = texts(notebook_of(source))
    assert text.startswith("**Check yourself.** Which?\n\n- One\n- Two\n")
    assert "- Two: **right.** just so, as seen." in text


def test_an_admonition_is_a_quotation():
    (text,) = texts(notebook_of(":::{admonition} Note {doc}`index`\n:class: tip\n\nKept.\n:::\n"))
    assert text.splitlines()[0].startswith("> **Note [")
    assert "> Kept." in text


def test_a_deck_is_its_labs_and_words():
    source = ":::::{deck}\n\n```{lab} shrinkage\n```\n\nAsk them.\n:::::\n"
    lab, words = Translator("index", file_names()).cells_of(source)
    assert (lab.cell_type, words.source) == ("code", "Ask them.")


def test_chapters_have_their_numbers():
    assert texts(notebook("1-why-groups/three-poolings"))[0].startswith("# 2 Three poolings\n")
