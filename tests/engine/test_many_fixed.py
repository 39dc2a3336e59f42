"""Many generalised linear models at once are those one by one."""

from __future__ import annotations

import numpy as np
import pytest

from mixedlab.engine.families import family
from mixedlab.engine.fixed_likelihood import scoring
from mixedlab.engine.many_fixed import many_fixed


@pytest.mark.parametrize(
    ("name", "link"),
    [("binomial", "logit"), ("binomial", "cloglog"), ("poisson", "log"), ("gamma", "log")],
)
def test_coefficients_and_errors_are_those_of_one_response(name, link):
    rng = np.random.default_rng(1)
    made, n = family(name, link), 80
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    trials = rng.integers(3, 9, n).astype(float) if name == "binomial" else np.ones(n)
    mu = made.link.mu(X @ [0.3, -0.4])[:, None] * np.ones((n, 6))
    y = made.draw(rng, mu, trials[:, None], 0.3)
    offset = 0.1 * rng.normal(size=n)
    many = many_fixed(y, X, made, weights=trials[:, None], offset=offset[:, None])
    assert many.converged.all()
    for k in range(6):
        beta, settled = scoring(made, y[:, k], X, trials, offset)
        assert settled
        np.testing.assert_allclose(many.beta[k], beta, atol=1e-4)
        # At the estimate the scores are zero, and the errors are those of the information.
        eta = offset + X @ many.beta[k]
        fitted, slope = made.link.mu(eta), made.link.dmu(eta)
        variance = made.variance(fitted, trials)
        np.testing.assert_allclose(X.T @ (slope * (y[:, k] - fitted) / variance), 0, atol=1e-7)
        information = X.T @ (X * (slope**2 / variance)[:, None])
        np.testing.assert_allclose(many.se[k], np.sqrt(np.diag(np.linalg.inv(information))))
        assert many.pearson[k] == pytest.approx(((y[:, k] - fitted) ** 2 / variance).sum())


def test_a_separated_response_does_not_converge_and_spoils_no_other():
    rng = np.random.default_rng(2)
    x = rng.normal(size=50)
    X = np.column_stack([np.ones(50), x])
    y = rng.integers(0, 2, (50, 3)).astype(float)
    alone = many_fixed(y[:, [0, 2]], X, family("binomial"))
    y[:, 1] = x > 0
    many = many_fixed(y, X, family("binomial"))
    np.testing.assert_array_equal(many.converged, [True, False, True])
    np.testing.assert_allclose(many.beta[[0, 2]], alone.beta, rtol=1e-12)
