"""The profiled deviance against dense matrices, its derivatives against differences."""

import numpy as np
import pytest

from mixedlab.engine import entries
from mixedlab.engine.optimise import lower_factor
from mixedlab.engine.profiled import ProfiledDeviance
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError, PerfectFitError
from tests.engine.dense_oracle import Dense, indicator

N = 90


def problem(name, seed=0, weights=False):
    """Data and terms of one shape of grouping."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=N)
    X = np.column_stack([np.ones(N), x])
    a, b, c = (rng.integers(0, J, N) for J in (12, 6, 4))
    small = rng.integers(0, 18, N)
    large = small // 3
    part = np.arange(N) // 30

    def term(label, group, Z=None):
        return RandomTerm.from_arrays(label, Z, group=group)

    terms = {
        "one": [term(a, "a")],
        "slopes": [term(a, "a", X)],
        "uncorrelated": [term(a, "a"), term(a, "a", x)],
        "crossed": [term(a, "a"), term(b, "b")],
        "crossed slopes": [term(a, "a", X), term(b, "b", X), term(c, "c")],
        "nested": [term(small, "small"), term(large, "large")],
        "nested slopes": [term(small, "s", X), term(large, "l", X), term(large // 2, "h", x)],
        "nested and crossed": [term(small, "s", X), term(large, "l"), term(b, "b", X)],
        "two terms and crossed": [term(b, "b"), term(a, "a"), term(a, "a", x)],
        "disconnected": [
            term(part * 4 + rng.integers(0, 4, N), "u"),
            term(part * 3 + rng.integers(0, 3, N), "v", X),
        ],
    }[name]
    y = 3 + x + rng.normal(size=12)[a] + rng.normal(size=6)[b] + rng.normal(size=N)
    y += rng.normal(size=6)[large]
    w = rng.uniform(0.3, 3.0, N) if weights else None
    return y, X, terms, w


SHAPES = [
    "one",
    "slopes",
    "uncorrelated",
    "crossed",
    "crossed slopes",
    "nested",
    "nested slopes",
    "nested and crossed",
    "two terms and crossed",
    "disconnected",
]


@pytest.fixture(params=["pairs", "matrices"])
def products(request, monkeypatch):
    """Both ways to multiply the links of crossed factors."""
    if request.param == "matrices":
        monkeypatch.setattr(entries, "_MAX_PAIRS", 0)
        monkeypatch.setattr(entries, "_CHUNK", 40)
    else:
        monkeypatch.setattr(entries, "_FILLED", 2.0)
    return request.param


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_criterion_and_estimates_are_those_of_dense_matrices(shape, reml, weights, products):
    y, X, terms, w = problem(shape, weights=weights)
    deviance = ProfiledDeviance(y, X, terms, reml=reml, weights=w)
    theta = np.random.default_rng(1).normal(size=deviance.layout.n_theta)
    at = deviance(deviance.from_user(theta))
    dense = Dense(y, X, terms, deviance.layout.unpack(theta), reml=reml, weights=w)
    assert at.value == pytest.approx(dense.criterion, rel=1e-11)
    np.testing.assert_allclose(deviance.beta_of(at), dense.beta, rtol=1e-9)
    np.testing.assert_allclose(deviance.vcov_of(at), dense.vcov, rtol=1e-8, atol=1e-12)
    b = np.concatenate([e.ravel() for e in deviance.effects_of(at)])
    np.testing.assert_allclose(b, dense.b, rtol=1e-7, atol=1e-10)
    start = 0
    for term, C in zip(terms, deviance.effect_covariances_of(at), strict=True):
        for block in C:
            stop = start + term.n_coefs
            expected = dense.b_covariance[start:stop, start:stop]
            np.testing.assert_allclose(block, expected, rtol=1e-7, atol=1e-10)
            start = stop


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_is_the_limit_of_differences(shape, reml, products):
    y, X, terms, w = problem(shape, weights=True)
    deviance = ProfiledDeviance(y, X, terms, reml=reml, weights=w)
    theta = np.random.default_rng(2).normal(size=deviance.layout.n_theta)
    for sigma2 in (None, 1.7):
        step = 1e-5
        differences = [
            (deviance(theta + e, sigma2).value - deviance(theta - e, sigma2).value) / (2 * step)
            for e in step * np.eye(theta.size)
        ]
        gradient = deviance(theta, sigma2).gradient
        np.testing.assert_allclose(gradient, differences, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_slope_in_T_at_zero_variance_is_the_limit_of_differences(shape, products):
    y, X, terms, _ = problem(shape)
    deviance = ProfiledDeviance(y, X, terms, reml=True)
    theta = np.random.default_rng(3).normal(size=deviance.layout.n_theta)
    for f, factor in enumerate(deviance.layout.factors):
        zero = theta.copy()
        zero[factor.at] = 0.0
        at = deviance(zero)
        assert np.all(at.gradient[factor.at] == 0)
        first = factor.at[0]

        def with_variance(v, zero=zero, first=first):
            moved = zero.copy()
            moved[first] = np.sqrt(v)
            return deviance(moved).value

        h = 1e-5
        # A one-sided difference of second order.
        slope = (4 * with_variance(h) - with_variance(2 * h) - 3 * at.value) / (2 * h)
        assert at.score.slope[f][0, 0] == pytest.approx(slope, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_minimum_is_stationary_and_no_start_finds_a_lower_one(shape):
    for seed in range(4):
        y, X, terms, _ = problem(shape, seed=seed)
        deviance = ProfiledDeviance(y, X, terms, reml=bool(seed % 2))
        found = deviance.minimise()
        assert found.converged
        assert np.abs(found.at.gradient).max() < 1e-2
        for scale in (0.3, 3.0):
            other = deviance.minimise(scale * np.ones(deviance.layout.n_theta))
            assert found.at.value <= other.at.value + 1e-6


@pytest.mark.parametrize("shape", ["one", "slopes", "crossed", "nested slopes"])
def test_start_at_the_saddle_of_zero_variance_is_left(shape):
    y, X, terms, _ = problem(shape)
    deviance = ProfiledDeviance(y, X, terms, reml=True)
    best = deviance.minimise()
    for start in (0.0, 1e-9, 1e-4):
        found = deviance.minimise(start * np.ones(deviance.layout.n_theta))
        assert found.at.value == pytest.approx(best.at.value, abs=1e-6)


def test_few_evaluations_are_needed():
    counts = []
    for seed in range(30):
        y, X, terms, _ = problem("slopes", seed=seed)
        counts.append(ProfiledDeviance(y, X, terms, reml=True).minimise().n_evaluations)
    assert np.median(counts) <= 14
    assert max(counts) <= 40


def test_a_valley_that_bends_is_followed():
    """No variance in the first coefficient, some in the second: Lambda has one root too many."""
    rng = np.random.default_rng(35)
    g = rng.integers(0, 24, 120)
    x = rng.normal(size=120)
    X = np.column_stack([np.ones(120), x])
    y = rng.normal(size=120) + 0.5 * rng.normal(size=24)[g] * x
    deviance = ProfiledDeviance(y, X, [RandomTerm.from_arrays(g, X)], reml=True)
    found = deviance.minimise()
    assert found.converged
    assert found.n_evaluations < 40


def test_another_response_gives_what_a_new_problem_gives():
    for shape in SHAPES:
        y, X, terms, w = problem(shape, weights=True)
        other = np.random.default_rng(5).normal(size=N)
        shared = ProfiledDeviance(y, X, terms, reml=True, weights=w).with_response(other)
        fresh = ProfiledDeviance(other, X, terms, reml=True, weights=w)
        theta = np.full(shared.layout.n_theta, 0.7)
        assert shared(theta).value == pytest.approx(fresh(theta).value, rel=1e-12)
        np.testing.assert_allclose(shared.beta_of(shared(theta)), fresh.beta_of(fresh(theta)))


def test_user_theta_and_internal_theta_are_one_to_one():
    y, X, terms, _ = problem("crossed slopes")
    deviance = ProfiledDeviance(y, X, terms, reml=True)
    theta = np.abs(np.random.default_rng(4).normal(size=deviance.layout.n_theta))
    np.testing.assert_allclose(deviance.to_user(deviance.from_user(theta)), theta, rtol=1e-10)


def test_lower_factor_of_a_singular_covariance():
    half = np.array([[2.0, 0.0], [1.0, 0.0]])
    L = lower_factor(half)
    np.testing.assert_allclose(L @ L.T, half @ half.T)
    assert L[0, 1] == 0
    assert L[1, 1] == 0


def test_aliased_column_is_named():
    y, X, terms, _ = problem("one")
    with pytest.raises(DataError, match="'twice'"):
        ProfiledDeviance(
            y, np.column_stack([X, 2 * X[:, 1] + 1]), terms, reml=True, names=("1", "x", "twice")
        )


def test_response_that_the_model_reproduces_is_refused():
    _, X, terms, _ = problem("one")
    with pytest.raises(PerfectFitError, match="fixed effects alone"):
        ProfiledDeviance(X @ [1.0, 2.0], X, terms, reml=True)
    constant_in_group = X @ [1.0, 2.0] + np.arange(12.0)[terms[0].index]
    with pytest.raises(PerfectFitError, match="residual variance is zero"):
        ProfiledDeviance(constant_in_group, X, terms, reml=True)
    _, X, terms, _ = problem("crossed")
    exact = X @ [1.0, 2.0] + np.arange(12.0)[terms[0].index] ** 2 + np.sin(terms[1].index)
    with pytest.raises(PerfectFitError, match="residual variance is zero"):
        ProfiledDeviance(exact, X, terms, reml=True).minimise()


def spanning(seed):
    """20 rows, as many columns of X and Z or more, residuals of standard deviation 1.08."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=20)
    X = np.column_stack([np.ones(20), x])
    groups = np.arange(20) % (10 if seed % 2 else 7)
    terms = [RandomTerm.from_arrays(groups, X if seed % 2 else np.column_stack([X, x**2]))]
    if seed % 3 == 0:
        terms.append(RandomTerm.from_arrays(rng.integers(0, 5, 20), X, group="h"))
    y = X @ [1.0, 1.0] + 1.08 * rng.normal(size=20)
    for t in terms:
        y += np.einsum("ik,ik->i", t.Z, rng.normal(size=(t.n_levels, t.n_coefs))[t.index])
    return y, X, terms


@pytest.mark.parametrize("seed", range(8))
def test_columns_that_span_all_rows_leave_a_residual_variance(seed):
    """Where Z alone has rank n, V is regular in the limit: REML and ML have their maximum."""
    y, X, terms = spanning(seed)
    Z = np.hstack([indicator(t) for t in terms])
    assert np.linalg.matrix_rank(np.hstack([X, Z])) == 20
    deviance = ProfiledDeviance(y, X, terms, reml=True)
    found = deviance.minimise()
    theta = deviance.to_user(found.x)
    lambdas = deviance.layout.unpack(theta)
    dense = Dense(y, X, terms, lambdas, reml=True)
    # Where sigma is least at infinite variances, rounding hides the last step there.
    assert found.at.value == pytest.approx(dense.criterion, abs=1e-3)

    def criterion(at):
        return Dense(y, X, terms, deviance.layout.unpack(at), reml=True).criterion

    # No step in any direction is lower.
    rng = np.random.default_rng(1)
    for step in rng.normal(size=(200, theta.size)) * 10 ** rng.uniform(-4, 0, (200, 1)):
        assert criterion(theta + step) > found.at.value - 1e-3


def test_maximum_likelihood_is_unbounded_where_only_x_completes_the_span():
    """Rank n of X and Z together is enough for REML, but not for maximum likelihood."""
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(10), 2)
    X = np.column_stack([np.ones(20), rng.normal(size=(20, 11))])
    terms = [RandomTerm.from_arrays(groups)]
    y = rng.normal(size=20)
    assert np.linalg.matrix_rank(np.hstack([X, indicator(terms[0])])) == 20
    assert np.isfinite(ProfiledDeviance(y, X, terms, reml=True).minimise().at.value)
    with pytest.raises(PerfectFitError):
        ProfiledDeviance(y, X, terms, reml=False).minimise()
