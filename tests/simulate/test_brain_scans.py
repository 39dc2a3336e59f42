"""Brain scans against their own theory."""

import numpy as np
import pytest
from scipy import stats

import mixedlab as ml
from mixedlab.simulate import first_stage


def test_scans_standard_errors_and_heterogeneity():
    sim = ml.simulate.scans(4000, 20, seed=3)
    estimate, se = first_stage(sim)
    truth = sim.truth
    z = (estimate - truth["beta"]) / truth["se"]
    assert stats.kstest(z, "norm").pvalue > 1e-3
    assert np.mean(se**2 / truth["se"] ** 2) == pytest.approx(1, abs=0.04)
    assert truth["beta"].std() == pytest.approx(0.25, rel=0.05)
    assert np.log(truth["sigma"]).std() == pytest.approx(0.4, rel=0.05)
    assert truth["se_fixed"] < truth["se_mixed"]
    assert 0 < truth["i2"] < 1
    unequal = ml.simulate.scans(3, [4, 9, 20])
    assert np.bincount(unequal["subject"]).tolist() == [4, 9, 20]


def test_scans_first_stage_is_each_subjects_regression():
    sim = ml.simulate.scans(3, [6, 9, 20])
    estimate, se = first_stage(sim)
    for i in range(3):
        rows = sim["subject"] == i
        fit = stats.linregress(sim["task"][rows], sim["signal"][rows])
        assert estimate[i] == pytest.approx(fit.slope)
        assert se[i] == pytest.approx(fit.stderr)
