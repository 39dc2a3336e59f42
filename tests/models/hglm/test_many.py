"""Many h-likelihood fits at once are the fits one by one."""

from __future__ import annotations

import numpy as np
import pytest

from mixedlab.engine.families import family
from mixedlab.engine.random_families import random_family
from mixedlab.engine.terms import RandomTerm
from mixedlab.models.hglm.data import HierarchicalData
from mixedlab.models.hglm.h_likelihood import fit_h_likelihood
from mixedlab.models.hglm.many import many_h_likelihood

PAIRS = [
    ("poisson", "log", "gaussian"),
    ("poisson", "log", "gamma"),
    ("binomial", "logit", "gaussian"),
    ("binomial", "logit", "beta"),
    ("gamma", "log", "inverse_gamma"),
    ("gaussian", "identity", "gaussian"),
]


def one_fit(y, X, index, made, effects, trials):
    n = y.size
    term = RandomTerm("g", index, tuple(range(index.max() + 1)), np.ones((n, 1)), ("1",))
    return fit_h_likelihood(
        HierarchicalData(
            y=y, X=X, terms=[term], family=made, random=[effects], weights=np.full(n, trials),
            offset=np.zeros(n), dispersion_X=np.ones((n, 1)),
            random_dispersion_X=[np.ones((term.n_levels, 1))], phi_known=not made.has_dispersion,
        )
    )  # fmt: skip


@pytest.mark.parametrize("spread", [0.6, 0.0])
@pytest.mark.parametrize(("name", "link", "effects"), PAIRS)
def test_fits_are_those_of_one_data_set(name, link, effects, spread):
    rng = np.random.default_rng(7)
    made, kind, J, m = family(name, link), random_family(effects), 20, 6
    index = np.concatenate([np.arange(J), rng.integers(0, J, 3 * J)])
    X = np.column_stack([np.ones(index.size), rng.normal(size=index.size)])
    trials = 8.0 if name == "binomial" else 1.0
    eta = (X @ [0.8, 0.3])[:, None] + spread * rng.normal(size=(J, m))[index]
    y = made.draw(rng, made.link.mu(eta), trials, 0.1)
    many = many_h_likelihood(y, X, index, made, kind, weights=trials)
    assert many.converged.all()
    for k in range(m):
        one = one_fit(y[:, k], X, index, made, kind, trials)
        assert one.converged
        assert many.singular[k] == one.singular
        # Where the effects vanish the iteration ends on its way to 0, and not at a point.
        tight = {"rtol": 1e-4, "atol": 1e-6} if one.singular else {"rtol": 1e-7, "atol": 1e-9}
        np.testing.assert_allclose(many.beta[k], one.beta, **tight)
        np.testing.assert_allclose(many.se[k], np.sqrt(np.diag(one.vcov_beta)), **tight)
        np.testing.assert_allclose(many.phi[k], one.phi[0], **tight)
        np.testing.assert_allclose(many.lam[k], one.lam[0][0], **tight)


def test_a_data_set_that_cannot_settle_is_said_to_be_so():
    rng = np.random.default_rng(1)
    index = np.repeat(np.arange(10), 4)
    y = rng.poisson(3.0, (40, 3)).astype(float)
    y[:, 1] = np.nan
    X = np.ones((40, 1))
    many = many_h_likelihood(y, X, index, family("poisson"), random_family("gamma"))
    np.testing.assert_array_equal(many.converged, [True, False, True])
    assert np.isnan(many.beta[1]).all()
