"""The criteria of many data sets, and their derivatives, are those of each."""

from __future__ import annotations

import numpy as np
import pytest

from mixedlab.engine.many_design import Design
from mixedlab.engine.many_profiled import ManyProfiled
from mixedlab.engine.profiled import ProfiledDeviance
from mixedlab.engine.terms import RandomTerm

SIZES = [(1,), (2,), (3,), (1, 2)]


def case(sizes, balanced):
    rng = np.random.default_rng(5)
    q = sum(sizes)
    index = np.repeat(np.arange(9), 6)
    if not balanced:
        index = np.concatenate([np.arange(9), rng.integers(0, 9, 45)])
    x = np.tile(rng.normal(size=(6, 2)), (9, 1)) if balanced else rng.normal(size=(54, 2))
    Z = np.column_stack([np.ones(54), x])[:, :q]
    X = np.column_stack([np.ones(54), x[:, 0] * 5])
    return rng.normal(size=(54, 4)), X, index, Z


def terms_of(index, Z, sizes):
    levels, ends = tuple(range(index.max() + 1)), np.cumsum(sizes)
    return [
        RandomTerm("g", index, levels, Z[:, e - s : e], tuple("abc"[:s]))
        for s, e in zip(sizes, ends, strict=True)
    ]


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("sizes", SIZES)
def test_values_are_those_of_one_criterion(sizes, balanced, reml):
    Y, X, index, Z = case(sizes, balanced)
    design = Design(X, terms_of(index, Z, sizes), reml, None)
    many = ManyProfiled(design, design.summaries(Y))
    theta = np.random.default_rng(6).normal(size=design.rows.size)
    at = many.evaluate(many.start(theta), np.arange(4))
    for k in range(4):
        one = ProfiledDeviance(Y[:, k], X, terms_of(index, Z, sizes), reml=reml)
        alone = one(one.from_user(theta))
        assert at.value[k] == pytest.approx(alone.value, rel=1e-12)
        assert at.sigma2[k] == pytest.approx(alone.sigma2, rel=1e-10)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("sizes", SIZES)
def test_gradients_are_the_slopes_of_values(sizes, reml):
    Y, X, index, Z = case(sizes, False)
    design = Design(X, terms_of(index, Z, sizes), reml, None)
    many = ManyProfiled(design, design.summaries(Y))
    which = np.array([0, 2, 3])
    points = many.start(np.random.default_rng(7).normal(size=design.rows.size))
    points.F, points.L = points.F[which], points.L[which]
    at = many.evaluate(points, which)
    h = 1e-5
    for k in range(design.rows.size):
        step = np.zeros((3, design.rows.size))
        step[:, k] = h
        ahead, behind = (many.evaluate(many.move(points, s * step), which) for s in (1, -1))
        slope = (ahead.value - behind.value) / (2 * h)
        np.testing.assert_allclose(at.gradient[:, k], slope, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(at.hessian, at.hessian.transpose(0, 2, 1), atol=1e-9)


def test_the_curvature_is_near_the_true_one_where_the_gradient_vanishes():
    rng = np.random.default_rng(8)
    index = np.repeat(np.arange(400), 5)
    x = rng.normal(size=2000)
    X = np.column_stack([np.ones(2000), x])
    b = rng.normal(size=(400, 2, 2)) @ np.array([[1.0, 0.4], [0.0, 0.7]])
    Y = np.einsum("nk,nmk->nm", X, b[index]) + rng.normal(size=(2000, 2))
    design = Design(X, terms_of(index, X, (2,)), True, None)
    many = ManyProfiled(design, design.summaries(Y))
    points = many.start(np.array([1.0, 0.4, 0.7]))
    which = np.arange(2)
    at = many.evaluate(points, which)
    h = 1e-4
    exact = np.empty((2, 3, 3))
    for k in range(3):
        moved = []
        for sign in (1, -1):
            theta_step = np.zeros((2, 3))
            theta_step[:, k] = sign * h
            shifted = many.start(np.array([1.0, 0.4, 0.7]))
            shifted.L = points.L + design.lower(theta_step)
            moved.append(many.evaluate(shifted, which).gradient)
        exact[:, :, k] = (moved[0] - moved[1]) / (2 * h)
    np.testing.assert_allclose(at.hessian, exact, atol=0.15 * np.abs(exact).max())


def test_a_data_set_that_is_reproduced_exactly_is_out_of_bounds():
    Y, X, index, Z = case((1,), True)
    Y[:, 1] = index
    design = Design(X, terms_of(index, Z, (1,)), True, None)
    many = ManyProfiled(design, design.summaries(Y))
    at = many.evaluate(many.start(None), np.arange(4))
    np.testing.assert_array_equal(np.isfinite(at.value), [True, False, True, True])
