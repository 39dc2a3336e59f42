import hashlib
import json

import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.data.registry import registry
from tests import paths

REFERENCE = paths.REFERENCE
NAMES = sorted(registry())


@pytest.mark.parametrize("name", NAMES)
def test_table_is_the_registered_one(name):
    dataset = registry()[name]
    assert hashlib.sha256(dataset.csv()).hexdigest() == dataset.sha256
    frame = ml.load(name)
    assert len(frame) == dataset.rows
    assert list(frame.columns) == list(dataset.columns)


@pytest.mark.parametrize("name", NAMES)
def test_factors_have_string_levels_all_used_and_the_rest_is_numeric(name):
    frame = ml.load(name)
    for key, column in registry()[name].columns.items():
        values = frame[key]
        if column.is_factor:
            assert isinstance(values.dtype, pd.CategoricalDtype)
            assert not values.isna().any(), "a label is missing from the declared levels"
            assert set(values.unique()) == set(values.cat.categories)
            assert all(isinstance(level, str) for level in values.cat.categories)
        else:
            assert pd.api.types.is_numeric_dtype(values), key


@pytest.mark.parametrize("name", NAMES)
def test_entry_says_what_a_reader_needs(name):
    dataset = registry()[name]
    assert dataset.title
    assert len(dataset.source) > 20
    assert dataset.licence.endswith(".")
    for key, column in dataset.columns.items():
        assert column.about, key
        if not column.is_factor and not column.about.startswith(("1", "0")):
            zero_one = set(ml.load(name)[key].dropna().unique()) <= {0, 1}
            assert column.unit or zero_one, f"{key} has no unit"
    if dataset.fit is not None:
        assert dataset.fit.figures or dataset.fit.model in ml.__all__
        assert dataset.fit.where


FACTORS = [
    (case["data"], key, tuple(levels))
    for file in ("lmm", "glmm", "glmm_families", "gee")
    for case in json.loads((REFERENCE / f"{file}.json").read_text())
    for key, levels in dict(case.get("levels") or {}).items()
    if not registry()[case["data"]].columns[key].group
]


@pytest.mark.parametrize(("name", "key", "levels"), sorted(set(FACTORS)))
def test_levels_are_in_the_reference_order(name, key, levels):
    assert tuple(ml.load(name)[key].cat.categories) == levels


def test_grouping_levels_that_are_numbers_are_ordered_as_numbers():
    assert list(ml.load("cbpp")["herd"].cat.categories) == [str(i) for i in range(1, 16)]


def test_a_loaded_table_is_a_fresh_copy():
    frame = ml.load("rail")
    frame.loc[:, "travel"] = 0
    assert ml.load("rail")["travel"].min() > 0


def test_unknown_name_gives_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'sleepstudy'"):
        ml.load("sleep_study")
    with pytest.raises(ValueError, match=r"ml\.datasets\(\) lists them all"):
        ml.load("zzz")
    with pytest.raises(ValueError, match="There is no data set"):
        ml.load(["sleepstudy"])


def test_datasets_lists_and_describes():
    table = ml.datasets()
    assert list(table.index) == list(registry())
    assert table.loc["sleepstudy", "groups"] == "Subject"
    text = str(ml.datasets("sleepstudy"))
    for part in ("Belenky", "Reaction", "[ms]", "grouping factor", "25.592", "ml.lmm("):
        assert part in text


@pytest.mark.parametrize("name", [n for n in NAMES if (f := registry()[n].fit) and not f.figures])
def test_published_fit_is_reproduced(name):
    published = registry()[name].fit
    fit = getattr(ml, published.model)(published.formula, ml.load(name), **published.options)
    coefs = fit.coef if published.model == "gee" else fit.fixef
    for key, value in published.fixef.items():
        assert coefs[key] == pytest.approx(value, abs=_half_a_digit(value))
    if published.sd:
        sds = _standard_deviations(fit.varcorr)
        for key, value in published.sd.items():
            assert sds[key] == pytest.approx(value, abs=_half_a_digit(value))
    if published.criterion is not None:
        assert fit.criterion == pytest.approx(published.criterion, rel=1e-5)


def _half_a_digit(value):
    """Half a unit in the last digit given, and two digits where more are zero; some slack."""
    digits = len(f"{value!r}".partition(".")[2])
    return 0.6 * 10.0 ** -max(digits, 2)


def _standard_deviations(varcorr):
    """By grouping factor, and by factor and coefficient where a factor has several."""
    rows = varcorr[varcorr["var2"].isna()]
    return {
        key: sd
        for group, name, sd in zip(rows["group"], rows["var1"], rows["sdcor"], strict=True)
        for key in (group, f"{group} {name}")
    }
