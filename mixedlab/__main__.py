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
    """Write ``answers.csv`` and ``common-errors.html``; print how many solved each exercise."""
    from mixedlab.exercises.report import SOLVED, read_class

    result = read_class(options.folder)
    options.out.mkdir(parents=True, exist_ok=True)
    table, page = options.out / "answers.csv", options.out / "common-errors.html"
    result.write_csv(table)
    result.write_page(page)
    for task in result.exercises:
        solved = sum(n.state(task.id) == SOLVED for n in result.notebooks)
        print(f"{task.id} {task.title}: solved in {solved} of {len(result.notebooks)} notebooks")
    print(f"Who solved what: {table}\nCommon errors: {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
