"""Degrees of freedom against lmerTest's and pbkrtest's figures and against exact t tests."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedlab as ml
from mixedlab.errors import MixedlabError
from mixedlab.inference.denominators import Derivatives
from tests import paths

REFERENCE = json.loads((paths.REFERENCE / "inference.json").read_text(encoding="utf-8"))
CASES = [k for k in REFERENCE if k.endswith(("satterthwaite", "kenward_roger"))]


@pytest.mark.parametrize("case", CASES)
def test_reference(case):
    data, method = case.split("_", 1)
    table = ml.load(data)
    if data == "orthodont":
        table["Sex"] = pd.Categorical(table["Sex"].astype(str), ["Female", "Male"])
    found = ml.lmm(REFERENCE[case]["formula"], table).tests(method.replace("_", "-"))
    expected = pd.DataFrame(REFERENCE[case]["table"]).T
    np.testing.assert_allclose(found["estimate"], expected["estimate"], rtol=1e-8)
    np.testing.assert_allclose(found["se"], expected["se"], rtol=1e-6)
    np.testing.assert_allclose(found["df"], expected["df"], rtol=1e-6)
    np.testing.assert_allclose(found["t"], expected["t"], rtol=1e-6)
    np.testing.assert_allclose(found["p"], expected["p"], rtol=1e-4)


def balanced(J=8, n=5, seed=0):
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(J), n)
    treated = g % 2
    x = np.tile(np.arange(n), J)
    y = 1 + 2.0 * rng.normal(size=J)[g] + rng.normal(size=J * n)
    return pd.DataFrame({"y": y, "g": g, "treated": treated, "x": x})


@pytest.mark.parametrize("method", ["satterthwaite", "kenward-roger"])
def test_balanced_designs_have_exact_t_tests(method):
    """Between groups: a two-sample test of the group means; within: J n - J - 1."""
    table = balanced()
    fit = ml.lmm("y ~ treated + x + (1 | g)", table)
    found = fit.tests(method)
    assert found.loc["treated", "df"] == pytest.approx(6, rel=1e-4)
    assert found.loc["x", "df"] == pytest.approx(8 * 5 - 8 - 1, rel=1e-4)
    means = table.groupby("g")[["y", "treated"]].mean()
    exact = stats.ttest_ind(means.y[means.treated == 1], means.y[means.treated == 0])
    assert found.loc["treated", "t"] == pytest.approx(exact.statistic, rel=1e-6)
    assert found.loc["treated", "p"] == pytest.approx(exact.pvalue, rel=1e-4)


@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x + (x | g)",
        "y ~ x + (x || g)",
        "y ~ x + (1 | g/x)",
        "y ~ x + (x | g) + (1 | h)",
        "y ~ x + (1 | g) + (x | h) + (0 + x | g)",
        "y ~ x + (1 | k/g/x) + (1 | h)",
    ],
)
def test_derivatives_by_blocks_are_those_of_v_written_out(formula, weights):
    table = balanced(J=9, n=4).iloc[:-2]
    table["x"] //= 2
    table["h"], table["k"] = np.arange(len(table)) * 7 % 5, table["g"] // 3
    table["y"] += np.random.default_rng(9).normal(size=5)[table["h"]]
    table["w"] = np.linspace(0.5, 2.0, len(table))
    fit = ml.lmm(formula, table, weights=weights)
    w = np.ones(fit.n_obs) if weights is None else fit.weights
    slopes = []
    V = fit.sigma**2 * np.diag(1 / w)
    for term, cov in zip(fit.terms, fit.covariances, strict=True):
        same = term.index[:, None] == term.index

        def of(matrix, term=term, same=same):
            return same * np.einsum("ik,kl,jl->ij", term.Z, matrix, term.Z)

        V += of(cov)
        for j in range(term.n_coefs):
            for i in range(j, term.n_coefs):
                E = np.zeros_like(cov)
                E[i, j] = E[j, i] = 1.0
                slopes.append(of(E))
    slopes.append(np.diag(1 / w))
    S, X = np.linalg.inv(V), fit.X
    found = Derivatives.of(fit)
    for a, Va in enumerate(slopes):
        np.testing.assert_allclose(found.P[a], -X.T @ S @ Va @ S @ X, atol=1e-8)
        for b, Vb in enumerate(slopes):
            np.testing.assert_allclose(found.Q[a, b], X.T @ S @ Va @ S @ Vb @ S @ X, atol=1e-8)
            assert found.traces[a, b] == pytest.approx(np.trace(S @ Va @ S @ Vb), rel=1e-8)


@pytest.mark.parametrize("formula", ["y ~ x + (1 | g) + (1 | h)", "y ~ x + (x || g)"])
def test_corrections_are_close_and_never_less_cautious_than_wald(formula):
    table = balanced(J=10, n=6, seed=2)
    table["h"] = np.tile(np.arange(6), 10) % 3
    table["x"] = np.random.default_rng(0).normal(size=60)
    fit = ml.lmm(formula, table)
    wald, s, kr = (fit.tests(m) for m in ("wald", "satterthwaite", "kenward-roger"))
    assert np.isinf(wald["df"]).all()
    assert (s["p"] >= wald["p"]).all()
    assert (kr["se"] >= wald["se"] * (1 - 1e-9)).all()
    np.testing.assert_allclose(s.loc["x", "df"], kr.loc["x", "df"], rtol=0.1)


@pytest.mark.parametrize("method", ["satterthwaite", "kenward-roger"])
def test_units_do_not_change_degrees_of_freedom(method):
    table = balanced(seed=4)
    plain = ml.lmm("y ~ treated + x + (x | g)", table).tests(method)
    scaled = table.assign(y=table.y * 1e6, x=table.x * 1e-6)
    found = ml.lmm("y ~ treated + x + (x | g)", scaled).tests(method)
    np.testing.assert_allclose(found["df"], plain["df"], rtol=1e-4)
    np.testing.assert_allclose(found["t"], plain["t"], rtol=1e-5)


def test_a_variance_of_zero_leaves_the_regression_s_degrees_of_freedom():
    fit = ml.lmm("Yield ~ 1 + (1 | Batch)", ml.load("dyestuff2"))
    assert fit.singular
    assert fit.tests("satterthwaite")["df"].iloc[0] == pytest.approx(29, rel=1e-4)


@pytest.mark.parametrize("n_donors", [4, 6, 8])
def test_kenward_roger_is_exact_at_the_poles_of_its_own_formula(n_donors):
    """The moments of F with 2 and with 4 degrees of freedom do not exist."""
    for seed in (1, 2, 4):
        cells = ml.simulate.cells(n_donors, n_cells=20, icc=0.5, seed=seed).to_frame()
        fit = ml.lmm("expression ~ treated + (1 | donor)", cells)
        assert not fit.singular
        df = fit.tests("kenward-roger").loc["treated", "df"]
        assert df == pytest.approx(n_donors - 2, rel=1e-3)


def test_refusals_in_words():
    fit = ml.lmm("Reaction ~ Days + (1 | Subject)", ml.load("sleepstudy"), reml=False)
    with pytest.raises(MixedlabError, match="reml=True"):
        fit.tests("kenward-roger")
    with pytest.raises(MixedlabError, match="'wald', 'satterthwaite'"):
        fit.tests("exact")
    glmm = ml.glmm("incidence / size ~ period + (1 | herd)", ml.load("cbpp"), weights="size")
    assert list(glmm.tests().columns) == ["estimate", "se", "df", "z", "p"]
    with pytest.raises(MixedlabError, match="linear mixed models"):
        glmm.tests("satterthwaite")


def test_a_summary_does_not_load_what_a_browser_is_slow_to_load():
    code = (
        "import sys, mixedlab as ml\n"
        "fit = ml.lmm('distance ~ age * Sex + (1 | Subject)', ml.load('orthodont'))\n"
        "fit.summary(), fit.tidy(), fit.confint(), fit.terms_table(), fit.report()\n"
        "print('scipy.stats' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
