"""``python -m mixedlab``: list the labs, or report what a class has solved."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mixedlab.errors import MixedlabError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m mixedlab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("labs", help="list the labs")
    report = commands.add_parser(
        "report", help="read executed student notebooks and report who solved what"
    )
    report.add_argument("folder", type=Path, help="holds the notebooks, in folders of any depth")
    report.add_argument(
        "--out", type=Path, default=Path(), help="where to write (default: the current folder)"
    )
    options = parser.parse_args(arguments)
    try:
        return list_labs() if options.command == "labs" else report_class(options)
    except MixedlabError as error:
        print(error, file=sys.stderr)
        return 1


def list_labs() -> int:
    """Print every lab's name and title."""
    from mixedlab.labs import catalogue

    for name in catalogue.names():
        print(f"{name:<28}{catalogue.get(name).title}")
    return 0


def report_class(options: argparse.Namespace) -> int:
    """Write a table and two pages; print how many solved each exercise."""
    from mixedlab.exercises.class_notebooks import SOLVED
    from mixedlab.exercises.report import read_class

    result = read_class(options.folder)
    options.out.mkdir(parents=True, exist_ok=True)
    table = options.out / "answers.csv"
    result.write_csv(table)
    pages = {"class.html": result.matrix(), "common-errors.html": result.page()}
    for name, page in pages.items():
        (options.out / name).write_text(page, encoding="utf-8")
    for task in result.exercises:
        notebooks = sum(n.state(task.id) == SOLVED for n in result.notebooks)
        students = sum(s.state(task.id) == SOLVED for s in result.students)
        print(
            f"{task.id} {task.title}: solved in {notebooks} of {len(result.notebooks)} notebooks, "
            f"by {students} of {len(result.students)} students"
        )
    matrix, errors = (options.out / name for name in pages)
    print(f"Who solved what: {matrix} and {table}\nCommon errors: {errors}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
