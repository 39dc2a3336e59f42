"""A fitted effect: the curve and interval that predict gives, the data behind."""

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.errors import MixedlabError


@pytest.fixture(scope="module")
def use():
    table = ml.load("contraception")
    return table, ml.glmm("use ~ age + urban + (1 | district)", table)


@pytest.mark.parametrize("kind", ["population", "marginal"])
def test_curves_and_intervals_are_those_of_predict(use, kind):
    table, fit = use
    ax = ml.pictures.effect(fit, table, "age", by="urban", kind=kind)
    curves = [line for line in ax.lines if line.get_label().startswith("urban = ")]
    assert [line.get_label() for line in curves] == ["urban = N", "urban = Y"]
    for line, band, urban in zip(curves, ax.collections[1::2], "NY", strict=True):
        at = pd.DataFrame({"age": line.get_xdata(), "urban": urban})
        made = fit.predict(at, kind=kind, interval="confidence")
        np.testing.assert_allclose(line.get_ydata(), made["prediction"])
        y = band.get_paths()[0].vertices[:, 1]
        assert y.min() == pytest.approx(made["lower"].min())
        assert y.max() == pytest.approx(made["upper"].max())


def test_population_and_marginal_are_two_curves(use):
    table, fit = use
    first, second = (
        ml.pictures.effect(fit, table, "age", kind=kind).lines[0].get_ydata()
        for kind in ("population", "marginal")
    )
    assert np.abs(first - second).max() > 0.003


def test_shares_of_outcomes_stand_behind(use):
    table, fit = use
    ax = ml.pictures.effect(fit, table, "age")
    assert ax.get_ylabel() == "share of use"
    shares = ax.collections[0].get_offsets()[:, 1]
    assert shares.mean() == pytest.approx(fit.y.mean(), abs=0.01)
    assert "at urban N" in ax.get_title(loc="left")


def test_a_factor_has_a_bar_for_each_level(use):
    table, fit = use
    ax = ml.pictures.effect(fit, table, "urban")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["N", "Y"]


def test_what_is_not_there_is_refused(use):
    table, fit = use
    with pytest.raises(MixedlabError, match=r"no column 'agee'.*'age'"):
        ml.pictures.effect(fit, table, "agee")
    with pytest.raises(MixedlabError, match="takes at most 6"):
        ml.pictures.effect(fit, table, "age", by="district")
