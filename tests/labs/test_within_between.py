import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from mixedlab.engine.terms import RandomTerm
from mixedlab.labs.kit.lab import replicate_seed
from mixedlab.labs.kit.shell import shell
from mixedlab.labs.within_between import LAB, PERSONS, State, fit, scene, simulate
from mixedlab.labs.within_between_panels import SLIVER
from mixedlab.models.linear import fit_linear
from tests.labs.fuzz import check_lab

HALVES = ("data-0", "data-1")


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


def slope_of(mark):
    """The slope of each line of a mark, or of one line through its dots."""
    if hasattr(mark, "width"):
        return np.array(
            [(y[-1] - y[0]) / (x[-1] - x[0]) for x, y in zip(mark.x, mark.y, strict=True)]
        )
    return np.polyfit(mark.x, mark.y, 1)[0]


def coloured(shown):
    """All coloured dots of the hero: places (n, 2), and the hue and shape that tell a person."""
    halves = [marks(shown, "clouds")[key] for key in ("answers-0", "answers-1")]
    places = np.concatenate([np.column_stack([m.x, m.y]) for m in halves])
    persons = [(m.shape, hue) for m in halves for hue in m.hues]
    return places, persons


def test_the_surprise_is_seen_a_flat_cloud_falls_apart_into_falling_lines_that_rise():
    clouds = marks(run()[2], "clouds")
    grey = np.concatenate([np.column_stack([clouds[k].x, clouds[k].y]) for k in HALVES])
    assert abs(np.polyfit(*grey.T, 1)[0]) < 0.1
    # One gesture, the bet: what sets out from the grey dots has colours, and lines.
    assert np.all(slope_of(clouds["within"]) < -0.6)
    assert slope_of(clouds["means"]) > 0.4
    assert slope_of(clouds["between"])[0] == pytest.approx(slope_of(clouds["means"]))
    assert abs(slope_of(clouds["naive"])[0]) < 0.1
    # It can be seen: the row of means climbs a fifth of the picture, each line falls a tenth.
    height = run()[2].panels[0].y.high - run()[2].panels[0].y.low
    assert np.ptp(clouds["between"].y[0]) > 0.2 * height
    assert np.ptp(clouds["within"].y, axis=1).min() > 0.1 * height
    bars = marks(run()[2], "slopes")
    assert bars["within"].x1.max() <= 0.01, "one bar to the left of 0"
    assert bars["between"].x0.min() >= -0.01, "the other to the right"


def test_one_slider_turns_the_dots_from_the_slope_within_to_that_between():
    for gather, expected in ((-1, "within"), (0, "naive"), (1, "between")):
        _, fits, shown = run(gather=gather)
        places, _ = coloured(shown)
        assert np.polyfit(*places.T, 1)[0] == pytest.approx(fits.slopes[expected], abs=1e-9)
    measured, gathered = run(gather=0)[2], run(gather=1)[2]
    assert len(np.unique(coloured(gathered)[0].round(6), axis=0)) == PERSONS
    grey = [marks(shown, "clouds")["data-0"].x for shown in (measured, gathered)]
    np.testing.assert_array_equal(*grey)


def test_the_slider_that_gathers_comes_with_the_bet():
    """Before it only grey dots are seen, and those stay where they are."""
    early = [
        [m for p in run(gather=gather)[2].panels for m in p.marks if m.stage == "data"]
        for gather in (-1, 1)
    ]
    for one, other in zip(*early, strict=True):
        np.testing.assert_array_equal(np.ravel(one.x), np.ravel(other.x))
        np.testing.assert_array_equal(np.ravel(one.y), np.ravel(other.y))
    html = shell(LAB)
    assert re.search(r'class="ml-control ml-slider ml-after"[^>]*data-field="gather"', html)
    assert re.search(r'class="ml-control ml-slider"[^>]*data-field="prompts"', html)


@pytest.mark.parametrize("prompts", [5, 30])
def test_no_answer_lies_beyond_the_frame(prompts):
    panel = run(prompts=prompts)[2].panels[0]
    for key in HALVES:
        grey = marks(run(prompts=prompts)[2], "clouds")[key]
        assert panel.x.low <= min(grey.x) <= max(grey.x) <= panel.x.high
        assert panel.y.low <= min(grey.y) <= max(grey.y) <= panel.y.high


def test_gathering_is_a_picture_and_changes_no_slope():
    assert run(gather=-1)[1].slopes == run(gather=1)[1].slopes


def test_sixteen_persons_are_told_apart_by_hue_and_shape_once_the_bet_is_made():
    _, persons = coloured(run()[2])
    assert len(set(persons)) == PERSONS
    clouds = marks(run()[2], "clouds")
    for h, key in enumerate(HALVES):
        assert clouds[key].hover is None
        assert clouds[f"answers-{h}"].stage == "estimate"
        assert clouds[f"answers-{h}"].starts_from == key


def test_nothing_that_tells_a_slope_shows_before_the_bet():
    for state in ({}, {"gather": -1}, {"gather": 1}):
        shown = run(**state)[2]
        early = {m.key for p in shown.panels for m in p.marks if m.stage == "data"}
        assert early == {*HALVES, "line", "bet", "flat"}
        assert not figures(shown.summary_before)
    assert {"within", "between"} & set(LAB.main_controls) == set()
    assert all(LAB.controls[name].kind == "drag" for name in ("within", "between", "tilt"))


def test_the_bet_is_the_line_s_slope():
    for tilt in (-1.2, -0.35, 0, 0.8, 1.2):
        _, _, shown = run(tilt=tilt)
        clouds = marks(shown, "clouds")
        assert slope_of(clouds["line"])[0] == pytest.approx(tilt)
        (drag,) = clouds["bet"].drag
        assert drag.y == LAB.question.field
        share = (clouds["bet"].y[0] - drag.ends[0]) / (drag.ends[1] - drag.ends[0])
        assert -1.2 + 2.4 * share == pytest.approx(tilt)
    assert run()[2].answer == run()[1].within


def test_the_surprise_in_numbers():
    _, fits, _ = run()
    assert fits.within < -0.6
    assert fits.between > 0.3
    assert abs(fits.naive) < 0.2
    assert fits.within < fits.random_intercept.slope < fits.naive


def test_simpsons_reversal_and_no_difference():
    reversal, turned, same, led = (run(**goal.solution)[1] for goal in LAB.goals)
    assert reversal.within < -0.3
    assert reversal.naive > 0.5
    assert turned.within > 0.3 > -0.3 > turned.between
    slopes = [same.within, same.between, same.naive, same.random_intercept.slope]
    assert np.ptp(slopes) < 0.1
    assert led.random_intercept.slope == pytest.approx(led.within, abs=0.05)


@pytest.mark.parametrize("centring", ["none", "grand", "person"])
@pytest.mark.parametrize("prompts", [2, 5, 30])
def test_every_slope_is_the_package_s_own(centring, prompts):
    made, fits, _ = run(centring=centring, prompts=prompts, seed=288)
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
    assert {axis.high - axis.low for axis in clouds} == {8.0}


def test_more_prompts_move_the_blend_to_the_slope_within():
    few, many = (run(prompts=n)[1].random_intercept.weight_between for n in (3, 30))
    assert many < few / 4


def test_words_and_bars_agree():
    for state in ({}, {"within": 1.2, "seed": 4, "prompts": 9}, {"centring": "person"}):
        _, fits, shown = run(**state)
        slopes = marks(shown, "slopes")
        said = figures(shown.outcome)
        order = ("within", "between", "naive", "model")
        far = [slopes[k].x0[0] if fits.slopes[k] < 0 else slopes[k].x1[0] for k in order]
        np.testing.assert_allclose(said, far, atol=0.0051 + SLIVER)
        written = [figures(slopes[f"{key}-name"].text[0])[0] for key in order]
        assert written == said
        assert shown.outcome in shown.summary


def test_true_slopes_are_dragged_once_the_bet_is_made():
    true = marks(run(within=-0.3, between=0.9)[2], "slopes")["set"]
    assert true.stage == "estimate"
    assert true.x == [-0.3, 0.9]
    assert [drag.x for drag in true.drag] == ["within", "between"]


def test_the_long_run_is_where_replicates_lie():
    state = State()
    diamonds = marks(run()[2], "slopes")["truth"]
    tends = dict(zip(diamonds.keys, diamonds.x, strict=True))
    for name, values in LAB.replicate(state, 0, 300).items():
        error = np.std(values) / np.sqrt(300)
        assert np.mean(values) == pytest.approx(tends[name], abs=4 * error + 0.02), name


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


def test_state_to_scene_needs_numpy_alone():
    code = (
        "import sys; from mixedlab.labs.within_between import LAB; LAB.run(LAB.state()); "
        "print([m for m in ('pandas', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
