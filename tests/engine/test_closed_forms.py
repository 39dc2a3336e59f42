"""Closed forms for balanced data, held to the general solver."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedlab.engine.closed_forms import (
    random_coefficients,
    random_intercept,
    reml_criterion,
    reml_icc,
    within_and_between,
)
from mixedlab.engine.terms import RandomTerm
from mixedlab.models.linear import fit_linear


def solver(y, X, q):
    """Fit rows of groups (J, n) with the first q of the columns X (J, n, p) random."""
    J, n, p = X.shape
    flat = X.reshape(J * n, p)
    term = RandomTerm.from_arrays(np.repeat(np.arange(J), n), flat[:, :q])
    return fit_linear(y.reshape(-1), flat, [term])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sds", [(1.0, 0.3), (1.0, 0.0), (0.0, 0.0), (0.2, 0.02)])
def test_random_coefficients_are_the_solver_s(seed, sds):
    rng = np.random.default_rng(seed)
    J, x = 12, np.array([0.0, 2.0, 3.0, 7.0])
    b = rng.standard_normal((J, 2)) * sds
    y = 5 + b[:, :1] + (b[:, 1:] - 0.2) * x + 0.5 * rng.standard_normal((J, x.size))
    Z = np.column_stack([np.ones(x.size), x])
    own = random_coefficients(y, Z)
    fit = solver(y, np.broadcast_to(Z, (J, *Z.shape)), 2)
    assert own.criterion == pytest.approx(fit.criterion, rel=1e-8)
    np.testing.assert_allclose(own.beta, fit.beta, atol=1e-8)
    assert own.sigma == pytest.approx(fit.sigma, rel=1e-5)
    np.testing.assert_allclose(own.cov, fit.covariances[0], atol=1e-5)
    np.testing.assert_allclose(own.blup, fit.beta + fit.b[0], atol=2e-5)


def test_own_coefficients_are_each_group_s_least_squares():
    rng = np.random.default_rng(1)
    x, y = np.arange(5.0), rng.standard_normal((3, 5))
    own = random_coefficients(y, np.column_stack([np.ones(5), x])).own
    np.testing.assert_allclose(own, [np.polyfit(x, row, 1)[::-1] for row in y])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.floats(-20, 20))
def test_moving_the_origin_changes_neither_criterion_nor_lines(seed, origin):
    rng = np.random.default_rng(seed)
    x, y = np.linspace(0, 20, 5), rng.standard_normal((8, 5))
    here, there = (
        random_coefficients(y, np.column_stack([np.ones(5), x - o])) for o in (0.0, origin)
    )
    assert here.criterion == pytest.approx(there.criterion, abs=1e-7)
    move = np.array([[1.0, origin], [0.0, 1.0]])
    np.testing.assert_allclose(move @ here.cov @ move.T, there.cov, atol=1e-8)
    np.testing.assert_allclose(here.blup @ move.T, there.blup, atol=1e-8)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sd_group", [0.0, 0.3, 3.0])
def test_random_intercept_is_the_solver_s(seed, sd_group):
    rng = np.random.default_rng(seed)
    J, n = 10, 6
    mean = rng.standard_normal((J, 1))
    x = mean + rng.standard_normal((J, n))
    y = mean - 0.8 * (x - mean) + sd_group * rng.standard_normal((J, 1))
    y = y + 0.5 * rng.standard_normal((J, n))
    own = random_intercept(*within_and_between(x, y), J, n)
    fit = solver(y, np.stack([np.ones_like(x), x], axis=-1), 1)
    assert own.slope == pytest.approx(fit.beta[1], abs=1e-6)
    assert own.sigma == pytest.approx(fit.sigma, rel=1e-6)
    assert own.sd_group**2 == pytest.approx(fit.covariances[0].item(), rel=1e-5, abs=1e-5)
    within, between = within_and_between(x, y)
    blend = own.weight_between * between.slope + (1 - own.weight_between) * within.slope
    assert blend == pytest.approx(own.slope)


def test_balanced_within_and_between_slopes_are_those_of_the_model_with_both():
    rng = np.random.default_rng(4)
    J, n = 9, 5
    x = rng.standard_normal((J, 1)) + rng.standard_normal((J, n))
    y = x + rng.standard_normal((J, 1)) + rng.standard_normal((J, n))
    within, between = within_and_between(x, y)
    mean = np.broadcast_to(x.mean(axis=1, keepdims=True), x.shape)
    fit = solver(y, np.stack([np.ones_like(x), x - mean, mean], axis=-1), 1)
    np.testing.assert_allclose(fit.beta[1:], [within.slope, between.slope], atol=1e-8)
    assert within.plus(between).slope == pytest.approx(np.polyfit(x.ravel(), y.ravel(), 1)[0])


def groups(seed, sd, sizes=(2, 5, 9, 4, 7, 3, 12, 6)):
    rng = np.random.default_rng(seed)
    index = np.repeat(np.arange(len(sizes)), sizes)
    y = 3 + sd * rng.standard_normal(len(sizes))[index] + rng.standard_normal(index.size)
    mean = np.bincount(index, y) / sizes
    return index, y, np.array(sizes), mean, float(((y - mean[index]) ** 2).sum())


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_solver_s_estimate(seed):
    index, y, size, mean, within = groups(seed, 1.0)
    fit = fit_linear(y, np.ones((y.size, 1)), [RandomTerm.from_arrays(index)])
    ratio = fit.theta[0] ** 2
    assert reml_icc(size, mean, within) == pytest.approx(ratio / (1 + ratio), abs=2e-4)


def test_the_criterion_is_the_solver_s_but_for_a_constant():
    index, y, size, mean, within = groups(1, 1.0)
    fit = fit_linear(y, np.ones((y.size, 1)), [RandomTerm.from_arrays(index)])
    ratio = fit.theta[0] ** 2
    icc = np.array([ratio / (1 + ratio), 0.0])
    at = reml_criterion(icc, size, mean, within)
    n = y.size
    constant = (n - 1) * (1 + np.log(2 * np.pi / (n - 1)))
    assert at[0] + constant == pytest.approx(fit.criterion, abs=1e-6)
    assert at[1] > at[0]


def test_no_difference_between_groups_is_an_icc_of_zero():
    size, within = groups(0, 0.0)[2::2]
    assert reml_icc(size, np.full(size.size, 3.0), within) == 0.0
