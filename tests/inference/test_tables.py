"""Tables that all results share."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mixedlab.engine.terms import RandomTerm
from mixedlab.errors import MixedlabError
from mixedlab.inference import tables


def test_normal_quantile():
    assert tables.normal_quantile(0.95) == pytest.approx(1.959963984540054)
    for level in (0.0, 1.0, 95):
        with pytest.raises(MixedlabError, match="between 0 and 1"):
            tables.normal_quantile(level)


def test_t_and_its_tails_with_any_degrees_of_freedom():
    df = np.array([1.0, 2.5, 17.0, 1e6, np.inf])
    np.testing.assert_allclose(tables.t_quantile(0.9, df), stats.t.ppf(0.95, df), rtol=1e-10)
    t = np.array([-0.3, 2.0, 36.8, 4.0, -5.0])
    np.testing.assert_allclose(tables.two_sided_p(t, df), 2 * stats.t.sf(abs(t), df), rtol=1e-9)
    assert np.isnan(tables.two_sided_p(np.array([np.nan]), np.array([3.0]))).all()


def test_results_stand_on_the_index_of_the_rows():
    index = pd.Index(["p", "q"])
    series = tables.on_rows(np.array([1.0, 2.0]), index, "fitted")
    assert series.name == "fitted"
    assert series["q"] == 2.0
    table = tables.on_rows({"prediction": np.arange(2), "se": np.ones(2)}, index)
    assert list(table.columns) == ["prediction", "se"]
    assert tables.on_rows(np.ones(3), None, "fitted").index.equals(pd.RangeIndex(3))


def test_intervals_and_matrices_by_name():
    ends = tables.ends_by_name({"sigma": (1.0, 2.0), "x": (np.nan, np.nan)})
    assert list(ends.columns) == ["lower", "upper"]
    assert ends.loc["sigma", "upper"] == 2.0
    square = tables.names_by_names(("a", "b"), np.array([[1.0, 2.0], [2.0, 5.0]]))
    assert square.loc["a", "b"] == 2.0
    assert tables.by_name(("a", "b"), np.array([1.0, 2.0]), "se").to_dict() == {"a": 1.0, "b": 2.0}


def test_variances_come_before_their_covariances_and_the_residual_last():
    term = RandomTerm("g", np.zeros(2, int), ("a",), np.ones((2, 2)), ("(Intercept)", "x"))
    cov = np.array([[4.0, 3.0], [3.0, 9.0]])
    table = tables.variances_and_correlations([term], [cov], 0.5)
    assert table["vcov"].tolist() == [4.0, 9.0, 3.0, 0.25]
    assert table["sdcor"].tolist() == [2.0, 3.0, 0.5, 0.5]
    assert table["group"].tolist() == ["g", "g", "g", "Residual"]
    empty = tables.variances_and_correlations([], [], None)
    assert list(empty.columns) == list(table.columns)
    assert empty.empty


def test_a_label_that_is_a_tuple_stays_one_label():
    levels = (("north", 1), ("south", 2))
    term = RandomTerm("site", np.zeros(2, int), levels, np.ones((2, 1)), ("(Intercept)",))
    table = tables.effects_by_group([term], [np.array([[1.0], [2.0]])])["site"]
    assert table.index.nlevels == 1
    assert table.index.name == "site"
    assert list(table.index) == list(levels)
