"""Which factors are eliminated level by level, and how the rest is kept."""

import numpy as np

from mixedlab.engine.elimination import Elimination
from mixedlab.engine.layout import Layout
from mixedlab.engine.terms import RandomTerm


def plan(*labels):
    terms = [RandomTerm.from_arrays(x, group=f"g{k}") for k, x in enumerate(labels)]
    return Elimination(Layout.of(terms).factors)


def test_nested_factors_leave_nothing_dense():
    pupil = np.repeat(np.arange(60), 3)
    found = plan(pupil // 6 // 5, pupil, pupil // 6)
    assert len(found.chain) == 3
    assert not found.squares
    # Each pupil has one class and one school, each class one school.
    assert [s.entries.level.size for s in found.stages] == [120, 10, 0]


def test_memory_of_nested_factors_grows_with_the_levels():
    pupil = np.repeat(np.arange(20_000), 2)
    found = plan(pupil, pupil // 10, pupil // 100)
    assert found.flat_size < 5 * 20_000
    assert sum(s.entries.a.size for s in found.stages) < 5 * 20_000


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
