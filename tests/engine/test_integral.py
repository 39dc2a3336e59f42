"""One integral over one effect a group: any family, any prior, against brute force."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.special import hyperu, loggamma

from mixedlab.engine.families import family
from mixedlab.engine.integral import EffectIntegral, find_modes
from mixedlab.engine.random_families import RANDOM_FAMILIES, RECIPROCAL

PRIORS = RANDOM_FAMILIES | {"reciprocal": RECIPROCAL}
CASES = [
    ("gaussian", "identity", "gaussian"),
    ("gaussian", "log", "gaussian"),
    ("binomial", "logit", "beta"),
    ("binomial", "probit", "gaussian"),
    ("poisson", "log", "gamma"),
    ("poisson", "identity", "gaussian"),
    ("negative_binomial", "log", "gamma"),
    ("gamma", "log", "inverse_gamma"),
    ("gamma", "inverse", "gaussian"),
    ("gamma", "inverse", "reciprocal"),
]
INDEX = np.repeat(np.arange(4), [4, 1, 6, 2])


def make(kind, link, effects):
    rng = np.random.default_rng(3)
    n = INDEX.size
    y = {
        "gaussian": rng.normal(1, 1, n),
        "binomial": rng.integers(0, 5, n) / 4,
        "gamma": rng.gamma(3, 0.4, n),
    }.get(kind, rng.poisson(3, n).astype(float))
    weights = np.full(n, 4.0) if kind == "binomial" else np.ones(n)
    eta = {"inverse": 1.3, "identity": 2.5}.get(link, 0.2) + 0.1 * rng.normal(size=n)
    return (
        EffectIntegral(family(kind, link), PRIORS[effects], y, INDEX, 4, np.ones(n)),
        eta,
        weights,
    )


def brute_force(integral, eta, lam, weights, dispersion):
    total = 0.0
    for j in range(4):
        rows = j == INDEX

        def integrand(v, rows=rows):
            with np.errstate(all="ignore"):
                l = integral.family.loglik(
                    integral.y[rows], eta[rows] + v, weights[rows], dispersion
                ).sum()
                value = np.exp(l + float(integral.prior.logpdf(np.array(v), lam)))
            return value if np.isfinite(value) else 0.0

        low = -1.0 if integral.prior is RECIPROCAL else -12.0
        if (
            integral.family.link.name in ("identity", "inverse")
            and integral.family.name != "gaussian"
        ):
            low = max(low, -eta[rows].min())
        pieces = [low, *[e for e in (-2, -1, -0.5, 0, 0.5, 1, 3) if e > low], 15]
        total += np.log(
            sum(quad(integrand, a, b, limit=400, epsabs=0)[0] for a, b in pairwise(pieces))
        )
    return total


@pytest.mark.parametrize(("kind", "link", "effects"), CASES)
@pytest.mark.parametrize("lam", [0.05, 0.6])
def test_value_is_the_integral(kind, link, effects, lam):
    integral, eta, weights = make(kind, link, effects)
    found = integral.at(eta, lam, weights=weights, dispersion=0.7)
    assert found.value == pytest.approx(brute_force(integral, eta, lam, weights, 0.7), abs=1e-7)
    assert found.weights.sum(axis=0) == pytest.approx(1)


@pytest.mark.parametrize(("kind", "link", "effects"), CASES)
def test_slopes_are_differences(kind, link, effects):
    integral, eta, weights = make(kind, link, effects)
    has = integral.family.has_dispersion
    options = {"weights": weights, "slopes": True, "dispersion_slopes": has}
    at, h = integral.at(eta, 0.4, dispersion=0.7, **options), 1e-5

    def value(eta=eta, lam=0.4, dispersion=0.7):
        return integral.at(eta, lam, weights=weights, dispersion=dispersion).value

    step = np.zeros(eta.size)
    step[5] = h
    assert at.d_eta[5] == pytest.approx((value(eta + step) - value(eta - step)) / (2 * h), abs=1e-5)
    up, down = 0.4 * np.exp(h), 0.4 * np.exp(-h)
    assert at.d_log_lambda == pytest.approx((value(lam=up) - value(lam=down)) / (2 * h), abs=1e-5)
    if has:
        up, down = 0.7 * np.exp(h), 0.7 * np.exp(-h)
        slope = (value(dispersion=up) - value(dispersion=down)) / (2 * h)
        assert at.d_log_dispersion.sum() == pytest.approx(slope, abs=1e-5)


def test_reciprocal_effects_are_tricomis_function():
    """Gamma responses with one fixed part a group, 1/mu = c + t, t gamma: a closed form."""
    integral, _, _ = make("gamma", "inverse", "reciprocal")
    c, a, nu = 0.4, 1 / 0.3, 2.5
    found = integral.at(np.full(INDEX.size, 1 + c), 0.3, dispersion=1 / nu)
    for j in range(4):
        y = integral.y[j == INDEX]
        N, R = nu * y.size, nu * y.sum()
        log_u = np.log(hyperu(a + 1, a + N + 2, c * (R + a)))
        exact = (a + N + 1) * np.log(c) + log_u + (a + 1) * np.log(a) - c * R
        rows = np.sum(nu * np.log(nu) + (nu - 1) * np.log(y) - loggamma(nu))
        assert found.log_integrals[j] == pytest.approx(exact + rows, abs=1e-8)


def test_reciprocal_effects_on_nothing_are_the_log_links_model():
    """With 1/mu = t alone (x'beta = 1) mu is u, as on a log link with x'beta = 0."""
    inverse, _, _ = make("gamma", "inverse", "reciprocal")
    log, _, _ = make("gamma", "log", "inverse_gamma")
    n = INDEX.size
    a = inverse.at(np.ones(n), 0.4, dispersion=0.3)
    b = log.at(np.zeros(n), 0.4, dispersion=0.3)
    assert a.log_integrals == pytest.approx(b.log_integrals, abs=1e-10)
    for ours, theirs in zip(
        a.mean_and_sd(RECIPROCAL.u), b.mean_and_sd(PRIORS["inverse_gamma"].u), strict=True
    ):
        assert ours == pytest.approx(theirs, rel=1e-8)


def test_modes_near_by_change_nothing():
    integral, eta, weights = make("poisson", "log", "gamma")
    first = integral.at(eta, 0.4, weights=weights)
    again = integral.at(eta, 0.4, weights=weights, near=first.mode + 0.5)
    assert again.log_integrals == pytest.approx(first.log_integrals, abs=1e-10)


def test_slopes_of_one_effect_with_other_multipliers():
    """z v with normal v: the marginal normal density."""
    rng = np.random.default_rng(1)
    n = INDEX.size
    z, y = rng.normal(size=n), rng.normal(size=n)
    made = EffectIntegral(family("gaussian"), PRIORS["gaussian"], y, INDEX, 4, z)
    value = made.at(np.zeros(n), 0.5, dispersion=0.2).log_integrals
    for j in range(4):
        rows = j == INDEX
        V = 0.5 * np.outer(z[rows], z[rows]) + 0.2 * np.eye(rows.sum())
        exact = stats.multivariate_normal(np.zeros(rows.sum()), V).logpdf(y[rows])
        assert value[j] == pytest.approx(exact, abs=1e-9)


class Gammas:
    """log f(s) = a s - b exp(s): mode log(a / b), curvature a."""

    a, b = np.array([0.1, 1.0, 30.0, 4.0]), np.array([5.0, 1.0, 1e-4, 1e6])

    def height(self, s):
        with np.errstate(over="ignore"):
            return self.a * s - self.b * np.exp(s)

    def slope_and_curvature(self, s):
        return self.a - self.b * np.exp(s), self.b * np.exp(s)


@pytest.mark.parametrize("start", [0.0, -20.0, 9.0, 2000.0])
def test_each_function_has_its_own_step(start):
    mode, sd = find_modes(Gammas(), np.full(4, start))
    assert mode == pytest.approx(np.log(Gammas.a / Gammas.b), abs=1e-6)
    assert sd == pytest.approx(Gammas.a**-0.5, rel=1e-5)


def test_a_start_where_there_is_nothing_falls_back_to_zero():
    mode, _ = find_modes(Gammas(), np.array([1e5, 0.0, 1e6, 0.0]))
    assert mode == pytest.approx(np.log(Gammas.a / Gammas.b), abs=1e-6)
