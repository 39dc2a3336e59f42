import numpy as np
import pytest
from scipy import stats

import mixedlab as ml
from mixedlab.answers import of_chapter
from mixedlab.inference.james_stein import (
    arcsine_scale,
    james_stein,
    known_variance_mixed_model,
)
from mixedlab.labs.three_poolings import LAB, State

TASKS = of_chapter(2)


def test_the_answers_are_those_of_the_fits():
    assert TASKS["2.1"].answer() == "more"
    assert TASKS["2.2"].answer() == pytest.approx(51.38, abs=5e-3)
    assert TASKS["2.4"].answer() == pytest.approx(3.525, abs=5e-4)


def test_partial_pooling_foretells_the_drivers_best():
    typical = {mistake.name: mistake.answer() for mistake in TASKS["2.2"].misconceptions}
    assert TASKS["2.2"].answer() < typical["no pooling scored"]
    assert typical["no pooling scored"] < typical["complete pooling scored"]


def test_the_first_county_changes_with_the_pooling():
    table = ml.pooling("log_radon ~ floor + (1 | county)", ml.load("radon")).side_by_side(
        "(Intercept)"
    )
    assert table["none"].idxmax() == "LACQUIPARLE"
    assert table["partial"].idxmax() == "WATONWAN"
    assert table.loc[["LACQUIPARLE", "WATONWAN"], "n"].tolist() == [2, 3]


@pytest.fixture(scope="module")
def season():
    """The averages of 1970 and of the rest of the season, where one player's luck is 1."""
    players = ml.load("baseball1970")
    own = arcsine_scale(players["hits"] / 45, 45)
    rest = arcsine_scale(players["remaining_hits"] / players["remaining_at_bats"], 45)
    return own, rest, players["remaining_at_bats"].to_numpy()


def error(estimate, truth):
    return np.sum((estimate - truth) ** 2)


def test_the_figures_that_the_chapter_quotes_of_the_shares(season):
    own, rest, _ = season
    assert np.var(own, ddof=1) == pytest.approx(1.12, abs=5e-3)
    assert known_variance_mixed_model(own).keep == pytest.approx(0.10, abs=5e-3)
    assert james_stein(own).keep == pytest.approx(0.21, abs=5e-3)
    best = own + 0.85 * (own.mean() - own)
    assert error(best, rest) == pytest.approx(error(own, rest) / 3, rel=0.1)
    assert np.sum(abs(best - rest) < abs(own - rest)) == 15


def test_the_figures_that_the_chapter_quotes_of_the_parabola(season):
    _, rest, at_bats = season
    talent_and_luck = np.sum((rest - rest.mean()) ** 2)
    assert talent_and_luck == pytest.approx(6.5, abs=0.05)
    assert pytest.approx(0.73, abs=5e-3) == 18 / (18 + 6.5)
    luck_of_the_rest = 17 / 18 * np.sum(45 / at_bats)
    assert luck_of_the_rest == pytest.approx(2.7, abs=0.05)
    assert 18 / (18 + 6.5 - luck_of_the_rest) == pytest.approx(0.83, abs=5e-3)


def test_one_guess_for_all_does_nearly_as_well_in_1970(season):
    own, rest, _ = season
    assert error(own.mean(), rest) == pytest.approx(6.63, abs=5e-3)
    assert error(james_stein(own).estimate, rest) == pytest.approx(6.27, abs=5e-3)
    assert stats.chi2.sf(np.sum((own - own.mean()) ** 2), 17) == pytest.approx(1 / 3, abs=0.01)


def test_but_not_over_many_seasons():
    mean = {name: np.mean(v) for name, v in LAB.replicate(State(dial=0.1), 0, 500).items()}
    assert mean["none"] == pytest.approx(18.7, abs=0.05)
    assert mean["complete"] == pytest.approx(7.6, abs=0.05)
    assert mean["mixed"] == pytest.approx(6.9, abs=0.05)


def test_a_small_step_is_better_than_none():
    errors = LAB.replicate(State(dial=0.1), 0, 200)
    assert np.mean(np.less(errors["dial"], errors["none"])) > 0.95


def test_the_figures_that_the_chapter_quotes_of_counties():
    three = ml.pooling("log_radon ~ 1 + (1 | county)", ml.load("radon"))
    between, within = three.fit.varcorr["vcov"]
    assert 2 / (2 + within / between) == pytest.approx(0.25, abs=0.03)
    assert 116 / (116 + within / between) > 0.94
