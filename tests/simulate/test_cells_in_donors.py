"""Cells in donors against their own theory."""

import numpy as np
import pytest

import mixedlab as ml
from tests.simulate.pairs import by_group


@pytest.mark.parametrize("icc", [0.0, 0.1, 0.6, 1.0])
def test_cells_variance_correlation_and_design_effect(icc):
    n, J = 5, 20_000
    sim = ml.simulate.cells(J, n, icc=icc, sd=2.0, seed=2)
    y = by_group(sim, "expression", n) - 5.0
    assert y.var() == pytest.approx(4.0, rel=0.05)
    pairs = np.mean(y[:, 0] * y[:, 1]) / 4.0
    assert pairs == pytest.approx(icc, abs=4 / np.sqrt(J))
    # Var of a mean of J n cells is sd^2 / (J n) times the design effect.
    inflation = y.mean(axis=1).var() * n / 4.0
    assert inflation == pytest.approx(sim.truth["design_effect"], rel=0.05)
    assert sim.truth["n_effective"] * sim.truth["design_effect"] == pytest.approx(J * n)


def test_cells_design_effect_of_the_text():
    assert ml.simulate.cells(10, 50, icc=0.1).truth["design_effect"] == pytest.approx(5.9)
