"""Likelihoods and gradients of many data sets are those of each."""

from __future__ import annotations

import numpy as np
import pytest

from mixedlab.engine.families import family
from mixedlab.engine.many_likelihood import ManyLikelihoods
from mixedlab.engine.terms import RandomTerm

KINDS = [
    ("binomial", "logit"),
    ("binomial", "probit"),
    ("binomial", "cloglog"),
    ("poisson", "log"),
]
M = 4


def case(seed, name, link, q):
    """Groups of unequal size; trials or prior weights where the seed is odd; an offset."""
    rng = np.random.default_rng(seed)
    index = np.concatenate([np.arange(10), rng.integers(0, 10, 50)])
    if seed % 3 == 0:
        index = np.repeat(np.arange(10), 6)
    X = np.column_stack([np.ones(60), rng.normal(size=60)])
    w = rng.integers(2, 6, 60).astype(float) if seed % 2 else 1.0
    made = family(name, link)
    y = made.draw(rng, np.full((60, M), 0.4), np.reshape(w, (-1, 1)) if np.ndim(w) else 1.0)
    return made, y, X, index, X[:, :q], w, 0.2 * rng.normal(size=60)


def likelihoods(made, y, X, index, Z, *rest):
    return ManyLikelihoods(made, y, X, [RandomTerm.from_arrays(index, Z)], *rest)


def dense(made, y, X, index, Z, w, offset, theta, beta, nodes):
    """The log-likelihood by quadrature on a wide grid around 0, with no mode and no scale."""
    z = np.linspace(-9, 9, nodes)
    weights = np.exp(-0.5 * z**2) / np.exp(-0.5 * z**2).sum()
    total = 0.0
    for j in range(index.max() + 1):
        at = index == j
        eta = (offset + X @ beta)[at, None] + Z[at] * theta[0] * z
        l = made.loglik(y[at, None], eta, w[at, None] if np.ndim(w) else 1.0).sum(0)
        total += np.log(np.exp(l) @ weights)
    return total


@pytest.mark.parametrize(("name", "link"), KINDS)
@pytest.mark.parametrize("seed", [3, 4])
def test_quadrature_is_the_integral(name, link, seed):
    made, *data = case(seed, name, link, 1)
    many = likelihoods(made, *data, 25)
    rng = np.random.default_rng(seed)
    theta, beta = rng.uniform(0.3, 1, (M, 1)), 0.4 * rng.normal(size=(M, 2))
    at = many(theta, beta, np.arange(M))
    for k in range(M):
        exact = dense(made, data[0][:, k], *data[1:], theta[k], beta[k], 4001)
        assert at.loglik[k] == pytest.approx(exact, rel=1e-7)


@pytest.mark.parametrize("nagq", [1, 4])
@pytest.mark.parametrize("q", [1, 2])
@pytest.mark.parametrize(("name", "link"), KINDS)
def test_gradients_are_the_slopes_of_values(name, link, q, nagq):
    made, y, X, index, Z, w, offset = case(5, name, link, q)
    many = likelihoods(made, y, X, index, Z, w, offset, nagq)
    k = q * (q + 1) // 2
    x = 0.5 * np.random.default_rng(1).normal(size=(3, k + 2))
    which, h = np.array([0, 1, 3]), 1e-5
    at = many(x[:, :k], x[:, k:], which)
    for c in range(k + 2):
        step = h * np.eye(k + 2)[c]
        ahead, behind = (many((x + s * step)[:, :k], (x + s * step)[:, k:], which) for s in (1, -1))
        slope = (ahead.loglik - behind.loglik) / (2 * h)
        np.testing.assert_allclose(at.gradient[:, c], slope, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("nagq", [1, 5])
def test_groups_that_are_alike_count_as_often_as_there_are(nagq):
    """In a planned design groups are merged; with the rows of one group turned they are not."""
    rng = np.random.default_rng(2)
    index = np.repeat(np.arange(60), 4)
    X = np.tile(np.column_stack([np.ones(4), np.arange(4.0)]), (60, 1))
    y = rng.integers(0, 2, (240, 3)).astype(float)
    turn = np.arange(240)
    turn[:4] = turn[:4][::-1]
    arguments = (np.ones((240, 1)), 1.0, np.zeros(240), nagq)
    merged = likelihoods(family("binomial"), y, X, index, *arguments)
    apart = likelihoods(family("binomial"), y[turn], X[turn], index, *arguments)
    assert len(merged.together.y) < len(apart.together.y) == 240
    theta, beta = np.array([[0.5], [1.0], [2.0]]), np.array([[0.1, 0.2]] * 3)
    which = np.arange(3)
    a, b = (form(theta, beta, which) for form in (merged, apart))
    np.testing.assert_allclose(a.loglik, b.loglik, rtol=1e-12)
    np.testing.assert_allclose(a.gradient, b.gradient, rtol=1e-9, atol=1e-10)
    information = [form.information_of_beta(theta, beta) for form in (merged, apart)]
    np.testing.assert_allclose(*information, rtol=1e-9)


def test_a_data_set_depends_on_no_other():
    made, y, X, index, Z, w, offset = case(4, "binomial", "logit", 1)
    wild = y.copy()
    wild[:, 1] = X[:, 1] > 0
    theta, beta = np.full((M, 1), 0.7), np.tile([0.1, 0.3], (M, 1))
    extreme = beta.copy()
    extreme[1] = [0.0, 400.0]
    found = []
    for responses, coefs in ((y, beta), (wild, extreme)):
        many = likelihoods(made, responses, X, index, Z, w, offset)
        found.append(many(theta, coefs, np.arange(M)).loglik)
    np.testing.assert_allclose(found[0][[0, 2, 3]], found[1][[0, 2, 3]], rtol=1e-14)


def test_a_point_out_of_range_has_no_likelihood():
    made, y, X, index, Z, w, offset = case(4, "poisson", "log", 1)
    many = likelihoods(made, y, X, index, Z, w, offset)
    beta = np.zeros((M, 2))
    beta[2] = 1e4
    at = many(np.full((M, 1), 0.5), beta, np.arange(M))
    np.testing.assert_array_equal(np.isfinite(at.loglik), [True, True, False, True])
    assert at.loglik[2] == -np.inf
