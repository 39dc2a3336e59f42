"""Generalised linear models without random effects: gradients, and starts inside every range."""

import numpy as np
import pytest

from mixedlab.engine.families import family
from mixedlab.engine.fixed_likelihood import FixedLikelihood, scoring
from tests.engine.generalized_samples import FAMILIES, N, sample


@pytest.mark.parametrize(("name", "link"), FAMILIES)
def test_gradient(name, link):
    fam, y, X, w, _, _ = sample(name, link)
    form, h = FixedLikelihood(fam, y, X, w, np.zeros(N)), 1e-5
    beta, theta = np.array([1.5, 0.1]) if link == "inverse" else np.array([0.3, 0.2]), np.zeros(0)
    at = form(theta, beta, 1.3)
    numeric = [
        (form(theta, beta + s, 1.3).loglik - form(theta, beta - s, 1.3).loglik) / (2 * h)
        for s in h * np.eye(2)
    ]
    np.testing.assert_allclose(at.d_beta, numeric, rtol=1e-5, atol=1e-4)
    if fam.has_dispersion:
        up, down = (form(theta, beta, 1.3 * np.exp(s)).loglik for s in (h, -h))
        assert at.d_log_dispersion == pytest.approx((up - down) / (2 * h), rel=1e-4, abs=1e-4)


def test_scoring_is_least_squares_for_normal_responses_and_an_offset():
    rng = np.random.default_rng(1)
    X = np.column_stack([np.ones(50), rng.normal(size=50)])
    y, offset = X @ [1.0, 2.0] + rng.normal(size=50), rng.normal(size=50)
    beta, settled = scoring(family("gaussian"), y, X, 1.0, offset)
    assert settled
    np.testing.assert_allclose(beta, np.linalg.lstsq(X, y - offset, rcond=None)[0], rtol=1e-8)


@pytest.mark.parametrize(
    ("name", "link", "draw"),
    [
        ("gamma", "identity", lambda rng, mu: mu * rng.gamma(0.3, 1 / 0.3, mu.size) + 1e-9),
        ("poisson", "identity", lambda rng, mu: rng.poisson(mu).astype(float)),
        ("poisson", "inverse", lambda rng, mu: rng.poisson(1 / mu).astype(float)),
        ("binomial", "log", lambda rng, mu: (rng.random(mu.size) < 0.9).astype(float)),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_scoring_never_leaves_the_range_and_is_not_below_one_mean_for_all(name, link, draw, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=80)
    X = np.column_stack([np.ones(80), x, x**2])
    kind = family(name, link)
    y = draw(rng, 2 + 0.3 * x)
    beta, _ = scoring(kind, y, X, 1.0, np.zeros(80))
    found = kind.loglik(y, X @ beta).sum()
    one = kind.loglik(y, np.full(80, kind.link.eta(np.array(y.mean())))).sum()
    assert np.isfinite(found)
    assert found >= one - 1e-8 * abs(one)
