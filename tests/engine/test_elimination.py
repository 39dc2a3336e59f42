"""Which factors are eliminated level by level, and how the rest is kept."""

import numpy as np
import pytest

from mixedlab.engine.elimination import (
    Elimination,
    covariance_times,
    row_variances,
    selected_inverse,
)
from mixedlab.engine.system import RandomEffects
from mixedlab.engine.terms import Layout, RandomTerm
from tests.engine.dense_columns import columns, whole


def plan(*labels):
    terms = [RandomTerm.from_arrays(x, group=f"g{k}") for k, x in enumerate(labels)]
    return Elimination(Layout.of(terms).factors)


def test_nested_factors_leave_nothing_dense():
    pupil = np.repeat(np.arange(60), 3)
    found = plan(pupil // 6 // 5, pupil, pupil // 6)
    assert len(found.chain) == 3
    assert not found.squares
    # Each pupil has one class and one school, each class one school.
    assert [s.linked and s.entries.level.size for s in found.stages] == [120, 10, False]


def test_memory_of_nested_factors_grows_with_the_levels():
    pupil = np.repeat(np.arange(20_000), 2)
    found = plan(pupil, pupil // 10, pupil // 100)
    assert found.flat_size < 5 * 20_000
    assert sum(s.entries.a.size for s in found.stages if s.linked) < 5 * 20_000


def test_crossed_factor_is_dense():
    rng = np.random.default_rng(0)
    found = plan(rng.integers(0, 30, 400), rng.integers(0, 10, 400))
    assert found.chain == [0]
    assert [s.size for s in found.squares] == [10]


def test_disconnected_crossing_is_kept_in_separate_squares():
    school = np.repeat(np.arange(50), 40)
    rng = np.random.default_rng(0)
    pupil = school * 20 + rng.integers(0, 20, school.size)
    teacher = school * 4 + rng.integers(0, 4, school.size)
    found = plan(pupil, teacher)
    # A school with two teachers who share no pupil is not dense, and goes in rounds.
    assert len(found.squares) > 40
    for square in found.squares:
        assert np.ptp((square.columns - found.start[1]) // 4) == 0
        assert square.size == 4
    assert found.flat_size - found.squares[0].where.start <= 50 * 16


def test_factor_nested_beside_a_crossed_one_stays_in_the_chain():
    rng = np.random.default_rng(0)
    pupil = rng.integers(0, 60, 900)
    found = plan(pupil, pupil // 10, rng.integers(0, 8, 900))
    assert len(found.chain) == 2
    assert [s.size for s in found.squares] == [8]


@pytest.fixture
def case():
    layout, terms, X, rng = columns()
    lambdas = layout.by_factor(layout.unpack(rng.normal(size=layout.n_theta)))
    Z = [terms[f.terms[0]].Z.T.copy() for f in layout.factors]
    system = RandomEffects(layout.factors, Z, X.T.copy())
    Zs, T = whole(system.plan, layout, terms, lambdas)
    C = T - T @ Zs.T @ np.linalg.inv(np.eye(len(X)) + Zs @ T @ Zs.T) @ Zs @ T
    return system.plan, system.reduce(lambdas).blocks, C, Zs


def test_where_the_data_have_an_entry(case):
    plan, blocks, C, _ = case
    found = selected_inverse(plan, blocks, whole=True).C
    for (f, g), places in plan.places.items():
        first, second = (np.arange(places.shape[2]),) * 2 if f == g else plan.links[f, g][:2]
        for k in range(places.shape[0]):
            for m in range(places.shape[1]):
                wanted = C[plan.columns_of(f, k, first), plan.columns_of(g, m, second)]
                np.testing.assert_allclose(found[places[k, m]], wanted, atol=1e-10)


def test_times_any_coefficients(case):
    plan, blocks, C, _ = case
    s = np.random.default_rng(4).normal(size=(3, plan.n_columns))
    np.testing.assert_allclose(covariance_times(plan, blocks, s), s @ C, atol=1e-10)


def test_variance_of_rows_that_pair_any_levels(case):
    plan, blocks, C, _ = case
    rng = np.random.default_rng(5)
    Z, index, rows = [], [], np.zeros((40, plan.n_columns))
    for f, factor in enumerate(plan.factors):
        z = rng.normal(size=(factor.n_coefs, 40))
        at = np.broadcast_to(rng.integers(-1, factor.n_levels, 40), z.shape)
        for k in range(len(z)):
            seen = at[k] >= 0
            rows[np.flatnonzero(seen), plan.columns_of(f, k, at[k][seen])] = z[k][seen]
        Z.append(z)
        index.append(at)
    expected = np.einsum("im,mk,ik->i", rows, C, rows)
    np.testing.assert_allclose(row_variances(plan, blocks, index, Z), expected, rtol=1e-8)
