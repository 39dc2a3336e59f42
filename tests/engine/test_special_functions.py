"""Special functions at the ends of their range."""

import numpy as np
import pytest
from scipy.special import psi

from mixedlab.engine.special_functions import log_constant, log_cosh, shape_of_mean_deviance


def test_constant_of_a_gamma_density_near_the_change_of_form():
    below, above = log_constant(np.array([99.999999, 100.000001]))
    assert below == pytest.approx(above, abs=1e-7)


def test_log_cosh_is_even_and_does_not_overflow():
    x = np.array([0.3, 0.999999, 1.000001, 30.0, 1e5])
    assert log_cosh(-x) == pytest.approx(log_cosh(x))
    assert log_cosh(x)[-1] == pytest.approx(1e5 - np.log(2))


@pytest.mark.parametrize("nu", [1e-3, 0.2, 1.0, 7.0, 1e4])
def test_shape_inverts_the_mean_deviance(nu):
    assert shape_of_mean_deviance(2 * (np.log(nu) - psi(nu))) == pytest.approx(nu, rel=1e-7)
