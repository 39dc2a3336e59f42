"""Summaries of many responses are those of dense least squares."""

from __future__ import annotations

import numpy as np
import pytest

from mixedlab.engine.many_design import Design
from mixedlab.errors import DataError


def data(seed, own):
    rng = np.random.default_rng(seed)
    index = np.concatenate([np.arange(8), rng.integers(0, 8, 40)])
    shape = (5, 48) if own else (48,)
    x = rng.normal(size=(*shape, 2))
    ones = np.ones((*shape, 1))
    X, Z = np.concatenate([ones, x], axis=-1), np.concatenate([ones, x[..., :1]], axis=-1)
    return rng.normal(size=(48, 5)) * 1e3 + 40, X, index, Z


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_what_is_left_outside_is_what_least_squares_by_level_leaves(own, weighted):
    Y, X, index, Z = data(1, own)
    w = np.random.default_rng(2).uniform(0.5, 2, 48) if weighted else np.ones(48)
    design = Design(X, index, Z, (2,), True, w if weighted else None)
    kept = Y.copy()
    found = design.summaries(Y)
    np.testing.assert_array_equal(Y, kept)
    assert not found.perfect.any()
    member = (index[:, None] == np.arange(8)).astype(float)
    for k in range(5):
        Xk, Zk = (X[k], Z[k]) if own else (X, Z)
        root = np.sqrt(w)[:, None]
        by_level = (member[:, :, None] * Zk[:, None]).reshape(48, -1)
        y = (Y[:, [k]] * root)[:, 0]

        def left(columns, y=y):
            return ((y - columns @ np.linalg.lstsq(columns, y, rcond=None)[0]) ** 2).sum()

        assert found.y_scale[k] ** 2 * 48 == pytest.approx(left(Xk * root))
        everything = left(np.column_stack([Xk, by_level]) * root)
        assert found.outside[k] * found.y_scale[k] ** 2 == pytest.approx(everything)


def test_levels_are_of_one_class_where_their_rows_are_equal():
    index, x = np.repeat(np.arange(6), 3), np.tile([0.0, 1.0, 2.0], 6)
    X = np.column_stack([np.ones(18), x])
    Z = np.ones((18, 1))
    assert Design(X, index, Z, (1,), True, None).count.tolist() == [[6.0]]
    X[15:, 1] += 1
    design = Design(X, index, Z, (1,), True, None)
    assert design.kind.tolist() == [0, 0, 0, 0, 0, 1]
    assert design.count.tolist() == [[5.0], [1.0]]
    weights = np.ones(18)
    weights[:3] = 2.0
    assert Design(X, index, Z, (1,), True, weights).count.tolist() == [[1.0], [4.0], [1.0]]


def test_perfect_responses_and_poor_designs_are_told():
    Y, X, index, Z = data(3, True)
    X = X.copy()
    X[2, :, 2] = 2 * X[2, :, 1]
    Y[:, 1] = X[1] @ [1.0, 2.0, 3.0]
    found = Design(X, index, Z, (2,), True, None).summaries(Y)
    np.testing.assert_array_equal(found.perfect, [False, True, True, False, False])
    with pytest.raises(DataError, match="Column 3 of X"):
        Design(X[2], index, Z[2], (2,), True, None)


def test_some_of_the_designs_are_those_designs():
    Y, X, index, Z = data(4, True)
    whole = Design(X, index, Z, (2,), True, None)
    part = whole.only(slice(1, 4)).summaries(Y[:, 1:4])
    np.testing.assert_allclose(part.w, whole.summaries(Y).w[1:4])
