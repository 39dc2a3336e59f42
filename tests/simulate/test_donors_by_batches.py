"""Donors by batches against their own theory."""

import numpy as np
import pytest

import mixedlab as ml
from tests.simulate.pairs import pair_correlation


def test_batches_from_crossed_to_confounded():
    crossed = ml.simulate.batches(confounding=0.0)
    partly = ml.simulate.batches(confounding=0.6)
    confounded = ml.simulate.batches(confounding=1.0)
    assert crossed.truth["cells"].all()
    assert crossed.truth["components"] == 1
    assert confounded.truth["cells"].sum(axis=1).tolist() == [1] * 12
    assert confounded.truth["components"] == 6
    assert np.all(partly.truth["cells"] <= crossed.truth["cells"])
    assert np.all(partly.truth["cells"] >= confounded.truth["cells"])
    # rows that stay are the same rows
    kept = {tuple(r) for r in zip(partly["donor"], partly["batch"], partly["signal"], strict=True)}
    assert kept <= {
        tuple(r) for r in zip(crossed["donor"], crossed["batch"], crossed["signal"], strict=True)
    }


def test_batches_correlations():
    sim = ml.simulate.batches(n_donors=2, n_batches=2, n_replicates=2)
    y = np.array(
        [ml.simulate.batches(2, 2, 2, seed=s)["signal"] for s in range(3000)]
    ).reshape(-1, 2, 2, 2) - 8.0  # fmt: skip
    tolerance = 4 / np.sqrt(3000)
    for pair, name in (
        ((y[:, 0, 0, 0], y[:, 0, 1, 0]), "corr_donor"),
        ((y[:, 0, 0, 0], y[:, 1, 0, 0]), "corr_batch"),
        ((y[:, 0, 0, 0], y[:, 0, 0, 1]), "corr_both"),
    ):
        assert pair_correlation(*pair) == pytest.approx(sim.truth[name], abs=tolerance), name
    assert pair_correlation(y[:, 0, 0, 0], y[:, 1, 1, 0]) == pytest.approx(0, abs=tolerance)
