"""The two forms of a factor of the chain give the same numbers."""

import numpy as np
import pytest

from mixedlab.engine.system import RandomEffects, factor_blocks
from tests.engine.dense_columns import columns


def test_products_form_and_orthogonal_form_agree():
    layout, terms, X, rng = columns()
    lambdas = layout.by_factor(layout.unpack(rng.normal(size=layout.n_theta)))
    Z = [terms[f.terms[0]].Z.T.copy() for f in layout.factors]
    system = RandomEffects(layout.factors, [z.copy() for z in Z], X.T.copy())
    plan, n = system.plan, len(X)
    one = system.reduce(lambdas).blocks
    two = factor_blocks([*plan.stages, *plan.squares], plan.products(Z, np.ones(n)), lambdas)
    assert sum(b.logdet for b in one) == pytest.approx(sum(b.logdet for b in two))
    for a, b in zip(one[: len(plan.stages)], two, strict=False):
        np.testing.assert_allclose(a.covariance(), b.covariance(), atol=1e-10)
        np.testing.assert_allclose(a.cross(), b.cross(), atol=1e-10)
        np.testing.assert_allclose(a.moved(), b.moved(), atol=1e-10)
        np.testing.assert_allclose(a.own_precision(), b.own_precision(), atol=1e-9)


def test_a_variance_ratio_of_1e16_loses_nothing_in_the_orthogonal_form():
    layout, terms, X, rng = columns()
    only = [layout.factors[0]]
    term = terms[only[0].terms[0]]
    system = RandomEffects(only, [term.Z.T.copy()], np.vstack([X.T, rng.normal(size=len(X))]))
    far = system.reduce([1e8 * np.eye(2)])
    farther = system.reduce([1e9 * np.eye(2)])
    # The data see differences within levels alone, and those do not change any more.
    within = system.outside_gram[-1, -1]
    assert far.gram[-1, -1] == pytest.approx(within, rel=1e-10)
    assert farther.gram[-1, -1] == pytest.approx(within, rel=1e-10)
