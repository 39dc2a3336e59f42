"""Consumers in countries against their own theory."""

import numpy as np
import pytest

import mixedlab as ml


def test_consumers_marginal_share_and_nesting():
    sim = ml.simulate.consumers(20_000, 1, 2, price=0.0, sd_price=0.0, intercept=-0.7, seed=3)
    share = sim["bought"].reshape(-1, 2).mean(axis=1)
    assert abs(share.mean() - sim.truth["marginal_mean"]) < 4 * share.std() / np.sqrt(20_000)
    small = ml.simulate.consumers(3, 4, 5)
    assert len(np.unique(small["consumer"])) == 12
    assert np.all(small["consumer"] // 4 == small["country"])
    assert small.truth["icc_consumer"] == pytest.approx((0.36 + 1) / (0.36 + 1 + np.pi**2 / 3))
    assert small.truth["icc_country"] < small.truth["icc_consumer"]


def test_consumers_slopes_vary_by_country():
    sim = ml.simulate.consumers(8, 400, 8, sd_consumer=0.0, sd_price=1.0, sd_country=0.0, seed=2)
    slopes = []
    for k in range(8):
        rows = sim["country"] == k
        x, y = sim["price"][rows], sim["bought"][rows]
        b = np.zeros(2)
        X = np.column_stack([np.ones(x.size), x])
        for _ in range(20):
            mu = 1 / (1 + np.exp(-X @ b))
            b = b + np.linalg.solve(X.T @ (X * (mu * (1 - mu))[:, None]), X.T @ (y - mu))
        slopes.append(b[1])
    assert np.array(slopes) == pytest.approx(-0.8 + sim.truth["s"], abs=0.25)
