"""Where parameters lie in theta."""

import numpy as np

from mixedlab.engine.layout import Layout
from mixedlab.engine.terms import RandomTerm


def layout():
    a, b = np.arange(12) % 3, np.arange(12) % 6
    x = np.arange(12.0)
    return Layout.of([
        RandomTerm.from_arrays(a, np.column_stack([np.ones(12), x]), group="a"),
        RandomTerm.from_arrays(b, group="b"),
        RandomTerm.from_arrays(a, x, group="a"),
    ])  # fmt: skip


def test_terms_by_falling_number_of_levels_and_columns_first():
    found = layout()
    assert found.slices == (slice(1, 4), slice(0, 1), slice(4, 5))
    assert found.n_theta == 5
    blocks = found.unpack(np.arange(5.0))
    assert blocks[0].tolist() == [[1.0, 0.0], [2.0, 3.0]]
    np.testing.assert_array_equal(found.pack(blocks), np.arange(5.0))


def test_terms_of_one_factor_share_a_block_diagonal_factor():
    found = layout()
    assert [f.terms for f in found.factors] == [(0, 2), (1,)]
    whole = found.by_factor(found.unpack(np.arange(5.0)))
    assert whole[0].tolist() == [[1, 0, 0], [2, 3, 0], [0, 0, 4]]
    np.testing.assert_array_equal(whole[0], found.factors[0].lambda_of(np.arange(5.0)))
