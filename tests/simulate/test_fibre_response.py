"""Fibre and glucose against their own theory."""

import numpy as np
import pytest

import mixedlab as ml
from mixedlab.simulate import slope_covariance
from tests.simulate.pairs import by_group


def test_fibre_covariance_formula():
    sim = ml.simulate.fibre(30_000, 5, rho=-0.7, seed=3)
    y = by_group(sim, "glucose", 5)
    grams = np.linspace(0, 20, 5)
    expected = slope_covariance(sim.truth["cov"], grams, sim.truth["sd_error"])
    # The sd of a sample covariance is at most sqrt(2) times the product of the two sds.
    sd = np.sqrt(np.diag(expected))
    assert np.abs(np.cov(y.T) - expected).max() < 4 * np.sqrt(2 / 30_000) * sd.max() ** 2
    assert y.mean(axis=0) == pytest.approx(8.0 - 0.08 * grams, abs=0.05)


def test_fibre_moving_the_origin_changes_the_correlation_and_not_the_data():
    at_zero = ml.simulate.fibre(rho=-0.5)
    narrowest = at_zero.truth["narrowest"]
    moved = ml.simulate.fibre(rho=-0.5, origin=narrowest)
    assert narrowest == pytest.approx(0.5 * 0.8 / 0.08)
    assert np.array_equal(at_zero["glucose"], moved["glucose"])
    assert moved.truth["rho"] == pytest.approx(0.0, abs=1e-12)
    both = [
        slope_covariance(s.truth["cov"], s["x"][:8], s.truth["sd_error"]) for s in (at_zero, moved)
    ]
    assert both[0] == pytest.approx(both[1])
    assert moved["x"] + narrowest == pytest.approx(at_zero["x"])
