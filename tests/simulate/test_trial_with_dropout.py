"""Drop-out against their own theory."""

import numpy as np
import pytest

import mixedlab as ml
from mixedlab.simulate import slope_covariance


def leaving(mechanism):
    """Score seen last, score that would be seen, and who leaves before visit 2."""
    sim = ml.simulate.dropout(60_000, 2, mechanism=mechanism, effect=0.0, seed=4)
    y, seen = sim["quality"].reshape(-1, 2), sim["observed"].reshape(-1, 2)
    return y[:, 0], y[:, 1], ~seen[:, 1]


def logistic(columns, y):
    X = np.column_stack([np.ones(y.size), *columns])
    b = np.zeros(X.shape[1])
    for _ in range(30):
        mu = 1 / (1 + np.exp(-X @ b))
        H = X.T @ (X * (mu * (1 - mu))[:, None])
        b = b + np.linalg.solve(H, X.T @ (y - mu))
    return b, np.sqrt(np.diag(np.linalg.inv(H)))


def test_dropout_complete_data_have_the_stated_covariance():
    sim = ml.simulate.dropout(20_000, 4, mechanism="not at random", seed=3)
    y = sim["quality"].reshape(-1, 4)
    weeks = 2.0 * np.arange(4)
    expected = slope_covariance(sim.truth["cov"], weeks, sim.truth["sd_error"])
    for arm, slope in ((0, -0.5), (1, 0.3)):
        part = y[arm::2]
        assert part.mean(axis=0) == pytest.approx(50 + slope * weeks, abs=0.5)
        error = np.sqrt(2 / part.shape[0]) * expected.max()
        assert np.abs(np.cov(part.T) - expected).max() < 4 * error


def test_dropout_is_monotone_and_starts_complete():
    for mechanism in ("completely at random", "at random", "not at random"):
        seen = ml.simulate.dropout(mechanism=mechanism)["observed"].reshape(-1, 6)
        assert seen[:, 0].all()
        assert np.all(seen[:, 1:] <= seen[:, :-1])


def test_dropout_completely_at_random_has_the_stated_completers():
    sim = ml.simulate.dropout(8000, mechanism="completely at random", hazard=0.15, seed=2)
    share = sim["observed"].reshape(-1, 6)[:, -1].mean()
    expected = 0.85**5
    assert sim.truth["completers"] == pytest.approx(expected)
    assert share == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 8000))


@pytest.mark.parametrize(
    ("mechanism", "last", "now"),
    [("completely at random", 0, 0), ("at random", -0.15, 0), ("not at random", 0, -0.15)],
)
def test_dropout_depends_on_what_its_mechanism_says(mechanism, last, now):
    before, after, gone = leaving(mechanism)
    b, se = logistic([before - 50, after - 50], gone)
    expected = np.array([np.log(0.12 / 0.88), last, now])
    assert np.abs((b - expected) / se).max() < 4
