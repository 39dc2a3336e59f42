"""Units, signs and boundaries of the vector of parameters."""

import numpy as np
import pytest

from mixedlab.engine.families import family
from mixedlab.engine.terms import RandomTerm
from mixedlab.models.parameter_vector import ParameterVector

G = np.repeat(np.arange(5), 4)
X = np.column_stack([np.ones(20), np.linspace(-1e6, 1e6, 20)])
Y = np.linspace(1.0, 3.0, 20)


def vector(name="poisson", link=None, y=Y):
    return ParameterVector.of(family(name, link), y, X, [RandomTerm.from_arrays(G, X)])


def test_internal_units_are_those_of_the_columns():
    v = vector()
    np.testing.assert_allclose(v.scale[v.of_beta], np.sqrt(np.mean(X**2, axis=0)))
    user = np.array([0.5, 1e-7, 2e-7, 1.0, 3e-6])
    np.testing.assert_allclose(v.to_user(v.from_user(user)), user)
    theta, beta, dispersion = v.split(user)
    assert (theta.size, beta.size, dispersion) == (3, 2, 1.0)


@pytest.mark.parametrize("link", ["identity", "inverse"])
def test_a_link_with_a_unit_is_measured_in_it(link):
    one, thousand = (vector("gamma", link, unit * Y) for unit in (1.0, 1000.0))
    ratio = thousand.scale[:-1] / one.scale[:-1]
    np.testing.assert_allclose(ratio, 1e-3 if link == "identity" else 1e3)


def test_columns_of_lambda_are_turned_together():
    v = vector()
    x = np.array([-1.0, 0.4, 0.7, 0.0, 0.0])
    np.testing.assert_array_equal(v.signs(x)[:3], [-1, -1, 1])
    L = v.layout.unpack(x[:3])[0]
    turned = v.layout.unpack((x * v.signs(x))[:3])[0]
    np.testing.assert_allclose(turned @ turned.T, L @ L.T)


def test_what_is_as_good_as_zero():
    v = vector()
    at = v.at_zero(np.array([1e-4, 1e-3, 0.5, 0.1, 0.1]))
    np.testing.assert_array_equal(at, [0, 0, 0.5, 0.1, 0.1])
    assert v.is_singular(v.to_user(at))
    assert not v.is_singular(v.to_user(np.array([0.5, 0.1, 0.5, 0.1, 0.1])))


def test_an_overdispersed_family_has_a_limit():
    v = vector("negative_binomial", y=np.arange(20.0))
    far = np.append(np.zeros(5), v.dispersion_range[1] + 5)
    assert v.at_limit(far)
    assert v.split(far)[2] == pytest.approx(np.exp(v.dispersion_range[1]))
    assert not v.at_limit(np.zeros(6))
