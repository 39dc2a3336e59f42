"""Semiconductor devices against their own theory."""

import numpy as np
import pytest
from scipy import stats

import mixedlab as ml


def test_devices_mean_and_coefficient_of_variation():
    sim = ml.simulate.devices(80_000, 1, error_of_firing=0.4, seed=3)
    ratio = sim["curvature"] / sim.truth["mu"]
    for level in (-1, 1):
        part = ratio[sim["firing"] == level]
        cv = sim.truth["cv"][sim["firing"] == level][0]
        assert part.mean() == pytest.approx(1, abs=4 * cv / np.sqrt(part.size))
        assert part.std() == pytest.approx(cv, rel=0.03)
    u = sim.truth["u"]
    a = 1 / sim.truth["lam"]
    assert stats.kstest(u, stats.invgamma(a + 1, scale=a).cdf).pvalue > 1e-3
    assert u.std() == pytest.approx(0.25, rel=0.03)


def test_devices_are_a_full_factorial():
    sim = ml.simulate.devices(16, 1)
    runs = np.column_stack([sim["lamination"], sim["firing"], sim["cooling"]])
    assert len(np.unique(runs[:8], axis=0)) == 8
    assert np.array_equal(runs[:8], runs[8:])
    assert ml.simulate.devices(cv_device=0.0).truth["lam"] == 0
