"""Three kinds of outcome: their means given the group, and over groups."""

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from mixedlab.simulate.draws import Draws
from mixedlab.simulate.outcomes import draw_outcome, expit, marginal_mean, residual_variance

INVERSE = {"continuous": lambda e: e, "binary": expit, "count": np.exp}


@pytest.mark.parametrize("kind", INVERSE)
def test_draws_have_the_mean_of_their_link(kind):
    n = 40_000
    y = draw_outcome(Draws(5), "y", kind, np.full(n, 0.4), 1.3, np.arange(n))
    assert y.mean() == pytest.approx(INVERSE[kind](0.4), abs=4 * y.std() / np.sqrt(n))
    if kind != "continuous":
        assert np.array_equal(y, np.round(y))


@pytest.mark.parametrize("kind", INVERSE)
@pytest.mark.parametrize("sd", [0.0, 0.5, 2.0])
def test_the_mean_over_groups_is_the_integral(kind, sd):
    eta = np.array([-2.0, 0.0, 1.5])
    exact = [
        quad(lambda z, e=e: INVERSE[kind](e + sd * z) * stats.norm.pdf(z), -12, 12, points=[0])[0]
        for e in eta
    ]
    assert marginal_mean(kind, eta, sd) == pytest.approx(exact, rel=1e-6, abs=1e-9)


def test_the_latent_variance_is_the_logistic_one():
    assert residual_variance("binary", 9.0) == pytest.approx(stats.logistic.var())
    assert residual_variance("continuous", 3.0) == 9.0
    assert np.isnan(residual_variance("count", 3.0))


def test_the_inverse_logit_does_not_overflow():
    with np.errstate(all="raise"):
        assert expit([-1000.0, 0.0, 1000.0]) == pytest.approx([0.0, 0.5, 1.0])
