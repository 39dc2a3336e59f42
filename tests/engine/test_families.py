"""Families and links against scipy.stats and finite differences."""

import itertools

import numpy as np
import pytest
from scipy import stats

from mixedlab.engine.families import family

RNG = np.random.default_rng(11)
N = 40
FAMILY_LINKS = [
    ("gaussian", "identity"), ("gaussian", "log"), ("gaussian", "inverse"),
    ("binomial", "logit"), ("binomial", "probit"), ("binomial", "cloglog"),
    ("binomial", "log"), ("binomial", "identity"),
    ("poisson", "log"), ("poisson", "identity"), ("poisson", "inverse"),
    ("gamma", "inverse"), ("gamma", "log"), ("gamma", "identity"),
    ("negative_binomial", "log"), ("negative_binomial", "identity"),
    ("beta_binomial", "logit"), ("beta_binomial", "probit"), ("beta_binomial", "cloglog"),
]  # fmt: skip


def example(name, link):
    """A family, responses, linear predictors, weights and a dispersion that fit together."""
    fam = family(name, link)
    if fam.counts_trials:
        mu, w = RNG.uniform(0.05, 0.95, N), RNG.integers(1, 12, N).astype(float)
    else:
        mu, w = RNG.uniform(0.3, 6.0, N), RNG.uniform(0.5, 2.0, N)
    dispersion = 1.7 if fam.has_dispersion else 1.0
    return fam, fam.draw(RNG, mu, w, dispersion), fam.link.eta(mu), w, dispersion


@pytest.mark.parametrize(("name", "link"), FAMILY_LINKS)
def test_derivatives_agree_with_finite_differences(name, link):
    fam, y, eta, w, phi = example(name, link)
    h = 1e-5 * np.maximum(np.abs(eta), 0.1)
    up = (fam.loglik(y, eta + h, w, phi), *fam.derivatives(y, eta + h, w, phi))
    down = (fam.loglik(y, eta - h, w, phi), *fam.derivatives(y, eta - h, w, phi))
    for k, exact in enumerate(fam.derivatives(y, eta, w, phi)):
        numeric = (up[k] - down[k]) / (2 * h)
        scale = 1e-3 + np.abs(exact) + np.abs(up[k])
        assert np.max(np.abs(exact - numeric) / scale) < 1e-5


@pytest.mark.parametrize(("name", "link"), [f for f in FAMILY_LINKS if family(f[0]).has_dispersion])
def test_dispersion_derivatives_agree_with_finite_differences(name, link):
    fam, y, eta, w, phi = example(name, link)
    h = 1e-5

    def at(t):
        d1, d2, _ = fam.derivatives(y, eta, w, phi * np.exp(t))
        return fam.loglik(y, eta, w, phi * np.exp(t)), d1, d2

    for exact, up, down in zip(
        fam.dispersion_derivatives(y, eta, w, phi), at(h), at(-h), strict=True
    ):
        np.testing.assert_allclose(exact, (up - down) / (2 * h), rtol=1e-6, atol=1e-6)


def test_densities_are_scipys():
    y = np.array([0.0, 1, 4, 9])
    mu = np.array([0.2, 1.5, 4.0, 6.0])
    np.testing.assert_allclose(family("poisson").logpdf(y, mu), stats.poisson.logpmf(y, mu))
    np.testing.assert_allclose(
        family("negative_binomial").logpdf(y, mu, 1.0, 2.5),
        stats.nbinom.logpmf(y, 2.5, 2.5 / (2.5 + mu)),
    )
    np.testing.assert_allclose(
        family("gamma").logpdf(y + 0.5, mu, 1.0, 0.4),
        stats.gamma.logpdf(y + 0.5, 1 / 0.4, scale=0.4 * mu),
    )
    np.testing.assert_allclose(
        family("gaussian").logpdf(y, mu, 2.0, 0.4), stats.norm.logpdf(y, mu, np.sqrt(0.2))
    )
    p, m = np.array([0.1, 0.4, 0.9, 0.5]), np.array([1.0, 5, 9, 20])
    np.testing.assert_allclose(
        family("binomial").logpdf(y / m * (y <= m), p, m), stats.binom.logpmf(y * (y <= m), m, p)
    )
    np.testing.assert_allclose(
        family("beta_binomial").logpdf(y / m * (y <= m), p, m, 3.0),
        stats.betabinom.logpmf(y * (y <= m), m, 3 * p, 3 * (1 - p)),
    )


@pytest.mark.parametrize(("name", "link"), FAMILY_LINKS)
def test_draws_have_the_stated_mean_and_variance(name, link):
    fam = family(name, link)
    mu = np.full(200_000, 0.3)
    w = np.full(mu.size, 6.0 if fam.counts_trials else 1.0)
    phi = 2.0 if fam.has_dispersion else 1.0
    y = fam.draw(np.random.default_rng(5), mu, w, phi)
    variance = fam.variance(mu, w, phi)[0]
    assert abs(y.mean() - 0.3) < 5 * np.sqrt(variance / mu.size)
    assert abs(y.var() / variance - 1) < 0.06


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
@pytest.mark.parametrize("eta", [-800.0, -40.0, -20.0, 20.0, 40.0, 800.0])
@pytest.mark.parametrize("y", [0.0, 1.0])
def test_binomial_is_never_nan_far_out(link, eta, y):
    fam, at = family("binomial", link), (np.array([y]), np.array([eta]))
    assert not np.isnan(fam.loglik(*at)).any()
    assert fam.loglik(*at)[0] <= 0
    if not (link == "cloglog" and eta == 800.0 and y == 0.0):  # exp(800) is infinite
        assert np.isfinite(fam.derivatives(*at)).all()


def test_probabilities_of_both_outcomes_sum_to_one():
    eta = np.linspace(-6, 2, 30)
    for link in ("logit", "probit", "cloglog"):
        fam = family("binomial", link)
        both = np.exp(fam.loglik(np.ones(30), eta)) + np.exp(fam.loglik(np.zeros(30), eta))
        np.testing.assert_allclose(both, 1, rtol=1e-12)


def test_deviance_is_twice_the_loss_of_log_density():
    for name, link in itertools.product(["poisson", "gamma", "gaussian"], ["log"]):
        fam, y, eta, w, _ = example(name, link)
        y = np.abs(y) + (1 if name == "poisson" else 0.5)
        mu = fam.link.mu(eta)
        loss = 2 * (fam.logpdf(y, y, w) - fam.logpdf(y, mu, w))
        np.testing.assert_allclose(fam.deviance(y, mu, w), loss, atol=1e-9)


def test_unknown_names_list_what_there_is():
    with pytest.raises(ValueError, match=r"no family 'poison'.*'poisson'"):
        family("poison")
    with pytest.raises(ValueError, match=r"no link 'logistic'.*'logit'"):
        family("binomial", "logistic")
