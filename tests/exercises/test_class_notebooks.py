import json
from pathlib import Path

import pytest

from mixedlab import answers
from mixedlab.exercises.class_notebooks import student_of
from mixedlab.exercises.report import read_class
from tests.exercises.conftest import notebook


@pytest.mark.parametrize(
    "record",
    [
        {"exercise": "3.99", "correct": True},
        {"exercise": ["2.1"], "correct": True},
        {"exercise": "2.1", "correct": "yes"},
        {"exercise": "2.1", "correct": [1]},
        "2.1",
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
        "exercise": "2.1",
        "correct": False,
        "wrong": [3, {"answer": 5, "misconception": None}],
    }
    output = {"output_type": "display_data", "data": {answers.RECORD: record}}
    (tmp_path / "x.ipynb").write_text(json.dumps({"cells": [{"outputs": [output]}]}))
    result = read_class(tmp_path)
    assert result.notebooks[0].state("2.1") == "not solved"
    assert "2.1" in result.page()


@pytest.mark.parametrize(
    "content", ["[]", '{"cells": 3}', '{"cells": [3]}', '{"cells": [{"outputs": 1}]}']
)
def test_notebooks_of_another_shape_are_named(tmp_path, content):
    (tmp_path / "x.ipynb").write_text(content)
    assert read_class(tmp_path).notebooks[0].trouble


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
    notebook(tmp_path / moodle.format(1) / "three.ipynb", ("2.1", "less"), ("2.2", 1.0))
    notebook(
        tmp_path / moodle.format(2) / "again.ipynb", ("2.1", "less", "more"), ("6.1", "near 1")
    )
    (row,) = read_class(tmp_path).rows()
    assert row["student"] == "Ada Lovelace"
    assert (row["2.1"], row["2.2"], row["6.1"], row["solved"]) == (
        "solved",
        "not solved",
        "solved",
        2,
    )
    assert (row["2.1 attempts"], row["2.2 attempts"]) == (3, 1)
    assert row["notebook"].count(".ipynb") == 2


def test_right_after_the_solution_is_told_apart(tmp_path):
    notebook(tmp_path / "ada.ipynb", ("2.1", "less", "the same", "more"))
    notebook(tmp_path / "ben.ipynb", ("2.1", "less", "more"))
    result = read_class(tmp_path)
    states = {row["student"]: row["2.1"] for row in result.rows()}
    assert states == {"ada": "after the solution", "ben": "solved"}
    assert "Solved by 1, not solved by 0, left blank by 0. After the solution: 1." in result.page()
    assert '<td class="after-the-solution" title="after the solution">(✓) 3</td>' in result.matrix()
