from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.labs.fixed_or_random import LAB
from mixedlab.labs.fixed_or_random_fit import BELL, COUNTIES, URANIUM, State
from tests.labs.fuzz import check_lab


def panel(state, key):
    (found,) = (p for p in LAB.run(state).panels if p.key == key)
    return {mark.key: mark for mark in found.marks}


def fits(state):
    return LAB.fit(LAB.simulate(state))


def test_any_state_gives_a_sound_scene():
    check_lab(LAB)


@pytest.mark.parametrize("seed", [2, 14, 16])
def test_the_closed_form_is_the_mixed_model(seed):
    data = LAB.simulate(State(seed=seed))
    n = data.radon.shape[1]
    county = np.repeat(list(COUNTIES), n)
    table = pd.DataFrame({"y": data.radon.ravel(), "county": county, "u": np.repeat(URANIUM, n)})
    for formula, own in zip(("y ~ 1", "y ~ u"), LAB.fit(data), strict=True):
        fit = ml.lmm(f"{formula} + (1 | county)", table)
        assert own.beta == pytest.approx(fit.fixef.to_numpy(), abs=1e-6)
        between, within = fit.varcorr["vcov"]
        assert (own.var_county, own.var_house) == pytest.approx((between, within), abs=2e-4)
        np.testing.assert_allclose(own.predicted(n), fit.fitted.to_numpy()[::n], atol=2e-4)
        new = pd.DataFrame({"county": ["never seen"], "u": [1.2]})
        assert own.new == pytest.approx(fit.predict(new, kind="population").iloc[0], abs=1e-6)


def test_labels_are_exchangeable_until_the_soil_is_known():
    plain, soil = fits(State())
    for shuffle in range(1, 10):
        now, with_soil = fits(State(shuffle=shuffle))
        assert (now.new, now.sd_new) == pytest.approx((plain.new, plain.sd_new), abs=1e-12)
        assert with_soil.beta[1] < 0.7 * soil.beta[1]


def test_shuffling_moves_the_dots_and_not_the_line():
    """The surprise is seen: every county moves to another place, the green line stays."""
    before, after = panel(State(), "strips"), panel(State(shuffle=3), "strips")
    assert before["fixed"].y == pytest.approx(np.asarray(after["fixed"].y))
    assert list(before["own"].keys) != list(after["own"].keys)
    assert sorted(before["rows"].keys) == sorted(after["rows"].keys)


def test_with_the_soil_the_line_climbs_to_county_g():
    before, after = panel(State(), "strips"), panel(State(known=True), "strips")
    assert np.ptp(np.asarray(before["fixed"].y)) == 0
    assert after["new"].y[0] > before["new"].y[0] + 1
    assert after["band"].y1[0] - after["band"].y0[0] < 0.6 * (
        before["band"].y1[0] - before["band"].y0[0]
    )


def test_a_house_has_one_key_in_every_panel():
    keys = [set(panel(State(), p)[m].keys) for p, m in (("strips", "rows"), ("wiring", "Z"))]
    assert keys[0] == keys[1] == set(panel(State(), "covariance")["block"].keys)


def test_each_row_of_z_has_its_one_in_its_own_county():
    Z, n = panel(State(), "wiring")["Z"], State().houses
    assert list(Z.x) == [3 + j for j in range(len(COUNTIES)) for _ in range(n)]


@pytest.mark.parametrize(("causes", "peaks"), [(1, 2), (40, 1)])
def test_one_cause_makes_two_spikes_and_forty_make_a_bell(causes, peaks):
    effects = LAB.simulate(State(causes=causes)).effects
    assert len(effects) == BELL
    assert effects.std() == pytest.approx(State().spread, rel=0.06)
    if peaks == 2:
        assert len(set(np.round(effects, 6))) == 2
    else:
        assert np.mean(effects**4) / effects.var() ** 2 == pytest.approx(3, abs=0.4)


def test_both_predictions_are_right_on_average_where_labels_tell_the_soil():
    """County G has much uranium: without it the prediction is too low, with it not."""
    values = LAB.measure_many(State(), range(600))
    assert np.mean(values["soil"]) == pytest.approx(0, abs=0.12)
    assert np.mean(values["plain"]) < -1


def test_many_samples_are_those_that_single_runs_draw():
    many = LAB.measure_many(State(), [5])
    data = LAB.simulate(replace(State(), seed=5))
    assert many["soil"][0] == pytest.approx(LAB.fit(data)[1].new - data.truth_new)
