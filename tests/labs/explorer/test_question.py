"""The lines of code make the fit that is shown."""

import numpy as np
import pytest

import mixedlab as ml
from mixedlab.labs.explorer.question import Question
from tests.labs.explorer import tables

FITTED = [
    ("sleepstudy", {}),
    ("sleepstudy", {"slope": True}),
    ("binary", {}),
    ("binary", {"centring": "split"}),
    ("counts", {"offset": "log effort"}),
    ("pastes", {}),
    ("penicillin", {}),
]


@pytest.mark.parametrize(("name", "settings"), FITTED)
def test_the_lines_of_code_make_the_same_fit(name, settings):
    make, wells = tables.ALL[name]
    explorer = ml.explore(make(), **wells)
    for field, value in settings.items():
        setattr(explorer, field, value)
    names = {"df": make()}
    exec(explorer.code.replace("print(fit.summary())", ""), names)
    np.testing.assert_allclose(names["fit"].fixef, explorer.fit.fixef, rtol=1e-5, atol=1e-7)
    assert names["fit"].loglik == pytest.approx(explorer.fit.loglik, abs=1e-5)


def test_names_that_are_no_names_are_quoted():
    q = Question("my y", "x", ("a b", "g"), True, "poisson", True, "split", "log effort")
    assert q.formula() == "`my y` ~ x_mean + x_dev + (x_dev | `a b`/g)"
    assert 'offset="log effort"' in q.code()
    assert "offset = `log effort`" in q.code_of_lme4()
    assert "family = poisson" in q.code_of_lme4()
    assert "ave(" in q.code_of_lme4()
