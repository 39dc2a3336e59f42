import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from mixedlab.engine.terms import RandomTerm
from mixedlab.labs.ranking import (
    LAB,
    REPLAYS,
    State,
    _foretold,
    _two_years,
    fit,
    measure,
    measure_many,
    replay,
    simulate,
)
from mixedlab.labs.ranking_panels import rank_probabilities
from mixedlab.models.linear import fit_linear
from tests.labs.fuzz import check_lab


def marks(scene, panel):
    return {mark.key: mark for mark in scene.panels[panel].marks}


def share_best(table="own", seeds=range(5), **state):
    return np.mean([np.mean(replay(State(seed=s, **state))[table] == 1) for s in seeds])


def test_any_state_gives_a_sound_scene():
    check_lab(LAB)


def test_the_surprise_stands_beside_the_prediction():
    assert 0.3 < share_best() < 0.4
    said = re.search(r"truly the best in (\d+) %", LAB.run(State()).outcome)
    assert int(said[1]) < 50


def test_the_other_outcomes():
    trust = LAB.clean(LAB.goals[0].solution)
    assert np.mean(replay(trust)["own"] == 1) > 0.9
    assert share_best(icc=0.0) == pytest.approx(1 / 20, abs=0.01)
    unequal = {"unequal": True, "wards": 30}
    assert share_best("shrunken", **unequal) > share_best(**unequal) + 0.04


def test_equal_wards_have_one_table_shrunken_or_not():
    both = replay(State())
    np.testing.assert_array_equal(both["own"], both["shrunken"])


def test_small_wards_are_at_both_ends_of_the_table():
    ends, size = [], State(unequal=True, wards=30).sizes
    for seed in range(60):
        mean = simulate(State(seed=seed, unequal=True, wards=30)).mean[0]
        ends += [size[mean.argmax()], size[mean.argmin()]]
    assert np.mean(ends) < 0.75 * size.mean()


def test_replays_are_years_drawn_patient_by_patient():
    hits = []
    for seed in range(600):
        years = simulate(State(seed=seed))
        hits.append(years.mean[0].argmax() == years.truth[0].argmax())
    assert np.mean(hits) == pytest.approx(share_best(), abs=0.06)


@pytest.mark.parametrize("state", [State(), State(unequal=True, icc=0.2, seed=4)])
def test_the_fit_is_the_solver_s(state):
    made = _two_years(state, state.seed)
    now = made["year"] == 0
    term = RandomTerm.from_arrays(made["ward"][now])
    solved = fit_linear(made["score"][now], np.ones((now.sum(), 1)), [term])
    fits = fit(simulate(state))
    assert fits.centre == pytest.approx(solved.beta[0], abs=0.01)
    np.testing.assert_allclose(fits.mean - fits.centre, solved.b[0][:, 0], atol=0.02)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """The variances are estimated, so a little less often is what theory expects."""
    inside = []
    for seed in range(200):
        years = simulate(State(seed=seed, patients=60, icc=0.2))
        fits = fit(years)
        inside.append(np.abs(years.truth[0] - fits.mean) < 1.96 * fits.sd)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)


def test_rank_probabilities_of_two_wards_are_a_normal_tail():
    z = np.random.default_rng(0).standard_normal((200_000, 3))
    ranks = rank_probabilities(np.array([1.0, 0.0]), np.ones(2), np.array([4.0, 1.0]), 0.5, z)
    first = stats.norm.cdf(1 / np.sqrt(5))
    np.testing.assert_allclose(ranks, [[first, 1 - first], [1 - first, first]], atol=0.004)


def test_ranks_are_probabilities_by_ward_and_by_place():
    for state in (State(), State(icc=0.0), State(wards=7, patients=200, icc=0.5)):
        ranks = fit(simulate(state)).ranks
        np.testing.assert_allclose(ranks.sum(axis=0), 1)
        np.testing.assert_allclose(ranks.sum(axis=1), 1)


def test_the_model_s_probability_for_the_top_ward_is_calibrated():
    """Over many tables its mean is the share of top wards that are truly the best."""
    said, came = [], []
    for seed in range(300):
        years = simulate(State(seed=seed, patients=60, icc=0.1))
        top = years.mean[0].argmax()
        said.append(fit(years).ranks[top, 0])
        came.append(years.truth[0].argmax() == top)
    assert np.mean(said) == pytest.approx(np.mean(came), abs=0.08)


def test_next_year_is_foretold_without_bias():
    state = State(stability=0.5, patients=60, icc=0.2)
    errors, naive = [], []
    for seed in range(200):
        years = simulate(State(**{**vars(state), "seed": seed}))
        top = years.mean[0].argmax()
        errors.append(years.mean[1][top] - _foretold(state, fit(years))[top])
        naive.append(years.mean[1][top] - years.mean[0][top])
    assert abs(np.mean(errors)) < 4 * np.std(errors) / np.sqrt(200)
    assert np.mean(naive) < -3


def test_a_control_that_moves_keeps_the_random_numbers():
    few, more = simulate(State(wards=10)), simulate(State(wards=12))
    np.testing.assert_array_equal(few.mean, more.mean[:, :10])
    apart = simulate(State(icc=0.24)).truth - 70
    np.testing.assert_allclose(apart, 2 * (simulate(State(icc=0.06)).truth - 70))


def test_words_and_marks_agree():
    for state in (State(), State(seed=3, unequal=True), State(wards=5, patients=200, icc=0.3)):
        scene, years = LAB.run(state), simulate(state)
        odds, table, ranks = (marks(scene, k) for k in (0, 1, 3))
        order = np.argsort(-years.mean[0])
        assert f"Ward {order[0] + 1} is first with {table['own'].x[0]:.1f}" in scene.summary
        assert f"mean is {table['model'].x[0]:.1f}" in scene.outcome
        best = np.mean(years.replayed["own"] == 1)
        assert odds["best"].y1[0] == pytest.approx(100 * best)
        assert odds["said"].text[0].endswith(f"{100 * best:.0f} %")
        assert f"truly the best in {100 * best:.0f} %" in scene.outcome
        said = ranks["ranks"].values[-1][0]
        assert f"with probability {100 * said:.0f} %" in scene.outcome
        assert f"Next year it gets {table['next'].x[0]:.1f}" in scene.outcome_truth
        assert years.replayed["own"].size == REPLAYS
        assert f"{state.wards} wards" in scene.ask


def test_the_surprise_is_seen_most_winners_are_not_the_best():
    scene = LAB.run(State())
    odds, table, curve = (marks(scene, k) for k in range(3))
    best, others = odds["best"].y1[0], np.asarray(odds["others"].y1)
    assert odds["best"].stage == odds["others"].stage == "estimate"
    assert others.sum() > 1.5 * best  # all other bars together are higher than the first
    assert table["next"].starts_from == "own"
    assert table["next"].x[0] < table["own"].x[0] - 3  # the top ward falls next year
    (drag,) = curve["yours"].drag
    assert drag.x == "patients"
    many = marks(LAB.run(State(patients=200)), 2)["here"].y[0]
    assert many > curve["here"].y[0] + 25  # dragged to the right, the dot climbs


@pytest.mark.parametrize("place", [1, 7, 30])
def test_one_ward_is_followed_in_every_panel(place):
    state = State(place=place)
    scene, years = LAB.run(state), simulate(state)
    odds, table, ranks = (marks(scene, k) for k in (0, 1, 3))
    place = min(place, state.wards)
    ward = int(np.argsort(-years.mean[0])[place - 1])
    key, later = f"ward {ward + 1}", 1 + int((years.mean[1] > years.mean[1][ward]).sum())
    for panel, mark in (
        (odds, "followed"),
        (odds, "path"),
        (table, "followed"),
        (ranks, "followed"),
    ):
        assert panel[mark].keys == [key]
        assert panel[mark].color == "yours"
    assert table["followed"].x[0] == years.mean[0][ward]
    # Grabbing a dot sets its place, in the large picture and in the table.
    for own in (odds["wards"], table["own"]):
        assert own.drag[own.keys.index(key)].sets == {"place": place}
    # The path runs over the dots it names: this year's place, the true one and next year's.
    at = odds["next"].keys.index(key)
    assert odds["path"].x[0][0] * state.wards + 0.5 == pytest.approx(place)
    assert odds["path"].x[0][2] == odds["next"].x[at]
    assert odds["path"].x[0][2] * state.wards + 0.5 == pytest.approx(later)
    assert f"number {later} " in scene.headline_truth
    assert f"is number {later}." in scene.outcome_truth


def test_the_fall_is_seen_the_first_ward_s_line_leads_away_from_the_first_place():
    odds = marks(LAB.run(State()), 0)
    now, truly, later = odds["path"].x[0]
    assert now < truly < later
    assert odds["truth"].starts_from == odds["next"].starts_from == "wards"


def test_many_years_at_once_are_the_years_one_by_one():
    for state in (State(), State(unequal=True, wards=7), State(icc=0)):
        seeds = [3, 8, 11]
        many = measure_many(state, seeds)
        for k, seed in enumerate(seeds):
            one = replace(state, seed=seed)
            years = simulate(one)
            for name, value in measure(one, years, fit(years)).items():
                assert many[name][k] == pytest.approx(value, rel=1e-9)


def test_the_lab_needs_numpy_alone():
    code = (
        "import sys; from mixedlab.labs.ranking import LAB; "
        "LAB.run(LAB.state()); LAB.replicate(LAB.state(), 0, 2); "
        "print([m for m in ('pandas', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
