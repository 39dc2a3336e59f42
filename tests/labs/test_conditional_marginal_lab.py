import re
import subprocess
import sys
import time

import numpy as np
import pytest

from mixedlab.engine.terms import RandomTerm
from mixedlab.inference.population_averaged import marginal_coefs
from mixedlab.labs.conditional_marginal import (
    LAB,
    NODES,
    VISITS,
    State,
    X,
    fit,
    marginal_line,
    simulate,
    truth_of,
)
from mixedlab.models.generalized import fit_generalized
from tests.labs.fuzz import check_lab

ATTACKS = LAB.presets[1].state
MILD = {"log": {"sd": 1.0, "slope": -1.0}, "identity": {}, "probit": {"sd": 1.5}, "logit": {}}


def marks(scene, panel):
    return {mark.key: mark for mark in scene.panels[panel].marks}


def number(text):
    return float(text.replace("\N{MINUS SIGN}", "-"))


def test_any_state_gives_a_sound_scene():
    check_lab(LAB)


def test_the_surprise_is_the_average_s_slope():
    slopes = LAB.measure(State(), simulate(State()), fit(simulate(State())))
    assert slopes["gee"] / slopes["glmm"] < 0.6
    assert slopes["averaged"] == pytest.approx(slopes["gee"], abs=0.15)


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
    np.testing.assert_allclose(fit(clinic).averaged, marginal_coefs(model).beta, atol=1e-6)


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
            assert len(marks(scene, 2)["glmm"].x) == 0
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
        drawn = [plane[key].y[0] for key in ("glmm", "gee", "averaged")]
        np.testing.assert_allclose(said, drawn, atol=0.0051)
        true = [number(v) for v in re.findall(r"[\N{MINUS SIGN}\d.]*\d", scene.outcome_truth)]
        np.testing.assert_allclose(true[:2], plane["true"].y, atol=0.0051)
        np.testing.assert_allclose(true[2:], plane["true"].x, atol=0.0051)
        observed = marks(scene, 0)["observed"]
        ends = re.search(r"goes from (\S+) to (\S+)\.", scene.summary_before).groups()
        np.testing.assert_allclose([number(v) for v in ends], observed.y[[0, -1]], atol=0.0051)


def test_patients_are_parallel_on_the_link_s_scale_and_not_on_the_other():
    for panel, parallel in ((0, False), (1, True)):
        patients = marks(LAB.run(State()), panel)["patients"]
        steepest = [np.diff(y).min() for y in patients.y]
        assert bool(np.ptp(steepest) < 1e-9) is parallel


def test_state_to_scene_keeps_up_with_a_drag_and_needs_no_pandas():
    times = []
    for seed in range(12):
        start = time.process_time()
        LAB.run(State(seed=seed)).to_dict()
        times.append(time.process_time() - start)
    assert np.median(times) < 0.2
    code = (
        "import sys; from mixedlab.labs.conditional_marginal import LAB; "
        "LAB.run(LAB.state()); LAB.replicate(LAB.state(), 0, 2); "
        "heavy = ('pandas', 'matplotlib', 'formulaic', 'scipy.optimize', 'scipy.linalg'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
