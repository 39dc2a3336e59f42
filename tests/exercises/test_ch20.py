import json

import pytest

import mixedlab as ml
from mixedlab.answers import of_chapter
from tests import paths

TASKS = of_chapter(20)
REFERENCE = paths.REFERENCE / "hglm.json"


def test_the_answers_are_the_book_s():
    """The exact Poisson-gamma fit of the reference has the shape 1 / lambda."""
    (case,) = (
        c for c in json.loads(REFERENCE.read_text()) if c["id"] == "epil-poisson-gamma-exact"
    )
    assert TASKS["20.1"].answer() == "treatment"
    assert TASKS["20.2"].answer() == pytest.approx(10 + 100 / case["gamma_shape"], abs=0.01)
    assert TASKS["20.3"].answer() == pytest.approx(0.246, abs=1e-3)


def test_a_random_effect_of_the_patient_leaves_the_period_alone_exactly():
    """Given a patient's total the Poisson-gamma likelihood is multinomial in the periods."""
    epil = ml.load("epil")
    formula = "y ~ lbase * trt + lage + V4"
    plain = ml.glmm(formula, epil, family="poisson")
    fit = ml.hglm(f"{formula} + (1 | subject)", epil, family="poisson", random_family="gamma")
    assert fit.fixef["V4"] == pytest.approx(plain.fixef["V4"], abs=1e-6)
    assert fit.se["V4"] == pytest.approx(plain.se["V4"], rel=1e-5)
