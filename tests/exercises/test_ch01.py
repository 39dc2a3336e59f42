import pytest

import mixedlab as ml
from mixedlab import answers
from mixedlab.answers import of_chapter

TASKS = of_chapter(1)


@pytest.fixture(autouse=True)
def _fresh():
    answers.start_over()


def test_the_answers_are_those_of_the_book():
    assert TASKS["1.1"].answer() == "30 donors"
    assert TASKS["1.2"].answer() == pytest.approx(11.219, abs=5e-3)
    assert ml.check("1.2", 11.22)
    assert TASKS["1.4"].answer() == pytest.approx(0.7614, abs=5e-4)


def test_the_report_errs_in_both_directions():
    three = ml.pooling("distance ~ age + Sex + (1 | Subject)", ml.load("orthodont"))
    report = three.complete.se.iloc[0]
    assert report["Sex[T.Female]"] < three.fit.se["Sex[T.Female]"]
    assert report["age"] > three.fit.se["age"]


def test_the_figures_that_the_chapter_quotes_of_the_schools():
    three = ml.pooling("mAch ~ sector + (1 | school)", ml.load("hsb82"))
    naive = three.complete.se["sector[T.Catholic]"].iloc[0]
    effect = (three.fit.se["sector[T.Catholic]"] / naive) ** 2
    assert effect == pytest.approx(7.6, abs=0.05)
    between, within = three.fit.varcorr["vcov"]
    assert between / (between + within) == pytest.approx(0.146, abs=5e-4)
    assert three.fit.fixef["sector[T.Catholic]"] == pytest.approx(2.8, abs=0.05)


def test_the_figures_that_the_chapter_quotes_of_neurons():
    trials = ml.simulate.trials(stimulus_varies="subject", effect=0, seed=3)
    assert trials.truth["se_effect"] == pytest.approx(1.58, abs=5e-3)
