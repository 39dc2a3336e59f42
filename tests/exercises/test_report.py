import csv
import json

from mixedlab import answers
from mixedlab.__main__ import main
from mixedlab.exercises.report import read_class
from tests.exercises.conftest import notebook


def test_csv_says_who_solved_what(class_folder, tmp_path, capsys):
    assert main(["report", str(class_folder), "--out", str(tmp_path / "out")]) == 0
    with (tmp_path / "out" / "answers.csv").open(newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert rows["ada"]["2.1"] == rows["ada"]["2.2"] == "solved"
    assert rows["ada"]["2.3"] == ""
    assert rows["ada"]["solved"] == "2"
    assert (rows["ben"]["2.1"], rows["ben"]["2.3"]) == ("not solved", "blank")
    assert rows["<i>cy"]["trouble"] == "stopped: 2.2 is still blank"
    assert "was it run" in rows["'=dan"]["trouble"]
    assert rows["eve"]["trouble"].startswith("cannot be read")
    assert "2.1 Eighteen more batters: solved in 2 of 5 notebooks" in capsys.readouterr().out


def test_empty_and_missing_folders(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 1
    assert "holds no notebook" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "none")]) == 1
    assert "There is no folder" in capsys.readouterr().err


def test_a_solution_only_looked_at_solves_nothing(tmp_path):
    record = {"exercise": "2.1", "correct": None, "after_solution": True, "attempts": 0}
    output = {"output_type": "display_data", "data": {answers.RECORD: record}}
    (tmp_path / "x.ipynb").write_text(json.dumps({"cells": [{"outputs": [output]}]}))
    (row,) = read_class(tmp_path).rows()
    assert (row["2.1"], row["solved"], row["2.1 attempts"]) == ("after the solution", 0, 0)


def test_identical_work_is_marked(tmp_path):
    work = (("2.1", "more"), ("2.2", 19.9, answers.find("2.2").answer()))
    notebook(tmp_path / "ada.ipynb", *work, source="x = 1")
    notebook(tmp_path / "ben.ipynb", *work, source="x  =  1")
    notebook(tmp_path / "cy.ipynb", *work, source="x = 2")
    notebook(tmp_path / "dan.ipynb", ("2.1", "more"))
    notebook(tmp_path / "eve.ipynb", ("2.1", "more"))
    result = read_class(tmp_path)
    marked = {row["student"]: row["identical to"] for row in result.rows()}
    assert marked == {"ada": "ben", "ben": "ada", "cy": "", "dan": "", "eve": ""}
    assert "identical to ben" in result.matrix()


def test_labs_are_listed(capsys):
    assert main(["labs"]) == 0
    assert "three-poolings" in capsys.readouterr().out
