import numpy as np
import pytest

import mixedlab as ml
from mixedlab.answers import of_chapter
from mixedlab.exercises import ch05

TASKS = of_chapter(5)


def test_the_answers_are_those_of_the_fits():
    assert TASKS["5.1"].answer() == "between"
    rail = ml.lmm("travel ~ 1 + (1 | Rail)", ml.load("rail"))
    assert TASKS["5.2"].answer() == pytest.approx(rail.varcorr["vcov"].iloc[0], rel=1e-4)
    pastes = ml.lmm("strength ~ 1 + (1 | sample)", ml.load("pastes"))
    assert TASKS["5.4"].answer() == pytest.approx(pastes.varcorr["vcov"].iloc[0], rel=1e-4)


def test_five_laboratories_stop_at_the_wall_and_may_differ_by_as_much_as_their_error():
    between, within = ch05._laboratories().varcorr["sdcor"]
    assert between == 0
    assert (ch05._most_between(), within) == pytest.approx((1.4, 1.7), abs=0.05)
    assert TASKS["5.3"].answer() == "up to"


def test_the_chapter_says_how_far_reml_and_ml_are_from_the_truth_on_average():
    """Before the wall REML is right on average, ML too small by (s_b^2 + s^2 / n) / J."""
    rng = np.random.default_rng(5)
    J, n, sd_b, sd = 6, 4, 20.0, 60.0
    y = sd_b * rng.standard_normal((40_000, J, 1)) + sd * rng.standard_normal((40_000, J, n))
    means, within = y.mean(axis=-1), y.var(axis=-1, ddof=1).mean(axis=-1)
    reml = means.var(axis=-1, ddof=1) - within / n
    ml_ = means.var(axis=-1) - within / n
    error = reml.std() / 200
    assert reml.mean() == pytest.approx(sd_b**2, abs=4 * error)
    assert ml_.mean() == pytest.approx(sd_b**2 - (sd_b**2 + sd**2 / n) / J, abs=4 * error)
    assert reml.clip(0).mean() > sd_b**2 + 10 * error  # after the wall it is too large


def test_six_batches_never_tell_the_variance_better_than_to_two_thirds():
    rng = np.random.default_rng(6)
    J, n, sd_b, sd = 6, 200, 20.0, 60.0
    means = sd_b * rng.standard_normal((40_000, J)) + sd / n**0.5 * rng.standard_normal((40_000, J))
    assert means.var(axis=-1, ddof=1).std() / sd_b**2 >= (2 / 5) ** 0.5


def test_the_published_fits():
    dye = ml.load("dyestuff")
    for reml, between in ((True, 42.001), (False, 37.260)):
        fit = ml.lmm("Yield ~ 1 + (1 | Batch)", dye, reml=reml)
        assert fit.varcorr["sdcor"].to_numpy() == pytest.approx([between, 49.510], abs=6e-4)
    double = ml.lmm("Yield ~ 1 + (1 | Batch)", ml.load("dyestuff2"))
    assert double.varcorr["sdcor"].to_numpy() == pytest.approx([0, 3.7157], abs=1e-4)
    effect, se = [28, 8, -3, 7, -1, 1, 18, 12], [15, 10, 16, 11, 9, 11, 10, 18]
    schools = ml.two_stage(effect, se, method="REML")
    assert (schools.estimate, schools.se) == pytest.approx((7.69, 4.07), abs=0.005)
    assert schools.tau2 == 0
