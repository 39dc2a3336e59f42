import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import mixedlab as ml
from mixedlab.labs.balanced_tests import TESTS, p_values, standard_errors, summarise, two_sided_p


@pytest.mark.parametrize("df", [1, 2, 3, 4, 5, 10, 39, 199, 200, 201, 298, 2998, 19998])
def test_tail_of_t_is_scipy_s(df):
    t = np.linspace(-9, 9, 73)
    p = two_sided_p(t, np.full(t.size, df))
    np.testing.assert_allclose(p, 2 * stats.t.sf(np.abs(t), df), rtol=1e-7, atol=1e-12)


def test_each_t_has_its_own_degrees_of_freedom():
    t, df = np.array([1.0, 1.0, 2.5]), np.array([4, 298, 4])
    np.testing.assert_allclose(two_sided_p(t, df), 2 * stats.t.sf(t, df), rtol=1e-9)


def one_study(design, seed, icc, n_cells=10):
    made = ml.simulate.cells(n_donors=6, n_cells=n_cells, icc=icc, seed=seed)
    table = made.to_frame()
    if design == "within":
        table["treated"] = table.groupby("donor").cumcount() % 2
    return table, summarise(made["expression"].reshape(1, 6, n_cells), design)


@pytest.mark.parametrize("design", ["between", "within"])
@pytest.mark.parametrize("icc", [0.0, 0.1, 0.6])
def test_the_closed_form_is_the_fitted_mixed_model(design, icc):
    at_the_boundary = 0
    for seed in range(1, 7):
        table, study = one_study(design, seed, icc)
        fit = ml.lmm("expression ~ treated + (1 | donor)", table)
        fitted = fit.tests(df="satterthwaite").loc["treated"]
        assert standard_errors(study)["mixed"][0] == pytest.approx(fitted["se"], rel=1e-5)
        assert p_values(study)["mixed"][0] == pytest.approx(fitted["p"], rel=1e-4)
        at_the_boundary += fit.singular
    if icc == 0.0:
        assert at_the_boundary > 0, "the case with no variance between donors was not met"


@pytest.mark.parametrize("design", ["between", "within"])
def test_the_other_two_are_ordinary_t_tests(design):
    for seed in range(1, 6):
        table, study = one_study(design, seed, 0.3)
        arms = [table["expression"][table["treated"] == arm] for arm in (1, 0)]
        assert p_values(study)["naive"][0] == pytest.approx(stats.ttest_ind(*arms).pvalue)
        means = table.groupby(["donor", "treated"])["expression"].mean().unstack()
        if design == "between":
            averaged = stats.ttest_ind(means[1].dropna(), means[0].dropna())
        else:
            averaged = stats.ttest_rel(means[1], means[0])
        assert p_values(study)["averaged"][0] == pytest.approx(averaged.pvalue)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000),
    shift=st.floats(-100, 100),
    scale=st.floats(0.01, 100),
    design=st.sampled_from(["between", "within"]),
)
def test_p_values_do_not_depend_on_unit_or_origin(seed, shift, scale, design):
    y = np.random.default_rng(seed).normal(size=(2, 4, 6))
    before, after = p_values(summarise(y, design)), p_values(summarise(shift + scale * y, design))
    for test in TESTS:
        np.testing.assert_allclose(before[test], after[test], rtol=1e-6, atol=1e-10)
