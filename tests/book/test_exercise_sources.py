"""What stands around an exercise comes from its readable source."""

import pytest
from exercise_sources import Source, chapter_number, folders, sources

from mixedlab.answers import chapters, of_chapter


def test_a_page_knows_its_chapter():
    assert chapter_number("1-why-groups/pseudoreplication") == 1
    assert chapter_number("index") is None
    assert {chapter_number(f"any/{page}") for page in folders()} == set(chapters())


@pytest.mark.parametrize("number", chapters())
def test_each_exercise_has_its_source_with_blanks(number):
    found = sources(number)
    assert set(found) == set(of_chapter(number))
    for source in found.values():
        assert "ml.check(" not in source.code
        assert "# blank" not in source.code
        assert "# solution" not in source.code


def test_a_page_leaves_out_what_only_a_notebook_needs():
    parts = (
        ("text", "Read."),
        ("code", 'answer = ...\nml.check("1.1", answer)'),
        ("code", 'x = ...\nml.check("1.2", x)'),
    )
    assert Source(parts).parts == (("text", "Read."), ("code", "x = ..."))
    assert Source(parts).code == "x = ..."
