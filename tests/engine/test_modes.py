"""Modes of many functions at once."""

import numpy as np
import pytest

from mixedlab.engine.modes import find_modes


class Gammas:
    """log f(s) = a s - b exp(s): mode log(a / b), curvature a."""

    a, b = np.array([0.1, 1.0, 30.0, 4.0]), np.array([5.0, 1.0, 1e-4, 1e6])

    def height(self, s):
        with np.errstate(over="ignore"):
            return self.a * s - self.b * np.exp(s)

    def slope_and_curvature(self, s):
        return self.a - self.b * np.exp(s), self.b * np.exp(s)


@pytest.mark.parametrize("start", [0.0, -20.0, 9.0, 2000.0])
def test_each_function_has_its_own_step(start):
    mode, sd = find_modes(Gammas(), np.full(4, start))
    assert mode == pytest.approx(np.log(Gammas.a / Gammas.b), abs=1e-6)
    assert sd == pytest.approx(Gammas.a**-0.5, rel=1e-5)


def test_a_start_where_there_is_nothing_falls_back_to_zero():
    mode, _ = find_modes(Gammas(), np.array([1e5, 0.0, 1e6, 0.0]))
    assert mode == pytest.approx(np.log(Gammas.a / Gammas.b), abs=1e-6)
