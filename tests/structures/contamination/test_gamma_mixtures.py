"""Batches of gamma mixtures against scipy and against brute force."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize_scalar

from mixedlab.structures.contamination.gamma_mixtures import GammaMixtures

ROWS = [([0.2, 0.8], [1.0, 9.0], 2.0), ([1.0], [30.0], 5.0), ([0.5, 0.3, 0.2], [1, 2, 3], 0.1)]


def batch():
    row = np.repeat(np.arange(len(ROWS)), [len(r[0]) for r in ROWS])
    weight = np.concatenate([r[0] for r in ROWS])
    shape = np.concatenate([r[1] for r in ROWS]).astype(float)
    return GammaMixtures.from_log_weights(
        np.log(weight) + 7.0 * row, shape, row, np.array([r[2] for r in ROWS])
    )


def by_scipy(i, what, x):
    weight, shape, rate = ROWS[i]
    parts = [getattr(stats.gamma(s, scale=1 / rate), what)(x) for s in shape]
    return float(np.dot(weight, parts))


def test_density_distribution_and_moments_are_scipys():
    mixtures, x = batch(), np.array([1.3, 5.0, 20.0])
    assert mixtures.cdf(x) == pytest.approx([by_scipy(i, "cdf", x[i]) for i in range(3)])
    assert mixtures.pdf(x)[0] == pytest.approx([by_scipy(i, "pdf", x[i]) for i in range(3)])
    h = 1e-6
    slope = (mixtures.pdf(x + h)[0] - mixtures.pdf(x - h)[0]) / (2 * h)
    assert mixtures.pdf(x)[1] == pytest.approx(slope, rel=1e-5)
    mean = [np.dot(w, s) / r for w, s, r in ROWS]
    assert mixtures.mean() == pytest.approx(mean)
    second = [np.dot(w, np.array(s) * (np.array(s) + 1)) / r**2 for w, s, r in ROWS]
    assert mixtures.sd() ** 2 == pytest.approx(np.array(second) - np.array(mean) ** 2)


@pytest.mark.parametrize("p", [1e-8, 0.025, 0.5, 0.975, 1 - 1e-9])
def test_quantiles_invert_the_distribution(p):
    mixtures = batch()
    assert mixtures.cdf(mixtures.quantile(np.full(3, p))) == pytest.approx(np.full(3, p), rel=1e-9)


def unimodal():
    """Posteriors such as contamination gives, from all background to none."""
    from mixedlab.structures.contamination.background import rate_posterior

    y = np.array([0.0, 3, 8, 40, 40, 500, 500])
    d = np.array([10.0, 10, 10, 20, 20, 50, 50])
    A = np.array([4.0, 4, 4, 12, 50, 9, 0.3])
    B = np.array([8.0, 8, 8, 10, 25, 3, 0.5])
    return rate_posterior(y, d, A, B)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_shortest_interval_holds_its_level_and_none_is_shorter(level):
    mixtures = unimodal()
    low, high = mixtures.shortest_interval(level)
    assert mixtures.cdf(high) - mixtures.cdf(low) == pytest.approx(np.full(7, level), abs=1e-9)
    for i in range(7):
        one = mixtures.take(np.array([i]))

        def width(share, one=one):
            ends = [one.quantile(np.array([q]))[0] for q in (share, share + level)]
            return ends[1] - ends[0]

        best = minimize_scalar(width, bounds=(1e-12, 1 - level - 1e-12), method="bounded",
                               options={"xatol": 1e-12})  # fmt: skip
        assert high[i] - low[i] <= best.fun + 1e-6 * high[i]


def test_bisection_finds_the_same_interval():
    mixtures = unimodal()
    low, high = mixtures.shortest_interval(0.95)
    rows = low > 0
    assert rows.sum() >= 2
    again = mixtures._by_bisection(0.95, np.zeros(7), np.zeros(7), rows)
    assert again[0][rows] == pytest.approx(low[rows], rel=1e-6)
    assert again[1][rows] == pytest.approx(high[rows], rel=1e-6)
