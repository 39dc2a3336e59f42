import numpy as np
import pytest

import mixedlab as ml
from mixedlab.errors import MixedlabError
from tests import models_cache

COLUMNS = ["effect", "group", "term", "estimate", "se", "df", "statistic", "p", "lower", "upper"]


@pytest.mark.parametrize("name", models_cache.NAMES)
def test_a_row_for_each_parameter_with_the_numbers_of_the_other_tables(name):
    fit = models_cache.fit(name)
    table = fit.tidy()
    assert list(table.columns) == COLUMNS
    assert len(table) == len(fit.named_parameters)
    fixed = table[table["effect"] == "fixed"].set_index("term")
    tested = fit.tests()
    assert list(fixed.index) == list(tested.index)
    np.testing.assert_array_equal(fixed[["estimate", "se", "p"]], tested[["estimate", "se", "p"]])
    ends = fit.confint(df=tested.attrs["df"])
    np.testing.assert_array_equal(fixed[["lower", "upper"]], ends.loc[fixed.index])
    rest = table[table["effect"] != "fixed"]
    assert rest[["se", "df", "statistic", "p"]].isna().all(axis=None)
    for row in rest.itertuples():
        full = f"{row.term} | {row.group}" if row.effect == "random" else row.term
        (parameter,) = (p for p in fit.named_parameters if p.name == full)
        np.testing.assert_array_equal(row.estimate, parameter.estimate)
        if full in ends.index:
            np.testing.assert_array_equal([row.lower, row.upper], ends.loc[full])


def test_ratios_and_their_standard_errors():
    fit = models_cache.fit("binomial")
    plain, ratios = fit.tidy(level=0.9), fit.tidy(level=0.9, exponentiate=True)
    ends = ["estimate", "lower", "upper"]
    np.testing.assert_allclose(ratios.loc[:3, ends], np.exp(plain.loc[:3, ends]))
    np.testing.assert_allclose(ratios["se"][:4], plain["se"][:4] * ratios["estimate"][:4])
    np.testing.assert_array_equal(ratios["p"][:4], plain["p"][:4])
    assert ratios.loc[4, ends].equals(plain.loc[4, ends])
    with pytest.raises(MixedlabError, match="no ratio"):
        models_cache.fit("slopes").tidy(exponentiate=True)


def test_coefficients_of_other_kinds():
    averaged = ml.marginal_coefs(models_cache.fit("quadrature"))
    table = averaged.tidy()
    assert list(table.columns) == COLUMNS
    np.testing.assert_array_equal(table["estimate"], averaged.coef)
    np.testing.assert_allclose(table["statistic"], averaged.table["z"])


def test_p_values_stand_in_the_summary():
    fit = models_cache.fit("slopes")
    shown = fit.summary().tables["Fixed effects"]
    assert list(shown.columns) == ["estimate", "se", "df", "t", "p"]
    np.testing.assert_array_equal(shown["p"], fit.tests()["p"])
    shown = models_cache.fit("binomial").summary().tables["Fixed effects"]
    assert list(shown.columns) == ["estimate", "se", "z", "p"]


@pytest.mark.parametrize("name", ["binomial", "poisson-gamma", "gee"])
def test_a_summary_of_ratios(name):
    fit = models_cache.fit(name)
    tables = fit.summary(exponentiate=True).tables
    (shown,) = (table for table in tables.values() if table.columns[0].endswith("ratio"))
    np.testing.assert_allclose(shown.iloc[:, 0], np.exp(fit.coef))
    expected = fit.confint(parameters=fit.names, exponentiate=True)
    np.testing.assert_allclose(shown[["lower", "upper"]], expected)


def test_fits_of_single_chapters_are_tidy_too():
    averaged = ml.two_stage([0.2, 0.5, 0.1, 0.8], [0.1, 0.2, 0.15, 0.3], knapp_hartung=True)
    table = averaged.tidy()
    assert list(table.columns) == COLUMNS
    mean = table.iloc[0]
    assert (mean["estimate"], mean["df"]) == (averaged.estimate, 3)
    assert mean["p"] == pytest.approx(averaged.p)
    assert table.loc[1, "estimate"] == averaged.tau

    factor = ml.twolevel_factor(["y1", "y2", "y3"], ml.load("twolevel"), "cluster")
    table = factor.tidy()
    assert list(table.columns) == COLUMNS
    np.testing.assert_array_equal(table["estimate"], factor.estimates["estimate"])

    sim = ml.simulate.relatives(n_families=30, seed=1)
    related = ml.kinship_lmm(sim.columns["trait"], None, ml.kinship(sim.matrices["genotype"]))
    table = related.tidy()
    assert list(table.columns) == COLUMNS
    np.testing.assert_array_equal(table["estimate"], related.fixef)
