"""Couples against their own theory."""

import numpy as np
import pytest

import mixedlab as ml


def test_couples_covariance_of_the_outcomes():
    sim = ml.simulate.couples(30_000, seed=3)
    y = sim["adherence"].reshape(-1, 2)
    assert y.mean(axis=0) == pytest.approx([5, 4.6], abs=0.05)
    expected = sim.truth["cov_y"]
    assert np.abs(np.cov(y.T) - expected).max() < 4 * np.sqrt(2 / 30_000) * expected.max()
    x = sim["quality"].reshape(-1, 2)
    assert np.array_equal(x[:, ::-1], sim["partner_quality"].reshape(-1, 2))
    # regression within a role returns actor and partner effects
    for k, name in enumerate(("patient", "partner")):
        X = np.column_stack([np.ones(len(x)), x[:, k], x[:, 1 - k]])
        mean, actor, partner = np.linalg.lstsq(X, y[:, k], rcond=None)[0]
        stated = sim.truth["fixef"][name]
        assert [mean, actor, partner] == pytest.approx(
            [stated["mean"], stated["actor"], stated["partner"]], abs=0.04
        )
    assert sim["role"][:2].tolist() == ["patient", "partner"]
