"""Predictions: published figures, brute-force variances, coverage of new observations."""

import json

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.errors import DataError, MixedlabError
from mixedlab.models.linear import fit_linear
from tests import paths

REFERENCE = json.loads((paths.REFERENCE / "inference.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def sleep():
    return ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"))


def test_reference(sleep):
    case = REFERENCE["sleepstudy_predict"]
    new = pd.DataFrame(case["newdata"])
    np.testing.assert_allclose(
        sleep.predict(new, new_levels="population"), case["conditional_new_levels_zero"], rtol=1e-7
    )
    for kind in ("population", "marginal"):
        np.testing.assert_allclose(sleep.predict(new, kind=kind), case["population"], rtol=1e-9)


def test_rows_fitted(sleep):
    np.testing.assert_allclose(sleep.predict(), sleep.fitted)
    np.testing.assert_allclose(sleep.predict(kind="population"), sleep.X @ sleep.beta)
    np.testing.assert_allclose(sleep.predict(ml.load("sleepstudy")), sleep.fitted)


def test_new_levels_raise_unless_asked_for(sleep):
    new = pd.DataFrame({"Days": [1, 2], "Subject": ["308", "999"]})
    with pytest.raises(DataError, match=r"'Subject' .* rows 1"):
        sleep.predict(new)
    assert sleep.predict(new.drop(columns="Subject"), kind="population").shape == (2,)


def test_population_interval_is_the_coefficients(sleep):
    new = pd.DataFrame({"Days": [0.0, 4.0]})
    out = sleep.predict(new, kind="population", interval="confidence")
    X = np.column_stack([np.ones(2), new.Days])
    np.testing.assert_allclose(out["se"], np.sqrt(np.diag(X @ sleep.vcov_beta @ X.T)))
    np.testing.assert_allclose(out["upper"] - out["prediction"], 1.959964 * out["se"], rtol=1e-6)


@pytest.mark.parametrize(
    "formula", ["y ~ x + (x | g)", "y ~ x + (x || g)", "y ~ x + (1 | g) + (1 | h)"]
)
def test_conditional_variance_is_that_of_the_prediction_error(formula):
    """The best linear predictor's error variance, from V and the covariances written out."""
    rng = np.random.default_rng(3)
    n = 40
    table = pd.DataFrame(
        {"x": rng.normal(size=n), "g": np.arange(n) % 6, "h": rng.integers(0, 4, n)}
    )
    table["y"] = table.x + rng.normal(size=6)[table.g] + rng.normal(size=n)
    fit = ml.lmm(formula, table)
    new = pd.DataFrame({"x": [0.3, -2.0, 1.0], "g": [0, 5, 99], "h": [1, 2, 3]})
    rows = fit.design.rebuild(new)

    def between(terms_a, terms_b):
        out = 0.0
        for a, b, cov in zip(terms_a, terms_b, fit.covariances, strict=True):
            same = (a.index[:, None] == b.index) & (a.index[:, None] >= 0)
            out = out + same * np.einsum("ik,kl,jl->ij", a.Z, cov, b.Z)
        return out

    V = between(fit.terms, fit.terms) + fit.sigma**2 * np.eye(n)
    c = between(rows.terms, fit.terms)
    own = sum(
        np.einsum("ik,kl,il->i", t.Z, cov, t.Z)
        for t, cov in zip(rows.terms, fit.covariances, strict=True)
    )
    VX = np.linalg.solve(V, fit.X)
    moved = rows.X - c @ VX
    expected = (
        own
        - np.einsum("ij,ij->i", c @ np.linalg.inv(V), c)
        + np.einsum("ip,pq,iq->i", moved, np.linalg.inv(fit.X.T @ VX), moved)
    )
    found = fit.predict(new, interval="confidence", new_levels="population")
    np.testing.assert_allclose(found["se"] ** 2, expected, rtol=1e-7)
    wider = fit.predict(new, interval="prediction", new_levels="population")
    np.testing.assert_allclose(wider["se"] ** 2, expected + fit.sigma**2, rtol=1e-7)


def test_prediction_interval_for_a_new_group_adds_its_variance(sleep):
    new = pd.DataFrame({"Days": [0.0, 9.0], "Subject": ["new", "308"]})
    narrow, wide = (
        sleep.predict(new, kind="population", interval=i) for i in ("confidence", "prediction")
    )
    Z = np.column_stack([np.ones(2), new.Days])
    between = np.einsum("ik,kl,il->i", Z, sleep.covariances[0], Z)
    np.testing.assert_allclose(wide["se"] ** 2 - narrow["se"] ** 2, between + sleep.sigma**2)


def test_new_observations_fall_into_their_intervals():
    """Empirical coverage over many rows; the estimated variances cost little here."""
    rng = np.random.default_rng(11)
    J, n = 150, 12
    g = np.repeat(np.arange(J), n)
    b = rng.normal(size=(J, 2)) * [2.0, 0.7]
    x = rng.normal(size=J * n)
    table = pd.DataFrame({"x": x, "g": g, "y": x + b[g, 0] + b[g, 1] * x + rng.normal(size=J * n)})
    fit = ml.lmm("y ~ x + (x | g)", table)
    x_new = rng.normal(size=J * n)
    eta = x_new + b[g, 0] + b[g, 1] * x_new
    new = pd.DataFrame({"x": x_new, "g": g})
    out = fit.predict(new, interval="confidence")
    assert np.mean((out.lower < eta) & (eta < out.upper)) == pytest.approx(0.95, abs=0.025)
    y_new = eta + rng.normal(size=J * n)
    out = fit.predict(new, interval="prediction")
    assert np.mean((out.lower < y_new) & (y_new < out.upper)) == pytest.approx(0.95, abs=0.02)


def test_weights_of_the_rows_fitted_scale_the_residual():
    table = ml.load("sleepstudy")
    w = np.where(np.arange(len(table)) % 2, 4.0, 1.0)
    fit = ml.lmm("Reaction ~ Days + (1 | Subject)", table, weights=w)
    narrow, wide = fit.predict(interval="confidence"), fit.predict(interval="prediction")
    np.testing.assert_allclose(wide["se"] ** 2 - narrow["se"] ** 2, fit.sigma**2 / w)


def test_offset_is_carried():
    table = ml.load("sleepstudy").assign(o=lambda d: 10.0 * d.Days)
    fit = ml.lmm("Reaction ~ Days + (1 | Subject)", table, offset="o")
    np.testing.assert_allclose(fit.predict(table.iloc[:5]), fit.fitted[:5])


def test_bad_requests(sleep):
    with pytest.raises(MixedlabError, match="kind is one of"):
        sleep.predict(kind="average")
    with pytest.raises(MixedlabError, match="interval is one of"):
        sleep.predict(interval="both")
    with pytest.raises(MixedlabError, match="1 or more"):
        sleep.simulate(0)
    bare = fit_linear(sleep.y, sleep.X, sleep.terms)
    np.testing.assert_allclose(bare.predict(), sleep.fitted)
    with pytest.raises(MixedlabError, match="made from arrays"):
        bare.predict(pd.DataFrame({"Days": [1]}))


def test_simulated_responses_have_the_model_s_moments():
    table = ml.load("sleepstudy")
    w = np.linspace(0.5, 2.0, len(table))
    fit = ml.lmm("Reaction ~ Days + (Days | Subject)", table, weights=w)
    draws = fit.simulate(4000, seed=5)
    assert draws.shape == (4000, 180)
    V = fit.sigma**2 * np.diag(1 / w)
    term, cov = fit.terms[0], fit.covariances[0]
    V += (term.index[:, None] == term.index) * np.einsum("ik,kl,jl->ij", term.Z, cov, term.Z)
    error = np.sqrt(np.diag(V) / 4000)
    assert np.all(np.abs(draws.mean(axis=0) - fit.X @ fit.beta) < 5 * error)
    sd = np.sqrt(np.diag(V))
    found, true = np.cov(draws.T) / np.outer(sd, sd), V / np.outer(sd, sd)
    assert np.abs(found - true).max() < 5.5 * np.sqrt(2 / 4000)


def test_simulation_is_reproducible(sleep):
    np.testing.assert_array_equal(sleep.simulate(2, seed=1), sleep.simulate(2, seed=1))
    assert np.any(sleep.simulate(1, seed=1) != sleep.simulate(1, seed=2))


def test_simulated_responses_have_the_structure_of_the_residuals():
    table = ml.load("sleepstudy")
    fit = ml.lmm("Reaction ~ Days + (1 | Subject)", table, residual="ar1(Days)")
    draws = fit.simulate(3000, seed=2) - fit.X @ fit.beta
    found = np.cov(draws[:, :10].T)
    between = fit.covariances[0][0, 0]
    rho = fit.residual_parameters["phi"]
    lag = np.abs(np.subtract.outer(np.arange(10), np.arange(10)))
    expected = between + fit.sigma**2 * rho**lag
    assert np.abs(found / expected - 1).max() < 0.2


def test_level_of_an_interval(sleep):
    new = {"Days": [3.0]}
    narrow, wide = (
        sleep.predict(new, kind="population", interval="confidence", level=p) for p in (0.5, 0.99)
    )
    assert (wide["upper"] - wide["lower"])[0] > 3 * (narrow["upper"] - narrow["lower"])[0]


@pytest.mark.parametrize("interval", [None, "confidence", "prediction"])
@pytest.mark.parametrize("kind", ["conditional", "population", "marginal"])
@pytest.mark.parametrize("name", ["linear", "poisson"])
def test_new_rows_with_gaps_have_no_prediction(name, kind, interval):
    data = ml.load("sleepstudy").assign(slow=lambda d: (d.Reaction // 20).astype(int))
    fit = (
        ml.lmm("Reaction ~ Days + (1 | Subject)", data)
        if name == "linear"
        else ml.glmm("slow ~ Days + (1 | Subject)", data, family="poisson")
    )
    new = data.iloc[[3, 40, 77]].set_axis(["a", "b", "c"])
    new.loc["b", "Days"] = np.nan
    found = fit.predict(new, kind=kind, interval=interval)
    expected = fit.predict(new.loc[["a", "c"]], kind=kind, interval=interval)
    assert found.index.tolist() == ["a", "b", "c"]
    assert np.isnan(found.loc["b"]).all()
    np.testing.assert_allclose(found.loc[["a", "c"]], expected)
