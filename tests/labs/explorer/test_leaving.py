"""The notebook that leaves the explorer: code that runs, names and cells that stay text."""

import mixedlab as ml
from mixedlab.labs.explorer.leaving import notebook
from mixedlab.labs.explorer.question import Question

Q = Question("Reaction", "Days", ("Subject",), False, "gaussian", False, "raw", "")


def cells(kind, **more):
    made = notebook("a.csv", ["df = ml.load('sleepstudy')"], Q, "A *report*.", **more)["cells"]
    return [cell["source"] for cell in made if cell["cell_type"] == kind]


def test_every_cell_of_code_runs():
    names = {"ml": ml}
    for source in cells("code"):
        exec(source, names)
    assert names["fit"].n_obs == 180


def test_the_table_is_text_whatever_stands_in_it():
    data = 'Reaction,Days,Subject\n1,2,"""\\n\\"" + exit() + """"\n'
    names = {"ml": ml}
    exec(cells("code", data=data)[0].split("\nfit = ")[0], names)
    assert names["data"] == data


def test_words_are_shown_as_they_are():
    assert "A \\*report\\*." in cells("markdown")[1]
    assert "Put the file" in cells("markdown")[0]
    assert "Put the file" not in cells("markdown", data="a\n1\n")[0]
