"""H-likelihood against published fits, against the dense regression and against REML."""

import json

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.errors import MixedlabError
from tests import paths
from tests.models.hglm.cases import BY_H, simulated

CASES = {case["id"]: case for case in json.loads((paths.REFERENCE / "hglm.json").read_text())}


def in_reference_order(fit, reference):
    """Reference values in the order of the fit's coefficients (interactions come last in both)."""
    values = np.array(list(reference.values()))
    assert len(values) == len(fit.names)
    return values


@pytest.mark.parametrize("name", BY_H)
def test_h_likelihood_reference(name):
    formula, table, options = BY_H[name]
    fit = ml.hglm(formula, table(), method="h-likelihood", **options)
    case = CASES[name]
    beta, se = (in_reference_order(fit, case[key]) for key in ("fixef", "se"))
    # The other program stops its alternation earlier: its dispersion is off by up to 2e-4.
    assert fit.converged
    assert np.abs((fit.beta - beta) / se).max() < 2e-4
    assert fit.se.to_numpy() == pytest.approx(se, rel=2e-4)
    assert fit.dispersion_random.iloc[0] == pytest.approx(case["dispersion_random"], rel=3e-4)
    if case["dispersion_mean"] is not None:
        assert fit.dispersion == pytest.approx(case["dispersion_mean"], rel=1e-4)
    effects = fit.ranef[fit.terms[0].group].to_numpy()[:6, 0]
    assert effects == pytest.approx(case["ranef_head"], rel=1e-4, abs=1e-4)


def test_normal_normal_is_the_linear_mixed_model():
    table = ml.load("sleepstudy")
    formula = "Reaction ~ Days + (Days || Subject)"
    exact, by_h = (ml.hglm(formula, table, method=m) for m in ("exact", "h-likelihood"))
    ml_fit, reml = (ml.lmm(formula, table, reml=r) for r in (False, True))
    assert exact.loglik == pytest.approx(ml_fit.loglik, abs=1e-8)
    assert exact.beta == pytest.approx(ml_fit.beta)
    assert by_h.beta == pytest.approx(reml.beta, rel=1e-6)
    assert by_h.sigma == pytest.approx(reml.sigma, rel=1e-5)
    assert by_h.se.to_numpy() == pytest.approx(reml.se.to_numpy(), rel=1e-5)
    assert by_h.varcorr["vcov"].to_numpy() == pytest.approx(
        reml.varcorr["vcov"].to_numpy(), rel=1e-4
    )
    assert by_h.ranef["Subject"].to_numpy() == pytest.approx(
        reml.ranef["Subject"].to_numpy(), abs=1e-3
    )


def test_random_dispersion_model():
    rng = np.random.default_rng(5)
    J, n = 300, 8
    g = np.repeat(np.arange(J), n)
    z = np.repeat([0.0, 1.0], J // 2)
    u = rng.gamma(1 / np.exp(-2 + 1.5 * z), np.exp(-2 + 1.5 * z))
    table = pd.DataFrame({"y": rng.poisson(8 * u[g]), "g": g, "z": z[g]})
    fit = ml.hglm(
        "y ~ 1 + (1 | g)", table, family="poisson", random_family="gamma", method="h-likelihood",
        random_dispersion="~ z",
    )  # fmt: skip
    coefs = fit.dispersion_coefs.loc["lambda g"]
    assert abs(coefs.loc["z", "estimate"] - 1.5) < 3.5 * coefs.loc["z", "se"]
    assert len(np.unique(np.round(fit.estimates.lam[0], 10))) == 2
    with pytest.raises(MixedlabError, match="h-likelihood only"):
        ml.hglm("y ~ 1 + (1 | g)", table, family="poisson", random_family="gamma",
                random_dispersion="~ z")  # fmt: skip


def test_quasi_dispersion_of_counts():
    formula, table, options = BY_H["epil-poisson-gamma"]
    fit = ml.hglm(formula, table(), method="h-likelihood", dispersion="~ 1", **options)
    assert fit.dispersion > 1.3
    plain = ml.hglm(formula, table(), method="h-likelihood", **options)
    assert fit.se["V4"] > plain.se["V4"]
    with pytest.raises(MixedlabError, match="quasi-family"):
        ml.hglm(formula, table(), dispersion="~ 1", **options)


def test_scaling_loses_nothing_for_normal_responses():
    table = simulated("gaussian", "gaussian", 0.5, J=30)
    plain = ml.hglm("y ~ x + (1 | g)", table, method="h-likelihood")
    scaled = ml.hglm(
        "y ~ x + (1 | g)", table.assign(y=table["y"] * 1e6, x=table["x"] * 1e-6),
        method="h-likelihood",
    )  # fmt: skip
    assert scaled.beta * [1e-6, 1e-12] == pytest.approx(plain.beta, rel=1e-8)
    assert scaled.se.to_numpy() * [1e-6, 1e-12] == pytest.approx(plain.se.to_numpy(), rel=1e-6)
