import re
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from mixedlab.inference.james_stein import arcsine_scale
from mixedlab.labs.kit.lab import replicate_seed
from mixedlab.labs.three_poolings import (
    DIALS,
    LAB,
    REAL_SEED,
    State,
    best_dial,
    errors,
    fit,
    scene,
    season,
    simulate,
)
from tests.labs.fuzz import check_lab


def run(**state):
    state = State(**state)
    batting = simulate(state)
    fits = fit(batting)
    return batting, fits, scene(state, batting, fits)


def marks(panel):
    return {mark.key: mark for mark in panel.marks}


def test_any_state_gives_a_sound_scene():
    check_lab(LAB)


def test_default_shows_the_real_first_at_bats():
    batting, _, shown = run()
    players, hits, rate = season()
    assert dict(zip(players, hits.tolist(), strict=True))["Clemente"] == 18
    np.testing.assert_array_equal(batting.hits, hits)
    np.testing.assert_allclose(batting.truth, rate, atol=1e-12)
    assert shown.panels[0].title == "The first 45 at-bats of 1970"


def test_more_at_bats_add_to_the_real_ones_and_fewer_are_part_of_them():
    hits = run()[0].hits
    for n, title in ((20, "20 of the first 45"), (200, "and 155 simulated")):
        batting, _, shown = run(at_bats=n)
        assert title in shown.panels[0].title
        assert np.all(batting.hits >= hits if n > 45 else batting.hits <= hits)


@pytest.mark.parametrize("state", [{"seed": 3}, {"spread": 2}, {"seed": 3, "at_bats": 90}])
def test_other_seeds_and_spreads_are_simulated_and_say_so(state):
    batting, _, shown = run(**state)
    assert shown.panels[0].title == f"{batting.at_bats} simulated at-bats"


def test_a_control_that_moves_keeps_the_random_numbers():
    few, more = run(seed=5, at_bats=100)[0], run(seed=5, at_bats=105)[0]
    assert np.all((more.hits - few.hits >= 0) & (more.hits - few.hits <= 5))
    wide, wider = run(seed=5, spread=1.0)[0], run(seed=5, spread=1.1)[0]
    assert np.abs(wide.hits - wider.hits).max() <= 2


def test_simulated_hits_follow_the_season():
    _, _, rate = season()
    n, samples = 45, [run(seed=s)[0].hits for s in range(1, 801)]
    gap = np.mean(samples, axis=0) - n * rate
    assert np.all(np.abs(gap) < 4.5 * np.sqrt(n * rate * (1 - rate) / len(samples)))


def test_spread_zero_makes_all_alike_and_three_triples_the_angles():
    assert np.ptp(run(spread=0)[0].truth) < 1e-12
    angle = [arcsine_scale(run(spread=s)[0].truth, 1) for s in (1, 3)]
    assert np.ptp(angle[1]) == pytest.approx(3 * np.ptp(angle[0]))


@pytest.mark.parametrize(("dial", "same"), [(0, "own"), (1, "mean")])
def test_the_ends_of_the_dial(dial, same):
    shown = marks(run(dial=dial)[2].panels[0])
    expected = shown["own"].x if same == "own" else shown["mean"].x[0][0]
    np.testing.assert_allclose(shown["pooled"].x, expected, atol=1e-12)


def test_the_surprise_and_its_figures():
    """From the default state: keep about a fifth; the ends lose."""
    batting, fits, shown = run()
    assert fits.james_stein.keep == pytest.approx(0.209, abs=1e-3)
    error = errors(batting, fits, DIALS)
    assert best_dial(batting, fits) == pytest.approx(0.85, abs=1e-3)
    assert abs(DIALS[error.argmin()] - best_dial(batting, fits)) <= 0.01 + 1e-9
    assert error[0] == pytest.approx(19.90, abs=0.01)
    assert error[-1] == pytest.approx(6.63, abs=0.01)
    assert "Total error: 19.9 at dial 0, 6.6 at dial 1" in shown.outcome_truth
    assert "keep 21%" in shown.outcome


def test_the_surprise_is_seen_the_squares_crowd_round_the_mean_and_the_diamonds_with_them():
    """The model's squares leave their players' dots for the line; the truth lies nearer to them."""
    shown = marks(run()[2].panels[0])
    mean = shown["mean"].x[0][0]
    own, model, truth = (np.asarray(shown[key].x) for key in ("own", "model", "truth"))
    assert shown["model"].starts_from == shown["truth"].starts_from == "own"
    assert np.all(abs(model - mean) < 0.25 * abs(own - mean) + 1e-9)
    assert np.sum((model - truth) ** 2) < 0.5 * np.sum((own - truth) ** 2)


def test_words_and_marks_agree():
    for state in ({"dial": 0.3}, {"seed": 8, "at_bats": 100, "dial": 0.9}):
        _, fits, shown = run(**state)
        error = marks(shown.panels[1])
        said = [float(v) for v in re.findall(r"(?<![\d.])\d+\.\d+", shown.outcome_truth)]
        assert said[0] == pytest.approx(error["ends"].y[0], abs=0.051)
        assert said[1] == pytest.approx(error["ends"].y[1], abs=0.051)
        assert said[5] == pytest.approx(error["here"].y[0], abs=0.051)
        assert f"{fits.mixed.pooling:.2f}" in shown.summary
        assert error["mixed"].x[0][0] == fits.mixed.pooling


@pytest.mark.parametrize(
    ("state", "best", "worst"),
    [
        ({"at_bats": 10}, "complete", "none"),
        ({"at_bats": 500, "spread": 2}, "mixed", "complete"),
        ({"spread": 0}, "complete", "none"),
        ({}, "mixed", "none"),
    ],
)
def test_each_preset_shows_another_outcome_on_average(state, best, worst):
    values = LAB.replicate(State(**state), 0, 200)
    mean = {name: np.mean(v) for name, v in values.items() if name != "dial"}
    assert min(mean, key=mean.get) == best
    assert max(mean, key=mean.get) == worst
    assert mean["none"] == pytest.approx(18, abs=3 if state.get("at_bats", 45) > 10 else 8)


def test_replicates_measure_fresh_samples():
    state = State(dial=0.25)
    values = LAB.replicate(state, 0, 2)
    sample = replace(state, seed=replicate_seed(REAL_SEED, 1))
    batting = simulate(sample)
    fits = fit(batting)
    assert values["dial"][1] == errors(batting, fits, np.array([0.25]))[0]


def test_state_to_scene_is_fast_and_needs_numpy_alone():
    times = []
    for seed in range(60):
        start = time.perf_counter()
        LAB.run(State(seed=seed)).to_dict()
        times.append(time.perf_counter() - start)
    assert np.median(times) < 0.010
    import subprocess

    code = (
        "import sys, mixedlab.labs.three_poolings; "
        "print([m for m in ('pandas', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
