import pytest

import mixedlab as ml
from mixedlab import answers
from mixedlab.answers import of_chapter

TASKS = of_chapter(7)


@pytest.fixture(autouse=True)
def _fresh():
    answers.start_over()


def test_the_answers_are_the_book_s():
    """Raudenbush and Bryk print 2.19 within and 5.87 between."""
    assert TASKS["7.1"].answer() == "within"
    assert TASKS["7.2"].answer() == pytest.approx(5.866 - 2.191, abs=2e-3)
    assert TASKS["7.3"].answer() == pytest.approx(2.191, abs=1e-3)


def test_contextual_effect_is_the_coefficient_of_the_mean_beside_raw_ses():
    hsb = ml.within_between(ml.load("hsb82")[["school", "ses", "mAch"]], "ses", "school")
    fit = ml.lmm("mAch ~ ses + ses_mean + (1 | school)", hsb)
    assert ml.check("7.2", fit.fixef["ses_mean"])
