"""Many linear fits at once are the fits one by one."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from mixedlab.engine.many_linear import many_linear
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError
from mixedlab.models.linear import fit_linear

M = 6


def terms_of(index, Z, sizes):
    levels = tuple(range(index.max() + 1))
    ends = np.cumsum(sizes)
    return [
        RandomTerm("g", index, levels, Z[:, e - s : e], tuple("abc"[e - s : e]))
        for s, e in zip(sizes, ends, strict=True)
    ]


def random_case(seed):
    """A design, balanced or not, and responses with any variances."""
    rng = np.random.default_rng(seed)
    J, per = int(rng.integers(4, 25)), int(rng.integers(4, 9))
    n, q, p = J * per, int(rng.integers(1, 4)), int(rng.integers(1, 4))
    balanced = seed % 3 == 0
    if balanced:
        index = np.repeat(np.arange(J), per)
    else:
        index = np.concatenate([np.arange(J), rng.integers(0, J, n - J)])
    x = np.tile(rng.normal(size=(per, 3)), (J, 1)) if balanced else rng.normal(size=(n, 3))
    ones = np.ones((n, 1))
    X = np.concatenate([ones, 10 * x[:, : p - 1] + 3], axis=1)
    Z = np.concatenate([ones, x[:, : q - 1]], axis=1)
    sd = rng.choice([0, 0.3, 1, 3.0], size=(M, q))
    Y = np.stack(
        [
            X @ rng.normal(size=p)
            + (Z * (rng.normal(size=(J, q)) * sd[k])[index]).sum(1)
            + rng.normal(size=n)
            for k in range(M)
        ],
        axis=1,
    ) * 10.0 ** rng.integers(-4, 5)
    options = {"reml": bool(seed % 2)}
    if seed % 5 == 2:
        options["weights"] = rng.uniform(0.3, 3, n)
    if seed % 5 == 3:
        options["offset"] = rng.normal(size=n)
    sizes = (1,) * q if seed % 6 == 0 else (q,)
    return Y, X, index, Z, sizes, options


@pytest.mark.parametrize("seed", range(24))
def test_many_fits_are_the_fits_one_by_one(seed):
    Y, X, index, Z, sizes, options = random_case(seed)
    many = many_linear(Y, X, terms_of(index, Z, sizes), **options)
    for k in range(M):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            one = fit_linear(Y[:, k], X, terms_of(index, Z, sizes), **options)
        assert many.converged[k] == one.converged
        if not one.converged:
            continue
        assert many.criterion[k] == pytest.approx(one.criterion, rel=1e-9, abs=1e-8)
        assert many.singular[k] == one.singular
        np.testing.assert_allclose(many.theta[k], one.theta, rtol=1e-5, atol=1e-6)
        se = np.sqrt(np.diag(one.vcov_beta))
        np.testing.assert_allclose(many.beta[k] / se, one.beta / se, atol=1e-6)
        np.testing.assert_allclose(
            many.vcov_beta[k], one.vcov_beta, rtol=1e-5, atol=1e-9 * se[0] ** 2
        )
        assert many.sigma[k] == pytest.approx(one.sigma, rel=1e-6)


def test_a_start_changes_the_way_and_not_the_end():
    Y, X, index, Z, sizes, options = random_case(6)
    terms = terms_of(index, Z, sizes)
    free = many_linear(Y, X, terms, **options)
    begun = many_linear(Y, X, terms, start=free.theta[0] + 0.3, **options)
    np.testing.assert_allclose(begun.criterion, free.criterion, rtol=1e-10)
    np.testing.assert_array_equal(begun.singular, free.singular)


def test_levels_with_the_same_rows_are_taken_together_without_a_trace():
    rng = np.random.default_rng(3)
    index, x = np.repeat(np.arange(30), 6), np.tile(np.arange(6.0), 30)
    X = np.column_stack([np.ones(180), x])
    Y = (rng.normal(size=(5, 30, 2))[:, index] * X).sum(2).T + rng.normal(size=(180, 5))
    together = many_linear(Y, X, terms_of(index, X, (2,)))
    # In another order of rows no two levels look alike.
    order = rng.permutation(180)
    apart = many_linear(Y[order], X[order], terms_of(index[order], X[order], (2,)))
    np.testing.assert_allclose(together.criterion, apart.criterion, rtol=1e-11)
    np.testing.assert_allclose(together.theta, apart.theta, atol=1e-6)


def test_no_variance_between_groups_is_decided_at_zero():
    rng = np.random.default_rng(8)
    index = np.repeat(np.arange(10), 5)
    Y = rng.normal(size=(50, 400))
    many = many_linear(Y, np.ones((50, 1)), [RandomTerm.from_arrays(index)])
    # With equal groups the REML estimate is 0 where the mean square between is the smaller one.
    groups = Y.reshape(10, 5, 400)
    between = 5 * groups.mean(1).var(0, ddof=1)
    within = groups.var(1, ddof=1).mean(0)
    np.testing.assert_array_equal(many.singular, between <= within)
    assert many.converged.all()
    ratio = np.maximum((between / within - 1) / 5, 0)
    np.testing.assert_allclose(many.theta[:, 0], np.sqrt(ratio), atol=1e-5)


def test_what_cannot_be_fitted_is_said_to_have_no_estimate():
    rng = np.random.default_rng(1)
    index = np.repeat(np.arange(8), 4)
    x = rng.normal(size=32)
    X = np.column_stack([np.ones(32), x])
    Y = rng.normal(size=(32, 4))
    Y[:, 1] = 2 + 3 * x  # the fixed effects are all
    Y[:, 2] = index  # constant within levels
    many = many_linear(Y, X, [RandomTerm.from_arrays(index)])
    np.testing.assert_array_equal(many.converged, [True, False, False, True])
    for name in ("beta", "theta", "sigma", "criterion", "vcov_beta"):
        values = getattr(many, name)
        assert np.isnan(values[1:3]).all(), name
        assert np.isfinite(values[[0, 3]]).all(), name


def test_a_shared_design_of_low_rank_is_refused():
    terms = [RandomTerm.from_arrays(np.repeat(np.arange(8), 4))]
    with pytest.raises(DataError, match="Column 2 of X"):
        many_linear(np.random.default_rng(0).normal(size=(32, 3)), np.ones((32, 2)), terms)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(DataError, match="a column of Y for each data set"):
        many_linear(
            np.zeros((5, 3)), np.ones((6, 1)), terms_of(np.arange(6), np.ones((6, 1)), (1,))
        )
    terms = terms_of(np.array([0, 0, 2, 2]), np.ones((4, 1)), (1,))
    with pytest.raises(DataError, match="number them anew"):
        many_linear(np.zeros((4, 3)), np.ones((4, 1)), terms)
