"""Wanted parts of the conditional covariance against the whole matrix."""

import numpy as np
import pytest

from mixedlab.engine.inverse import covariance_times, row_variances, selected_inverse
from mixedlab.engine.system import RandomEffects
from tests.engine.dense_columns import columns, whole


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
