import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from mixedlab.engine.terms import RandomTerm
from mixedlab.labs.kit.lab import replicate_seed
from mixedlab.labs.random_slopes import LAB, State, measure_many, scene, simulate
from mixedlab.labs.random_slopes_fit import SD_ERROR, correlation, fit, narrowest
from mixedlab.models.linear import fit_linear
from tests.labs.fuzz import check_lab


def run(**state):
    state = State(**state)
    data = simulate(state)
    fits = fit(data)
    return data, fits, scene(state, data, fits)


def marks(shown, panel):
    return {m.key: m for p in shown.panels if p.key == panel for m in p.marks}


def spread(lines, x):
    """Standard deviation of the heights of straight lines at x."""
    return np.std([np.interp(x, *line) for line in zip(lines.x, lines.y, strict=True)])


def number(text):
    return float(text.replace("\N{MINUS SIGN}", "-"))


def test_any_state_gives_a_sound_scene():
    check_lab(LAB)


def test_one_gesture_shows_the_lines_come_together_before_they_part():
    """The surprise is seen: at 8 g the lines are nearer to each other than at both ends."""
    lines = marks(run()[2], "fan")["persons"]
    apart = {x: spread(lines, x) for x in (0, 8, 20)}
    assert apart[8] < 0.75 * apart[0]
    assert apart[8] < 0.55 * apart[20]
    fan = marks(run()[2], "fan")
    assert fan["meal-0"].stage == "data", "the lines grow out of what is seen before the bet"
    assert {m.starts_from for k, m in fan.items() if k.startswith("meal-1")} == {"meal-0"}
    assert lines.starts_from == "meal-0"
    reach = np.ptp(fan["waist"].y[0])
    assert reach < 0.75 * (fan["spread"].high[0][0] - fan["spread"].low[0][0])


def test_the_bet_is_answered_by_the_narrowest_place_that_is_drawn():
    _, fits, shown = run()
    fan = marks(shown, "fan")
    waist = fan["waist"]
    assert 6 < waist.x[0][0] < 10
    assert waist.x[0][0] == pytest.approx(narrowest(fits.at_zero.cov))
    assert shown.answer == pytest.approx(waist.x[0][0])
    assert f"closest at {waist.x[0][0]:.1f} g" in shown.outcome
    assert f"{waist.x[0][0]:.1f} g" in shown.headline
    assert "True narrowest place: 8.0 g" in shown.outcome_truth
    assert shown.answer_truth == pytest.approx(8.0)
    assert fan["true-waist"].x[0][0] == pytest.approx(8.0)
    told = f"{shown.summary_before} {shown.ask} {LAB.question.ask} {LAB.alt}"
    assert not re.search("narrow|closest|waist|7.8|8.0 g", told)


def test_before_the_bet_no_line_is_seen_but_the_reader_s():
    shown = run()[2]
    early = {m.key for p in shown.panels for m in p.marks if m.stage == "data"}
    assert early == {"meal-0", "swings", "own", "yours"}
    assert marks(shown, "fan")["persons"].stage == "estimate"


def test_a_person_who_is_grabbed_in_the_cloud_swings_her_line():
    for origin in (0.0, 12.0):
        shown = run(level=6.9, slope=0.05, origin=origin)[2]
        dot, line = marks(shown, "cloud")["yours"], marks(shown, "fan")["swings"]
        assert line.y[0][0] == pytest.approx(6.9)
        assert np.ptp(line.y[0]) == pytest.approx(20 * 0.05)
        assert dot.x[0] == pytest.approx(np.interp(origin, line.x[0], line.y[0]))
        assert dot.y[0] == pytest.approx(0.05)
        (drag,) = dot.drag
        control = LAB.controls["level"]
        share = (dot.x[0] - drag.ends[0]) / (drag.ends[1] - drag.ends[0])
        assert control.low + share * (control.high - control.low) == pytest.approx(6.9)
    moved, first = run(level=6.9, slope=0.05)[1], run()[1]
    assert moved.at_zero.criterion == first.at_zero.criterion, "she is in no one's data"


def test_along_the_ellipse_her_line_turns_about_the_waist():
    """Whoever has the mean level of those with her slope passes the mean line at the waist."""
    _, fits, shown = run()
    beta, cov = fits.at_zero.beta, fits.at_zero.cov
    fan = marks(shown, "fan")
    waist = fan["waist"].x[0][0]
    middle = np.interp(waist, fan["mean"].x[0], fan["mean"].y[0])
    for slope in (-0.25, 0.1):
        level = beta[0] + cov[0, 1] / cov[1, 1] * (slope - beta[1])
        hers = marks(run(level=level, slope=slope)[2], "fan")["swings"]
        assert np.interp(waist, hers.x[0], hers.y[0]) == pytest.approx(middle, abs=0.01)
        assert abs(np.diff(hers.y[0])[0] - 20 * beta[1]) > 2


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
    for key in ("persons", "mean", "waist", "swings", "true-spread", "true-waist"):
        np.testing.assert_allclose(one[key].y, other[key].y)
    assert here[1].headline == there[1].headline
    assert here[1].answer == there[1].answer
    assert here[1].panels[2].marks[0].hover == there[1].panels[2].marks[0].hover
    clouds = [marks(shown, "cloud") for shown in (here[1], there[1])]
    assert not np.allclose(clouds[0]["own"].x, clouds[1]["own"].x)
    ticked = [cloud["rho"].text[0] for cloud in clouds]
    said = [number(text.rpartition(" ")[2]) for text in ticked]
    np.testing.assert_allclose(
        said, [correlation(f.at_origin.cov) for f, _ in (here, there)], atol=0.0051
    )
    criteria = re.findall(r"\d+\.\d+(?= with x)", there[1].outcome.partition("criterion")[2])
    assert len(criteria) == 2
    assert len(set(criteria)) == 1


def test_correlation_vanishes_at_the_waist():
    data = simulate(State(origin=8))
    assert correlation(data.truth["cov"]) == pytest.approx(0, abs=1e-12)
    assert "0.00 with x = 0 at 8 g" in run(origin=8.0)[2].outcome_truth


def test_the_map_s_colours_mean_the_same_in_every_state():
    maps = [
        marks(run(**state)[2], "covariance")["covariance"]
        for state in ({}, {"sd_slope": 0.2}, {"sd_intercept": 2.0}, {"rho": 1.0})
    ]
    assert len({(cells.low, cells.high) for cells in maps}) == 1


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
    open_fan = run(rho=0.5)[2]
    assert "No waist" in open_fan.outcome
    assert "without fibre" in open_fan.headline
    assert open_fan.answer == 0
    assert len(marks(open_fan, "fan")["waist"].x) == 0
    point = run(rho=-1.0)[2]
    lines = marks(point, "fan")["persons"]
    assert min(spread(lines, x) for x in np.linspace(0, 20, 81)) < 0.05
    parallel = run(sd_slope=0.0)[2]
    assert parallel.answer is None
    assert "parallel" in parallel.headline
    assert "True lines are parallel" in parallel.outcome_truth
    sds = [float(v) for v in re.findall(r"\d+\.\d+(?= mmol/l at 0 g| at 20 g)", parallel.outcome)]
    assert sds[0] == pytest.approx(sds[1], abs=0.1)
    late = run(sd_intercept=2.0)[2]
    assert late.answer > 18


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
    assert values["origin"][1] == pytest.approx(correlation(fit(data).at_origin.cov))
    assert LAB.truth_of(State(sd_slope=0.0)) == {}


def test_many_samples_at_once_are_the_same_as_one_by_one():
    for state in (State(), State(persons=10, origin=8.0), State(rho=0.5, origin=20.0)):
        one_by_one = replace(LAB, measure_many=None).replicate(state, 0, 20)
        for name, values in LAB.replicate(state, 0, 20).items():
            np.testing.assert_allclose(values, one_by_one[name], rtol=1e-4, atol=1e-4)


def test_many_samples_without_spread_have_no_correlation():
    values = measure_many(State(sd_intercept=0.0, sd_slope=0.0, persons=10), list(range(60)))
    alone = [
        correlation(fit(simulate(State(0.0, 0.0, persons=10, seed=s))).at_zero.cov)
        for s in range(60)
    ]
    np.testing.assert_array_equal(np.isnan(values["zero"]), np.isnan(alone))
    assert 0 < np.isnan(alone).sum() < 60


def test_state_to_scene_needs_numpy_alone():
    code = (
        "import sys; from mixedlab.labs.random_slopes import LAB; LAB.run(LAB.state()); "
        "print([m for m in ('pandas', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_two_histograms_part_from_the_first_state():
    values = LAB.replicate(State(), 0, 20)
    assert max(values["zero"]) < 0 < min(values["origin"])
    assert LAB.truth_of(State())["zero"] < -0.5 < 0.5 < LAB.truth_of(State())["origin"]
