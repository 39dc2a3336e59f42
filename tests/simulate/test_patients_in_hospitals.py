"""Patients in hospitals against their own theory."""

import numpy as np
import pytest
from scipy import stats

import mixedlab as ml
from tests.simulate.pairs import by_group


@pytest.mark.parametrize(
    ("outcome", "column"), [("continuous", "stay"), ("binary", "infected"), ("count", "attacks")]
)
def test_hospitals_marginal_mean(outcome, column):
    sim = ml.simulate.hospitals(40_000, 2, slope=0.0, outcome=outcome, seed=3)
    means = by_group(sim, column, 2).mean(axis=1)
    error = means.std() / np.sqrt(means.size)
    assert abs(means.mean() - sim.truth["marginal_mean"]) < 4 * error


def test_hospitals_marginal_mean_of_a_logit_agrees_with_integration():
    truth = ml.simulate.hospitals(intercept=-2.0, sd_hospital=1.5).truth
    exact = stats.norm(-2.0, 1.5).expect(lambda e: 1 / (1 + np.exp(-e)))
    assert truth["marginal_mean"] == pytest.approx(exact, abs=1e-8)


def test_hospitals_are_wired_as_stated():
    sim = ml.simulate.hospitals(5, [1, 2, 3, 4, 5], outcome="continuous", sd_patient=0.0)
    assert np.bincount(sim["hospital"]).tolist() == [1, 2, 3, 4, 5]
    b = sim.truth["b"][sim["hospital"]]
    assert sim["stay"] == pytest.approx(-1.0 + 0.7 * sim["severity"] + b)
    assert ml.simulate.hospitals(outcome="binary", sd_hospital=1.0).truth["icc"] == pytest.approx(
        1 / (1 + np.pi**2 / 3)
    )
