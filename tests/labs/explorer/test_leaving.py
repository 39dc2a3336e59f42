"""The notebook that leaves the explorer: code that runs, names and cells that stay text."""

import csv
import io

import mixedlab as ml
from mixedlab.labs.explorer.leaving import notebook
from mixedlab.labs.explorer.question import Question

Q = Question("Reaction", "Days", ("Subject",), False, "gaussian", False, "raw", "")


def cells(kind, table="ml.load('sleepstudy')", **more):
    made = notebook("a.csv", [f"df = {table}"], Q, "A *report*.", **more)["cells"]
    return [cell["source"] for cell in made if cell["cell_type"] == kind]


def test_every_cell_of_code_runs():
    names = {"ml": ml}
    for source in cells("code"):
        exec(source, names)
    assert names["fit"].n_obs == 180


def test_the_table_is_text_whatever_stands_in_it():
    hostile, file = '"""\\n\\"" + exit() + """', io.StringIO()
    csv.writer(file).writerows([("Reaction", "Days", "Subject"), (1, 2, hostile)])
    names = {"ml": ml}
    exec(cells("code", data=file.getvalue())[0].split("\nfit = ")[0], names)
    assert names["df"]["Subject"].tolist() == [hostile]


def test_words_are_shown_as_they_are():
    assert "A \\*report\\*." in cells("markdown")[1]
    assert "Put the file" in cells("markdown", table="pd.read_csv('a.csv')")[0]
    assert "Put the file" not in cells("markdown")[0]  # a table of the package
    assert "Put the file" not in cells("markdown", data="a\n1\n")[0]
