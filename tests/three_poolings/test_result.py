"""Three poolings as tables and in print."""

import pytest

import mixedlab as ml


@pytest.fixture(scope="module")
def sleep():
    return ml.load("sleepstudy")


@pytest.fixture(scope="module")
def three(sleep):
    return ml.pooling("Reaction ~ Days + (Days | Subject)", sleep)


def test_table_is_tidy(three):
    table = three.table
    assert list(table) == ["group", "n", "coefficient", "pooling", "estimate", "se", "note"]
    assert len(table) == 18 * 2 * 3
    row = table.query("group == '335' and coefficient == 'Days' and pooling == 'none'").iloc[0]
    assert row["estimate"] == three.none.coef.loc["335", "Days"]
    assert row["se"] == three.none.se.loc["335", "Days"]
    assert row["n"] == 10
    assert (table["note"] == "").all()
    wide = three.side_by_side("Days")
    assert list(wide) == ["n", "complete", "none", "partial", "note"]
    assert wide.loc["335", "partial"] == three.partial.coef.loc["335", "Days"]


def test_it_prints_and_has_html(three):
    for text in (str(three), repr(three), three._repr_html_()):
        assert "Three poolings of Reaction" in text
        assert "335" in text
    assert "none pooling, residual sd 25.59" in repr(three.none)


def test_a_family_without_a_residual_sd_prints_its_link():
    three = ml.pooling("y ~ lbase + (1 | subject)", ml.load("epil"), family="poisson")
    assert "Family poisson; coefficients on the log scale" in str(three)
    assert "residual sd" not in repr(three.none)
