"""Maximum marginal likelihood against published fits and at the boundary."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import mixedlab as ml
from tests import paths
from tests.models.hglm.cases import BY_H, SEMI, seeds, simulated

CASES = {case["id"]: case for case in json.loads((paths.REFERENCE / "hglm.json").read_text())}
FAMILIES = {c["id"]: c for c in json.loads((paths.REFERENCE / "glmm_families.json").read_text())}


def in_reference_order(fit, reference):
    """Reference values in the order of the fit's coefficients (interactions come last in both)."""
    values = np.array(list(reference.values()))
    assert len(values) == len(fit.names)
    return values


def test_poisson_gamma_exact_reference():
    formula, table, options = BY_H["epil-poisson-gamma"]
    fit = ml.hglm(formula, table(), **options)
    case = CASES["epil-poisson-gamma-exact"]
    beta, se = (in_reference_order(fit, case[key]) for key in ("fixef", "se"))
    # Ours is higher by 4e-8: -665.903521889.
    assert -1e-6 < fit.loglik - case["loglik"] < 1e-6
    assert np.abs((fit.beta - beta) / se).max() < 1e-3
    assert fit.se.to_numpy() == pytest.approx(se, rel=1e-4)
    assert 1 / fit.dispersion_random["subject"] == pytest.approx(case["gamma_shape"], rel=1e-4)


def test_gamma_inverse_gamma_exact_reference():
    fit = ml.hglm(SEMI, ml.load("semiconductor"), family="gamma", random_family="inverse_gamma")
    case = CASES["semiconductor-gamma-inversegamma-exact"]
    assert fit.loglik == pytest.approx(case["loglik"], abs=1e-6)
    assert fit.beta == pytest.approx(list(case["fixef"].values()), abs=1e-6)
    assert fit.se.to_numpy() == pytest.approx(list(case["se"].values()), rel=1e-5)
    assert 1 / fit.dispersion == pytest.approx(case["gamma_shape_nu"], rel=1e-5)
    assert 1 / fit.dispersion_random["Device"] == pytest.approx(case["a"], rel=1e-4)


def test_beta_binomial_reference():
    fit = ml.hglm(
        "cbind(r, n - r) ~ seed * extract + (1 | plate)", seeds(),
        family="binomial", random_family="beta",
    )  # fmt: skip
    case = FAMILIES["seeds-betabinomial"]
    assert fit.is_beta_binomial
    assert fit.loglik == pytest.approx(case["loglik"], abs=1e-6)
    assert fit.beta == pytest.approx(list(case["fixef"].values()), abs=1e-3)
    assert 1 / fit.dispersion_random["plate"] == pytest.approx(case["dispersion"], rel=1e-2)


@pytest.mark.parametrize(
    ("kind", "effects", "lam"),
    [
        ("poisson", "gamma", 0.4), ("gamma", "inverse_gamma", 0.3), ("binomial", "beta", 0.3),
        ("gaussian", "gaussian", 0.5), ("binomial", "gaussian", 0.8), ("poisson", "gaussian", 0.4),
        ("gamma", "gaussian", 0.4), ("poisson", "inverse_gamma", 0.3),
    ],
)  # fmt: skip
def test_truth_is_recovered(kind, effects, lam):
    table = simulated(kind, effects, lam)
    left = "cbind(y, n)" if kind == "binomial" else "y"
    fit = ml.hglm(f"{left} ~ x + (1 | g)", table, family=kind, random_family=effects)
    assert np.abs((fit.beta - [0.3, 0.5]) / fit.se.to_numpy()).max() < 3.5
    error = fit.dispersion_coefs["se"].iloc[-1]
    assert abs(np.log(fit.dispersion_random["g"] / lam)) < 3.5 * error
    if kind in ("gamma", "gaussian"):
        assert fit.dispersion == pytest.approx(0.2, rel=0.15)
    at_truth = fit.both.loc["loglik", "apart"]
    assert at_truth < 1e-6  # nothing beats the maximum
    low, high = fit.confint().loc["x"]
    assert low < fit.beta[1] < high


def test_no_variance_between_groups_ends_on_the_boundary():
    rng = np.random.default_rng(3)
    table = pd.DataFrame(
        {"y": rng.poisson(3, 300), "g": np.repeat(np.arange(30), 10), "x": rng.normal(size=300)}
    )
    for method in ("exact", "quadrature", "h-likelihood"):
        fit = ml.hglm("y ~ x + (1 | g)", table, family="poisson", random_family="gamma",
                      method=method)  # fmt: skip
        assert fit.singular
        assert fit.converged
        assert fit.dispersion_random["g"] < 1e-8
        assert fit.loglik == pytest.approx(-573.0918578640, abs=1e-5)
        assert fit.predict(kind="marginal").to_numpy() == pytest.approx(fit.fitted_values, rel=1e-6)
        assert "Singular" in str(fit)


def test_toenail_is_the_generalised_mixed_models_quadrature():
    case = json.loads((paths.REFERENCE / "toenail.json").read_text())["agq50"]
    fit = ml.hglm("y ~ treatment * time + (1 | patient)", ml.load("toenail"), family="binomial")
    assert fit.beta == pytest.approx(list(case["fixef"].values()), abs=2e-3)
    assert np.sqrt(fit.dispersion_random["patient"]) == pytest.approx(case["sd_patient"], abs=5e-3)


# No shrinking: each example is a fit, and a smaller seed is no simpler.
@settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(seed=st.integers(0, 10_000), factor=st.sampled_from([1e-6, 1e-3, 1e4]))
def test_shuffling_relabelling_and_scaling(seed, factor):
    table = simulated("gamma", "inverse_gamma", 0.3, J=25, n=4, seed=8)
    options = {"family": "gamma", "random_family": "inverse_gamma"}
    plain = ml.hglm("y ~ x + (1 | g)", table, **options)
    rng = np.random.default_rng(seed)
    names = rng.permutation(25)
    moved = table.sample(frac=1, random_state=seed).assign(
        g=lambda t: names[t["g"]], y=lambda t: t["y"] * factor, x=lambda t: t["x"] / factor
    )
    for method in ("exact", "h-likelihood"):
        first = (
            plain
            if method == "exact"
            else ml.hglm("y ~ x + (1 | g)", table, method=method, **options)
        )
        fit = ml.hglm("y ~ x + (1 | g)", moved, method=method, **options)
        assert fit.beta * [1, 1 / factor] - [np.log(factor), 0] == pytest.approx(
            first.beta, rel=1e-5, abs=1e-6
        )
        assert fit.loglik == pytest.approx(first.loglik - 100 * np.log(factor), abs=1e-5)
        assert fit.dispersion_random["g"] == pytest.approx(first.dispersion_random["g"], rel=1e-4)
