import importlib.util
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from mixedlab.__main__ import main
from mixedlab.answers import RECORD, chapters, find, of_chapter
from mixedlab.exercises.report import read_class

EXERCISES = Path(__file__).parents[2] / "exercises"
spec = importlib.util.spec_from_file_location("make_notebooks", EXERCISES / "make_notebooks.py")
make_notebooks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_notebooks)
SOURCES = make_notebooks.sources()
FOLDERS = [source.parent.name for source in SOURCES]


def run(path):
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return notebook


def outputs(notebook):
    return [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]


def records(notebook):
    return [o["data"][RECORD] for o in outputs(notebook) if RECORD in o.get("data", {})]


@pytest.mark.parametrize("source", SOURCES, ids=FOLDERS)
def test_notebooks_are_those_of_the_source_and_hold_no_outputs(source):
    for path, text in make_notebooks.written(source).items():
        assert path.read_text(encoding="utf-8") == text, "run exercises/make_notebooks.py"
        notebook = nbformat.reads(text, as_version=4)
        nbformat.validate(notebook)
        assert not outputs(notebook)


def test_every_chapter_with_exercises_has_notebooks():
    assert {int(name[:2]) for name in FOLDERS} == set(chapters())


@pytest.mark.parametrize("source", SOURCES, ids=FOLDERS)
def test_the_reference_solution_solves_all(source):
    solved = records(run(source.with_name("solution.ipynb")))
    assert [r["exercise"] for r in solved] == list(of_chapter(int(source.parent.name[:2])))
    assert all(r["correct"] for r in solved)


@pytest.mark.parametrize("source", SOURCES, ids=FOLDERS)
def test_an_unanswered_notebook_asks_every_question_and_stops_at_none(source):
    blanks = records(run(source.with_name("questions.ipynb")))
    assert [r["exercise"] for r in blanks] == list(of_chapter(int(source.parent.name[:2])))
    for record in blanks:
        assert record["correct"] is None
        assert record["says"] == find(record["exercise"]).question


def test_a_class_run_is_reported(tmp_path, capsys):
    """Notebooks as students leave them: one solved, one with a wrong answer, one untouched."""
    (source,) = (s for s in SOURCES if s.parent.name.startswith("02"))
    folder = tmp_path / "class"
    for student, change in (
        ("ada", lambda code: code),
        (
            "ben",
            lambda code: code.replace('"more"', '"less"').replace(
                "counties.partial.coef.sort", "counties.none.coef.sort"
            ),
        ),
    ):
        notebook = nbformat.read(source.with_name("solution.ipynb"), as_version=4)
        for cell in notebook.cells:
            cell.source = change(cell.source)
        NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
        (folder / student).mkdir(parents=True)
        nbformat.write(notebook, folder / student / "questions.ipynb")
    (folder / "cy").mkdir()
    (folder / "cy" / "questions.ipynb").write_text(source.with_name("questions.ipynb").read_text())

    assert main(["report", str(folder), "--out", str(tmp_path)]) == 0
    assert "2.1 Eighteen more batters: solved in 1 of 3 notebooks" in capsys.readouterr().out
    rows = {row["student"]: row for row in read_class(folder).rows()}
    assert rows["ada"]["solved"] == 4
    ben = [rows["ben"][e] for e in ("2.1", "2.2", "2.3", "2.4")]
    assert ben == ["not solved", "solved", "solved", "not solved"]
    assert "was it run" in rows["cy"]["trouble"]
    page = (tmp_path / "common-errors.html").read_text()
    assert "more data taken as less pooling" in page
    assert "no pooling reported" in page
