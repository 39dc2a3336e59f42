"""The command line: what it prints, and how it refuses."""

import subprocess
import sys

import pytest

from mixedlab.__main__ import main
from mixedlab.labs import catalogue


def test_labs_are_listed_by_name_and_title(capsys):
    assert main(["labs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(catalogue.names())
    assert all(catalogue.get(line.split()[0]).title in line for line in lines)


def test_a_folder_without_notebooks_is_refused_in_words(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err


def test_an_unknown_command_is_named():
    with pytest.raises(SystemExit):
        main(["nothing"])


def test_it_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "mixedlab", "labs"], capture_output=True, text=True, check=True
    )
    assert "three-poolings" in done.stdout
