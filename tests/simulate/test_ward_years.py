"""Wards over two years against their own theory."""

import numpy as np
import pytest

import mixedlab as ml
from tests.simulate.pairs import pair_correlation


def test_wards_regress_to_the_mean():
    n = 10
    sim = ml.simulate.wards(20_000, n, stability=0.7, seed=2)
    means = sim["score"].reshape(2, 20_000, n).mean(axis=2) - 70
    slope = np.sum(means[0] * means[1]) / np.sum(means[0] ** 2)
    expected = sim.truth["regression"][0]
    assert slope == pytest.approx(expected, abs=4 / np.sqrt(20_000))
    reliability = 9 / (9 + 144 / n)
    assert sim.truth["reliability"][0] == pytest.approx(reliability)
    assert expected == pytest.approx(0.7 * reliability)
    b = sim.truth["b"]
    assert b.std(axis=0) == pytest.approx([3, 3], rel=0.03)
    assert np.corrcoef(b.T)[0, 1] == pytest.approx(0.7, abs=0.02)
    pairs = pair_correlation(*sim["score"].reshape(2, 20_000, n)[0].T[:2], 70)
    assert pairs == pytest.approx(sim.truth["icc"], abs=4 / np.sqrt(20_000))
