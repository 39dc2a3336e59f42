"""Traces against the whole of ``Z'V^-1Z``."""

import numpy as np
import pytest

from mixedlab.engine import traces as module
from mixedlab.engine.system import RandomEffects
from mixedlab.engine.traces import directions, traces
from mixedlab.errors import DataError
from tests.engine.dense_columns import columns, whole


@pytest.mark.parametrize("kept", [(0,), (0, 1), (0, 2), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("cells", [30, 4_000_000])
def test_traces_are_those_of_the_whole_matrix(kept, cells, monkeypatch):
    monkeypatch.setattr(module, "_CELLS", cells)
    layout, terms, X, rng = columns()
    terms = [terms[k] for k in kept]
    layout = type(layout).of(terms)
    lambdas = layout.by_factor(layout.unpack(rng.normal(size=layout.n_theta)))
    Z = [terms[f.terms[0]].Z.T.copy() for f in layout.factors]
    system = RandomEffects(layout.factors, Z, X.T.copy())
    Zs, T = whole(system.plan, layout, terms, lambdas)
    S = Zs.T @ np.linalg.inv(np.eye(len(X)) + Zs @ T @ Zs.T) @ Zs
    E = []
    for d in directions(system):
        e = np.zeros_like(S)
        rows, cols = (system.plan.columns_of(d.factor, k) for k in (d.row, d.col))
        e[rows, cols] = e[cols, rows] = 1.0
        E.append(e)
    found = traces(system, system.reduce(lambdas))
    np.testing.assert_allclose(found.once, [np.sum(S * e) for e in E], rtol=1e-9)
    expected = [[np.trace(a @ S @ b @ S) for b in E] for a in E]
    np.testing.assert_allclose(found.twice, expected, rtol=1e-8, atol=1e-9)


def test_a_crossed_rest_too_large_is_refused_in_words(monkeypatch):
    monkeypatch.setattr(module, "_LARGEST", 5)
    layout, terms, X, _ = columns()
    Z = [terms[f.terms[0]].Z.T.copy() for f in layout.factors]
    system = RandomEffects(layout.factors, Z, X.T.copy())
    with pytest.raises(DataError, match="that the data connect"):
        traces(system, system.reduce([np.eye(f.n_coefs) for f in layout.factors]))
