import numpy as np
import pytest

import mixedlab as ml
from mixedlab.answers import of_chapter
from mixedlab.exercises import ch22
from mixedlab.labs.ranking import State, replay

TASKS = of_chapter(22)


def test_the_answers_are_those_of_the_lab():
    """Drawn patient by patient here, by the wards' means there: one probability."""
    icc = ch22.SD_WARD**2 / (ch22.SD_WARD**2 + ch22.SD_PATIENT**2)
    shares = [(replay(State(icc=icc, seed=s))["own"] == 1).mean() for s in range(10)]
    in_the_lab = sum(shares) / 10
    assert TASKS["22.2"].answer() == pytest.approx(in_the_lab, abs=TASKS["22.2"].tolerance)


def test_the_last_ward_rises_as_theory_says():
    """By 1 less stability times reliability of its distance; within three Monte Carlo errors."""
    assert TASKS["22.1"].answer() == "better"
    now = ch22._replays()["now"]
    distance = (now.mean(axis=1) - now.min(axis=1)).mean()
    keeps = 0.8 * 9 / (9 + 144 / 15)
    assert ch22._change_of_the_last() == pytest.approx((1 - keeps) * distance, abs=0.4)


def test_predicted_effects_lose_part_of_the_difference():
    right, shrunken = TASKS["22.3"].answer(), ch22._by_predicted_effects()
    assert right == pytest.approx(2.805, abs=1e-3)
    assert 0.85 * right < shrunken < 0.95 * right


def test_the_figures_that_the_chapter_quotes_of_wards():
    rank = np.concatenate([replay(State(seed=s))["own"] for s in range(10)])
    assert np.mean(rank == 1) == pytest.approx(0.35, abs=0.02)
    assert np.mean(rank <= 5) > 0.7
    keep = [n / (n + (1 - 0.06) / 0.06) for n in (15, 4)]
    np.testing.assert_allclose(keep, [0.49, 0.20], atol=0.005)


def test_the_figures_that_the_chapter_quotes_of_schools():
    """Raudenbush and Bryk, chapter 4."""
    schools = ml.load("hsb82")
    fit = ml.lmm("mAch ~ 1 + (1 | school)", schools)
    between, within = fit.varcorr["vcov"]
    assert (between, within) == pytest.approx((8.61, 39.15), abs=0.005)
    size = schools.groupby("school", observed=True).size()
    assert np.mean(size / (size + within / between)) == pytest.approx(0.90, abs=0.005)
    ends = fit.fixef.iloc[0] + 1.96 * np.sqrt(between) * np.array([-1, 1])
    np.testing.assert_allclose(ends, [6.89, 18.39], atol=0.01)
