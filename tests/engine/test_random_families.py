"""Densities of random effects: normalised, with right derivatives, and as an augmented model."""

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from mixedlab.engine.random_families import (
    LARGEST_LAMBDA,
    RANDOM_FAMILIES,
    RECIPROCAL,
    random_family,
)
from mixedlab.engine.special_functions import log_constant, log_cosh
from mixedlab.errors import MixedlabError

LAMBDAS = [0.02, 0.3, 1.7]
V = np.array([-1.3, -0.2, 0.0, 0.4, 1.1])
EACH = pytest.mark.parametrize(
    "kind", [*RANDOM_FAMILIES.values(), RECIPROCAL], ids=lambda k: f"{k.name}, {k.scale_name}"
)


def inside(kind):
    """Values of v that the family has."""
    return V[kind.lower < V]


@EACH
@pytest.mark.parametrize("lam", LAMBDAS)
def test_density_integrates_to_one_and_meets_its_constraint(kind, lam):
    sd = np.sqrt(kind.variance_of_v(lam))
    ends = max(-60 * sd, kind.lower), 25 * sd

    def moment(f):
        points = [p for p in (-3 * sd, 0, 3 * sd) if p > kind.lower]
        return quad(lambda v: f(v) * np.exp(kind.logpdf(np.array(v), lam)), *ends, points=points,
                    limit=500)[0]  # fmt: skip

    assert moment(lambda v: 1.0) == pytest.approx(1, abs=1e-8)
    mean = moment(lambda v: v)
    assert moment(lambda v: (v - mean) ** 2) == pytest.approx(kind.variance_of_v(lam), rel=1e-6)
    expected_u = {"gaussian": 0, "beta": 0.5}.get(kind.name, 1)
    assert moment(lambda v: float(kind.u(np.array(v)))) == pytest.approx(expected_u, abs=1e-6)
    assert expected_u == kind.centre


@pytest.mark.parametrize("lam", LAMBDAS)
def test_densities_are_scipys(lam):
    a = 1 / lam
    u = np.exp(V)
    gamma, inverse = RANDOM_FAMILIES["gamma"], RANDOM_FAMILIES["inverse_gamma"]
    assert gamma.logpdf(V, lam) == pytest.approx(stats.gamma(a, scale=lam).logpdf(u) + V)
    assert inverse.logpdf(V, lam) == pytest.approx(stats.invgamma(a + 1, scale=a).logpdf(u) + V)
    p = 1 / (1 + np.exp(-V))
    jacobian = np.log(p * (1 - p))
    assert RANDOM_FAMILIES["beta"].logpdf(V, lam) == pytest.approx(
        stats.beta(a / 2, a / 2).logpdf(p) + jacobian
    )


@EACH
@pytest.mark.parametrize("lam", LAMBDAS)
def test_derivatives(kind, lam):
    V = inside(kind)
    h = 1e-5
    slope = (kind.logpdf(V + h, lam) - kind.logpdf(V - h, lam)) / (2 * h)
    assert kind.score(V, lam) == pytest.approx(slope, rel=1e-6, abs=1e-6)
    curve = (kind.score(V + h, lam) - kind.score(V - h, lam)) / (2 * h)
    assert kind.curvature(V, lam) == pytest.approx(-curve, rel=1e-6)
    assert np.all(kind.curvature(V, lam) > 0)
    up, down = (kind.logpdf(V, lam * np.exp(s)) for s in (h, -h))
    assert kind.score_log_lambda(V, lam) == pytest.approx((up - down) / (2 * h), abs=1e-5)
    step = (kind.u(V + h) - kind.u(V - h)) / (2 * h)
    assert kind.slope(V) == pytest.approx(step, rel=1e-6)
    assert kind.v(kind.u(V)) == pytest.approx(V)


@EACH
@pytest.mark.parametrize("lam", LAMBDAS)
def test_augmented_row_has_the_densitys_score(kind, lam):
    V = inside(kind)
    lams = np.full(V.shape, lam)
    assert kind.augmented_score(V, lams) / kind.scale(lams) == pytest.approx(kind.score(V, lam))
    assert kind.lambda_of_scale(kind.scale(lams)) == pytest.approx(lams)
    # the deviance is 0 at u = psi and falls towards it at the score's pace
    h = 1e-5
    slope = (kind.deviance(V + h, lams) - kind.deviance(V - h, lams)) / (2 * h)
    assert -0.5 * slope == pytest.approx(kind.augmented_score(V, lams), rel=1e-5, abs=1e-8)
    at_psi = kind.v(kind.psi(lams))
    assert kind.deviance(at_psi, lams) == pytest.approx(0, abs=1e-12)


@EACH
@pytest.mark.parametrize("lam", LAMBDAS)
def test_quantiles_invert_the_distribution(kind, lam):
    p = np.array([1e-6, 0.1, 0.5, 0.9, 1 - 1e-6])
    v = kind.quantile(p, lam)
    assert np.all(np.diff(v) > 0)
    for a, b, share in zip(v[:-1], v[1:], np.diff(p), strict=True):
        mass = quad(lambda t: np.exp(kind.logpdf(np.array(t), lam)), a, b, limit=200)[0]
        assert mass == pytest.approx(share, rel=1e-6)


def test_a_vanishing_variance_loses_no_digit():
    for a in (99.9, 100.1, 1e10):
        exact = 0.5 * np.log(a / (2 * np.pi)) - 1 / (12 * a)
        assert log_constant(a) == pytest.approx(exact, abs=3e-9)
    x = np.array([0.0, 1e-9, 0.999, 1.001, 800.0])
    assert log_cosh(x) == pytest.approx(np.logaddexp(x, -x) - np.log(2), abs=1e-15)
    # near a normal density, whatever the family, when lambda is tiny
    lam = 1e-9
    v = np.array([0.0, 2e-5, 5e-5])
    normal = stats.norm(0, np.sqrt(lam)).logpdf(v)
    for name in ("gamma", "inverse_gamma"):
        assert RANDOM_FAMILIES[name].logpdf(v, lam) == pytest.approx(normal, abs=1e-3)
    beta = stats.norm(0, np.sqrt(4 * lam)).logpdf(v)
    assert RANDOM_FAMILIES["beta"].logpdf(v, lam) == pytest.approx(beta, abs=1e-6)


@pytest.mark.parametrize("kind", [RANDOM_FAMILIES["inverse_gamma"], RECIPROCAL])
def test_mean_deviance_of_inverse_gamma_effects_is_exact(kind):
    for lam in LAMBDAS:
        sd = np.sqrt(kind.variance_of_v(lam))

        def weighted(v, lam=lam):
            v = np.array(v)
            return float(kind.deviance(v, np.array(lam)) * np.exp(kind.logpdf(v, lam)))

        low = max(-60 * sd, kind.lower)
        mean = quad(weighted, low, 25 * sd, points=[0, sd], limit=500)[0]
        ours, slope = kind.mean_deviance(np.array(lam))
        assert ours == pytest.approx(mean, rel=1e-6)
        assert kind.lambda_of_mean_deviance(float(ours)) == pytest.approx(lam, rel=1e-9)
        up, down = (kind.mean_deviance(np.array(lam * np.exp(h)))[0] for h in (1e-5, -1e-5))
        assert slope == pytest.approx(np.log(up / down) / 2e-5, rel=1e-6)
    assert kind.lambda_of_mean_deviance(1e-12) == pytest.approx(1e-12, rel=1e-6)


def test_a_deviance_that_no_inverse_gamma_has_asks_for_the_largest_lambda():
    assert RANDOM_FAMILIES["inverse_gamma"].lambda_of_mean_deviance(1.3) == LARGEST_LAMBDA
    assert RECIPROCAL.lambda_of_mean_deviance(1.3) < 2


def test_names():
    assert random_family("Inverse-Gamma") is RANDOM_FAMILIES["inverse_gamma"]
    assert random_family("inverse gamma", "inverse") is RECIPROCAL
    assert random_family("normal") is RANDOM_FAMILIES["gaussian"]
    with pytest.raises(MixedlabError, match="Did you mean 'gamma'"):
        random_family("gama")
