"""Marginal likelihoods: closed forms against quadrature and brute force; gradients."""

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from mixedlab.engine.families import family
from mixedlab.engine.random_families import RANDOM_FAMILIES
from mixedlab.engine.terms import RandomTerm
from mixedlab.models.hglm.data import HierarchicalData
from mixedlab.models.hglm.exact import Objective
from mixedlab.models.hglm.integrated import (
    BetaBinomial,
    GammaInverseGamma,
    NoVariance,
    PoissonGamma,
    Quadrature,
    marginal_likelihood,
)

PAIRS = [
    ("poisson", "gamma"),
    ("gamma", "inverse_gamma"),
    ("binomial", "beta"),
    ("gaussian", "gaussian"),
    ("binomial", "gaussian"),
    ("poisson", "gaussian"),
    ("gamma", "gaussian"),
]
LINKS = {"gamma": "log"}


def make(kind, effects, *, group_constant=False, sizes=(4, 3, 5, 2), seed=1):
    """A small data set for a pair of families."""
    rng = np.random.default_rng(seed)
    index = np.repeat(np.arange(len(sizes)), sizes)
    n = index.size
    x = rng.normal(size=len(sizes))[index] if group_constant else rng.normal(size=n)
    weights = rng.integers(3, 9, n).astype(float) if kind == "binomial" else np.ones(n)
    y = {
        "poisson": lambda: rng.poisson(3, n).astype(float),
        "gamma": lambda: rng.gamma(4, 0.5, n),
        "binomial": lambda: rng.binomial(weights.astype(int), 0.4) / weights,
        "gaussian": lambda: rng.normal(1, 1.5, n),
    }[kind]()
    return HierarchicalData(
        y=y, X=np.column_stack([np.ones(n), x]), terms=[RandomTerm.from_arrays(index)],
        family=family(kind, LINKS.get(kind)), random=[RANDOM_FAMILIES[effects]], weights=weights,
        offset=0.1 * rng.normal(size=n) * (not group_constant), dispersion_X=np.ones((n, 1)),
        random_dispersion_X=[np.ones((len(sizes), 1))], phi_known=kind in ("poisson", "binomial"),
    )  # fmt: skip


def phi_of(data):
    return np.ones_like(data.y) if data.phi_known else np.full_like(data.y, 0.3)


@pytest.mark.parametrize(("kind", "effects"), PAIRS)
def test_quadrature_is_the_integral(kind, effects):
    data = make(kind, effects)
    eta, phi, lam = data.X @ [0.3, -0.2] + data.offset, phi_of(data), 0.4
    total = 0.0
    for j in range(4):
        rows = data.terms[0].index == j

        def integrand(v, rows=rows):
            log_f = np.sum(
                data.family.loglik(data.y[rows], eta[rows] + v, (data.weights / phi)[rows], 1.0)
            )
            return np.exp(log_f + float(data.random[0].logpdf(np.array(v), lam)))

        total += np.log(quad(integrand, -12, 8, limit=500, points=[-1, 0, 1], epsabs=0)[0])
    assert Quadrature(data).value_and_slopes(eta, phi, lam).value == pytest.approx(total, abs=1e-8)


@pytest.mark.parametrize(
    ("kind", "effects", "form"),
    [("poisson", "gamma", PoissonGamma), ("gamma", "inverse_gamma", GammaInverseGamma)],
)
@pytest.mark.parametrize("lam", [1e-6, 0.01, 0.8])
def test_closed_forms_are_the_integral(kind, effects, form, lam):
    data = make(kind, effects)
    eta, phi = data.X @ [0.3, -0.2] + data.offset, phi_of(data)
    closed, numeric = form(data), Quadrature(data)
    a, b = closed.value_and_slopes(eta, phi, lam), numeric.value_and_slopes(eta, phi, lam)
    assert a.value == pytest.approx(b.value, abs=1e-8)
    assert a.eta == pytest.approx(b.eta, abs=1e-7)
    if not data.phi_known:
        assert a.log_phi == pytest.approx(b.log_phi, abs=1e-7)
    assert a.log_lambda == pytest.approx(b.log_lambda, abs=1e-6)
    for ours, theirs in zip(
        closed.posterior(eta, phi, lam), numeric.posterior(eta, phi, lam), strict=True
    ):
        assert ours == pytest.approx(theirs, rel=1e-6)


def test_beta_binomial_is_scipys():
    data = make("binomial", "beta", group_constant=True)
    form = BetaBinomial(data)
    eta, lam = data.X @ [0.3, -0.2] + data.offset, 0.05
    mu = 1 / (1 + np.exp(-eta[form.first]))
    trials, successes = form.trials, np.round(form.trials * form.proportion)
    by_group = stats.betabinom(trials, mu / lam, (1 - mu) / lam).logpmf(successes)
    # the order of successes within a group: hypergeometric, no parameter in it
    within = sum(
        np.sum(np.log([comb(w, r) for w, r in rows])) - np.log(comb(n, s))
        for rows, n, s in zip(by_rows(data), trials, successes, strict=True)
    )
    value = form.value_and_slopes(eta, np.ones_like(data.y), lam).value
    assert value == pytest.approx(by_group.sum() + within, abs=1e-9)


def comb(n, k):
    from math import comb as choose

    return float(choose(round(n), round(k)))


def by_rows(data):
    index = data.terms[0].index
    for j in range(data.terms[0].n_levels):
        rows = index == j
        yield list(zip(data.weights[rows], data.weights[rows] * data.y[rows], strict=True))


@pytest.mark.parametrize(("kind", "effects"), [*PAIRS, ("binomial", "constant")])
def test_gradient(kind, effects):
    group_constant = effects == "constant"
    data = make(kind, "beta" if group_constant else effects, group_constant=group_constant)
    form = marginal_likelihood(data)
    assert isinstance(form, BetaBinomial) == group_constant
    for objective in (
        Objective(data, form),
        Objective(data, NoVariance(data), fixed_lambda=True),
    ):
        at = np.array([0.3, -0.2] + ([] if data.phi_known else [np.log(0.4)]) + [np.log(0.5)])
        at = at[:-1] if objective.fixed_lambda else at
        slopes = objective(at).gradient
        for k in range(at.size):
            h = np.zeros_like(at)
            h[k] = 1e-5
            numeric = (objective(at + h).value - objective(at - h).value) / 2e-5
            assert slopes[k] == pytest.approx(numeric, abs=2e-5), k


def test_no_variance_is_the_limit():
    for kind, effects in PAIRS:
        data = make(kind, effects)
        eta, phi = data.X @ [0.3, -0.2] + data.offset, phi_of(data)
        limit = NoVariance(data).value_and_slopes(eta, phi, 0.0)
        near = marginal_likelihood(data).value_and_slopes(eta, phi, 1e-9)
        assert near.value == pytest.approx(limit.value, abs=1e-6), kind
        assert near.eta == pytest.approx(limit.eta, abs=1e-6)


def test_hopeless_parameters_are_refused_and_not_raised():
    data = make("poisson", "gamma")
    found = Objective(data, PoissonGamma(data))(np.array([900.0, 0.0, 0.0]))
    assert found.value == np.inf
