"""Groups that are alike stand once."""

from __future__ import annotations

import numpy as np

from mixedlab.engine.groups import Groups, merge_groups


def test_merged_groups_are_the_groups_with_their_numbers():
    rng = np.random.default_rng(0)
    J, per, m = 60, 4, 7
    design = np.tile(rng.normal(size=(per, 2)), (J, 1))
    y = rng.integers(0, 2, (J * per, m)).astype(float)
    merged = merge_groups(y, design, Groups(np.full(J, per)))
    K = len(merged.counts)
    assert 2**per >= K
    np.testing.assert_array_equal(merged.counts.sum(0), J)
    for k in range(m):
        patterns, counts = np.unique(y[:, k].reshape(J, per), axis=0, return_counts=True)
        found = merged.y[:, k].reshape(K, per)[merged.counts[:, k] > 0]
        order = np.lexsort(found.T[::-1])
        np.testing.assert_array_equal(found[order], patterns)
        np.testing.assert_array_equal(merged.counts[merged.counts[:, k] > 0, k][order], counts)


def test_groups_are_merged_only_where_designs_agree_and_it_saves():
    rng = np.random.default_rng(0)
    groups = Groups(np.full(60, 4))
    y = rng.integers(0, 2, (240, 3)).astype(float)
    assert merge_groups(y, np.ones((240, 1)), groups) is not None
    assert merge_groups(y, rng.normal(size=(240, 1)), groups) is None
    assert merge_groups(rng.normal(size=(240, 3)), np.ones((240, 1)), groups) is None
    assert merge_groups(y, np.ones((240, 1)), Groups(np.array([3, 5] * 30))) is None
