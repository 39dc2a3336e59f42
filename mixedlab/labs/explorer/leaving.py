"""What a reader takes along from the explorer: a notebook of the code, without the table.

The table goes with it only where that is asked for, as text in a cell. All names and cells are
quoted: no cell of a table becomes code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mixedlab.labs.explorer.question import Question


def notebook(
    name: str, table: Sequence[str], question: Question, report: str, data: str | None = None
) -> dict[str, Any]:
    """Return a notebook (nbformat 4) that makes the fit of a question.

    Parameters
    ----------
    name : str
        Of the file.
    table : sequence of str
        The lines that make the table ``df``.
    question : Question
    report : str
        The paragraph, as it stood in the page.
    data : str, optional
        The table as CSV, mended as it is: then the notebook needs no file.
    """
    lines = list(table)
    if data is not None:
        text = data.replace("\\", "\\\\").replace('"', '\\"')
        lines = ["import io", "import pandas as pd", f'data = """{text}"""',
                 "df = pd.read_csv(io.StringIO(data))"]  # fmt: skip
    shipped = any(line.startswith("df = ml.load(") for line in table)
    there = data is not None or shipped
    where = "" if there else (
        f" Put the file `{_plain(name)}` beside this notebook: the data are not in it."
    )  # fmt: skip
    cells = [
        _markdown(
            f"# {_plain(question.y)} of {_plain(question.group)}\n\nMade by the explorer.{where}"
        ),
        _code(question.code(lines)),
        _code("fit.report()"),
        _markdown(f"The report as it stood in the page:\n\n> {_plain(report)}"),
        _code("ml.diagnose(fit)"),
        _code(_explore(question)),
        _markdown(f"The same fit by R's lme4:\n\n```r\n{question.code_of_lme4()}\n```"),
    ]
    return {
        "cells": [{"id": f"cell-{i + 1}", **cell} for i, cell in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _explore(q: Question) -> str:
    more = f", offset={q.offset!r}" if q.offset else ""
    return f"ml.explore(df, y={q.y!r}, x={q.x!r}, group={q.group!r}, family={q.family!r}{more})"


def _plain(text: str) -> str:
    """Write a text as Markdown shows it, and not as HTML or a link of its own."""
    for sign in "\\`*_[]<>#!|":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


def _markdown(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def _code(source: str) -> dict[str, Any]:
    return {
        "cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [],
        "source": source,
    }  # fmt: skip
