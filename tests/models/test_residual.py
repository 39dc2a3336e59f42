"""Residual structures against published fits and dense matrices."""

import json

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.errors import DataError, FormulaError
from mixedlab.models.residual import AR1, AnyCovariance, Diagonal
from tests import paths
from tests.engine.dense_oracle import Dense

CASES = json.loads((paths.REFERENCE / "residual_structures.json").read_text())


def orthodont():
    data = ml.load("orthodont")
    data["Sex"] = pd.Categorical(data["Sex"].astype(str), categories=["Female", "Male"])
    return data


def dyads():
    data = ml.load("dyads")
    data["role"] = pd.Categorical(data["role"].astype(str), categories=["patient", "partner"])
    return data


APIM = "adherence ~ 0 + role + role:quality + role:partner_quality"


def test_autoregression_as_published():
    case = CASES["orthodont_ar1"]
    fit = ml.lmm("distance ~ age * Sex + (1 | Subject)", orthodont(), residual="ar1(age)")
    assert fit.loglik == pytest.approx(case["loglik"], abs=1e-6)
    np.testing.assert_allclose(fit.fixef, list(case["fixef"].values()), rtol=1e-6)
    assert fit.residual_parameters["phi"] == pytest.approx(case["phi"], abs=1e-5)
    assert fit.sigma == pytest.approx(case["sigma"], rel=1e-5)
    assert fit.varcorr["sdcor"][0] == pytest.approx(case["sd_intercept"], rel=1e-5)
    assert fit.n_params == 4 + 1 + 1 + 1


def test_variance_by_level_as_published():
    case = CASES["orthodont_heteroscedastic"]
    fit = ml.lmm("distance ~ age * Sex + (1 | Subject)", orthodont(), residual="diag(Sex)")
    assert fit.loglik == pytest.approx(case["loglik"], abs=1e-6)
    np.testing.assert_allclose(fit.fixef, list(case["fixef"].values()), rtol=1e-6)
    found = fit.residual_parameters
    assert found["sd[Female]"] == pytest.approx(case["sigma"], rel=1e-5)
    assert found["sd[Male]"] / found["sd[Female]"] == pytest.approx(case["ratio"]["Male"], rel=1e-5)
    assert fit.varcorr["sdcor"][0] == pytest.approx(case["sd_intercept"], rel=1e-5)


def test_couples_as_published():
    case = CASES["dyads_apim_distinguishable"]
    fit = ml.lmm(APIM, dyads(), reml=False, residual="us(role | couple)")
    assert fit.loglik == pytest.approx(case["loglik"], abs=1e-6)
    np.testing.assert_allclose(fit.fixef, list(case["coef"].values()), rtol=1e-5)
    # The published standard errors divide by n - p even after maximum likelihood.
    n, p = fit.n_obs, len(fit.beta)
    np.testing.assert_allclose(fit.se * np.sqrt(n / (n - p)), list(case["se"].values()), rtol=1e-4)
    found = fit.residual_parameters
    assert found["sd[patient]"] == pytest.approx(case["sigma_patient"], rel=1e-4)
    ratio = found["sd[partner]"] / found["sd[patient]"]
    assert ratio == pytest.approx(case["ratio"]["partner"], rel=1e-4)
    assert found["cor[patient, partner]"] == pytest.approx(case["rho"], rel=1e-4)


def test_couples_alike_as_published():
    case = CASES["dyads_apim_indistinguishable"]
    fit = ml.lmm("adherence ~ quality + partner_quality + (1 | couple)", dyads(), reml=False)
    assert fit.loglik == pytest.approx(case["loglik"], abs=1e-6)
    np.testing.assert_allclose(fit.fixef, list(case["coef"].values()), rtol=1e-5)


def structures():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(6), 4)
    time = np.tile([0.0, 2.0, 4.0, 8.0], 6)
    role = np.tile([2, 0, 1, 3], 6)
    keep = rng.permutation(24)[:20]
    labels = tuple(range(6))
    return [
        (AR1.of(time[keep], group[keep], labels), np.array([0.6])),
        (AR1.of(time[keep], group[keep], labels), np.array([-0.4])),
        (Diagonal.of(role[keep], tuple("abcd")), np.array([0.3, -0.5, 0.1])),
        (AnyCovariance.of(role[keep], tuple("abcd"), group[keep], labels), rng.normal(size=9) / 3),
    ]


@pytest.mark.parametrize("number", range(4))
def test_whitening_undoes_colouring_and_has_the_determinant(number):
    structure, phi = structures()[number]
    assert phi.size == structure.n_params
    eye = np.eye(20)
    colour = structure.colour(eye, phi)
    np.testing.assert_allclose(structure.whiten(colour, phi), eye, atol=1e-12)
    R = colour @ colour.T
    assert structure.logdet(phi) == pytest.approx(np.linalg.slogdet(R)[1])
    assert structure.logdet(np.zeros(phi.size)) == 0
    np.testing.assert_allclose(structure.whiten(eye, np.zeros(phi.size)), eye, atol=1e-15)


def test_autoregression_counts_missed_visits():
    structure = AR1.of(np.array([0.0, 1.0, 4.0, 0.0, 1.0]), np.array([0, 0, 0, 1, 1]), ("a", "b"))
    colour = structure.colour(np.eye(5), np.arctanh(np.array([0.5])))
    R = colour @ colour.T
    expected = np.eye(5)
    expected[0, 1] = expected[3, 4] = 0.5
    expected[1, 2], expected[0, 2] = 0.5**3, 0.5**4
    np.testing.assert_allclose(R, np.maximum(expected, expected.T), atol=1e-12)


@pytest.mark.parametrize("reml", [True, False])
def test_criterion_is_that_of_dense_matrices(reml):
    data = orthodont()
    weights = np.random.default_rng(1).uniform(0.5, 2.0, len(data))
    fit = ml.lmm(
        "distance ~ age + (age | Subject)", data, reml=reml, weights=weights, residual="ar1(age)"
    )
    colour = fit.residual.colour(np.eye(len(data)), fit.residual_phi) / np.sqrt(weights)[:, None]
    dense = Dense(fit.y, fit.X, fit.terms, fit.factors, reml=reml, R=colour @ colour.T)
    assert fit.criterion == pytest.approx(dense.criterion, rel=1e-10)
    np.testing.assert_allclose(fit.beta, dense.beta, rtol=1e-8)
    np.testing.assert_allclose(fit.b[0].ravel(), dense.b, atol=1e-6)


def test_structure_at_its_best_beats_none():
    plain = ml.lmm("distance ~ age * Sex + (1 | Subject)", orthodont())
    for residual in ("ar1(age)", "diag(Sex)", "ar1(age | Subject)"):
        fit = ml.lmm("distance ~ age * Sex + (1 | Subject)", orthodont(), residual=residual)
        assert fit.criterion < plain.criterion


def test_truth_is_found_again():
    fit = ml.lmm(APIM, dyads(), reml=False, residual="us(role | couple)")
    again = fit.refit(fit.simulate(1, seed=2)[0])
    assert again.residual_parameters["cor[patient, partner]"] == pytest.approx(0.41, abs=0.2)
    assert again.residual_parameters["sd[partner]"] == pytest.approx(1.356, rel=0.2)
    draws = fit.simulate(4000, seed=1)
    first, second = np.flatnonzero(fit.residual.group_of_row == 7)
    found = fit.residual_parameters
    sd = np.sort(draws[:, [first, second]].std(axis=0))
    np.testing.assert_allclose(sd, [found["sd[patient]"], found["sd[partner]"]], rtol=0.05)
    correlation = np.corrcoef(draws[:, first], draws[:, second])[0, 1]
    assert correlation == pytest.approx(found["cor[patient, partner]"], abs=0.06)


@pytest.mark.parametrize(
    ("residual", "error", "message"),
    [
        ("ar2(age)", FormulaError, "A residual structure is"),
        ("us(Sex)", FormulaError, "A residual structure is"),
        ("ar1(aeg)", DataError, "Did you mean 'age'"),
        ("ar1(Sex)", DataError, "must be a number"),
        ("ar1(const)", DataError, "two rows at time 1"),
        ("ar1(odd)", DataError, "regular grid"),
        ("us(Sex | Subject)", DataError, "two rows with role"),
        ("ar1(unique | age)", DataError, "nested in every grouping factor"),
        ("diag(holes)", DataError, "1 missing values"),
        ("diag(unique)", DataError, "Level 0 has one row"),
        ("us(unique | Subject)", DataError, "108 values, so 5778 pairs for 108 rows"),
        ("us(half | Subject)", DataError, "never both 0 and 4 in one group"),
        ("us(const | unique)", DataError, "is 1.0 in every row"),
        ("ar1(age | unique)", DataError, "no pair of rows"),
    ],
)
def test_bad_structures_are_refused_in_words(residual, error, message):
    data = orthodont().assign(const=1.0)
    data["unique"] = np.arange(len(data))
    data["half"] = np.arange(4)[data["age"].rank(method="dense").astype(int) - 1] + np.where(
        data["Sex"] == "Male", 4, 0
    )
    data["odd"] = data["age"] + np.where(data["age"] == 10, np.pi / 4, 0)
    data["holes"] = data["Sex"].astype(str).where(np.arange(len(data)) > 0)
    with pytest.raises(error, match=message):
        ml.lmm("distance ~ age + (1 | Subject)", data, residual=residual)


def test_autoregression_without_groups_is_refused():
    with pytest.raises(FormulaError, match="within which groups"):
        ml.lmm("distance ~ age", orthodont(), residual="ar1(age)")


def test_what_is_not_known_of_a_structure_is_refused():
    fit = ml.lmm("distance ~ age + (1 | Subject)", orthodont(), residual="ar1(age)")
    for ask in (fit.icc, fit.r2, fit.caic, lambda: fit.tests("satterthwaite")):
        with pytest.raises(DataError, match="residual structure"):
            ask()
    assert "Residual structure: phi" in str(fit)
    assert len(fit.predict()) == len(fit.y)
