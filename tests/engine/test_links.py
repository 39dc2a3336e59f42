"""Links: inverses, and derivatives of the mean and of both logarithms against differences."""

import numpy as np
import pytest

from mixedlab.engine.links import LINKS


@pytest.mark.parametrize("name", LINKS)
def test_link_and_inverse_undo_each_other(name):
    mu = np.linspace(0.01, 0.99, 50)
    link = LINKS[name]
    np.testing.assert_allclose(link.mu(link.eta(mu)), mu, rtol=1e-12)


@pytest.mark.parametrize("name", LINKS)
@pytest.mark.parametrize("curve", ["mu", "log_mu", "log1m_mu"])
def test_derivatives_agree_with_finite_differences(name, curve):
    link, h = LINKS[name], 1e-5
    eta = link.eta(np.linspace(0.1, 0.9, 9))
    f, derivatives = getattr(link, curve), getattr(link, f"{curve}_derivatives")
    first, second, third = derivatives(eta)
    np.testing.assert_allclose(first, (f(eta + h) - f(eta - h)) / (2 * h), rtol=1e-6, atol=1e-7)
    up, down = derivatives(eta + h), derivatives(eta - h)
    np.testing.assert_allclose(second, (up[0] - down[0]) / (2 * h), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(third, (up[1] - down[1]) / (2 * h), rtol=1e-5, atol=1e-5)


def test_logarithms_keep_their_digits_where_the_mean_rounds_to_an_end():
    for name in ("logit", "probit"):
        link = LINKS[name]
        assert link.mu(np.array([38.0]))[0] == 1
        assert -1e-15 < link.log_mu(np.array([38.0]))[0] <= 0
        assert link.log1m_mu(np.array([38.0]))[0] < -30


def test_the_inverse_link_is_not_defined_at_zero():
    assert LINKS["inverse"].valid(np.array([1.0, 0.0, np.nan])).tolist() == [True, False, False]
