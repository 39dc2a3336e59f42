"""What all distributions share: ranges of a response, the chain rule, expected information."""

import numpy as np
import pytest

from mixedlab.engine.distribution import through, times
from mixedlab.engine.families import family


@pytest.mark.parametrize(
    ("name", "y", "row"), [("binomial", 2.0, 1), ("poisson", -1.0, 1), ("poisson", 1.5, 1),
                           ("gamma", 0.0, 1), ("negative_binomial", np.nan, 1)]
)  # fmt: skip
def test_responses_out_of_range_name_their_rows(name, y, row):
    with pytest.raises(ValueError, match=f"row {row}"):
        family(name).check_response(np.array([1.0, y]), np.ones(2))


def test_the_chain_rule_of_three_derivatives():
    x, h = 0.7, 1e-4  # l(s) = exp(2 s), s(x) = sin x

    def value(x):
        return np.exp(2 * np.sin(x))

    s = np.sin(x)
    inner = 2 * np.exp(2 * s), 4 * np.exp(2 * s), 8 * np.exp(2 * s)
    found = through(inner, (np.cos(x), -np.sin(x), -np.cos(x)))
    first = (value(x + h) - value(x - h)) / (2 * h)
    second = (value(x + h) - 2 * value(x) + value(x - h)) / h**2
    np.testing.assert_allclose(found[:2], [first, second], rtol=1e-6)
    assert times(np.array([0.0, 2.0]), np.array([-np.inf, 3.0])).tolist() == [0.0, 6.0]


@pytest.mark.parametrize("name", ["poisson", "gamma", "binomial", "negative_binomial"])
def test_expected_information_is_the_mean_of_the_observed(name):
    kind, rng = family(name, "log"), np.random.default_rng(3)
    eta = np.full(400_000, -0.4)
    phi = 0.6 if kind.has_dispersion else 1.0
    y = kind.draw(rng, kind.link.mu(eta), np.ones(eta.size), phi)
    observed = -kind.derivatives(y, eta, 1.0, phi)[1]
    error = 5 * observed.std() / np.sqrt(eta.size) + 1e-12
    assert kind.fisher_weights(eta[:1], 1.0, phi)[0] == pytest.approx(observed.mean(), abs=error)
