from dataclasses import replace

import numpy as np
import pytest

from mixedlab.labs.cluster_trials import (
    LAB,
    State,
    critical,
    design,
    power,
    powers,
    variance_of_mean,
)
from tests.labs.fuzz import check_lab

stats = pytest.importorskip("scipy.stats")


def villages_needed(state: State) -> int:
    """Return the fewest villages an arm, of as many people as now, that give 80 % power."""
    for k in range(2, 400):
        if power(k, state.people, state.icc, state.effect) >= 0.8:
            return k
    return 400


def marks_of(state, panel):
    (found,) = (p for p in LAB.run(state).panels if p.key == panel)
    return {mark.key: mark for mark in found.marks}


def test_any_state_gives_a_sound_scene():
    check_lab(LAB)


@pytest.mark.parametrize("df", range(2, 162, 2))
def test_critical_values_are_student_s(df):
    assert critical(df) == pytest.approx(stats.t.ppf(0.975, df), abs=2e-5)


@pytest.mark.parametrize(
    ("k", "m", "icc", "effect"),
    [(2, 30, 0.1, 0.5), (8, 30, 0.1, 0.35), (16, 5, 0.3, 0.2), (40, 6, 0.0, 0.1), (8, 30, 0.1, 0)],
)
def test_power_is_that_of_the_noncentral_t(k, m, icc, effect):
    df, away = 2 * k - 2, effect / np.sqrt(2 * variance_of_mean(m, icc) / k)
    wall = stats.t.ppf(0.975, df)
    exact = stats.nct.sf(wall, df, away) + stats.nct.cdf(-wall, df, away)
    assert power(k, m, icc, effect) == pytest.approx(exact, abs=5e-5)


def test_power_is_how_often_simulated_trials_find_the_effect():
    state = State()
    k, m = design(state, "plan")
    rng = np.random.default_rng(12)
    shared = np.sqrt(state.icc) * rng.standard_normal((4000, 2, k, 1))
    people = shared + np.sqrt(1 - state.icc) * rng.standard_normal((4000, 2, k, m))
    people[:, 1] += state.effect
    means = people.mean(axis=-1)
    p = stats.ttest_ind(means[:, 1], means[:, 0], axis=1).pvalue
    assert np.mean(p < 0.05) == pytest.approx(powers(state)["plan"], abs=0.03)


def test_villages_lengthen_the_bar_and_people_hardly_do():
    """The surprise is seen: the same money makes one bar twice as long, or moves it a little."""
    marks = marks_of(State(), "power")
    plan, people, villages = (marks[k].x1[0] for k in ("plan", "people", "villages"))
    assert people - plan < 0.2 * (villages - plan)
    assert marks["plan"].stage == "data"
    assert marks["people"].stage == marks["villages"].stage == "estimate"


def test_no_number_of_people_passes_the_ceiling():
    state = State()
    ceiling = marks_of(state, "power")["ceiling"].x[0][0] / 100
    for budget in (240, 1000, 2000):
        assert powers(replace(state, budget=budget))["people"] < ceiling


def test_without_an_icc_people_are_as_good_as_villages():
    now = powers(State(icc=0.0, effect=0.2))
    assert now["people"] == pytest.approx(now["villages"], abs=0.035)


def test_the_villages_needed_give_the_power_wanted_and_one_less_does_not():
    state = State()
    k = villages_needed(state)
    assert power(k, state.people, state.icc, state.effect) >= 0.8
    assert power(k - 1, state.people, state.icc, state.effect) < 0.8


def test_people_as_rows_alarm_and_village_means_do_not():
    found = [LAB.fit(LAB.simulate(State(seed=seed))) for seed in range(20)]
    assert np.mean([f["averaged"] for f in found]) == pytest.approx(0.05, abs=0.01)
    assert np.mean([f["naive"] for f in found]) > 0.25


def test_the_estimate_spreads_as_theory_says():
    state = State()
    values = LAB.measure_many(state, range(2000))
    for plan in ("plan", "people", "villages"):
        k, m = design(state, plan)
        sd = np.sqrt(2 * variance_of_mean(m, state.icc) / k)
        assert np.std(values[plan]) == pytest.approx(sd, rel=0.06)
        assert np.mean(values[plan]) == pytest.approx(state.effect, abs=4 * sd / 44)
