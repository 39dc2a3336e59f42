import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from mixedlab.labs import catalogue
from mixedlab.labs.kit.bet import Choice

FOLDER = Path(catalogue.__file__).parent


def test_labs_are_found_by_their_files():
    modules = [p.stem for p in FOLDER.glob("*.py") if p.read_text().count("\nLAB = Lab(")]
    labs = [import_module(f"mixedlab.labs.{module}").LAB.name for module in modules]
    assert sorted(labs) == list(catalogue.names())
    assert "regression-to-the-mean" in labs


@pytest.mark.parametrize("name", catalogue.names())
def test_a_lab_has_its_own_name(name):
    assert catalogue.get(name).name == name


def test_serving_one_lab_loads_neither_the_others_nor_what_it_does_not_need():
    code = (
        "import sys; from mixedlab.labs.kit import protocol; "
        "protocol.answer({'kind': 'scene', 'lab': 'regression-to-the-mean'}); "
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    heavy = {"pandas", "scipy", "matplotlib", "ipywidgets", "anywidget", "formulaic"}
    assert not loaded & heavy
    others = {catalogue.get(n).scene.__module__ for n in catalogue.names()}
    assert loaded & others == {"mixedlab.labs.regression_to_the_mean"}


def test_the_right_option_stands_in_no_place_too_often():
    """Over all labs whose bet is a choice: who always takes the last one learns nothing."""
    labs = [catalogue.get(name) for name in catalogue.names()]
    choices = [lab for lab in labs if isinstance(lab.question, Choice)]
    answers = [lab.run(lab.state()).answer for lab in choices]
    places = Counter(answer for answer in answers if answer is not None)
    assert max(places.values(), default=0) <= max(2, len(places) // 2 + 1), places
