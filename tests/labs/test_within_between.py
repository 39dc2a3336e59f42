import re
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from mixedlab.engine.terms import RandomTerm
from mixedlab.labs.kit.lab import replicate_seed
from mixedlab.labs.within_between import LAB, PERSONS, State, fit, scene, simulate
from mixedlab.models.linear import fit_linear
from tests.labs.fuzz import check_lab


def run(**state):
    state = State(**state)
    data = simulate(state)
    fits = fit(data)
    return data[0], fits, scene(state, data, fits)


def marks(shown, panel):
    return {m.key: m for p in shown.panels if p.key == panel for m in p.marks}


def figures(text):
    return [
        float(v.replace("\N{MINUS SIGN}", "-")) for v in re.findall(r"[\u2212]?\d+\.\d\d", text)
    ]


def test_any_state_gives_a_sound_scene():
    check_lab(LAB)


def test_one_action_shows_opposite_signs_in_a_flat_cloud():
    _, fits, shown = run()
    assert fits.within < -0.6
    assert fits.between > 0.3
    assert abs(fits.naive) < 0.2
    assert fits.within < fits.random_intercept.slope < fits.naive
    early = {m.key for p in shown.panels for m in p.marks if m.stage == "data"}
    assert early == {"prompts"}
    assert not figures(shown.summary_before)


def test_simpsons_reversal_and_no_difference():
    reversal = run(**LAB.presets[1].state)[1]
    assert reversal.within < -0.3
    assert reversal.naive > 0.5
    same = run(**LAB.presets[2].state)[1]
    slopes = [same.within, same.between, same.naive, same.random_intercept.slope]
    assert np.ptp(slopes) < 0.1


@pytest.mark.parametrize("centring", ["none", "grand", "person"])
@pytest.mark.parametrize("prompts", [2, 5, 30])
def test_every_slope_is_the_package_s_own(centring, prompts):
    made, fits, _ = run(centring=centring, prompts=prompts)
    person, support, stress = made["person"], made["support"], made["stress"]
    ones, x = np.ones(len(made)), fits.x.ravel()
    mean = np.repeat(support.reshape(PERSONS, -1).mean(axis=1), prompts)
    term = RandomTerm.from_arrays(person)
    both = fit_linear(stress, np.column_stack([ones, support - mean, mean]), [term])
    np.testing.assert_allclose(both.beta[1:], [fits.within, fits.between], atol=1e-6)
    one = fit_linear(stress, np.column_stack([ones, x]), [term])
    assert fits.random_intercept.slope == pytest.approx(one.beta[1], abs=1e-6)
    assert fits.naive == pytest.approx(np.polyfit(x, stress, 1)[0])
    means = stress.reshape(PERSONS, -1).mean(axis=1)
    aggregated = np.polyfit(mean[::prompts], means, 1)[0]
    assert fits.aggregated == pytest.approx(aggregated)


def test_centring_on_the_person_s_mean_changes_the_question_and_on_that_of_all_nothing():
    raw, grand, person = (run(centring=c)[1] for c in ("none", "grand", "person"))
    assert grand.naive == pytest.approx(raw.naive)
    assert grand.random_intercept.slope == pytest.approx(raw.random_intercept.slope)
    assert person.naive == pytest.approx(raw.within)
    assert person.random_intercept.slope == pytest.approx(raw.within)
    assert person.random_intercept.weight_between == pytest.approx(0)
    np.testing.assert_allclose(marks(run(centring="person")[2], "clouds")["means"].x, 0, atol=1e-9)
    clouds = [run(centring=c)[2].panels[0].x for c in ("none", "grand", "person")]
    assert {axis.high - axis.low for axis in clouds} == {10.0}


def test_more_prompts_move_the_blend_to_the_slope_within():
    few, many = (run(prompts=n)[1].random_intercept.weight_between for n in (3, 30))
    assert many < few / 4


def test_words_and_dial_agree():
    for state in ({}, {"within": 1.2, "seed": 4, "prompts": 9}, {"centring": "person"}):
        _, _, shown = run(**state)
        dial = marks(shown, "dial")
        said = figures(shown.outcome)
        hands = [dial[key].y[0] for key in ("within", "between", "naive", "model")]
        np.testing.assert_allclose(said, hands, atol=0.0051)
        assert dial["aggregated"].y == dial["between"].y
        for key in ("within", "between", "naive", "model", "aggregated"):
            assert dial[f"hand-{key}"].y == [[0, dial[key].y[0], dial[key].y[0]]]
        assert shown.outcome in shown.summary


def test_true_slopes_are_dragged_on_the_dial():
    true = marks(run(within=-0.3, between=0.9)[2], "dial")["true"]
    assert true.y == [-0.3, 0.9]
    assert [drag.y for drag in true.drag] == ["within", "between"]


def test_a_control_that_moves_keeps_the_random_numbers():
    few, more = (simulate(State(prompts=n))[0]["support"].reshape(PERSONS, -1) for n in (5, 6))
    np.testing.assert_allclose(more[:, :5], few)
    steep = simulate(State(within=-0.7))[0]
    np.testing.assert_array_equal(steep["support"], simulate(State())[0]["support"])


def test_replicates_show_that_observed_means_fall_short_of_the_truth():
    state = State()
    values = LAB.replicate(state, 0, 300)
    truth = LAB.truth_of(state)
    assert np.mean(values["within"]) == pytest.approx(truth["within"], abs=0.03)
    long_run = simulate(state)[0].truth["slope_aggregated"]
    assert np.mean(values["between"]) == pytest.approx(long_run, abs=0.05)
    assert long_run < truth["between"] - 0.2
    assert f"the means give {long_run:.2f}" in run()[2].outcome_truth
    sample = replace(state, seed=replicate_seed(state.seed, 2))
    assert values["naive"][2] == fit(simulate(sample)).naive


def test_state_to_scene_is_fast_and_needs_numpy_alone():
    times = []
    for seed in range(40):
        start = time.perf_counter()
        LAB.run(State(seed=seed)).to_dict()
        times.append(time.perf_counter() - start)
    assert np.median(times) < 0.010
    code = (
        "import sys; from mixedlab.labs.within_between import LAB; LAB.run(LAB.state()); "
        "print([m for m in ('pandas', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
