from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.labs.variance_components import EDGE, LAB, State, true_share
from tests.labs.fuzz import check_lab


def marks_of(scene, panel):
    (found,) = (p for p in scene.panels if p.key == panel)
    return {mark.key: mark for mark in found.marks}


def test_any_state_gives_a_sound_scene():
    check_lab(LAB)


@pytest.mark.parametrize("spread", [0, 20, 60])
@pytest.mark.parametrize("method", ["reml", "ml"])
def test_the_estimates_are_those_of_the_mixed_model(spread, method):
    data = LAB.simulate(State(spread=spread, seed=3))
    J, n = data.yields.shape
    table = pd.DataFrame({"y": data.yields.ravel(), "batch": np.repeat(np.arange(J), n)})
    fit = ml.lmm("y ~ 1 + (1 | batch)", table, reml=method == "reml")
    own = getattr(LAB.fit(data), method)
    assert own.var_group == pytest.approx(fit.varcorr["vcov"].iloc[0], abs=1e-4, rel=1e-5)
    assert own.var_rows == pytest.approx(fit.sigma**2, rel=1e-5)


def test_the_means_stand_apart_and_the_model_puts_them_on_one_line():
    """The surprise is seen: orange dots differ, blue squares lie on the green line."""
    scene = LAB.run(State())
    marks = marks_of(scene, "strips")
    assert np.ptp(marks["own"].y) > EDGE / 4
    np.testing.assert_allclose(marks["model"].y, marks["mean"].y[0][0])
    assert scene.answer == 0
    split = marks_of(scene, "split")
    assert list(split["reml"].x1) == [0]


def test_pulled_apart_the_bar_grows_and_the_squares_leave_the_line():
    marks = marks_of(LAB.run(State(spread=75)), "strips")
    assert np.ptp(marks["model"].y) > 0.6 * np.ptp(marks["own"].y)


def test_ml_meets_the_wall_before_reml():
    """Squeezed together, ML's estimate is 0 where REML's is not yet, never the other way round."""
    shares = [LAB.fit(LAB.simulate(State(spread=s))) for s in range(81)]
    assert any(f.reml.icc > f.ml.icc == 0 for f in shares)
    assert all(f.ml.icc <= f.reml.icc for f in shares)


def test_the_peak_of_the_curve_is_the_estimate():
    for spread in (0, 26, 60):
        fits = LAB.fit(LAB.simulate(State(spread=spread)))
        grid = np.linspace(0, 0.99, 4001)
        for one in (fits.reml, fits.ml):
            assert grid[one.log_likelihood(grid).argmax()] == pytest.approx(one.icc, abs=3e-4)


def test_how_often_the_estimate_is_0_is_what_theory_says():
    """P(estimate 0) = P(F < sigma^2 / (sigma^2 + n sigma_b^2)), F on J - 1 and J (n - 1) df."""
    stats = pytest.importorskip("scipy.stats")
    state = State()
    values = LAB.measure_many(state, range(4000))
    ratio = state.noise**2 / (state.noise**2 + state.samples * state.spread**2)
    J, N = state.batches, state.batches * state.samples
    for key, at in (("reml", ratio), ("ml", ratio * J / (J - 1))):
        theory = stats.f.cdf(at, J - 1, N - J)
        assert np.mean(values[key] == 0) == pytest.approx(theory, abs=0.03)
        assert theory == pytest.approx({"reml": 0.36, "ml": 0.46}[key], abs=0.005)


def test_many_samples_are_those_that_single_runs_draw():
    state = State(spread=40)
    many = LAB.measure_many(state, [5, 9])
    for i, seed in enumerate((5, 9)):
        fits = LAB.fit(LAB.simulate(replace(state, seed=seed)))
        assert many["reml"][i] == pytest.approx(100 * fits.reml.icc)
        assert many["ml"][i] == pytest.approx(100 * fits.ml.icc)


def test_the_truth_is_the_share_of_the_variances():
    assert true_share(State(spread=50, noise=50)) == 0.5
    assert LAB.truth_of(State(spread=0)) == {"reml": 0, "ml": 0}
