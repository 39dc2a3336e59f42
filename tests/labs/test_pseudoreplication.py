import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from mixedlab.labs.balanced_tests import TESTS, chi_squared, p_values, standard_errors, summarise
from mixedlab.labs.kit.lab import replicate_seed
from mixedlab.labs.pseudoreplication import (
    ALPHA,
    LAB,
    State,
    design_effect,
    null_studies,
    simulate,
    worth,
)
from mixedlab.simulate.cells_in_donors import cells
from mixedlab.simulate.draws import Draws
from tests.labs.fuzz import check_lab


def marks(scene, panel):
    (found,) = (p for p in scene.panels if p.key == panel)
    return {mark.key: mark for mark in found.marks}


def alarms(seeds=range(1, 21), **state):
    """Share of p values below 0.05, by test, in 20 x 200 null studies."""
    many = [p_values(null_studies(State(seed=s, **state))) for s in seeds]
    return {test: float(np.mean([p[test] < ALPHA for p in many])) for test in TESTS}


def test_any_state_gives_a_sound_scene():
    check_lab(LAB)


def test_the_bar_of_cells_as_rows_grows_past_all_others():
    """The surprise is seen: ten times the cells, and one bar of three takes most of the room."""
    first, after = (marks(LAB.run(LAB.clean(s)), "alarms") for s in ({}, LAB.reveal))
    bar = {test: (first[test].x1[0], after[test].x1[0]) for test in TESTS}
    assert bar["naive"][1] > 2 * bar["naive"][0] > 70
    for test in ("averaged", "mixed"):
        assert max(bar[test]) < 10
    assert len(marks(LAB.run(State()), "donors")["control"].x) == 150
    cells_drawn = marks(LAB.run(LAB.clean(LAB.reveal)), "donors")["control"].keys
    assert len(set(cells_drawn)) == 240


def test_the_bet_is_answered_by_the_studies_that_the_reveal_shows():
    assert LAB.run(State()).answer == LAB.run(State(cells=500)).answer == 84.0


def test_the_surprise_and_its_one_action():
    few, many = alarms(), alarms(cells=500)
    assert few["naive"] == pytest.approx(0.42, abs=0.03)
    assert many["naive"] == pytest.approx(0.79, abs=0.03)
    for share in (few, many):
        assert share["averaged"] == pytest.approx(0.05, abs=0.012)
        assert share["mixed"] == pytest.approx(0.05, abs=0.012)


def test_the_default_sample_shows_it_too():
    for state, share in ((State(), 0.35), (State(cells=500), 0.7)):
        p = p_values(simulate(state).studies)
        assert np.mean(p["naive"] < ALPHA) > share
        assert np.mean(p["mixed"] < ALPHA) < 0.1


def test_the_other_outcomes():
    alike = alarms(icc=0)
    assert alike["naive"] == pytest.approx(0.05, abs=0.012)
    within = alarms(design="within", icc=0.5)
    assert within["naive"] < 0.02
    assert within["mixed"] == pytest.approx(0.05, abs=0.012)


@pytest.mark.parametrize(("sd", "share"), [(0.2, 0.11), (0.3, 0.19), (0.5, 0.34)])
def test_an_effect_that_varies_by_donor_needs_a_random_slope(sd, share):
    """The random intercept alone alarms too often; the donors' own differences do not."""
    found = alarms(design="within", sd_effect=sd)
    assert found["mixed"] == pytest.approx(share, abs=0.02)
    assert found["averaged"] == pytest.approx(0.05, abs=0.012)


def test_a_varying_effect_is_there_in_studies_drawn_cell_by_cell():
    state = State(design="within", sd_effect=0.5, donors=4, cells=8)
    short = np.concatenate([null_studies(replace(state, seed=s)).difference for s in range(5)])
    full = [simulate(replace(state, seed=s)).study.difference[0] for s in range(600)]
    assert stats.ks_2samp(short, full).pvalue > 1e-4
    assert np.std(full) == pytest.approx(LAB.truth_of(state)["mixed"], rel=0.1)


def test_with_few_donors_the_mixed_model_alarms_too_often():
    """The weak place that the chapter and model.md name."""
    share = alarms(donors=4, cells=10, icc=0.3)
    assert 0.06 < share["mixed"] < 0.085
    assert share["averaged"] == pytest.approx(0.05, abs=0.012)


def test_alarms_of_cells_as_rows_are_those_of_theory():
    """The naive t is a normal number times the root of the design effect, but for a hair."""
    for n in (10, 50, 200):
        state = State(cells=n, donors=20)
        theory = 2 * stats.norm.sf(stats.norm.isf(0.025) / np.sqrt(design_effect(state)))
        assert alarms(donors=20, cells=n)["naive"] == pytest.approx(theory, abs=0.03)


@pytest.mark.parametrize("design", ["between", "within"])
def test_sums_of_squares_have_the_distribution_of_studies_drawn_cell_by_cell(design):
    shape = {"donors": 4, "cells": 8, "icc": 0.3, "design": design}
    short = [null_studies(State(seed=s, **shape)) for s in range(5)]
    y = np.stack([cells(4, 8, 0.3, mean=0.0, seed=s)["expression"] for s in range(1000)])
    full = summarise(y.reshape(1000, 4, 8), design)
    for name in ("difference", "between", "own_differences", "within"):
        drawn = np.concatenate([getattr(s, name) for s in short])
        assert stats.ks_2samp(drawn, getattr(full, name)).pvalue > 1e-4, name


@pytest.mark.parametrize("df", [8, 300, 19960])
def test_chi_squared_numbers_are_chi_squared(df):
    drawn = chi_squared(Draws(2), df, np.arange(4000))
    assert stats.kstest(drawn, stats.chi2(df).cdf).pvalue > 1e-4


def test_a_control_that_moves_keeps_the_random_numbers():
    few, more = simulate(State(donors=6)), simulate(State(donors=8))
    np.testing.assert_array_equal(few.expression, more.expression[:6])
    few, more = simulate(State(cells=50)), simulate(State(cells=52))
    np.testing.assert_allclose(few.expression, more.expression[:, :50])
    moved = np.abs(few.studies.difference - more.studies.difference)
    assert moved.max() < 0.05
    ratio = more.studies.within / few.studies.within
    assert np.all(np.abs(ratio - 306 / 294) < 0.02), "50 and 52 cells have nearly the same luck"


def test_the_icc_is_a_share_and_a_correlation():
    for icc in (0.1, 0.5, 0.9):
        pairs = np.concatenate([simulate(State(seed=s, icc=icc)).pairs for s in range(40)], axis=1)
        assert np.corrcoef(pairs)[0, 1] == pytest.approx(icc, abs=0.04)
        bar = marks(LAB.run(State(icc=icc)), "icc")
        kept, rest = (bar[k].x1[0] - bar[k].x0[0] for k in ("between", "within"))
        assert kept / (kept + rest) == pytest.approx(icc)


def test_worth_stops_at_donors_over_icc():
    assert design_effect(State()) == pytest.approx(5.9)
    assert worth(State()) == pytest.approx(300 / 5.9)
    assert worth(State()) == pytest.approx(cells(6, 50, 0.1).truth["n_effective"])
    assert 58 < worth(State(cells=500)) < 60


def test_words_and_marks_agree():
    for state in (State(), State(seed=9, donors=12, icc=0.4), State(design="within", icc=0.5)):
        scene = LAB.run(state)
        p = p_values(simulate(state).studies)
        said = [int(v) for v in re.findall(r"(\d+) \(", scene.outcome)]
        assert said == [int((p[test] < ALPHA).sum()) for test in TESTS]
        bars, drawn = marks(scene, "alarms"), marks(scene, "p")
        for row, test in enumerate(TESTS):
            assert bars[test].x1[0] == pytest.approx(said[row] / 2)
            assert bars[f"{test}-share"].text == [f"{round(said[row] / 2)} %"]
            heights = np.concatenate([drawn[f"{k}-{row}"].y1 - (2 - row) for k in ("lit", "pale")])
            counts = np.histogram(p[test], np.linspace(0, 1, 21))[0]
            np.testing.assert_allclose(heights / heights.sum(), counts / 200, atol=1e-12)


def test_replicates_are_the_claimed_errors_and_the_truth_is_the_true_one():
    for state in (State(), State(design="within", icc=0.5)):
        values = LAB.replicate(state, 0, 250)
        truth = LAB.truth_of(state)["naive"]
        studies = [
            simulate(State(design=state.design, icc=state.icc, seed=replicate_seed(state.seed, i)))
            for i in range(250)
        ]
        difference = np.array([d.study.difference[0] for d in studies])
        assert difference.std() == pytest.approx(truth, rel=0.12)
        np.testing.assert_allclose(values["mixed"][5], standard_errors(studies[5].study)["mixed"])
        off = np.mean(values["naive"]) / truth
        assert off < 0.5 if state.design == "between" else off > 1.3
        assert np.mean(values["averaged"]) == pytest.approx(truth, rel=0.1)


def test_state_to_scene_needs_numpy_alone():
    code = (
        "import sys; from mixedlab.labs.pseudoreplication import LAB; "
        "LAB.run(LAB.state()); LAB.replicate(LAB.state(), 0, 2); "
        "print([m for m in ('pandas', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
