"""The random numbers: right distributions, the same everywhere, and tied to their place."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtri

from mixedlab.simulate.draws import Draws, mix, normal_quantile

GRID = np.arange(400)[:, None], np.arange(50)


def test_mix_is_splitmix64():
    # First outputs of the published generator started at state 1234567 (Vigna, splitmix64.c).
    gamma = 0x9E3779B97F4A7C15
    states = [(1234567 + k * gamma) % 2**64 for k in (1, 2, 3)]
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert mix(np.array(states, dtype=np.uint64)).tolist() == expected


def test_numbers_are_pinned():
    u = Draws(42).uniform("pinned", np.arange(2), 7)
    assert u.tolist() == [0.27238139907292985, 0.14156186503202234]


def test_normal_quantile_is_exact_to_the_last_digits():
    p = np.concatenate([np.logspace(-300, -0.31, 3000), 1 - np.logspace(-15, -0.31, 3000)])
    assert normal_quantile(p) == pytest.approx(ndtri(p), rel=3e-15, abs=1e-15)
    assert float(normal_quantile(0.5)) == 0.0


def test_uniform_has_no_pattern_along_either_index():
    u = Draws(5).uniform("a", *GRID)
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-3
    for axis in (0, 1):
        a, b = np.delete(u, 0, axis).ravel(), np.delete(u, -1, axis).ravel()
        assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(a.size)
        cells = np.histogram2d(a, b, bins=16, range=[[0, 1], [0, 1]])[0]
        assert stats.chisquare(cells.ravel()).pvalue > 1e-3


def test_roles_and_seeds_give_unrelated_numbers():
    a = Draws(1).normal("a", *GRID).ravel()
    for other in (Draws(1).normal("b", *GRID), Draws(2).normal("a", *GRID)):
        assert abs(np.corrcoef(a, other.ravel())[0, 1]) < 4 / np.sqrt(a.size)


@pytest.mark.parametrize(
    ("draw", "distribution"),
    [
        (lambda d: d.normal("x", *GRID), stats.norm()),
        (lambda d: d.gamma("x", 0.3, *GRID), stats.gamma(0.3)),
        (lambda d: d.beta("x", 2.0, 0.5, *GRID), stats.beta(2, 0.5)),
    ],
)
def test_continuous_draws_follow_their_distribution(draw, distribution):
    assert stats.kstest(draw(Draws(9)).ravel(), distribution.cdf).pvalue > 1e-3


@pytest.mark.parametrize("mean", [1e-3, 0.5, 30.0, 1e6])
def test_counts_are_exact_quantiles(mean):
    draws = Draws(3)
    u = draws.uniform("x", *GRID)
    assert np.array_equal(draws.poisson("x", mean, *GRID), stats.poisson(mean).ppf(u))


@pytest.mark.parametrize(("n", "p"), [(1, 0.3), (40, 0.02), (5000, 0.6)])
def test_binomial_draws_are_exact_quantiles(n, p):
    draws = Draws(3)
    u = draws.uniform("x", *GRID)
    assert np.array_equal(draws.binomial("x", n, p, *GRID), stats.binom(n, p).ppf(u))


def test_certain_outcomes():
    i = np.arange(5)
    assert np.all(Draws(1).binomial("x", 4, 0.0, i) == 0)
    assert np.all(Draws(1).binomial("x", 4, 1.0, i) == 4)
    assert np.all(Draws(1).poisson("x", 0.0, i) == 0)
    assert np.all(Draws(1).bernoulli("x", 1.0, i) == 1)


def test_numbers_stay_when_the_table_grows():
    draws = Draws(8)
    small, large = np.ogrid[:3, :4], np.ogrid[:30, :40]
    for role in ("normal", "uniform"):
        draw = getattr(draws, role)
        assert np.array_equal(draw("x", *small), draw("x", *large)[:3, :4])


def test_counts_never_fall_when_the_mean_rises():
    draws, i = Draws(8), np.arange(300)
    means = np.array([0.5, 0.6, 2.0, 2.01, 50.0])
    counts = np.array([draws.poisson("x", m, i) for m in means])
    assert np.all(np.diff(counts, axis=0) >= 0)


@pytest.mark.parametrize("seed", [-1, 1.5, "one", None, 2**63, float("nan"), float("inf")])
def test_a_seed_must_be_a_whole_number(seed):
    with pytest.raises(ValueError, match="whole number"):
        Draws(seed)


def test_the_draws_of_many_seeds_are_those_of_each():
    many, place = Draws.of_many([3, 9]), (np.arange(4)[:, None], np.arange(5))
    for k, seed in enumerate((3, 9)):
        one = Draws(seed)
        np.testing.assert_array_equal(many.uniform("u", 7)[k], one.uniform("u", 7))
        np.testing.assert_array_equal(many.normal("z", *place)[k], one.normal("z", *place))
        for draw in ("poisson", "bernoulli"):
            found, alone = (getattr(d, draw)("n", 0.7, *place) for d in (many, one))
            np.testing.assert_array_equal(found[k], alone)
        np.testing.assert_array_equal(
            many.binomial("b", 10, 0.3, *place)[k], one.binomial("b", 10, 0.3, *place)
        )
