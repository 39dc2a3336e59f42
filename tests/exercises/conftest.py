"""A class and its notebooks."""

import json

import pytest

import mixedlab as ml
from mixedlab import answers
from mixedlab.answers import find

SCORE = find("2.2")
UNPOOLED = SCORE.misconceptions[0].answer()


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
    notebook(folder / "ada" / "questions.ipynb", ("2.1", "more"), ("2.2", UNPOOLED, SCORE.answer()))
    notebook(
        folder / "ben" / "questions.ipynb", ("2.1", "less"), ("2.2", UNPOOLED, 123.0), ("2.3", ...)
    )
    notebook(folder / "<i>cy.ipynb", ("2.1", "less", "more"), error="2.2 is still blank")
    notebook(folder / "=dan.ipynb")
    (folder / "eve.ipynb").write_text("not json")
    return folder
