"""Many generalised fits at once are the fits one by one."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from mixedlab.engine.families import family
from mixedlab.engine.many_generalized import many_generalized
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError, MixedlabError
from mixedlab.models.generalized import fit_generalized

KINDS = [
    ("binomial", "logit"),
    ("binomial", "probit"),
    ("binomial", "cloglog"),
    ("poisson", "log"),
]
M = 5


def term_of(index, Z):
    return RandomTerm("g", index, tuple(range(index.max() + 1)), Z, ("a", "b")[: Z.shape[1]])


def case(seed, name, link, q, *, sd=0.8, J=14, per=7, m=M):
    """Groups of unequal size, trials or prior weights where the seed is odd, an offset."""
    rng = np.random.default_rng(seed)
    n = J * per
    index = np.concatenate([np.arange(J), rng.integers(0, J, n - J)])
    if seed % 3 == 0:
        index = np.sort(np.repeat(np.arange(J), per))
    X = np.column_stack([np.ones(n), rng.normal(size=n) * 3])
    offset = 0.2 * rng.normal(size=n)
    b = sd * rng.normal(size=(m, J, q))
    eta = (X @ [0.2, 0.15] + offset)[:, None] + np.einsum("nq,mnq->nm", X[:, :q] / 3, b[:, index])
    made = family(name, link)
    weights = rng.integers(2, 6, n).astype(float) if seed % 2 else None
    w = np.ones(n) if weights is None else weights
    y = made.draw(rng, made.link.mu(eta), w[:, None] if name == "binomial" else 1.0)
    return y, X, index, X[:, :q], weights, offset


def lower(theta, q):
    L = np.zeros((q, q))
    L.T[np.triu_indices(q)] = theta
    return L


@pytest.mark.parametrize("nagq", [1, 5])
@pytest.mark.parametrize("q", [1, 2])
@pytest.mark.parametrize(("name", "link"), KINDS)
@pytest.mark.parametrize("seed", [7, 8])
def test_many_fits_are_the_fits_one_by_one(name, link, q, nagq, seed):
    y, X, index, Z, weights, offset = case(seed, name, link, q)
    many = many_generalized(
        y, X, [term_of(index, Z)], family=name, link=link, nagq=nagq, weights=weights, offset=offset
    )
    assert many.converged.all()
    for k in range(M):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            one = fit_generalized(
                y[:, k], X, [term_of(index, Z)],
                family=name, link=link, nagq=nagq, weights=weights, offset=offset,
            )  # fmt: skip
        if not one.converged:
            assert many.loglik[k] > one.loglik - 1e-8
            continue
        assert many.loglik[k] == pytest.approx(one.loglik, rel=1e-8)
        se = np.sqrt(np.diag(one.vcov_beta))
        np.testing.assert_allclose(many.beta[k] / se, one.beta / se, atol=1e-3)
        # Near a correlation of one many theta give nearly the same covariance.
        L, L_one = lower(many.theta[k], q), lower(one.theta, q)
        np.testing.assert_allclose(L @ L.T, L_one @ L_one.T, atol=1e-3)
        if np.linalg.svd(L_one, compute_uv=False)[-1] > 5e-3 or one.singular:
            assert many.singular[k] == one.singular


def test_no_variance_between_groups_is_decided_at_zero():
    """The derivative of the log-likelihood in the variance decides where it is zero."""
    y, X, index, Z, _, offset = case(4, "binomial", "logit", 1, sd=0.0, m=60)
    many = many_generalized(y, X, [term_of(index, Z)], offset=offset)
    assert many.converged.all()
    null = many_generalized(y, X, [term_of(index, 0 * Z)], offset=offset)
    mu = 1 / (1 + np.exp(-offset[:, None] - X @ null.beta.T))
    groups = (index[:, None] == np.arange(index.max() + 1)).T.astype(float)
    score = ((groups @ (y - mu)) ** 2 - groups @ (mu * (1 - mu))).sum(0) / 2
    assert 10 < np.count_nonzero(many.singular) < 50
    np.testing.assert_array_equal(many.singular, score <= 0)
    assert (many.theta[many.singular] == 0).all()


def test_separated_responses_are_suspect_and_spoil_no_other():
    y, X, index, Z, _, offset = case(4, "binomial", "logit", 1)
    alone = many_generalized(y, X, [term_of(index, Z)], offset=offset)
    y = y.copy()
    y[:, 2] = X[:, 1] > 0
    many = many_generalized(y, X, [term_of(index, Z)], offset=offset)
    np.testing.assert_array_equal(many.suspect, [False, False, True, False, False])
    others = [0, 1, 3, 4]
    np.testing.assert_allclose(many.loglik[others], alone.loglik[others], rtol=1e-9)
    with pytest.raises(MixedlabError):
        fit_generalized(y[:, 2], X, [term_of(index, Z)], offset=offset)


def test_responses_that_do_not_vary_within_groups_are_suspect():
    rng = np.random.default_rng(2)
    index = np.repeat(np.arange(20), 5)
    y = rng.integers(0, 2, (100, 3)).astype(float)
    y[:, 1] = index % 2
    many = many_generalized(y, np.ones((100, 1)), [RandomTerm.from_arrays(index)])
    np.testing.assert_array_equal(many.suspect, [False, True, False])


def test_a_start_changes_the_way_and_not_the_end():
    y, X, index, Z, _, offset = case(4, "poisson", "log", 2)
    free = many_generalized(y, X, [term_of(index, Z)], family="poisson", offset=offset)
    start = (free.theta[0] + 0.2, free.beta[0] - 0.1)
    begun = many_generalized(
        y, X, [term_of(index, Z)], family="poisson", offset=offset, start=start
    )
    np.testing.assert_allclose(begun.loglik, free.loglik, rtol=1e-9)


def test_units_of_the_columns_change_nothing():
    y, X, index, Z, _, offset = case(4, "poisson", "log", 2)
    unit = np.array([1.0, 1e6])
    a = many_generalized(y, X, [term_of(index, Z)], family="poisson", offset=offset)
    b = many_generalized(y, X * unit, [term_of(index, Z * unit)], family="poisson", offset=offset)
    np.testing.assert_allclose(a.loglik, b.loglik, rtol=1e-10)
    np.testing.assert_allclose(a.beta, b.beta * unit, rtol=1e-4, atol=1e-5)


def test_what_is_not_done_at_once_is_refused():
    index = np.repeat(np.arange(4), 3)
    with pytest.raises(DataError, match="gamma family has a dispersion"):
        many_generalized(
            np.ones((12, 2)), np.ones((12, 1)), [RandomTerm.from_arrays(index)], family="gamma"
        )
    with pytest.raises(DataError, match="a column of Y for each data set"):
        many_generalized(np.ones((11, 2)), np.ones((12, 1)), [RandomTerm.from_arrays(index)])
