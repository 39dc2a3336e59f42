"""Villages against their own theory."""

import numpy as np
import pytest

import mixedlab as ml


@pytest.mark.parametrize("outcome", ["continuous", "binary", "count"])
def test_villages_marginal_means(outcome):
    sim = ml.simulate.villages(30_000, 2, outcome=outcome, sd_village=0.8, seed=5)
    y = list(sim.columns.values())[-1].reshape(-1, 2).mean(axis=1)
    for arm in (0, 1):
        values = y[arm::2]
        error = values.std() / np.sqrt(values.size)
        assert abs(values.mean() - sim.truth["marginal_mean"][arm]) < 4 * error


def test_villages_design_effect_with_unequal_sizes():
    options = {"n_villages": 5, "n_people": 10, "cv_size": 0.8, "effect": 0.0}
    base = ml.simulate.villages(outcome="continuous", seed=4, **options)
    sizes, icc = base.truth["sizes"], base.truth["icc"]
    assert icc == pytest.approx(0.16 / (0.16 + 1.44))
    # the variance of the mean of all rows: villages weigh with their sizes
    by_hand = np.sum(sizes**2) * 0.16 / sizes.sum() ** 2 + 1.44 / sizes.sum()
    naive = 1.6 / sizes.sum()
    assert base.truth["design_effect"] == pytest.approx(by_hand / naive)
    many = ml.simulate.villages(20_000, 10, cv_size=0.8, outcome="continuous").truth["sizes"]
    assert many.mean() == pytest.approx(10, rel=0.05)
    assert many.std() / many.mean() == pytest.approx(0.8, rel=0.05)
