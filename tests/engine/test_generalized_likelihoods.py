"""Laplace and quadrature: values against brute force, gradients against differences."""

import numpy as np
import pytest

from mixedlab.engine.crossed_likelihood import CrossedLikelihood
from mixedlab.engine.families import family
from mixedlab.engine.grouped_likelihood import GroupedLikelihood
from mixedlab.engine.quadrature import gauss_hermite, mean_over_normal, product_rule
from mixedlab.engine.terms import RandomTerm

FAMILIES = [
    ("binomial", "logit"), ("binomial", "probit"), ("binomial", "cloglog"), ("poisson", "log"),
    ("gamma", "log"), ("gamma", "inverse"), ("negative_binomial", "log"),
    ("beta_binomial", "logit"), ("gaussian", "log"),
]  # fmt: skip
N = 96


def sample(name, link, seed=1):
    """A family, responses, X, weights and a group label of each row."""
    rng = np.random.default_rng(seed)
    fam = family(name, link)
    g, x = rng.permutation(np.repeat(np.arange(12), 8)), rng.normal(size=N)
    shrink = 0.05 if link == "inverse" else 1.0
    X = np.column_stack([np.ones(N), shrink * x])
    eta = 0.3 + 0.4 * x + 0.5 * rng.normal(size=12)[g]
    if link == "inverse":
        eta = np.abs(eta) + 1.5
    w = rng.integers(1, 9, N).astype(float) if fam.counts_trials else rng.uniform(0.5, 2, N)
    y = fam.draw(rng, fam.link.mu(eta), w, 1.7 if fam.has_dispersion else 1.0)
    return fam, np.maximum(y, 0.05) if name == "gamma" else y, X, w, g, rng


def gradient_error(likelihood, theta, beta, log_dispersion=0.3, h=2e-5):
    """Largest difference between the gradient and central differences, relative to its size."""
    m, p = theta.size, beta.size
    at = np.concatenate([theta, beta, [log_dispersion]])

    def evaluate(point, gradient):
        phi = np.exp(point[-1]) if likelihood.family.has_dispersion else 1.0
        return likelihood(point[:m], point[m : m + p], phi, gradient)

    exact = evaluate(at, True)
    exact = np.concatenate([exact.d_theta, exact.d_beta, [exact.d_log_dispersion]])
    numeric = np.array([
        (evaluate(at + h * e, False).loglik - evaluate(at - h * e, False).loglik) / (2 * h)
        for e in np.eye(at.size)
    ])  # fmt: skip
    return np.abs(exact - numeric).max() / (1 + np.abs(exact).max())


@pytest.mark.parametrize(("name", "link"), FAMILIES)
@pytest.mark.parametrize(("q", "nagq"), [(1, 1), (1, 5), (2, 1), (2, 3), (3, 3)])
def test_gradient_with_one_factor(name, link, q, nagq):
    fam, y, X, w, g, rng = sample(name, link)
    Z = np.column_stack([X, X[:, 1] * rng.normal(size=N)])[:, :q]
    term = RandomTerm.from_arrays(g, Z)
    likelihood = GroupedLikelihood(fam, y, X, [term], w, np.zeros(N), nagq)
    theta = 0.3 * rng.normal(size=q * (q + 1) // 2) + 0.3
    beta = np.array([1.5, 0.1]) if link == "inverse" else np.array([0.3, 0.2])
    assert gradient_error(likelihood, theta, beta) < 1e-5


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


def test_node_and_row_chunks_do_not_change_the_sum(monkeypatch):
    fam, y, X, w, g, _ = sample("poisson", "log")
    arguments = (fam, y, X, [RandomTerm.from_arrays(g, X)], w, np.zeros(N), 7)
    point = (np.array([0.5, 0.1, 0.3]), np.array([0.3, 0.2]))
    whole = GroupedLikelihood(*arguments)(*point)
    monkeypatch.setattr("mixedlab.engine.grouped_likelihood._CELLS", 20)
    pieces = GroupedLikelihood(*arguments)(*point)
    assert pieces.loglik == pytest.approx(whole.loglik, abs=1e-10)
    np.testing.assert_allclose(pieces.d_theta, whole.d_theta, rtol=1e-8)


def test_quadrature_memory_stays_bounded():
    import tracemalloc

    fam, J, m = family("binomial"), 500, 40
    rng = np.random.default_rng(1)
    g, x = np.repeat(np.arange(J), m), rng.normal(size=J * m)
    X = np.column_stack([np.ones(J * m), x])
    y = rng.integers(0, 2, J * m).astype(float)
    term = [RandomTerm.from_arrays(g, np.column_stack([X, x**2]))]
    likelihood = GroupedLikelihood(fam, y, X, term, 1.0, np.zeros(J * m), 7)
    tracemalloc.start()
    likelihood(np.array([0.5, 0, 0, 0.5, 0, 0.5]), np.zeros(2))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6  # 343 nodes x 20 000 rows at once would be 55 MB for one array alone


def test_rules_integrate_polynomials_and_sum_to_one():
    z, w = gauss_hermite(7)
    assert w.sum() == pytest.approx(1)
    assert w @ z**12 == pytest.approx(10395)
    nodes, weights = product_rule(5, 2)
    assert weights @ (nodes[0] ** 2 * nodes[1] ** 4) == pytest.approx(3)
    with pytest.raises(ValueError, match="at least 1"):
        gauss_hermite(0)
    assert mean_over_normal(np.cos, 0.3, 2.0) == pytest.approx(np.cos(0.3) * np.exp(-2), abs=1e-12)
