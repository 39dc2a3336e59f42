import json

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from tests import paths

REFERENCE = paths.REFERENCE


@pytest.fixture(scope="module")
def reference():
    return json.loads((REFERENCE / "kinship.json").read_text())


@pytest.fixture(scope="module")
def mice():
    with np.load(REFERENCE / "data" / "mouse_gwas.npz") as table:
        return {name: table[name] for name in table.files}


@pytest.fixture(scope="module")
def K(mice):
    return ml.kinship(mice["genotype"])


def test_kinship_is_the_reference_matrix(K, reference):
    np.testing.assert_allclose(K[:3, :3], reference["K_corner"], atol=1e-9)
    assert (K.n_snps, K.n_monomorphic, K.n_missing) == (2029, 0, 0)


def test_standardised_kinship_has_mean_diagonal_one(mice):
    assert np.trace(ml.kinship(mice["genotype"], standardize=True)) == pytest.approx(500)


def test_kinship_counts_what_it_left_out():
    g = np.random.default_rng(1).integers(0, 3, (20, 15)).astype(float)
    g[:, 3] = 2
    g[4, 5] = np.nan
    K = ml.kinship(g)
    assert (K.n_snps, K.n_monomorphic, K.n_missing) == (14, 1, 1)
    with pytest.raises(ValueError, match="None of the 15 SNPs varies"):
        ml.kinship(np.ones((20, 15)))


def test_null_model_holds_the_reference(mice, K, reference):
    fit = ml.kinship_lmm(mice["phenotype"], None, K)
    null = reference["null"]
    assert fit.h2 == pytest.approx(null["pve"], rel=1e-4)
    assert fit.h2_se == pytest.approx(null["pve_se"], rel=1e-4)
    assert fit.variance_genetic == pytest.approx(null["vg"], rel=1e-4)
    assert fit.loglik == pytest.approx(null["reml_loglik"], abs=1e-3)


@pytest.mark.parametrize("reml", [True, False])
def test_groups_as_relatives_give_the_random_intercept_model(reml):
    data = ml.load("sleepstudy")
    case = f"sleepstudy-intercept-{'reml' if reml else 'ml'}"
    known = {c["id"]: c for c in json.loads((REFERENCE / "lmm.json").read_text())}[case]
    subject = data["Subject"].astype(str).to_numpy()
    same = (subject[:, None] == subject).astype(float)
    X = pd.DataFrame({"(Intercept)": 1.0, "Days": data["Days"].astype(float)})
    fit = ml.kinship_lmm(data["Reaction"], X, same, reml=reml)
    assert fit.criterion == pytest.approx(known["criterion"], rel=1e-9)
    np.testing.assert_allclose(fit.fixef, list(known["fixef"].values()), rtol=1e-7)
    np.testing.assert_allclose(fit.se, list(known["se"].values()), rtol=1e-5)
    assert fit.sigma == pytest.approx(known["sigma"], rel=1e-6)
    np.testing.assert_allclose(fit.fitted[:5], known["fitted5"], rtol=1e-6)
    np.testing.assert_allclose(fit.fitted + fit.resid, data["Reaction"], rtol=1e-12)
    blup = dict(
        zip(subject, zip(fit.breeding_values, fit.breeding_value_sd, strict=True), strict=True)
    )
    first = known["ranef"]["Subject"]
    for level, value, sd in zip(
        first["levels"], np.ravel(first["blup"]), np.ravel(first["condsd"]), strict=True
    ):
        assert blup[level][0] == pytest.approx(value, rel=1e-4)
        assert blup[level][1] == pytest.approx(sd, rel=1e-4)


def test_scale_of_K_and_y_and_order_of_individuals_do_not_matter(mice, K):
    y = mice["phenotype"]
    fit = ml.kinship_lmm(y, None, K)
    other = ml.kinship_lmm(1e6 * y + 3e6, None, 50 * K)
    assert other.h2 == pytest.approx(fit.h2, rel=1e-8)
    assert other.variance_genetic == pytest.approx(fit.variance_genetic * 1e12 / 50, rel=1e-7)
    order = np.random.default_rng(0).permutation(y.size)
    shuffled = ml.kinship_lmm(y[order], None, K[np.ix_(order, order)])
    assert shuffled.loglik == pytest.approx(fit.loglik, abs=1e-8)
    np.testing.assert_allclose(shuffled.breeding_values, fit.breeding_values[order], atol=1e-7)


def test_incomplete_individuals_are_left_out_and_counted(mice, K):
    y = mice["phenotype"].copy()
    y[[3, 77]] = np.nan
    kept = np.isfinite(y)
    fit = ml.kinship_lmm(y, None, K)
    direct = ml.kinship_lmm(y[kept], None, K[np.ix_(kept, kept)])
    assert fit.n_missing == 2
    assert fit.loglik == pytest.approx(direct.loglik, abs=1e-9)
    assert "2 left out" in str(fit)


def test_no_resemblance_gives_zero_heritability_and_says_so():
    rng = np.random.default_rng(3)
    family = np.repeat(np.arange(20), 5)
    K = (family[:, None] == family).astype(float)
    y = rng.normal(size=100)
    y -= np.bincount(family, y)[family] / 5  # families more alike in mean than chance
    fit = ml.kinship_lmm(y, None, K)
    assert fit.singular
    assert fit.h2 == 0.0
    assert np.isnan(fit.h2_se)
    assert not fit.breeding_values.any()
    assert "genetic variance is 0" in str(fit)


def test_heritability_is_found_again():
    rng = np.random.default_rng(11)
    genotype = rng.binomial(2, 0.4, (600, 300))
    K = ml.kinship(genotype)
    scale = np.sqrt(np.trace(K) / 600)
    estimates = []
    for _ in range(12):
        u = (genotype - genotype.mean(axis=0)) @ rng.normal(size=300) / np.sqrt(300) / scale
        fit = ml.kinship_lmm(u + rng.normal(size=600), None, K)
        estimates.append((fit.h2, fit.h2_se))
    h2, se = np.transpose(estimates)
    assert abs(h2.mean() - 0.5) < 4 * se.mean() / np.sqrt(12)
    assert 0.5 < h2.std() / se.mean() < 1.7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y, X, K: (np.ones(30), X, K), "y is constant"),
        (lambda y, X, K: (y, X, K[:9, :9]), r"K has shape \(9, 9\), but y has 30"),
        (lambda y, X, K: (y, np.column_stack([X, 2 * X[:, 1]]), K), "'x3' of X is a combination"),
        (lambda y, X, K: (y, X[:5], K), r"X has shape \(5, 2\)"),
        (lambda y, X, K: (["a"] * 30, X, K), "y must hold numbers"),
        (lambda y, X, K: (y[:, None], X, K), "one value an individual"),
        (lambda y, X, K: (y[:3], X[:3], K[:3, :3]), "too few"),
        (lambda y, X, K: (y, X, K - 2 * np.eye(30)), "K is no relationship matrix"),
    ],
)
def test_bad_input_is_named(change, message):
    rng = np.random.default_rng(0)
    y, X = rng.normal(size=30), np.column_stack([np.ones(30), rng.normal(size=30)])
    with pytest.raises(ValueError, match=message):
        ml.kinship_lmm(*change(y, X, np.eye(30)))


def test_summary_has_both_forms(mice, K):
    fit = ml.kinship_lmm(mice["phenotype"], None, K)
    assert "Heritability 0.5738 (standard error 0.0532)" in str(fit)
    assert "<table" in fit._repr_html_()
    assert fit.varcorr["group"].tolist() == ["K", "Residual"]
    assert fit.aic == pytest.approx(fit.criterion + 6)
    assert fit.vcov.loc["(Intercept)", "(Intercept)"] == pytest.approx(fit.se.iloc[0] ** 2)
