"""The page of public names is made of the docstrings, all of them."""

import inspect

import public_names

import mixedlab as ml
from tests import paths
from tests.test_docstrings import NAMES

PAGE = (paths.ROOT / "book" / "appendices" / "reference.md").read_text("utf-8")
SOURCES = ("mixedlab", "fit", "mixedlab.simulate", "mixedlab.pictures")


def test_every_public_name_is_on_the_page():
    assert all(f"{{public-names}} {source}\n" in PAGE for source in SOURCES)
    listed = {name for source in SOURCES for name, _, _ in public_names.public(source)}
    assert {f"ml.{name}" for name in ml._HOME_OF} <= listed
    asked = {name.replace("LinearFit.", "fit.") for name in NAMES if name.startswith("LinearFit.")}
    assert asked <= listed
    assert len(listed) > 60


def test_a_description_is_the_signature_and_the_docstring():
    lines = public_names.described("ml.lmm", "function", ml.lmm)
    assert lines[1].startswith(".. py:function:: ml.lmm(formula, data, *, reml=True")
    text = "\n".join(lines)
    for line in inspect.getdoc(ml.lmm).splitlines():
        if line.startswith(">>>"):
            assert f"   {line}" in text


def test_a_question_is_shown_as_it_is_asked_of_a_fit():
    found = {name: (kind, f) for name, kind, f in public_names.public("fit")}
    kind, function = found["fit.predict"]
    shown = public_names.described("fit.predict", kind, function)[1]
    assert shown.startswith(".. py:method:: fit.predict(newdata=None, kind='conditional'")
