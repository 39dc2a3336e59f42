"""The factor loop against V written out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedlab.engine import ordering
from mixedlab.engine.elimination import covariance_times
from mixedlab.engine.system import RandomEffects
from mixedlab.engine.terms import Layout, RandomTerm
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


def crossing(seed, levels, rows, slopes):
    """Sparsely crossed factors, each with an intercept or with a slope too."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows)
    X = np.column_stack([np.ones(rows), x])
    terms = [
        RandomTerm.from_arrays(rng.integers(0, J, rows), X if slope else None, group=f"g{k}")
        for k, (J, slope) in enumerate(zip(levels, slopes, strict=True))
    ]
    layout = Layout.of(terms)
    lambdas = layout.by_factor(layout.unpack(rng.normal(size=layout.n_theta)))
    columns = np.vstack([X.T, rng.normal(size=rows)])
    return layout, [terms[f.terms[0]] for f in layout.factors], lambdas, columns


def answers(layout, terms, lambdas, columns):
    """All that a fit asks of the system, and how many columns it keeps dense."""
    system = RandomEffects(layout.factors, [t.Z.T.copy() for t in terms], columns.copy())
    at = system.reduce(lambdas)
    root_inverse = np.linalg.inv(np.linalg.cholesky(at.gram[:-1, :-1]))
    beta = root_inverse.T @ (root_inverse @ at.gram[:-1, -1])
    score = system.score(at, beta, root_inverse, 1.3, True)
    d = np.random.default_rng(0).normal(size=(2, system.plan.n_columns))
    found = [np.array([at.logdet]), at.gram, score.average, *score.slope, *score.scores]
    found += [*score.effects, *system.relative_covariances(at), *system.combination(at, d)]
    found.append(covariance_times(system.plan, at.blocks, d))
    return found, sum(square.size for square in system.plan.squares)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10_000),
    st.lists(st.integers(20, 90), min_size=2, max_size=3),
    st.floats(1.0, 2.5),
    st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_a_sparse_crossing_has_the_answers_of_a_dense_one(seed, levels, density, slopes):
    case = crossing(seed, levels, int(density * max(levels)), slopes[: len(levels)])
    sparse, _ = answers(*case)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "_DENSE", -1.0)
        dense, _ = answers(*case)
    for one, other in zip(sparse, dense, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9 * max(1, np.abs(other).max()))


def test_little_of_a_sparse_crossing_is_kept_dense():
    case = crossing(1, (600, 500), 1_000, (False, False))
    assert answers(*case)[1] < 100
