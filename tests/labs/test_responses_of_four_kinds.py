"""Counts, proportions, sizes and scores: draws and distribution functions of one family agree."""

import numpy as np
import pytest

from mixedlab.engine.families import family
from mixedlab.labs.responses_of_four_kinds import KINDS
from mixedlab.simulate.draws import Draws


def mean_at_the_intercept(kind):
    return float(family(kind.family, kind.link).link.mu(np.array(kind.beta[0])))


@pytest.mark.parametrize("name", KINDS)
def test_draws_have_the_mean_and_the_distribution_that_is_stated(name):
    kind = KINDS[name]
    n = 20_000
    mu = mean_at_the_intercept(kind)
    y = kind.draw(Draws(4), np.full(n, mu), np.arange(n))
    assert y.mean() == pytest.approx(mu, abs=5 * y.std() / np.sqrt(n))
    y = np.round(y * kind.trials) if kind.trials > 1 else y  # successes, for proportions
    places = np.quantile(y, [0.1, 0.5, 0.9])
    phi = kind.phi
    stated = kind.cdf(places, np.full(3, mu), phi)
    found = np.array([(y <= place).mean() for place in places])
    np.testing.assert_allclose(stated, found, atol=0.02)


@pytest.mark.parametrize("name", KINDS)
def test_bins_rise_and_are_drawn_with_one_more_at_each_end(name):
    kind = KINDS[name]
    assert np.all(np.diff(kind.edges) > 0)
    assert np.all(np.diff(kind.places) > 0)
    assert len(kind.places) == len(kind.edges) + 2
