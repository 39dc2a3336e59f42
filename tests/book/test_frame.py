"""The pages around the chapters keep up with the chapters, the labs and the sources."""

import re
from pathlib import Path

import pytest
import yaml

from mixedlab.labs import catalogue

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
LAB = re.compile(r"^```\{lab\} ([\w-]+)$", re.MULTILINE)
CITED = re.compile(r"\{cite:[a-z]+\}`([^`]+)`")
ENTRY = re.compile(r"^@\w+\{([^,\s]+),", re.MULTILINE)


def source(page):
    return (BOOK / f"{page}.md").read_text("utf-8")


def pages():
    toc = yaml.safe_load((BOOK / "_toc.yml").read_text("utf-8"))
    return [toc["root"], *(c["file"] for part in toc["parts"] for c in part["chapters"])]


def chapters():
    return [page for page in pages() if page[0].isdigit()]


def test_every_page_is_in_the_table_of_contents():
    written = {
        path.relative_to(BOOK).with_suffix("").as_posix()
        for path in BOOK.rglob("*.md")
        if not path.relative_to(BOOK).parts[0].startswith("_")
    }
    assert written == set(pages())


def test_every_chapter_has_one_lab_and_its_exercises():
    for page in chapters():
        assert len(LAB.findall(source(page))) == 1, page
        notebooks = re.findall(r"exercises/([\w-]+)/questions\.ipynb", source(page))
        assert notebooks, page
        for name in notebooks:
            assert (ROOT / "exercises" / name / "solution.ipynb").exists(), page


def test_classroom_holds_every_lab_once():
    """A new lab belongs on ``book/appendices/classroom.md`` too, with what to do in class."""
    assert sorted(LAB.findall(source("appendices/classroom"))) == sorted(catalogue.names())


def test_landing_page_has_one_lab_alive():
    assert len(LAB.findall(source("index"))) == 1


def test_teachers_page_names_labs_and_goals_that_exist():
    rows = re.findall(r"\| `([\w-]+)`, (.+) \|$", source("appendices/teachers"), re.MULTILINE)
    assert {name for name, _ in rows} == set(catalogue.names()), "each lab shakes some mistake"
    for name, action in rows:
        lab = catalogue.get(name)
        known = {g.text for g in lab.goals} | {"New sample"}
        assert set(re.findall(r"\*([^*]+)\*", action)) <= known, name


@pytest.mark.parametrize("page", ["appendices/classroom", "appendices/teachers"])
def test_buttons_named_to_a_class_exist(page):
    labs = [catalogue.get(name) for name in catalogue.names()]
    known = {lab.truth_label for lab in labs}
    known |= {goal.text for lab in labs for goal in lab.goals}
    known |= {lab.new_sample_label for lab in labs} | {
        "+500",
        "Copy link",
        "That is my bet",
        "Full screen",
        "Take votes",
        "Add a vote",
        "Close the vote",
    }
    text = source(page).replace("**", "")
    named = {" ".join(words.split()) for words in re.findall(r"\*([A-Z+][^*|]*)\*", text)}
    assert named, page
    assert named <= known


def test_every_glossary_row_has_both_languages():
    rows = [
        line.split(" | ")
        for line in source("appendices/glossary").splitlines()
        if line.startswith("| ") and not line.startswith("| English |")
    ]
    assert len(rows) > 60
    for row in rows:
        chinese = [cell for cell in row if '<span lang="zh-Hans">' in cell]
        assert len(chinese) == 1, row
        assert re.search(r"[\u4e00-\u9fff]", chinese[0]), row
        assert re.search(r"[A-Za-z]", row[0]), row


def test_citations_and_references_match():
    cited = {
        key.strip() for page in pages() for keys in CITED.findall(source(page))
        for key in keys.split(",")
    }  # fmt: skip
    entries = ENTRY.findall((BOOK / "references.bib").read_text("utf-8"))
    assert len(entries) == len(set(entries))
    assert cited <= set(entries)
    assert set(entries) <= cited, "listed and not cited anywhere"


@pytest.fixture(scope="module")
def readability():
    import readability

    return readability


def test_no_chapter_is_longer_than_it_may_be(readability):
    assert readability.chapters() == chapters()
    for page in chapters():
        assert readability.read(page).words <= readability.MOST_WORDS, page


def test_table_of_reading_times_is_near_the_text(readability):
    """A changed word need not change the table; a new page or a rewritten one must."""
    written = (ROOT / "benchmarks" / "results" / "readability.md").read_text("utf-8")
    told = dict(re.findall(r"^\| (.+?) \| (\d+) \|", written, re.MULTILINE))
    counted = {
        reading.title: reading.words for reading in map(readability.read, readability.pages())
    }
    again = "run `python benchmarks/readability.py`"
    assert told.keys() == counted.keys(), again
    for title, words in counted.items():
        assert int(told[title]) == pytest.approx(words, rel=0.1), f"{title}: {again}"


def test_prose_is_what_a_reader_reads(readability):
    text = readability.prose(
        "---\na: 1\n---\n\n# A title\n\nSee {doc}`the page <x/y>` and `code`, $a + b$.\n\n"
        "$$c = d$$\n\n```{lab} three-poolings\n```\n\n````text\n```\nhidden\n````\n\n"
        "| a | table |\n|---|---|\n\n:::{admonition} Note\n:class: tip\n\nKept {cite:t}`k`.\n:::\n"
    )
    assert " ".join(text.split()) == "A title. See the page and code, x. Kept They."
