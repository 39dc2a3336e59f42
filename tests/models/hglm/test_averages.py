"""Means, variances and draws over the distribution of the effects."""

import numpy as np
import pytest

import mixedlab as ml
from tests.models.hglm.cases import BY_H, simulated


def test_multiplicative_effects_leave_the_mean_alone():
    formula, table, options = BY_H["epil-poisson-gamma"]
    fit = ml.hglm(formula, table(), **options)
    marginal, population = (fit.predict(kind=k) for k in ("marginal", "population"))
    assert marginal.to_numpy() == pytest.approx(population.to_numpy(), rel=1e-14)
    normal = ml.hglm(formula, table(), family="poisson", random_family="gaussian")
    ratio = normal.predict(kind="marginal") / normal.predict(kind="population")
    assert ratio.to_numpy() == pytest.approx(np.exp(normal.dispersion_random["subject"] / 2))


def test_variance_on_the_link_of_a_beta_binomial():
    """The variance of logit p, by drawing p from its beta."""
    table = simulated("binomial", "beta", 0.3, J=60).assign(x=0.0)
    fit = ml.hglm("cbind(y, n) ~ 1 + (1 | g)", table, family="binomial", random_family="beta")
    lam, mu = fit.dispersion_random["g"], fit.predict(kind="population")[0]
    p = np.random.default_rng(1).beta(mu / lam, (1 - mu) / lam, 400_000)
    assert fit.varcorr["vcov"][0] == pytest.approx(np.var(np.log(p / (1 - p))), rel=0.02)
