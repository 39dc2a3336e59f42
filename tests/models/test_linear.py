"""`ml.lmm` against published fits, closed forms, and what it must refuse."""

import json

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import DataError
from mixedlab.models.linear import fit_linear
from tests import paths

REFERENCE = paths.REFERENCE
CASES = json.loads((REFERENCE / "lmm.json").read_text())
CASES += [
    case
    for case in json.loads((REFERENCE / "radon.json").read_text())
    if case["engine"] == "lme4::lmer"
]


@pytest.fixture(scope="module")
def fit_of():
    """Each published case is fitted once."""
    fits = {}

    def fit(case):
        if case["id"] not in fits:
            data = ml.load(case["data"])
            for name, levels in case["levels"].items():
                order = [str(level) for level in levels]
                data[name] = pd.Categorical(data[name].astype(str), categories=order)
            fits[case["id"]] = ml.lmm(case["formula"], data, reml=case["reml"])
        return fits[case["id"]]

    return fit


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["id"])
def test_published_estimates(case, fit_of):
    fit = fit_of(case)
    assert fit.converged
    assert fit.n_obs == case["nobs"]
    assert fit.criterion == pytest.approx(case["criterion"], rel=1e-9)
    assert fit.criterion <= case["criterion"] + 1e-6
    for name in ("loglik", "aic", "bic"):
        assert getattr(fit, name) == pytest.approx(case[name], abs=1e-5)
    se = np.array(list(case["se"].values()))
    off = np.abs(fit.fixef.to_numpy() - list(case["fixef"].values()))
    assert np.all(off <= 1e-3 * se)
    np.testing.assert_allclose(fit.se, se, rtol=1e-3)
    assert fit.sigma == pytest.approx(case["sigma"], rel=1e-4)
    assert fit.theta == pytest.approx(np.atleast_1d(case["theta"]), abs=2e-3)
    assert fit.singular == case["singular"]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["id"])
def test_published_variances_and_effects(case, fit_of):
    fit = fit_of(case)
    expected = case["varcorr"]
    assert len(fit.varcorr) == len(expected)
    for row, e in zip(fit.varcorr.itertuples(), expected, strict=True):
        assert sorted(row.group.split(":")) == sorted(e["group"].removesuffix(".1").split(":"))
        assert (row.var2 is None) == (e["var2"] is None)
        assert row.sdcor == pytest.approx(e["sdcor"], rel=2e-3, abs=1e-3)
    for group, e in case["ranef"].items():
        mine = next(g for g in fit.ranef if sorted(g.split(":")) == sorted(group.split(":")))
        table, sds = fit.ranef[mine], fit.ranef_sd[mine]
        # A level of a nested factor is "A:a" here where the published fit has "a:A".
        turn = slice(None) if mine == group else slice(None, None, -1)
        levels = [":".join(str(level).split(":")[turn]) for level in e["levels"]]
        at = [[str(x) for x in table.index].index(level) for level in levels]
        typical = np.sqrt(np.mean(table.to_numpy() ** 2, axis=0)) + 1e-12
        off = np.abs(table.to_numpy()[at] - np.array(e["blup"]).reshape(len(at), -1))
        assert np.all(off <= 2e-3 * typical)
        if "condsd" in e:
            condsd = np.array(e["condsd"])
            condsd = condsd.T if condsd.shape[0] == 1 else condsd
            np.testing.assert_allclose(sds.to_numpy()[at], condsd, rtol=2e-3, atol=1e-9)
    first = slice(len(case["fitted5"]))
    np.testing.assert_allclose(fit.fitted[first], case["fitted5"], atol=2e-3 * fit.sigma)
    np.testing.assert_allclose(fit.resid[first], case["resid5"], atol=2e-3 * fit.sigma)


@pytest.mark.parametrize("reml", [True, False])
def test_balanced_one_way_layout_is_the_analysis_of_variance(reml):
    rng = np.random.default_rng(3)
    J, n = 12, 5
    g = np.repeat(np.arange(J), n)
    y = rng.normal(size=J)[g] * 2 + rng.normal(size=J * n)
    fit = fit_linear(y, np.ones((J * n, 1)), [RandomTerm.from_arrays(g)], reml=reml)
    means = y.reshape(J, n).mean(axis=1)
    within = np.sum((y - means[g]) ** 2) / (J * (n - 1))
    between = n * np.sum((means - means.mean()) ** 2) / (J - 1 if reml else J)
    assert fit.sigma**2 == pytest.approx(within, rel=1e-7)
    assert fit.covariances[0][0, 0] == pytest.approx((between - within) / n, rel=1e-6)
    assert fit.beta[0] == pytest.approx(y.mean())
    shrink = 1 - within / between
    np.testing.assert_allclose(fit.b[0][:, 0], shrink * (means - means.mean()), rtol=1e-5)


def test_balanced_crossed_layout_is_the_analysis_of_variance():
    rng = np.random.default_rng(4)
    a, b = (x.ravel() for x in np.meshgrid(np.arange(9), np.arange(7), indexing="ij"))
    y = 2 * rng.normal(size=9)[a] + 3 * rng.normal(size=7)[b] + rng.normal(size=63)
    terms = [RandomTerm.from_arrays(a, group="a"), RandomTerm.from_arrays(b, group="b")]
    fit = fit_linear(y, np.ones((63, 1)), terms)
    table = y.reshape(9, 7)
    rows, cols = table.mean(axis=1), table.mean(axis=0)
    rest = table - rows[:, None] - cols[None, :] + y.mean()
    within = np.sum(rest**2) / 48
    assert fit.sigma**2 == pytest.approx(within, rel=1e-6)
    ms_a, ms_b = 7 * np.var(rows, ddof=1), 9 * np.var(cols, ddof=1)
    assert fit.covariances[0][0, 0] == pytest.approx((ms_a - within) / 7, rel=1e-5)
    assert fit.covariances[1][0, 0] == pytest.approx((ms_b - within) / 9, rel=1e-5)


def test_terms_may_come_in_any_order():
    data = ml.load("penicillin")
    one = ml.lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", data)
    other = ml.lmm("diameter ~ 1 + (1 | sample) + (1 | plate)", data)
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-5)
    np.testing.assert_allclose(one.b[0], other.b[1], atol=1e-6)
    assert other.varcorr["group"].tolist() == ["plate", "sample", "Residual"]


def test_weights_are_repeated_measurements():
    """A mean of w rows with weight w has the likelihood of the mean, up to what is within."""
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(15), 6)
    w = rng.integers(1, 5, g.size).astype(float)
    x = rng.normal(size=g.size)
    y = 1 + x + rng.normal(size=15)[g] + rng.normal(size=g.size) / np.sqrt(w)
    X = np.column_stack([np.ones(g.size), x])
    weighted = fit_linear(y, X, [RandomTerm.from_arrays(g)], weights=w, reml=False)
    # Rows spread so that each mean is y and the spread within adds a known sum of squares.
    times = w.astype(int)
    rows = np.repeat(np.arange(g.size), times)
    spread = np.concatenate([np.arange(t) - (t - 1) / 2 for t in times])
    target = weighted.sigma**2 * (rows.size - g.size)
    spread *= np.sqrt(target / np.sum(spread**2))
    long = fit_linear(y[rows] + spread, X[rows], [RandomTerm.from_arrays(g[rows])], reml=False)
    np.testing.assert_allclose(long.beta, weighted.beta, rtol=1e-5)
    assert long.sigma == pytest.approx(weighted.sigma, rel=1e-5)
    np.testing.assert_allclose(long.theta, weighted.theta, rtol=1e-4)


def test_offset_is_taken_off():
    data = ml.load("sleepstudy")
    plain = ml.lmm("Reaction ~ Days + (Days | Subject)", data)
    moved = ml.lmm("Reaction ~ Days + (Days | Subject)", data, offset=3 * data["Days"])
    assert moved.criterion == pytest.approx(plain.criterion)
    assert moved.fixef["Days"] == pytest.approx(plain.fixef["Days"] - 3)
    np.testing.assert_allclose(moved.fitted, plain.fitted, rtol=1e-9)


def test_arrays_need_no_pandas_and_no_scipy():
    """A lab in the browser fits one factor with numpy alone."""
    import subprocess
    import sys

    code = (
        "import sys, numpy as np\n"
        "from mixedlab.models.linear import fit_linear\n"
        "from mixedlab.engine.terms import RandomTerm\n"
        "g = np.repeat(np.arange(6), 5); y = np.sin(np.arange(30.0)) + g\n"
        "fit = fit_linear(y, np.ones((30, 1)), [RandomTerm.from_arrays(g)])\n"
        "fit.fitted_values; fit.residuals; fit.b_covariances\n"
        "assert not {'pandas', 'scipy'} & set(sys.modules), sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


GROUPS = np.repeat(np.arange(5), 4)
Y = np.sin(np.arange(20.0))
ONES = np.ones((20, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": Y[:-1]}, "y has shape"),
        ({"y": np.append(Y[:-1], np.nan)}, "row 19"),
        ({"X": np.ones(20)}, "give a matrix"),
        ({"X": np.full((20, 1), np.inf)}, "'x1' of X"),
        ({"X": np.eye(20)}, "only 20 rows"),
        ({"X": np.ones((20, 2))}, "'x2' is a combination"),
        ({"names": ("a", "b")}, "2 names for the 1 columns"),
        ({"weights": np.zeros(20)}, "Weights must be positive"),
        ({"weights": np.ones(3)}, "weights has shape"),
        ({"terms": []}, "no random term"),
        ({"terms": [RandomTerm.from_arrays(np.zeros(20), group="g")]}, "'g' has one level"),
        ({"terms": [RandomTerm.from_arrays(np.arange(20), group="g")]}, "one row for each"),
        ({"terms": [RandomTerm.from_arrays(np.arange(4), group="g")]}, "has 4 rows"),
        ({"terms": [RandomTerm.from_arrays(GROUPS, np.full(20, np.nan))]}, "not finite"),
    ],
)
def test_bad_arrays_are_refused_in_words(change, message):
    given = {"y": Y, "X": ONES, "terms": [RandomTerm.from_arrays(GROUPS)], **change}
    y, X, terms = given.pop("y"), given.pop("X"), given.pop("terms")
    with pytest.raises(DataError, match=message):
        fit_linear(y, X, terms, **given)
