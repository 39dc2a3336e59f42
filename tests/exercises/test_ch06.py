import numpy as np
import pytest

import mixedlab as ml
from mixedlab.answers import of_chapter

TASKS = of_chapter(6)


def test_the_answers_are_those_of_the_fit():
    assert TASKS["6.1"].answer() == "near 1"
    jaws = ml.load("orthodont").assign(year=lambda rows: rows["age"] - 8)
    t00, t11, t01, error = ml.lmm("distance ~ year + (year | Subject)", jaws).varcorr["vcov"]
    assert TASKS["6.2"].answer() == pytest.approx(t00 + 12 * t01 + 36 * t11 + error)
    assert TASKS["6.2"].answer() == pytest.approx(8.190, abs=2e-3)
    assert TASKS["6.4"].answer() == pytest.approx(t00 + 8 * t01 + 12 * t11)


def test_a_random_intercept_makes_the_error_of_a_mean_rate_too_small():
    """What exercise 6.3 says, in a simulation: the interval misses too often."""
    rng, missed = np.random.default_rng(1), {"1": 0, "time": 0}
    time, child = np.tile(np.arange(5.0), 20), np.repeat(np.arange(20), 5)
    table = {"time": time, "child": child, "programme": child % 2}
    for _ in range(100):
        level, rate = rng.normal(0, 1, 20), rng.normal(0, 0.5, 20)
        table["score"] = (level + 0)[child] + rate[child] * time + rng.normal(0, 0.5, 100)
        for part in missed:
            fit = ml.lmm(f"score ~ time * programme + ({part} | child)", table)
            test = fit.tests(df="satterthwaite").loc["time:programme"]
            missed[part] += test["p"] < 0.05
    assert missed["1"] > 20
    assert missed["time"] < 12


def loglik(days):
    sleep = ml.load("sleepstudy")
    table = sleep.assign(Days=days(sleep["Days"]))
    return ml.lmm("Reaction ~ Days + (Days || Subject)", table, reml=False).loglik


def test_without_the_covariance_the_fit_depends_on_the_zero_and_not_on_the_unit():
    assert loglik(lambda days: days) == pytest.approx(-876.0016, abs=1e-4)
    assert loglik(lambda days: 24 * days) == pytest.approx(-876.0016, abs=1e-4)
    assert loglik(lambda days: days - 9) == pytest.approx(-888.15, abs=5e-3)


def test_the_figure_that_the_chapter_quotes_of_the_days_of_short_sleep():
    sleep = ml.load("sleepstudy")
    fit = ml.lmm("Reaction ~ Days + (Days | Subject)", sleep[sleep["Days"] >= 2])
    assert fit.fixef["Days"] == pytest.approx(11.4, abs=0.05)
