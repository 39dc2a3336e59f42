"""Summaries of many responses are those of dense least squares."""

from __future__ import annotations

import numpy as np
import pytest

from mixedlab.engine.many_design import Design
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError


def data(seed):
    rng = np.random.default_rng(seed)
    index = np.concatenate([np.arange(8), rng.integers(0, 8, 40)])
    x = rng.normal(size=(48, 2))
    X, Z = np.column_stack([np.ones(48), x]), np.column_stack([np.ones(48), x[:, 0]])
    return rng.normal(size=(48, 5)) * 1e3 + 40, X, index, Z


def design(X, index, Z, weights=None):
    return Design(X, [RandomTerm.from_arrays(index, Z)], True, weights)


@pytest.mark.parametrize("weighted", [False, True])
def test_what_is_left_outside_is_what_least_squares_by_level_leaves(weighted):
    Y, X, index, Z = data(1)
    w = np.random.default_rng(2).uniform(0.5, 2, 48) if weighted else np.ones(48)
    kept = Y.copy()
    found = design(X, index, Z, w if weighted else None).summaries(Y)
    np.testing.assert_array_equal(Y, kept)
    assert not found.perfect.any()
    member = (index[:, None] == np.arange(8)).astype(float)
    root = np.sqrt(w)[:, None]
    by_level = (member[:, :, None] * Z[:, None]).reshape(48, -1)
    for k in range(5):
        y = (Y[:, [k]] * root)[:, 0]

        def left(columns, y=y):
            return ((y - columns @ np.linalg.lstsq(columns, y, rcond=None)[0]) ** 2).sum()

        assert found.y_scale[k] ** 2 * 48 == pytest.approx(left(X * root))
        everything = left(np.column_stack([X, by_level]) * root)
        assert found.outside[k] * found.y_scale[k] ** 2 == pytest.approx(everything)


def test_levels_are_of_one_class_where_their_rows_are_equal():
    index, x = np.repeat(np.arange(6), 3), np.tile([0.0, 1.0, 2.0], 6)
    X = np.column_stack([np.ones(18), x])
    Z = np.ones((18, 1))
    assert design(X, index, Z).count.tolist() == [[6.0]]
    X[15:, 1] += 1
    moved = design(X, index, Z)
    assert moved.kind.tolist() == [0, 0, 0, 0, 0, 1]
    assert moved.count.tolist() == [[5.0], [1.0]]
    weights = np.ones(18)
    weights[:3] = 2.0
    assert design(X, index, Z, weights).count.tolist() == [[1.0], [4.0], [1.0]]


def test_perfect_responses_and_poor_designs_are_told():
    Y, X, index, Z = data(3)
    Y[:, 1] = X @ [1.0, 2.0, 3.0]
    found = design(X, index, Z).summaries(Y)
    np.testing.assert_array_equal(found.perfect, [False, True, False, False, False])
    X[:, 2] = 2 * X[:, 1]
    with pytest.raises(DataError, match="Column 3 of X"):
        design(X, index, Z)
