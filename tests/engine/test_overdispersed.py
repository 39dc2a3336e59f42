"""Mixtures of plain families: their limits, and what they are mixtures of."""

import numpy as np
import pytest
from scipy import stats

from mixedlab.engine.families import family


def test_negative_binomial_and_beta_binomial_tend_to_their_limits():
    y, mu = np.array([0.0, 2, 5]), np.array([1.0, 2.5, 4.0])
    np.testing.assert_allclose(
        family("negative_binomial").logpdf(y, mu, 1.0, 1e9), family("poisson").logpdf(y, mu), 1e-6
    )
    p, m = np.array([0.2, 0.5, 0.7]), np.array([4.0, 8, 10])
    np.testing.assert_allclose(
        family("beta_binomial").logpdf(y / m, p, m, 1e9), family("binomial").logpdf(y / m, p, m),
        1e-6,
    )  # fmt: skip


def test_they_are_the_mixtures_that_they_are_said_to_be():
    mu, theta, y = 2.5, 1.7, 3.0
    rate = np.linspace(1e-6, 60, 200_001)
    weight = stats.gamma.pdf(rate, theta, scale=mu / theta)
    mixed = np.trapezoid(weight * stats.poisson.pmf(y, rate), rate)
    ours = family("negative_binomial").logpdf(y, mu, 1.0, theta)
    assert np.exp(ours) == pytest.approx(mixed, rel=1e-6)
    p, kappa, trials, r = 0.3, 4.0, 7.0, 2.0
    share = np.linspace(1e-9, 1 - 1e-9, 200_001)
    weight = stats.beta.pdf(share, kappa * p, kappa * (1 - p))
    mixed = np.trapezoid(weight * stats.binom.pmf(r, trials, share), share)
    ours = family("beta_binomial").logpdf(r / trials, p, trials, kappa)
    assert np.exp(ours) == pytest.approx(mixed, rel=1e-5)
