"""The factor loop against V written out."""

import numpy as np
import pytest

from mixedlab.engine.system import RandomEffects
from tests.engine.dense_columns import columns, whole


@pytest.fixture
def case():
    layout, terms, X, rng = columns()
    y = rng.normal(size=len(X))
    theta = rng.normal(size=layout.n_theta)
    lambdas = layout.by_factor(layout.unpack(theta))
    Z = [terms[f.terms[0]].Z.T.copy() for f in layout.factors]
    data = np.vstack([X.T, y])
    system = RandomEffects(layout.factors, Z, data.copy())
    Zs, T = whole(system.plan, layout, terms, lambdas)
    return system, system.reduce(lambdas), Zs, T, data


def test_what_is_left_are_the_products_with_v(case):
    _, at, Z, T, data = case
    V = np.eye(len(Z)) + Z @ T @ Z.T
    assert at.logdet == pytest.approx(np.linalg.slogdet(V)[1])
    np.testing.assert_allclose(at.gram, data @ np.linalg.solve(V, data.T), rtol=1e-9)


def test_the_way_back_gives_effects_and_scores(case):
    system, at, Z, T, data = case
    inverse = np.linalg.inv(np.eye(len(Z)) + Z @ T @ Z.T)
    effects, scores = system.of_X(at)
    np.testing.assert_allclose(scores, data[:2] @ inverse @ Z, atol=1e-10)
    np.testing.assert_allclose(effects, data[:2] @ inverse @ Z @ T, atol=1e-10)
    d = np.random.default_rng(3).normal(size=(2, Z.shape[1]))
    effects, scores = system.combination(at, d)
    np.testing.assert_allclose(scores, d @ Z.T @ inverse @ Z, atol=1e-9)
    np.testing.assert_allclose(effects, d @ Z.T @ inverse @ Z @ T, atol=1e-9)


def test_nothing_changes_what_was_reduced(case):
    system, at, *_ = case
    before = at.gram.copy()
    system.reduce([2.0 * L for L in at.lambdas])
    system.combination(at, np.ones((1, system.plan.n_columns)))
    system.with_response(np.arange(60.0)).reduce(at.lambdas)
    np.testing.assert_array_equal(system.reduce(at.lambdas).gram, before)


def test_columns_that_span_all_rows(case):
    system, _, Z, *_ = case
    assert system.spans_rows(with_X=True) == (np.linalg.matrix_rank(Z) == len(Z))
