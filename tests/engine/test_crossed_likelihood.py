"""Several grouping factors: gradients against differences, H and its inverse against dense ones."""

import numpy as np
import pytest

from mixedlab.engine.crossed_likelihood import CrossedLikelihood
from mixedlab.engine.grouped_likelihood import GroupedLikelihood
from mixedlab.engine.terms import RandomTerm
from tests.engine.generalized_samples import N, gradient_error, sample


def structures(rng):
    g1, g2 = rng.integers(0, 20, N), rng.integers(0, 7, N)
    x = rng.normal(size=N)
    slopes = np.column_stack([np.ones(N), x])

    def term(labels, Z, group):
        return RandomTerm.from_arrays(labels, Z, group=group)

    return {
        "crossed": [term(g1, slopes, "a"), term(g2, None, "b")],
        "nested": [term(g1, None, "a"), term(g1 // 5, slopes, "c")],
        "three factors, two terms on one": [
            term(g1, None, "a"), term(g1, x[:, None], "a"), term(g2, None, "b"),
            term(g1 // 5, None, "c"),
        ],
        "an effect for every row": [
            term(np.arange(N), None, "row"), term(g1, None, "a"), term(g1 // 5, None, "c"),
        ],
        "sparse": [term(np.arange(N) % 55, slopes, "a"), term(rng.integers(0, 45, N), None, "b")],
        "disconnected": [term(g1, None, "a"), term(g1 // 10 * 10 + g2 % 3, None, "b")],
    }  # fmt: skip


@pytest.mark.parametrize("structure", list(structures(np.random.default_rng(0))))
@pytest.mark.parametrize(
    ("name", "link"),
    [("binomial", "logit"), ("poisson", "log"), ("negative_binomial", "log"),
     ("beta_binomial", "probit")],
)  # fmt: skip
def test_gradient_and_determinant_with_several_factors(structure, name, link):
    fam, y, X, w, _, rng = sample(name, link)
    terms = structures(np.random.default_rng(0))[structure]
    likelihood = CrossedLikelihood(fam, y, X, terms, w, np.zeros(N))
    theta = 0.2 * rng.normal(size=likelihood.layout.n_theta) + 0.4
    beta = np.array([0.3, 0.2])
    assert gradient_error(likelihood, theta, beta) < 2e-5
    # the determinant and the conditional covariances against dense matrices
    phi = np.exp(0.3) if fam.has_dispersion else 1.0
    at = likelihood(theta, beta, phi)
    factors = likelihood.layout.unpack(theta)
    V = np.hstack([
        (t.Z @ L)[:, [k]] * np.eye(t.n_levels)[t.index]
        for t, L in zip(terms, factors, strict=True) for k in range(t.n_coefs)
    ])  # fmt: skip
    W = -fam.derivatives(y, at.eta, w, phi)[1]
    H = np.eye(V.shape[1]) + V.T @ (W[:, None] * V)
    assert 2 * at.factor.half_log_det().sum() == pytest.approx(np.linalg.slogdet(H)[1], abs=1e-9)
    inverse, first = np.linalg.inv(H), 0
    for term, L, ours in zip(terms, factors, at.mode_covariances(), strict=True):
        q, J = term.n_coefs, term.n_levels
        where = first + np.arange(q * J).reshape(q, J)
        block = inverse[where[:, None, :], where[None, :, :]]
        np.testing.assert_allclose(
            ours, np.einsum("ab,bcj,dc->jad", L, block, L), rtol=1e-7, atol=1e-10
        )
        first += q * J
    # the variance of a random part that pairs the first row's level of one factor with the last
    # row's levels of the others, a pair that may not be in the data
    source = [0] + [N - 1] * (len(terms) - 1)
    ends = np.cumsum([t.n_coefs * t.n_levels for t in terms])
    v = np.concatenate([
        V[i, end - t.n_coefs * t.n_levels : end]
        for i, t, end in zip(source, terms, ends, strict=True)
    ])  # fmt: skip
    row = [
        RandomTerm(t.group, t.index[[i]], t.levels, t.Z[[i]], t.names)
        for i, t in zip(source, terms, strict=True)
    ]
    assert at.predictive_variance(row)[0] == pytest.approx(v @ inverse @ v, rel=1e-8)


def test_several_factors_agree_with_one_where_one_of_them_is_idle():
    fam, y, X, w, g, rng = sample("binomial", "logit")
    one = [RandomTerm.from_arrays(g, X, group="g")]
    other = RandomTerm.from_arrays(rng.integers(0, 5, N), group="h")
    theta, beta = np.array([0.7, -0.2, 0.4]), np.array([0.3, 0.2])
    grouped = GroupedLikelihood(fam, y, X, one, w, np.zeros(N))(theta, beta)
    crossed = CrossedLikelihood(fam, y, X, [*one, other], w, np.zeros(N))(
        np.append(theta, 0.0), beta
    )
    assert crossed.loglik == pytest.approx(grouped.loglik, abs=1e-9)
    np.testing.assert_allclose(crossed.d_beta, grouped.d_beta, atol=1e-6)
