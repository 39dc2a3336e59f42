"""Every public name says what it does and has examples, which run here as they stand."""

import doctest
import inspect
from collections.abc import Callable, Iterator

import matplotlib as mpl
import pytest

import mixedlab as ml
from mixedlab.diagnosis import Diagnosis
from mixedlab.models.gee.fit import GEEFit
from mixedlab.models.generalized_fit import GeneralizedFit
from mixedlab.models.hglm.fit import HierarchicalFit
from mixedlab.models.linear_fit import LinearFit
from mixedlab.three_poolings import ThreePoolings
from tests.contract.test_same_shapes import QUESTIONS

FITS = (LinearFit, GeneralizedFit, HierarchicalFit, GEEFit)
ANSWERS = (Diagnosis, ThreePoolings)
MODULES = (ml.simulate, ml.pictures)
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def public() -> Iterator[tuple[str, Callable]]:
    """The package's names and those of its two public modules, and the questions of every fit."""
    for name in ml._HOME_OF:
        yield f"ml.{name}", getattr(ml, name)
    for module in MODULES:
        for name in module.__all__:
            if callable(getattr(module, name)):
                yield f"{module.__name__.replace('mixedlab', 'ml')}.{name}", getattr(module, name)
    for kind in ANSWERS:
        yield kind.__name__, kind
    for kind in FITS:
        for name in (*QUESTIONS, "refit_many"):
            if hasattr(kind, name):
                yield f"{kind.__name__}.{name}", getattr(kind, name)


NAMES = dict(public())


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_run(name, monkeypatch):
    monkeypatch.setitem(mpl.rcParams, "backend", "agg")
    text = inspect.getdoc(NAMES[name])
    assert text, f"{name} has no docstring"
    assert "Examples\n--------\n" in text, f"the docstring of {name} has no section Examples"
    if "marginaleffects" in text.split("Examples\n")[1]:
        pytest.importorskip("marginaleffects", reason="pip install 'mixedlab[effects]'")
    test = doctest.DocTestParser().get_doctest(text, {"__name__": "__main__"}, name, None, 0)
    assert test.examples
    runner, said = doctest.DocTestRunner(optionflags=FLAGS), []
    result = runner.run(test, out=said.append)
    assert result.failed == 0, "".join(said)


def test_what_does_not_print_what_it_says_is_found():
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert doctest.DocTestRunner(verbose=False).run(wrong, out=lambda text: None).failed == 1
