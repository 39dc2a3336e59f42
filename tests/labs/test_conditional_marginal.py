import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from mixedlab.engine.terms import RandomTerm
from mixedlab.inference.population_averaged import marginal_coefs
from mixedlab.labs.conditional_marginal import LAB, MANY, State, average_curve, simulate, truth_of
from mixedlab.labs.conditional_marginal_fit import KINDS, NODES, VISITS, X, fit, marginal_line
from mixedlab.models.generalized import fit_generalized
from tests.labs.fuzz import check_lab

ATTACKS = LAB.goals[0].solution
MILD = {"log": {"sd": 1.0, "slope": -1.0}, "identity": {}, "probit": {"sd": 1.5}, "logit": {}}


def marks(scene, panel):
    return {mark.key: mark for mark in scene.panels[panel].marks}


def fall(curve):
    """How far a curve of the link's scale falls from its left to its right end."""
    return curve[0] - curve[-1]


def number(text):
    return float(text.replace("\N{MINUS SIGN}", "-"))


def test_any_state_gives_a_sound_scene():
    check_lab(LAB)


def test_the_flat_curve_is_drawn_as_the_cursor_sweeps_and_the_beads_fall_on_it():
    """The surprise is seen: lines that are all equally steep, and across them one half as steep."""
    first, swept = LAB.run(State()), LAB.run(LAB.clean(LAB.reveal))
    for panel in (0, 1):
        before, after = marks(first, panel), marks(swept, panel)
        assert before["average"].x[0].max() == 2, "drawn up to the cursor"
        assert after["average"].x[0].max() == 12
        for now in (before, after):
            beads, fallen = now["beads"], now["fallen"]
            assert fallen.starts_from == "beads"
            assert np.ptp(beads.y) > 0.5
            np.testing.assert_allclose(fallen.y, now["average"].y[0][-1])
            if panel == 0:  # the mean is taken here, not on the link's scale
                np.testing.assert_allclose(fallen.y[0], np.mean(beads.y), atol=0.02)
    lines = marks(swept, 1)
    every = [fall(y) for y in lines["patients"].y]
    np.testing.assert_allclose(every, 4)
    assert fall(lines["average"].y[0]) < 0.6 * min(every)
    # In the hero: lower than the patient in the middle at first, and higher at last.
    curves = marks(swept, 0)
    average, middle = curves["average"].y[0], curves["glmm"].y[0]
    assert average[0] < middle[0] - 0.05
    assert average[-1] > middle[-1] + 0.1


@pytest.mark.parametrize("link", ["logit", "probit", "identity", "log"])
def test_the_bet_is_answered_by_the_curve_that_is_drawn(link):
    state = State(link=link, month=12, **MILD[link])
    drawn = marks(LAB.run(state), 0)["average"]
    np.testing.assert_allclose(LAB.run(state).answer, drawn.y[0][:: (MANY - 1) // 3], atol=0.001)


def test_nothing_that_tells_the_average_shows_before_the_bet():
    scene = LAB.run(State())
    early = {m.key for panel in scene.panels for m in panel.marks if m.stage == "data"}
    assert early == {"patients", "cursor", "beads", "none", "set"}
    assert not re.search("flat|steeper", f"{scene.summary_before} {LAB.alt} {scene.ask}")


def test_the_cursor_changes_neither_data_nor_fits():
    here, there = simulate(State()), simulate(State(month=9.0))
    assert here is there
    assert fit(here) is fit(there)


def test_many_samples_at_once_are_the_same_as_one_by_one():
    for link in ("logit", "identity", "log"):
        state = State(link=link, patients=50, **MILD[link])
        one_by_one = replace(LAB, measure_many=None).replicate(state, 0, 4)
        for name, values in LAB.replicate(state, 0, 4).items():
            np.testing.assert_allclose(values, one_by_one[name], rtol=1e-4, atol=1e-5)


def test_the_surprise_is_the_average_s_slope():
    slopes = LAB.measure(State(), simulate(State()), fit(simulate(State())))
    assert slopes["gee"] / slopes["glmm"] < 0.6
    assert slopes["averaged"] == pytest.approx(slopes["gee"], abs=0.15)


def test_the_surprise_is_seen_the_beads_draw_a_curve_flatter_than_the_patients():
    """Swept to the end by the reveal, the beads' common point has drawn the average."""
    shown = marks(LAB.run(LAB.clean(LAB.reveal)), 0)
    assert shown["fallen"].starts_from == "beads"
    assert np.ptp(shown["beads"].y) > 0.8
    assert np.ptp(shown["fallen"].y) == 0
    steep = [
        max(abs(np.gradient(y, x)))
        for key in ("average", "glmm")
        for x, y in zip(shown[key].x, shown[key].y, strict=True)
    ]
    assert steep[0] < 0.6 * steep[1]
    assert shown["average"].y[0][-1] == pytest.approx(shown["fallen"].y[0], abs=1e-9)
    fall = [y[0] - y[-1] for y in (shown["average"].y[0], shown["glmm"].y[0])]
    assert fall[0] < 0.75 * fall[1]


def test_the_other_outcomes():
    log = LAB.clean(ATTACKS)
    fits = fit(simulate(log))
    moved = fits.gee.beta - fits.glmm.beta
    assert moved[0] == pytest.approx(fits.sd**2 / 2, abs=0.15)
    assert moved[1] == pytest.approx(0, abs=0.02)
    same = fit(simulate(State(link="identity")))
    np.testing.assert_allclose(same.glmm.beta, same.gee.beta, atol=1e-5)
    alike = fit(simulate(State(sd=0.0)))
    np.testing.assert_allclose(alike.glmm.beta, alike.gee.beta, atol=0.02)


@pytest.mark.parametrize("link", ["logit", "probit", "log", "identity"])
def test_the_true_marginal_line_is_the_mean_over_a_million_patients(link):
    state = State(link=link, **MILD[link])
    b = state.sd * np.random.default_rng(0).standard_normal(1_000_000)
    g = state.family.link
    mean = np.array([g.mu(eta + b).mean() for eta in X @ state.line])
    line = np.linalg.lstsq(X, g.eta(mean), rcond=None)[0]
    np.testing.assert_allclose(marginal_line(state.family, state.line, state.sd), line, atol=0.02)


def test_closed_forms_of_the_marginal_line():
    for state, factor, shift in (
        (State(link="identity"), 1, 0),
        (State(link="log", sd=2.0), 1, 2.0),
        (State(link="probit"), 1 / np.sqrt(10), 0),
    ):
        line = marginal_line(state.family, state.line, state.sd)
        np.testing.assert_allclose(line, factor * state.line + [shift, 0], atol=1e-8)
    rule = State().line / np.sqrt(1 + 0.346 * 9)
    np.testing.assert_allclose(marginal_line(State().family, State().line, 3.0), rule, rtol=0.07)


def test_averaging_is_what_marginal_coefs_does():
    clinic = simulate(State())
    J = clinic.b.size
    patient = np.repeat(np.arange(J), VISITS.size)
    term = RandomTerm("p", patient, tuple(range(J)), np.ones((patient.size, 1)), ("(Intercept)",))
    rows = np.tile(X, (J, 1))
    model = fit_generalized(clinic.y.ravel(), rows, [term], family=clinic.family, nagq=NODES)
    # a picture that follows a slider needs no last digits
    np.testing.assert_allclose(fit(clinic).averaged, marginal_coefs(model).beta, atol=2e-5)


def test_nine_nodes_are_enough_for_the_picture():
    clinic = simulate(State())
    J = clinic.b.size
    patient = np.repeat(np.arange(J), VISITS.size)
    term = RandomTerm("p", patient, tuple(range(J)), np.ones((patient.size, 1)), ("(Intercept)",))
    model = fit_generalized(
        clinic.y.ravel(), np.tile(X, (J, 1)), [term], family=clinic.family, nagq=40
    )
    np.testing.assert_allclose(fit(clinic).glmm.beta, model.beta, atol=0.05)


@pytest.mark.parametrize("link", ["logit", "log"])
def test_replicates_lie_about_the_truth_of_each_question(link):
    state = State(link=link, patients=200, **MILD[link])
    values = LAB.replicate(state, 0, 30)
    for name, true in truth_of(state).items():
        error = np.std(values[name]) / np.sqrt(30)
        assert np.mean(values[name]) == pytest.approx(true, abs=4 * error + 0.03), name


def test_without_an_estimate_the_lab_says_why_and_goes_on():
    """Hardly any infections: a model may have none, and its marks are gone, not wrong."""
    missing = 0
    for seed in range(12):
        state = State(link="probit", sd=0.0, slope=-5.0, intercept=-1.0, patients=50, seed=seed)
        fits = fit(simulate(state))
        scene = LAB.run(state)
        if fits.glmm is None or fits.gee is None:
            missing += 1
            assert "no estimate" in scene.outcome
        if fits.glmm is None:
            assert len(marks(scene, 2)["model"].x) == 0
            assert np.isnan(LAB.measure(state, simulate(state), fits)["glmm"])
    assert missing


def test_a_control_that_moves_keeps_the_random_numbers():
    few, more = simulate(State(patients=50)), simulate(State(patients=60))
    np.testing.assert_array_equal(few.y, more.y[:50])
    low, high = simulate(State(intercept=0.5)), simulate(State(intercept=0.75))
    assert np.all(high.y >= low.y)


def test_words_and_marks_agree():
    for state in (State(), LAB.clean(ATTACKS), State(link="identity", seed=3)):
        scene = LAB.run(state)
        plane = marks(scene, 2)
        said = [number(v) for v in re.findall(r"[\N{MINUS SIGN}\d.]*\d", scene.outcome)][:3]
        drawn = [plane[key].y[0] for key in ("model", "everyone", "averaged")]
        np.testing.assert_allclose(said, drawn, atol=0.0051)
        true = [number(v) for v in re.findall(r"[\N{MINUS SIGN}\d.]*\d", scene.outcome_truth)][:4]
        drawn = [*plane["set"].y, *plane["true"].y, *plane["set"].x, *plane["true"].x]
        np.testing.assert_allclose(true, drawn, atol=0.0051)
        observed = simulate(state).y.mean(axis=0)
        ends = re.search(r"of all goes from (\S+) to (\S+)\.", scene.outcome).groups()
        np.testing.assert_allclose([number(v) for v in ends], observed[[0, -1]], atol=0.0051)
        seen = marks(scene, 0)["observed"]
        np.testing.assert_allclose(seen.y, KINDS[state.link].height(observed))
        ratio = plane["everyone"].y[0] / plane["model"].y[0]
        assert f"{100 * ratio:.0f} % of one patient's" in scene.outcome


def test_patients_are_parallel_on_the_link_s_scale_and_not_on_the_other():
    for panel, parallel in ((0, False), (1, True)):
        patients = marks(LAB.run(State()), panel)["patients"]
        steepest = [np.diff(y).min() for y in patients.y]
        assert bool(np.ptp(steepest) < 1e-9) is parallel
        assert len(patients.y) == 30


def test_the_thirty_drawn_stand_for_all():
    state, months = State(), np.array([0.0, 4, 8, 12])
    thirty = np.mean(marks(LAB.run(state), 0)["patients"].y, axis=0)[::8]
    np.testing.assert_allclose(thirty, average_curve(state, simulate(state), months), atol=0.02)


def test_state_to_scene_needs_no_pandas():
    code = (
        "import sys; from mixedlab.labs.conditional_marginal import LAB; "
        "LAB.run(LAB.state()); LAB.replicate(LAB.state(), 0, 2); "
        "heavy = ('pandas', 'matplotlib', 'formulaic', 'scipy.optimize', 'scipy.linalg'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
