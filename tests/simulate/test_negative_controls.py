"""Contamination against their own theory."""

import numpy as np
import pytest

import mixedlab as ml


def test_contamination_moments():
    sim = ml.simulate.contamination(
        4000, 3, 1, 1, present=0.4, abundance=2.0, depth_spread=0.0, seed=2
    )
    c = sim.truth["contamination"]
    cv = sim.truth["cv_contamination"]
    assert c.mean() == pytest.approx(0.5, rel=4 * cv / np.sqrt(4000))
    assert c.std() / c.mean() == pytest.approx(cv, rel=0.15)
    control = sim["control"]
    assert np.all(sim.truth["rate"][control] == 0)
    rate = sim.truth["rate"][~control]
    assert (rate > 0).mean() == pytest.approx(0.4, abs=0.02)
    assert rate[rate > 0].mean() == pytest.approx(2.0, rel=0.05)
    expected = sim["depth"] * (sim.truth["rate"] + c[sim["taxon"], sim["batch"]])
    assert (sim["reads"] - expected).mean() == pytest.approx(
        0, abs=4 * np.sqrt(expected.mean() / expected.size)
    )
    assert np.mean((sim["reads"] - expected) ** 2) == pytest.approx(expected.mean(), rel=0.05)


def test_more_controls_leave_the_samples_alone():
    few = ml.simulate.contamination(n_controls=1)
    many = ml.simulate.contamination(n_controls=5)
    for column in ("reads", "depth"):
        assert np.array_equal(few[column][~few["control"]], many[column][~many["control"]])
    fewer_samples = ml.simulate.contamination(n_controls=1, n_samples=2)
    assert np.array_equal(
        few["reads"][few["control"]], fewer_samples["reads"][fewer_samples["control"]]
    )
