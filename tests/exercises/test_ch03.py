import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.answers import of_chapter
from mixedlab.errors import MixedlabError

TASKS = of_chapter(3)


def test_the_answers_are_those_of_the_fits():
    schools = ml.lmm("mAch ~ 1 + (1 | school)", ml.load("hsb82"))
    new = pd.DataFrame({"school": ["never seen"]})
    interval = schools.predict(
        new, kind="conditional", interval="confidence", new_levels="population"
    )
    half = (interval["upper"] - interval["lower"]).iloc[0] / 2
    assert TASKS["3.2"].answer() == pytest.approx((half / 1.959964) ** 2, rel=1e-3)
    plates = ml.load("penicillin")
    assert TASKS["3.4"].answer() == pytest.approx(plates["diameter"].mean(), abs=1e-6)


def test_a_model_of_dummies_has_nothing_to_say_of_a_new_county():
    radon = ml.load("radon")
    fit = ml.glmm("log_radon ~ 0 + C(county)", radon, family="gaussian")
    with pytest.raises(MixedlabError, match="county"):
        fit.predict(pd.DataFrame({"county": ["never seen"]}))
    assert TASKS["3.1"].answer() == "nothing"


def test_what_the_chapter_says_of_radon():
    """Uranium halves the counties' spread; the floor's coefficient is that of this table."""
    radon = ml.load("radon")
    plain = ml.lmm("log_radon ~ floor + (1 | county)", radon)
    soil = ml.lmm("log_radon ~ floor + log_uranium + (1 | county)", radon)
    ratio = soil.varcorr["sdcor"].iloc[0] / plain.varcorr["sdcor"].iloc[0]
    assert 0.4 < ratio < 0.55
    assert plain.fixef["floor"] == pytest.approx(-0.6629, abs=1e-4)
    # Readings of 0 are 0.1 after the shift here, and 0.1 in the book of Gelman and Hill.
    reading = np.exp(radon["log_radon"]) - 0.1
    theirs = radon.assign(log_radon=np.log(reading.clip(lower=0.1)))
    book = ml.lmm("log_radon ~ floor + (1 | county)", theirs)
    assert book.fixef["floor"] == pytest.approx(-0.69, abs=0.005)


def test_a_constant_moved_from_the_intercept_to_the_effects_changes_no_mean():
    b = np.array([0.3, -0.2, 0.5])
    np.testing.assert_allclose(1.5 + b, (1.5 + 2) + (b - 2))
