"""Start values are near the truth where there are many groups."""

import numpy as np
import pytest

from mixedlab.engine.families import family
from mixedlab.engine.terms import RandomTerm
from mixedlab.models.start_values import first_deviations, first_dispersion, spread_of_means


def drawn(name, sd, phi=1.0, J=800, m=10):
    rng = np.random.default_rng(4)
    kind, g = family(name, "log"), np.repeat(np.arange(J), m)
    mu = np.exp(1.0 + sd * rng.normal(size=J)[g])
    return kind, kind.draw(rng, mu, 1.0, phi), [RandomTerm.from_arrays(g)]


@pytest.mark.parametrize("sd", [0.1, 0.3])
def test_the_moment_estimate_of_a_standard_deviation(sd):
    kind, y, terms = drawn("poisson", sd)
    mu = np.full(y.size, y.mean())
    found, share = first_deviations(kind, y, np.log(mu), mu, 1.0, 1.0, terms)
    assert found[0][0] == pytest.approx(sd, rel=0.15)
    assert share == pytest.approx(found[0][0] ** 2 * mu[0], rel=1e-6)
    assert spread_of_means(kind, y, 1.0, terms)[0][0] > sd


def test_without_spread_it_is_its_standard_error():
    kind, y, terms = drawn("poisson", 0.0)
    mu = np.full(y.size, y.mean())
    found, _ = first_deviations(kind, y, np.log(mu), mu, 1.0, 1.0, terms)
    assert 0 < found[0][0] < 0.1


@pytest.mark.parametrize(("name", "phi"), [("gamma", 0.4), ("negative_binomial", 2.0)])
def test_the_moment_estimate_of_a_dispersion(name, phi):
    kind, y, _ = drawn(name, 0.0, phi)
    found = first_dispersion(kind, y, np.full(y.size, np.e), 1.0)
    assert found == pytest.approx(phi, rel=0.1)
