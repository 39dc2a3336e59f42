"""H = I + V'WV against the matrix written out."""

import numpy as np
import pytest

from mixedlab.engine import weighted_system as module
from mixedlab.engine.weighted_system import WeightedSystem
from tests.engine.dense_columns import columns, whole


def case():
    layout, terms, _, rng = columns()
    lambdas = layout.unpack(rng.normal(size=layout.n_theta))
    system = WeightedSystem(terms, layout)
    Z, _ = whole(system.plan, layout, terms, layout.by_factor(lambdas))
    V = np.zeros_like(Z)
    for f, factor in enumerate(layout.factors):
        L = lambdas[factor.terms[0]]
        for k in range(factor.n_coefs):
            for m in range(factor.n_coefs):
                V[:, system.plan.columns_of(f, k)] += Z[:, system.plan.columns_of(f, m)] * L[m, k]
    return system, lambdas, V, rng


def of_terms(system, vector):
    plan = system.plan
    return system.by_term([plan.by_factor(f, vector[None])[0] for f in range(len(plan.factors))])


def test_determinant_solve_and_inverse():
    system, lambdas, V, rng = case()
    W = rng.uniform(0.2, 2.0, len(V))
    H = np.eye(V.shape[1]) + V.T @ (W[:, None] * V)
    found = system.factorise(W, lambdas)
    assert found.log_det == pytest.approx(np.linalg.slogdet(H)[1])
    g = rng.normal(size=len(H))
    expected = of_terms(system, np.linalg.solve(H, g))
    for a, b in zip(found.solve(of_terms(system, g)), expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10)
    inverse = np.linalg.inv(H)
    leverage = sum((v * h).sum(0) for v, h in zip(found.v, found.rows(), strict=True))
    np.testing.assert_allclose(leverage, np.einsum("im,mk,ik->i", V, inverse, V), rtol=1e-9)
    plan = system.plan
    for t, blocks in enumerate(found.level_blocks()):
        f = next(f for f, factor in enumerate(plan.factors) if t in factor.terms)
        for k in range(len(blocks)):
            own = inverse[plan.columns_of(f, k), plan.columns_of(f, 0)]
            np.testing.assert_allclose(blocks[k, 0], own, atol=1e-10)


def test_not_positive_definite_is_none():
    system, lambdas, V, _ = case()
    assert system.factorise(np.full(len(V), -50.0), lambdas) is None


def test_too_large_a_crossing_is_refused_in_words(monkeypatch):
    layout, terms, *_ = columns()
    monkeypatch.setattr(module, "_LARGEST", 10)
    with pytest.raises(MemoryError, match="Fit fewer crossed levels"):
        WeightedSystem(terms, layout)
