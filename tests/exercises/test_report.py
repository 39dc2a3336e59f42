import csv
import json
from pathlib import Path

import pytest

import mixedlab as ml
from mixedlab import answers
from mixedlab.__main__ import main
from mixedlab.exercises.class_notebooks import student_of
from mixedlab.exercises.report import read_class


def notebook(path, *checks, error=None, source=""):
    """Write a notebook whose cells hold the outputs of these checks, as Jupyter saves them."""
    answers.start_over()
    cells = []
    for exercise, *given in checks:
        for answer in given:
            result = ml.check(exercise, answer)
        bundle = json.loads(json.dumps(result._repr_mimebundle_()))
        output = {"output_type": "execute_result", "data": bundle, "metadata": {}}
        cells.append({"cell_type": "code", "outputs": [output], "source": source})
    if error:
        output = {"output_type": "error", "ename": "E", "evalue": error, "traceback": []}
        cells.append({"cell_type": "code", "outputs": [output], "source": ""})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"cells": cells, "nbformat": 4, "nbformat_minor": 5, "metadata": {}})
    )


@pytest.fixture
def class_folder(tmp_path):
    folder = tmp_path / "class"
    notebook(folder / "ada" / "questions.ipynb", ("3.1", "more"), ("3.2", 19.9012, 6.27))
    notebook(
        folder / "ben" / "questions.ipynb", ("3.1", "less"), ("3.2", 19.9012, 123.0), ("3.3", ...)
    )
    notebook(folder / "<i>cy.ipynb", ("3.1", "less", "more"), error="3.2 is still blank")
    notebook(folder / "=dan.ipynb")
    (folder / "eve.ipynb").write_text("not json")
    return folder


def test_csv_says_who_solved_what(class_folder, tmp_path, capsys):
    assert main(["report", str(class_folder), "--out", str(tmp_path / "out")]) == 0
    with (tmp_path / "out" / "answers.csv").open(newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert rows["ada"]["3.1"] == rows["ada"]["3.2"] == "solved"
    assert rows["ada"]["3.3"] == ""
    assert rows["ada"]["solved"] == "2"
    assert (rows["ben"]["3.1"], rows["ben"]["3.3"]) == ("not solved", "blank")
    assert rows["<i>cy"]["trouble"] == "stopped: 3.2 is still blank"
    assert "was it run" in rows["'=dan"]["trouble"]
    assert rows["eve"]["trouble"].startswith("cannot be read")
    assert "3.1 Ten times the at-bats: solved in 2 of 5 notebooks" in capsys.readouterr().out


def test_page_counts_common_errors(class_folder, tmp_path):
    page = read_class(class_folder).page()
    assert "<td>2</td><td>more data taken as more pooling</td>" in page
    assert "<td>2</td><td>no pooling scored</td>" in page, "also those mended later count"
    assert "<td>1</td><td>answered 123.0</td>" in page
    assert "Solved by 2, not solved by 1, left blank by 0." in page
    assert "&lt;i&gt;cy" in page
    assert "<i>" not in page


@pytest.mark.parametrize(
    "record",
    [
        {"exercise": "3.99", "correct": True},
        {"exercise": ["3.1"], "correct": True},
        {"exercise": "3.1", "correct": "yes"},
        {"exercise": "3.1", "correct": [1]},
        "3.1",
        None,
    ],
)
def test_forged_or_broken_records_are_ignored(tmp_path, record):
    output = {"output_type": "display_data", "data": {answers.RECORD: record}}
    path = tmp_path / "x.ipynb"
    path.write_text(json.dumps({"cells": [{"outputs": [output, "text"]}, {}]}))
    assert read_class(tmp_path).notebooks[0].records == []


def test_broken_lists_of_wrong_answers_do_no_harm(tmp_path):
    record = {
        "exercise": "3.1",
        "correct": False,
        "wrong": [3, {"answer": 5, "misconception": None}],
    }
    output = {"output_type": "display_data", "data": {answers.RECORD: record}}
    (tmp_path / "x.ipynb").write_text(json.dumps({"cells": [{"outputs": [output]}]}))
    result = read_class(tmp_path)
    assert result.notebooks[0].state("3.1") == "not solved"
    assert "3.1" in result.page()


@pytest.mark.parametrize(
    "content", ["[]", '{"cells": 3}', '{"cells": [3]}', '{"cells": [{"outputs": 1}]}']
)
def test_notebooks_of_another_shape_are_named(tmp_path, content):
    (tmp_path / "x.ipynb").write_text(content)
    assert read_class(tmp_path).notebooks[0].trouble


def test_empty_and_missing_folders(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 1
    assert "holds no notebook" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "none")]) == 1
    assert "There is no folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "student"),
    [
        ("ada.ipynb", "ada"),
        ("ada/questions.ipynb", "ada"),
        ("ada/week 2/questions.ipynb", "ada"),
        ("Ada Lovelace_4711_assignsubmission_file_/questions.ipynb", "Ada Lovelace"),
        ("Ada Lovelace_4711_assignsubmission_file/questions.ipynb", "Ada Lovelace"),
        ("Ada_Lovelace_4711_assignsubmission_file_my_work.ipynb", "Ada_Lovelace"),
        ("submitted/ada/ps1/questions.ipynb", "ada"),
        ("submitted/questions.ipynb", "submitted"),
        ("inbound/ada+ps1+2026-11-24 22:00:00 UTC/questions.ipynb", "ada"),
        ("ada+ps1+2026-11-24 22:00:00 UTC/questions.ipynb", "ada"),
    ],
)
def test_whose_a_notebook_is(path, student):
    assert student_of(Path(path)) == student


def test_notebooks_of_one_student_make_one_row(tmp_path):
    moodle = "Ada Lovelace_{}_assignsubmission_file_"
    notebook(tmp_path / moodle.format(1) / "three.ipynb", ("3.1", "less"), ("3.2", 1.0))
    notebook(
        tmp_path / moodle.format(2) / "again.ipynb", ("3.1", "less", "more"), ("7.1", "near 1")
    )
    (row,) = read_class(tmp_path).rows()
    assert row["student"] == "Ada Lovelace"
    assert (row["3.1"], row["3.2"], row["7.1"], row["solved"]) == (
        "solved",
        "not solved",
        "solved",
        2,
    )
    assert (row["3.1 attempts"], row["3.2 attempts"]) == (3, 1)
    assert row["notebook"].count(".ipynb") == 2


def test_right_after_the_solution_is_told_apart(tmp_path):
    notebook(tmp_path / "ada.ipynb", ("3.1", "less", "the same", "more"))
    notebook(tmp_path / "ben.ipynb", ("3.1", "less", "more"))
    result = read_class(tmp_path)
    states = {row["student"]: row["3.1"] for row in result.rows()}
    assert states == {"ada": "after the solution", "ben": "solved"}
    assert "Solved by 1, not solved by 0, left blank by 0. After the solution: 1." in result.page()
    assert '<td class="after-the-solution" title="after the solution">(✓) 3</td>' in result.matrix()


def test_a_solution_only_looked_at_solves_nothing(tmp_path):
    record = {"exercise": "3.1", "correct": None, "after_solution": True, "attempts": 0}
    output = {"output_type": "display_data", "data": {answers.RECORD: record}}
    (tmp_path / "x.ipynb").write_text(json.dumps({"cells": [{"outputs": [output]}]}))
    (row,) = read_class(tmp_path).rows()
    assert (row["3.1"], row["solved"], row["3.1 attempts"]) == ("after the solution", 0, 0)


def test_identical_work_is_marked(tmp_path):
    work = (("3.1", "more"), ("3.2", 19.9, 6.27))
    notebook(tmp_path / "ada.ipynb", *work, source="x = 1")
    notebook(tmp_path / "ben.ipynb", *work, source="x  =  1")
    notebook(tmp_path / "cy.ipynb", *work, source="x = 2")
    notebook(tmp_path / "dan.ipynb", ("3.1", "more"))
    notebook(tmp_path / "eve.ipynb", ("3.1", "more"))
    result = read_class(tmp_path)
    marked = {row["student"]: row["identical to"] for row in result.rows()}
    assert marked == {"ada": "ben", "ben": "ada", "cy": "", "dan": "", "eve": ""}
    assert "identical to ben" in result.matrix()


def test_matrix_shows_the_class_and_no_text_as_html(class_folder):
    page = read_class(class_folder).matrix()
    assert '<th scope="row">ada</th><td class="solved" title="solved">✓ 1</td>' in page
    assert "&lt;i&gt;cy" in page
    assert "<i>" not in page
    assert '<th scope="row">solved by</th><td>2</td><td>1</td><td>0</td>' in page


def test_labs_are_listed(capsys):
    assert main(["labs"]) == 0
    assert "three-poolings" in capsys.readouterr().out
