import re
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from mixedlab.engine.terms import RandomTerm
from mixedlab.labs.kit.lab import replicate_seed
from mixedlab.labs.random_slopes import (
    LAB,
    SD_ERROR,
    State,
    correlation,
    fit,
    narrowest,
    scene,
    simulate,
)
from mixedlab.models.linear import fit_linear
from tests.labs.fuzz import check_lab


def run(**state):
    state = State(**state)
    data = simulate(state)
    fits = fit(data)
    return data, fits, scene(state, data, fits)


def marks(shown, panel):
    return {m.key: m for p in shown.panels if p.key == panel for m in p.marks}


def number(text):
    return float(text.replace("\N{MINUS SIGN}", "-"))


def test_any_state_gives_a_sound_scene():
    check_lab(LAB)


def test_one_action_shows_a_waist_in_the_middle_of_the_fan():
    """The surprise of the default state: the lines come together before they part."""
    _, fits, shown = run()
    waist = marks(shown, "fan")["waist"]
    assert 6 < waist.x[0][0] < 10
    assert waist.x[0][0] == pytest.approx(narrowest(fits.at_zero.cov))
    assert f"closest at {waist.x[0][0]:.1f} g" in shown.outcome
    assert "narrowest" not in shown.summary_before
    assert "True narrowest place: 8.0 g" in shown.outcome_truth


def test_before_the_prediction_no_line_is_seen():
    shown = run()[2]
    early = {m.key for p in shown.panels for m in p.marks if m.stage == "data"}
    assert early == {"zero", "handle", "meal-0", "persons"}
    assert marks(shown, "fan")["persons"].stage == "estimate"


@pytest.mark.parametrize("origin", [0.0, 8.0, 20.0])
def test_both_fits_are_the_package_s_own(origin):
    data, fits, _ = run(origin=origin)
    X = np.column_stack([np.ones(len(data)), data["x"]])
    solved = fit_linear(data["glucose"], X, [RandomTerm.from_arrays(data["person"], X)])
    assert fits.at_origin.criterion == pytest.approx(solved.criterion, rel=1e-9)
    np.testing.assert_allclose(fits.at_origin.cov, solved.covariances[0], atol=1e-5)


def test_moving_the_origin_changes_the_correlation_and_not_the_fit():
    here, there = run(origin=0)[1:], run(origin=20)[1:]
    assert here[0].at_origin.criterion == pytest.approx(there[0].at_origin.criterion, abs=1e-7)
    assert correlation(here[0].at_origin.cov) < -0.5 < 0.5 < correlation(there[0].at_origin.cov)
    one, other = marks(here[1], "fan"), marks(there[1], "fan")
    for key in ("persons", "mean", "waist"):
        np.testing.assert_allclose(one[key].y, other[key].y)
    assert here[1].panels[2].marks[0].hover == there[1].panels[2].marks[0].hover
    assert not np.allclose(
        marks(here[1], "cloud")["persons"].x, marks(there[1], "cloud")["persons"].x
    )
    criteria = re.findall(r"\d+\.\d+(?= with x)", there[1].outcome.partition("criterion")[2])
    assert len(criteria) == 2
    assert len(set(criteria)) == 1


def test_correlation_vanishes_at_the_waist():
    data = simulate(State(origin=8))
    assert correlation(data.truth["cov"]) == pytest.approx(0, abs=1e-12)
    assert "0.00 with x = 0 at 8 g" in run(origin=8.0)[2].outcome_truth


def test_heat_map_holds_formula_above_and_data_below():
    s = State(persons=400)
    data, _, shown = run(persons=400)
    cells = marks(shown, "covariance")["covariance"]
    x = data["fibre"][:5]
    t00, t11 = s.sd_intercept**2, s.sd_slope**2
    t01 = s.rho * s.sd_intercept * s.sd_slope
    theory = t00 + t01 * np.add.outer(x, x) + t11 * np.multiply.outer(x, x)
    sample = np.cov(data["glucose"].reshape(-1, 5).T)
    for row in range(5):
        for column in range(5):
            wanted = (theory if row > column else sample)[row, column]
            assert cells.values[row][column] == pytest.approx(wanted, abs=0.0051)
    formula = theory + SD_ERROR**2 * np.eye(5)
    np.testing.assert_allclose(sample, formula, atol=0.25)
    said = [number(h.rpartition(" ")[2]) for h in cells.hover]
    np.testing.assert_allclose(said, formula.ravel(), atol=0.0051)


def test_formula_is_the_covariance_in_the_long_run():
    samples = [run(persons=400, seed=s)[1].covariance for s in range(1, 101)]
    _, _, shown = run(persons=400)
    said = [number(h.rpartition(" ")[2]) for h in marks(shown, "covariance")["covariance"].hover]
    error = np.std(samples, axis=0) / 10
    assert np.all(np.abs(np.mean(samples, axis=0) - np.reshape(said, (5, 5))) < 4.5 * error + 0.006)


def test_the_other_outcomes():
    _, _, open_fan = run(rho=0.5)
    assert "No waist" in open_fan.outcome
    assert len(marks(open_fan, "fan")["waist"].x) == 0
    parallel = run(sd_slope=0.0)[2]
    assert "The true lines are parallel" in parallel.outcome_truth
    sds = [float(v) for v in re.findall(r"\d+\.\d+(?= mmol/l at 0 g| at 20 g)", parallel.outcome)]
    assert sds[0] == pytest.approx(sds[1], abs=0.1)


def test_ellipse_holds_95_percent_of_persons():
    _, fits, shown = run(persons=400)
    b = simulate(State(persons=400)).truth["b"]
    inverse = np.linalg.inv(simulate(State(persons=400)).truth["cov"])
    inside = np.einsum("ij,jk,ik->i", b, inverse, b) <= 5.991
    assert inside.mean() == pytest.approx(0.95, abs=0.03)
    fitted = marks(shown, "cloud")["fitted"]
    away = np.column_stack([fitted.x[0], fitted.y[0]]) - fits.at_origin.beta
    distance = np.einsum("ij,jk,ik->i", away, np.linalg.inv(fits.at_origin.cov), away)
    np.testing.assert_allclose(distance, 5.991, rtol=1e-6)


def test_a_control_that_moves_keeps_the_random_numbers():
    few, more = simulate(State(persons=40)), simulate(State(persons=50))
    np.testing.assert_array_equal(few["glucose"], more["glucose"][: len(few)])
    np.testing.assert_allclose(simulate(State(origin=5))["glucose"], few["glucose"], atol=1e-12)


def test_replicates_show_both_correlations_about_their_truth():
    state = State(origin=20.0)
    values = LAB.replicate(state, 0, 150)
    for name, true in LAB.truth_of(state).items():
        assert np.median(values[name]) == pytest.approx(true, abs=0.05)
    data = simulate(replace(state, seed=replicate_seed(state.seed, 1)))
    assert values["origin"][1] == correlation(fit(data).at_origin.cov)
    assert LAB.truth_of(State(sd_slope=0.0)) == {}


def test_state_to_scene_is_fast_and_needs_numpy_alone():
    times = []
    for seed in range(40):
        start = time.perf_counter()
        LAB.run(State(seed=seed)).to_dict()
        times.append(time.perf_counter() - start)
    assert np.median(times) < 0.010
    code = (
        "import sys; from mixedlab.labs.random_slopes import LAB; LAB.run(LAB.state()); "
        "print([m for m in ('pandas', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
