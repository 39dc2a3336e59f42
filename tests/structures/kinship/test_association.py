import json

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize_scalar

import mixedlab as ml
from mixedlab.data import genotypes
from mixedlab.structures.kinship.association import log10_chi2_1, log10_t_two_sided
from tests import paths

REFERENCE = paths.REFERENCE


@pytest.fixture(scope="module")
def mice():
    with np.load(REFERENCE / "data" / "mouse_gwas.npz") as table:
        return {name: table[name] for name in table.files}


@pytest.fixture(scope="module")
def K(mice):
    return ml.kinship(mice["genotype"])


@pytest.fixture(scope="module")
def scan(mice, K):
    return ml.gwas(mice["phenotype"], mice["genotype"], K, names=mice["snp"])


def test_every_figure_of_the_reference_scan(scan):
    known = json.loads((REFERENCE / "kinship.json").read_text())
    mine = scan.table.set_index("snp")
    snps = known["snps"]
    ours = {"l_remle": "ratio_reml", "l_mle": "ratio_ml"}
    for name in ("af", "beta", "se", "l_remle", "l_mle", "p_wald", "p_lrt", "p_score"):
        column = mine.loc[snps["rs"], ours.get(name, name)]
        np.testing.assert_allclose(column, snps[name], rtol=1e-4, err_msg=name)
    for name in ("beta", "se", "p_wald"):
        np.testing.assert_allclose(
            mine.loc[known["top"]["rs"], name], known["top"][name], rtol=1e-4
        )


def dense_fit(y, X, K, reml):
    """Generalised least squares with the best ratio, by Brent's method on the definition."""
    n, p = X.shape
    df = n - p if reml else n

    def pieces(t):
        Vi = np.linalg.inv(np.exp(t) * K + np.eye(n))
        XVX = X.T @ Vi @ X
        beta = np.linalg.solve(XVX, X.T @ Vi @ y)
        rss = (y - X @ beta) @ Vi @ (y - X @ beta)
        value = df * np.log(rss) - np.linalg.slogdet(Vi)[1]
        return value + (np.linalg.slogdet(XVX)[1] if reml else 0.0), beta, rss / df, XVX

    best = minimize_scalar(
        lambda t: pieces(t)[0], bounds=(-9, 9), method="bounded", options={"xatol": 1e-9}
    )
    value, beta, s2, XVX = pieces(best.x)
    return value, beta, np.sqrt(s2 * np.diag(np.linalg.inv(XVX))), np.exp(best.x)


def test_exact_scan_is_the_model_fitted_snp_by_snp():
    rng = np.random.default_rng(2)
    n = 80
    genotype = rng.binomial(2, 0.3, (n, 40)).astype(float)
    age = rng.normal(size=n)
    y = 0.5 * age + genotype[:, :20] @ rng.normal(size=20) / 2 + rng.normal(size=n)
    K = np.asarray(ml.kinship(genotype))
    scan = ml.gwas(y, genotype, K, covariates=age)
    null = np.column_stack([np.ones(n), age])
    null_ml = dense_fit(y, null, K, reml=False)[0]
    from scipy import stats

    for j in (0, 7, 33):
        X = np.column_stack([null, genotype[:, j]])
        _, beta, se, ratio = dense_fit(y, X, K, reml=True)
        assert scan.beta[j] == pytest.approx(beta[-1], rel=1e-6)
        assert scan.se[j] == pytest.approx(se[-1], rel=1e-6)
        assert scan.ratio_reml[j] == pytest.approx(ratio, rel=1e-5)
        p = 2 * stats.t.sf(abs(beta[-1] / se[-1]), n - 3)
        assert scan.p_wald[j] == pytest.approx(p, rel=1e-5)
        lrt = null_ml - dense_fit(y, X, K, reml=False)[0]
        assert scan.p_lrt[j] == pytest.approx(stats.chi2.sf(lrt, 1), rel=1e-6)


def test_without_relatedness_it_is_ordinary_regression(mice):
    import scipy.stats

    y, genotype = mice["phenotype"], mice["genotype"]
    scan = ml.gwas(y, genotype[:, :20])
    for j in (0, 11, 19):
        line = scipy.stats.linregress(genotype[:, j], y)
        assert scan.beta[j] == pytest.approx(line.slope, rel=1e-9)
        assert scan.se[j] == pytest.approx(line.stderr, rel=1e-9)
        assert scan.p_wald[j] == pytest.approx(line.pvalue, rel=1e-9)
    assert "ordinary regression" in str(scan)


def test_relatives_inflate_and_K_deflates(mice, scan):
    naive = ml.gwas(mice["phenotype"], mice["genotype"])
    assert naive.lambda_gc > 5
    assert 0.8 < scan.lambda_gc < 1.1


def test_the_ratio_of_the_null_model_gives_nearly_the_same(mice, K, scan):
    fast = ml.gwas(mice["phenotype"], mice["genotype"], K, ratio="null")
    np.testing.assert_allclose(fast.log10p_wald, scan.log10p_wald, atol=0.3)
    np.testing.assert_array_equal(fast.log10p_score, scan.log10p_score)
    assert np.ptp(fast.ratio_reml) == 0
    assert np.ptp(scan.ratio_reml) > 0.1


def test_p_values_beyond_the_smallest_double():
    rng = np.random.default_rng(8)
    g = rng.binomial(2, 0.5, (1500, 3))
    y = 4.0 * g[:, 0] + 0.5 * rng.normal(size=1500)
    for K in (None, np.eye(1500) + 0.1):
        scan = ml.gwas(y, g, K)
        assert -3000 < scan.log10p_wald[0] < -300
        assert np.isfinite(scan.log10p_lrt[0])
        assert scan.log10p_lrt[0] < -300
    moderate = ml.gwas(y + 6 * rng.normal(size=1500), g)
    assert moderate.p_wald[0] == pytest.approx(10 ** moderate.log10p_wald[0])


def test_size_of_the_blocks_changes_nothing(mice, K, monkeypatch):
    y, genotype = mice["phenotype"], mice["genotype"][:, :50]
    whole = ml.gwas(y, genotype, K)
    monkeypatch.setattr(genotypes, "BLOCK_BYTES", 8 * 500 * 7)
    pieces = ml.gwas(y, genotype, K)
    np.testing.assert_allclose(pieces.log10p_lrt, whole.log10p_lrt, rtol=1e-8)


def test_units_of_y_and_the_counted_allele_only_rescale(mice, K):
    y, genotype = mice["phenotype"], mice["genotype"][:, :30].astype(float)
    scan = ml.gwas(y, genotype, K)
    other = ml.gwas(1e6 * y, 2 - genotype, K)
    np.testing.assert_allclose(other.beta, -1e6 * scan.beta, rtol=1e-6)
    np.testing.assert_allclose(other.log10p_wald, scan.log10p_wald, rtol=1e-6)
    np.testing.assert_allclose(other.af, 1 - scan.af)


def test_what_cannot_be_tested_is_left_out_and_counted(mice, K):
    y = mice["phenotype"].copy()
    genotype = mice["genotype"][:, :10].astype(float)
    y[[0, 9]] = np.nan
    genotype[:, 4] = 1
    genotype[20:25, 6] = np.nan
    # The covariate is SNP 2 itself; a constant covariate doubles the intercept and is ignored.
    covariates = np.column_stack([np.ones(500), genotype[:, 1]])
    scan = ml.gwas(y, genotype, K, covariates)
    assert scan.column.tolist() == [0, 2, 3, 5, 6, 7, 8, 9]
    counts = (scan.n_missing, scan.n_monomorphic, scan.n_collinear, scan.n_missing_calls)
    assert counts == (2, 1, 1, 5)
    text = str(scan)
    for part in ("2 individuals", "1 SNPs that do not vary", "1 SNPs that the cov", "5 missing"):
        assert part in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda y, g: ((y, g[:10]), {}), "genotype has 10 rows, but y has 40"),
        (lambda y, g: ((y, np.ones_like(g)), {}), "No SNP can be tested"),
        (lambda y, g: ((y, g, None), {"ratio": "all"}), "'each' or 'null'"),
        (lambda y, g: ((y, g, np.eye(3)), {}), "K has shape"),
    ],
)
def test_bad_input_is_named(arguments, message):
    rng = np.random.default_rng(0)
    args, options = arguments(rng.normal(size=40), rng.binomial(2, 0.5, (40, 6)))
    with pytest.raises(ValueError, match=message):
        ml.gwas(*args, **options)


@pytest.mark.parametrize("df", [1.0, 3.0, 498.0, 1e5])
def test_ordinary_t_values_are_scipys(df):
    t = np.array([0.0, 0.1, 1.0, 2.5, 6.0, -6.0])
    expected = np.log10(2 * stats.t.sf(np.abs(t), df))
    np.testing.assert_allclose(log10_t_two_sided(t, df), expected, rtol=1e-11, atol=1e-14)


def test_two_degrees_of_freedom_have_a_closed_form_however_far_out():
    t = 10.0 ** np.array([0, 10, 100, 139, 141, 153])
    # P(|T| > t) = 1 - t / sqrt(t^2 + 2), written without cancellation.
    root = np.hypot(t, np.sqrt(2.0))
    expected = np.log10(2.0) - np.log10(root) - np.log10(root + t)
    np.testing.assert_allclose(log10_t_two_sided(t, 2.0), expected, rtol=1e-12)


def test_series_and_incomplete_beta_agree_on_both_sides_of_the_switch():
    # 4 degrees of freedom: P(|T| > t) = 1 - 3/2 s + 1/2 s^3 with s = t / sqrt(t^2 + 4),
    # which is (1 - s)^2 (2 + s) / 2, and 1 - s = 4 / (root (root + t)).
    t = 10.0 ** np.array([69.0, 69.9, 70.2, 75.0])
    root = np.hypot(t, 2.0)
    expected = 2 * (np.log10(4.0) - np.log10(root) - np.log10(root + t)) + np.log10(1.5)
    np.testing.assert_allclose(log10_t_two_sided(t, 4.0), expected, rtol=1e-12)


def test_p_of_1e_minus_300_with_many_degrees_of_freedom():
    t = np.linspace(40, 80, 400)
    log_p = log10_t_two_sided(t, 1398.0)
    assert log_p[0] > -250
    assert log_p[-1] < -300
    assert log10_t_two_sided(80.0, 1398.0) == log_p[-1]
    # No jump where the method changes: the second differences stay small and of one sign.
    bends = np.diff(log_p, 2)
    assert np.ptp(bends) < 1e-3 * np.abs(np.diff(log_p)).max()


def test_chi_squared():
    x = np.array([0.0, 0.5, 3.84, 40.0])
    np.testing.assert_allclose(10 ** log10_chi2_1(x), stats.chi2.sf(x, 1), rtol=1e-12)
    # Leading terms of the tail: p = sqrt(2 / (pi x)) exp(-x/2) (1 - 1/x + 3/x^2 - ...).
    x = 5000.0
    expected = (0.5 * np.log(2 / (np.pi * x)) - x / 2 + np.log1p(-1 / x + 3 / x**2)) / np.log(10)
    assert log10_chi2_1(x) == pytest.approx(expected, rel=1e-12)
