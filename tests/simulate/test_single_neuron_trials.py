"""Trials in neurons in subjects against their own theory."""

import numpy as np
import pytest

import mixedlab as ml
from tests.simulate.pairs import pair_correlation


def test_trials_correlations_at_both_levels():
    sim = ml.simulate.trials(20_000, 2, 2, effect=0.0, seed=3)
    y = sim["rate"].reshape(20_000, 2, 2)
    truth = sim.truth
    tolerance = 4 / np.sqrt(20_000)
    assert pair_correlation(y[:, 0, 0], y[:, 0, 1], 12) == pytest.approx(
        truth["icc_neuron"], abs=tolerance
    )
    assert pair_correlation(y[:, 0, 0], y[:, 1, 1], 12) == pytest.approx(
        truth["icc_subject"], abs=tolerance
    )
    assert y.var() == pytest.approx(4 + 9 + 16, rel=0.05)


@pytest.mark.parametrize("varies", ["trial", "subject"])
def test_trials_standard_error_is_the_sd_over_samples(varies):
    def difference(seed):
        sim = ml.simulate.trials(6, 3, 4, stimulus_varies=varies, seed=seed)
        on = sim["stimulus"] == 1
        return sim["rate"][on].mean() - sim["rate"][~on].mean()

    truth = ml.simulate.trials(6, 3, 4, stimulus_varies=varies).truth
    d = np.array([difference(s) for s in range(1500)])
    assert d.std() == pytest.approx(truth["se_effect"], rel=4 / np.sqrt(2 * 1500))
    assert d.mean() == pytest.approx(1.0, abs=4 * truth["se_effect"] / np.sqrt(1500))
    # pseudoreplication understates a subject's effect; within subjects pairing makes it smaller
    assert (truth["se_naive"] < truth["se_effect"]) == (varies == "subject")
