"""The ICC as a share of the variance and as a correlation of pairs."""

import numpy as np
import pytest

from mixedlab.labs.icc_panel import icc_seen_twice, pairs_of_one_group


@pytest.mark.parametrize("icc", [0.0, 0.3, 0.9])
def test_the_share_is_the_correlation(icc):
    pairs = np.concatenate([pairs_of_one_group(icc, seed) for seed in range(60)], axis=1)
    error = 4 / np.sqrt(pairs.shape[1])
    assert np.corrcoef(pairs)[0, 1] == pytest.approx(icc, abs=error)
    assert pairs.var() == pytest.approx(1, abs=2 * error)
    panel = icc_seen_twice(icc, pairs[:, :150], "cell", "donor")
    marks = {mark.key: mark for mark in panel.marks}
    kept, rest = (marks[k].x1[0] - marks[k].x0[0] for k in ("between", "within"))
    assert kept / (kept + rest) == pytest.approx(icc)


def test_moving_the_icc_keeps_the_luck():
    low, high = pairs_of_one_group(0.2, 1), pairs_of_one_group(0.22, 1)
    assert np.abs(low - high).max() < 0.12
