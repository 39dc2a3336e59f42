"""Every family with every link, on data that the model has made: against other ways to fit them.

A fit is never below the model without random effects, nor below what another start leads to; it
says that it has converged only where every standard error is known; and its coefficients are near
those that made the data.
"""

import warnings

import numpy as np
import pytest

from mixedlab.engine.families import family
from mixedlab.engine.terms import RandomTerm
from mixedlab.models.generalized import fit_generalized

# family, link, sets, and what one linear predictor is made of: a baseline, how much one unit of a
# covariate and of sd moves it, and the range that it must keep
MODELS = [
    ("gaussian", "identity", 16, 1.0, 1.0, (-np.inf, np.inf)),
    ("gaussian", "log", 20, 1.0, 1.0, (-np.inf, np.inf)),
    ("gaussian", "inverse", 24, 5.0, 1.0, (1.0, np.inf)),
    ("binomial", "logit", 20, 0.3, 1.0, (-np.inf, np.inf)),
    ("binomial", "probit", 20, 0.3, 1.0, (-np.inf, np.inf)),
    ("binomial", "cloglog", 20, -0.3, 1.0, (-np.inf, np.inf)),
    ("binomial", "log", 24, -2.0, 0.5, (-np.inf, -0.1)),
    ("binomial", "identity", 20, 0.5, 0.1, (0.05, 0.95)),
    ("binomial", "inverse", 16, 5.0, 1.0, (1.2, np.inf)),
    ("poisson", "log", 20, 0.5, 1.0, (-np.inf, np.inf)),
    ("poisson", "identity", 24, 6.0, 1.0, (0.5, np.inf)),
    ("poisson", "inverse", 20, 0.3, 0.05, (0.03, np.inf)),
    ("gamma", "inverse", 24, 5.0, 1.0, (0.5, np.inf)),
    ("gamma", "log", 20, 0.5, 1.0, (-np.inf, np.inf)),
    ("gamma", "identity", 40, 4.0, 1.0, (0.3, np.inf)),
    ("negative_binomial", "log", 20, 0.5, 1.0, (-np.inf, np.inf)),
    ("negative_binomial", "identity", 20, 6.0, 1.0, (0.8, np.inf)),
    ("negative_binomial", "inverse", 16, 0.3, 0.05, (0.03, np.inf)),
    ("beta_binomial", "logit", 6, 0.3, 1.0, (-np.inf, np.inf)),
    ("beta_binomial", "probit", 6, 0.3, 1.0, (-np.inf, np.inf)),
    ("beta_binomial", "cloglog", 6, -0.3, 1.0, (-np.inf, np.inf)),
    ("beta_binomial", "log", 6, -2.0, 0.5, (-np.inf, -0.1)),
]  # fmt: skip
DISPERSION = {"gaussian": 0.09, "gamma": 0.3, "negative_binomial": 3.0, "beta_binomial": 8.0}


def drawn(name, link, seed, baseline, unit, inside):
    """Responses, X, the term, trials, and the parameters that they were drawn with."""
    rng = np.random.default_rng([seed, *map(ord, name + link)])
    kind, J = family(name, link), int(rng.integers(20, 41))
    g = np.repeat(np.arange(J), rng.integers(4, 7))
    x, treated = rng.normal(size=g.size), rng.integers(0, 2, J)[g].astype(float)
    X = np.column_stack([np.ones(g.size), x, treated, x * treated])
    beta = np.array([baseline, 0.4 * unit, -0.4 * unit, 0.2 * unit])
    sd = unit * rng.uniform(0.2, 1.0)
    while True:
        eta = X @ beta + sd * rng.normal(size=J)[g]
        if eta.min() > inside[0] and eta.max() < inside[1]:
            break
        sd, X[:, 1], X[:, 3] = 0.9 * sd, 0.95 * X[:, 1], 0.95 * X[:, 3]
    mu = kind.link.mu(eta)
    trials = rng.integers(2, 11, g.size).astype(float) if kind.counts_trials else 1.0
    phi = DISPERSION.get(name, 1.0)
    if (name, link) == ("gaussian", "inverse"):
        phi = (0.15 * mu.mean()) ** 2
    y = kind.draw(rng, mu, trials, phi)
    y = np.maximum(y, 1e-9) if name == "gamma" else y
    truth = np.concatenate([[sd], beta, [np.log(phi)] if kind.has_dispersion else []])
    weights = trials if kind.counts_trials else None
    return kind, y, X, [RandomTerm.from_arrays(g)], weights, truth


def check(kind, y, X, terms, weights, truth):
    """What must hold of every fit; returns whether it has converged."""
    data = {"family": kind, "weights": weights}
    fit = fit_generalized(y, X, terms, **data)
    plain = fit_generalized(y, X, [], **data)
    null = fit_generalized(y, X[:, :1], [], **data)
    again = fit_generalized(y, X, terms, start=truth, standard_errors=False, **data)
    assert fit.loglik >= plain.loglik - 1e-5
    assert plain.loglik >= null.loglik - 1e-5
    assert fit.loglik >= again.loglik - 2e-3
    se = np.sqrt(np.diag(fit.vcov_beta))
    if fit.converged:
        assert np.isfinite(se).all()
        assert np.isfinite(fit.vcov_parameters[0, 0]) or fit.singular
        assert np.abs((fit.beta - truth[1:5]) / se).max() < 6
    return fit.converged


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model[0]}-{model[1]}")
def test_fits_are_at_their_maximum(model):
    name, link, sets, *numbers = model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converged = [check(*drawn(name, link, seed, *numbers)) for seed in range(sets)]
    assert np.mean(converged) >= 0.9


def test_there_are_enough_of_them():
    assert sum(model[2] for model in MODELS) >= 400


@pytest.mark.parametrize("seed", range(12))
def test_groups_that_differ_a_thousandfold(seed):
    rng = np.random.default_rng([seed, 9])
    J = int(rng.integers(20, 41))
    g = np.repeat(np.arange(J), 6)
    x, treated = rng.normal(size=g.size), rng.integers(0, 2, J)[g].astype(float)
    X = np.column_stack([np.ones(g.size), x, treated, x * treated])
    sd, beta = rng.uniform(1.7, 3.0), np.array([0.5, 0.5, -0.5, 0.3])
    mu = np.exp(X @ beta + sd * rng.normal(size=J)[g])
    kind = family("gamma", "log")
    y = np.maximum(kind.draw(rng, mu, 1.0, 0.5), 1e-9)
    assert y.max() / y.min() > 1e3
    truth = np.concatenate([[sd], beta, [np.log(0.5)]])
    assert check(kind, y, X, [RandomTerm.from_arrays(g)], None, truth)


def test_units_of_the_response_do_not_matter():
    kind, y, X, terms, _, _ = drawn("gamma", "identity", 3, 4.0, 1.0, (0.3, np.inf))
    one = fit_generalized(y, X, terms, family=kind)
    for unit in (1e-6, 1e6):
        fit = fit_generalized(unit * y, X, terms, family=kind)
        assert fit.converged == one.converged
        assert fit.singular == one.singular
        np.testing.assert_allclose(fit.beta, unit * one.beta, rtol=1e-3)
        assert fit.loglik == pytest.approx(one.loglik - y.size * np.log(unit), abs=1e-4)
