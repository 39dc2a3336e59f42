"""Rounds of elimination against elimination vertex by vertex."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from mixedlab.engine.ordering import eliminate_in_rounds, independent


def graph_of(adjacent):
    return csr_array(adjacent | np.eye(len(adjacent), dtype=bool))


def band(n, width):
    at = np.arange(n)
    return np.abs(at[:, None] - at) <= width


def random_graph(seed, n, degree):
    adjacent = np.random.default_rng(seed).random((n, n)) < degree / n
    return adjacent | adjacent.T


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 120), st.floats(0, 6))
def test_rounds_name_the_neighbours_that_elimination_one_by_one_finds(seed, n, degree):
    filled = random_graph(seed, n, degree)
    np.fill_diagonal(filled, False)
    rounds, dense = eliminate_in_rounds(graph_of(filled))
    gone = np.zeros(n, bool)
    for vertices, row, later in rounds:
        assert not filled[np.ix_(vertices, vertices)].any()
        gone[vertices] = True
        for r, v in enumerate(vertices):
            neighbours = np.flatnonzero(filled[v] & ~gone)
            assert np.array_equal(np.sort(later[row == r]), neighbours)
            filled[np.ix_(neighbours, neighbours)] = True
        np.fill_diagonal(filled, False)
    taken = [*(r.vertices for r in rounds), *dense]
    assert np.array_equal(np.sort(np.concatenate(taken)), np.arange(n))
    for some in dense:
        assert not filled[np.ix_(some, np.setdiff1d(np.flatnonzero(~gone), some))].any()


def test_a_band_goes_whole_in_few_rounds():
    rounds, dense = eliminate_in_rounds(graph_of(band(2_000, 2)))
    assert sum(part.size for part in dense) < 100
    assert len(rounds) < 30
    assert sum(r.row.size for r in rounds) < 12 * 2_000


def test_what_is_dense_is_left_dense():
    rounds, dense = eliminate_in_rounds(graph_of(np.ones((30, 30), bool)))
    assert not rounds
    assert np.array_equal(dense[0], np.arange(30))


@pytest.mark.parametrize("seed", range(5))
def test_independent_sets_are_those_of_taking_one_by_one(seed):
    adjacent = random_graph(seed, 80, 5.0)
    rng = np.random.default_rng(seed)
    priority, free = rng.permutation(80), rng.random(80) < 0.8
    found = independent(graph_of(adjacent), priority, free)
    expected = np.zeros(80, bool)
    for v in np.argsort(priority):
        expected[v] = free[v] and not (adjacent[v] & expected).any()
    assert np.array_equal(found, expected)
