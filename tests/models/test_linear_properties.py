"""What must not matter to a linear mixed model, on random data."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedlab.engine.terms import RandomTerm
from mixedlab.models.linear import fit_linear

few = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 10_000)


def data(seed, slopes, crossed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(60, 120))
    g = np.concatenate([np.arange(8), np.arange(8), rng.integers(0, 8, n - 16)])
    h = np.concatenate([np.repeat(np.arange(4), 4), rng.integers(0, 4, n - 16)])
    x = rng.normal(size=n)
    sd = rng.choice([0.0, 0.5, 2.0], 3)
    y = 1 + x + sd[0] * rng.normal(size=8)[g] + rng.normal(size=n)
    y += sd[1] * rng.normal(size=8)[g] * x + sd[2] * rng.normal(size=4)[h]
    return y, np.column_stack([np.ones(n), x]), g, h, slopes, crossed


def fit(y, X, g, h, slopes, crossed, **kwargs):
    terms = [RandomTerm.from_arrays(g, X if slopes else None, group="g")]
    if crossed:
        terms.append(RandomTerm.from_arrays(h, group="h"))
    return fit_linear(y, X, terms, **kwargs)


@few
@given(seeds, st.booleans(), st.booleans(), st.booleans())
def test_order_of_rows(seed, slopes, crossed, reml):
    y, X, g, h, *shape = data(seed, slopes, crossed)
    order = np.random.default_rng(seed + 1).permutation(y.size)
    one = fit(y, X, g, h, *shape, reml=reml)
    other = fit(y[order], X[order], g[order], h[order], *shape, reml=reml)
    np.testing.assert_allclose(other.criterion, one.criterion, atol=1e-6)
    np.testing.assert_allclose(other.beta, one.beta, atol=1e-4)
    np.testing.assert_allclose(other.fitted, one.fitted[order], atol=1e-3)


@few
@given(seeds, st.booleans(), st.booleans())
def test_names_of_groups(seed, slopes, crossed):
    y, X, g, h, *shape = data(seed, slopes, crossed)
    names = np.random.default_rng(seed + 1).permutation(8)
    one = fit(y, X, g, h, *shape)
    other = fit(y, X, names[g], h, *shape)
    np.testing.assert_allclose(other.criterion, one.criterion, atol=1e-6)
    np.testing.assert_allclose(other.b[0][names], one.b[0], atol=1e-3)


@few
@given(
    seeds,
    st.booleans(),
    st.booleans(),
    st.floats(-4, 4),
    st.floats(-4, 4),
    st.floats(-50, 50),
)
def test_unit_and_origin_of_the_columns(seed, crossed, reml, log_y, log_x, origin):
    y, X, g, h, *shape = data(seed, True, crossed)
    y_unit, x_unit = 10**log_y, 10**log_x
    moved = np.column_stack([X[:, 0], (X[:, 1] - origin) * x_unit])
    one = fit(y, X, g, h, *shape, reml=reml)
    other = fit(y * y_unit + 3 * y_unit, moved, g, h, *shape, reml=reml)
    nu = y.size - 2 * reml
    change = 2 * nu * np.log(y_unit) + 2 * np.log(x_unit) * reml
    np.testing.assert_allclose(other.criterion - change, one.criterion, atol=1e-5)
    np.testing.assert_allclose(other.beta[1] * x_unit / y_unit, one.beta[1], atol=1e-4)
    np.testing.assert_allclose(other.fitted / y_unit - 3, one.fitted, atol=1e-3)


@few
@given(seeds, st.booleans(), st.booleans())
def test_a_multiple_of_x_added_to_y(seed, slopes, crossed):
    y, X, g, h, *shape = data(seed, slopes, crossed)
    one = fit(y, X, g, h, *shape)
    other = fit(y + X @ [5.0, -2.0], X, g, h, *shape)
    np.testing.assert_allclose(other.criterion, one.criterion, atol=1e-6)
    np.testing.assert_allclose(other.beta, one.beta + np.array([5.0, -2.0]), atol=1e-4)


@few
@given(seeds, st.booleans(), st.booleans())
def test_all_weights_alike(seed, slopes, crossed):
    y, X, g, h, *shape = data(seed, slopes, crossed)
    one = fit(y, X, g, h, *shape)
    other = fit(y, X, g, h, *shape, weights=np.full(y.size, 4.0))
    np.testing.assert_allclose(other.criterion, one.criterion, atol=1e-6)
    np.testing.assert_allclose(other.sigma, 2 * one.sigma, rtol=1e-3)
    np.testing.assert_allclose(other.fitted, one.fitted, atol=1e-3)


@few
@given(seeds, st.booleans(), st.booleans())
def test_random_terms_never_fit_worse_than_least_squares(seed, slopes, crossed):
    y, X, g, h, *shape = data(seed, slopes, crossed)
    found = fit(y, X, g, h, *shape, reml=False)
    r = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
    least_squares = y.size * (1 + np.log(2 * np.pi * np.mean(r**2)))
    assert found.criterion <= least_squares + 1e-8
