"""What all scenarios share: checks of the arguments, the result class, common random numbers."""

import subprocess
import sys

import numpy as np
import pytest

import mixedlab as ml
from mixedlab.errors import MixedlabError

SCENARIOS = sorted(ml.simulate.scenarios())

# sum of the last numeric column times cos(row), seed 20: the same on every platform
PINNED = {
    "batches": -1.6341466846783987,
    "cells": -8.716303602163467,
    "consumers": 9.490326627741725,
    "contamination": 195.2339425481934,
    "couples": 13.278964549002552,
    "devices": -0.008816436161711488,
    "diary": 0.2794184471186405,
    "dropout": 16.436834207120683,
    "fibre": 0.6711810067178217,
    "hospitals": -8.0905332688396,
    "relatives": 11.303463960117586,
    "scans": 5.88249655939183,
    "trials": -294.33685695819537,
    "villages": 4.087567949152414,
    "wards": 159.6981687303014,
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_same_arguments_same_data_and_another_seed_another_sample(name):
    make = getattr(ml.simulate, name)
    one, two, other = make(seed=4), make(seed=4), make(seed=5)
    assert one.parameters["seed"] == 4
    for column in [*one.columns, *one.matrices]:
        assert np.array_equal(one[column], two[column], equal_nan=one[column].dtype.kind == "f")
    assert any(not np.array_equal(one[c], other[c]) for c in one.columns)


@pytest.mark.parametrize("name", SCENARIOS)
def test_numbers_are_pinned(name):
    made = getattr(ml.simulate, name)(seed=20)
    last = [v for v in made.columns.values() if v.dtype.kind in "fi"][-1]
    assert np.sum(last * np.cos(np.arange(last.size))) == pytest.approx(PINNED[name], rel=1e-9)


@pytest.mark.parametrize("name", SCENARIOS)
def test_columns_are_finite_arrays_of_one_length_with_known_units(name):
    made = getattr(ml.simulate, name)()
    assert len({len(column) for column in made.columns.values()}) == 1
    for column, values in made.columns.items():
        if values.dtype.kind == "f":
            assert np.all(np.isfinite(values)), column
    assert set(made.units) <= set(made.columns)
    frame = made.to_frame()
    assert list(frame.columns) == list(made.columns)
    assert frame.attrs["units"] == made.units
    assert name in repr(made)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_parameter_has_a_unit_and_refuses_nonsense(name):
    make = getattr(ml.simulate, name)
    assert make.units
    for parameter in make.units:
        for bad in (np.nan, np.inf, "many", None):
            with pytest.raises(MixedlabError, match=parameter):
                make(**{parameter: bad})
    with pytest.raises(ValueError, match="whole number"):
        make(seed=-3)


def test_errors_name_the_parameter_its_range_and_its_unit():
    with pytest.raises(MixedlabError, match=r"cells: `icc` is 1.4; .* from 0 to 1"):
        ml.simulate.cells(icc=1.4)
    with pytest.raises(MixedlabError, match=r"`n_donors` is 2.5; .* whole number .*at least 2"):
        ml.simulate.cells(n_donors=2.5)
    with pytest.raises(MixedlabError, match="Did you mean 'n_cells'"):
        ml.simulate.cells(ncells=3)
    with pytest.raises(MixedlabError, match="one of 'continuous', 'binary', 'count'"):
        ml.simulate.hospitals(outcome="ordinal")
    with pytest.raises(MixedlabError, match="2 sizes"):
        ml.simulate.hospitals(n_hospitals=3, patients=[4, 5])
    with pytest.raises(MixedlabError, match=r"`patients\[1\]` is 0"):
        ml.simulate.hospitals(n_hospitals=2, patients=[4, 0])
    with pytest.raises(KeyError, match="severity"):
        ml.simulate.hospitals()["severty"]


@pytest.mark.parametrize(
    ("name", "small", "large", "keys"),
    [
        ("hospitals", {"n_hospitals": 4, "patients": 5}, {"n_hospitals": 9, "patients": 8},
         ("hospital", "severity")),
        ("cells", {"n_donors": 4, "n_cells": 3}, {"n_donors": 6, "n_cells": 7}, ("donor",)),
        ("diary", {"n_persons": 4, "n_prompts": 3}, {"n_persons": 9, "n_prompts": 5},
         ("person", "support")),
    ],
)  # fmt: skip
def test_rows_that_were_there_stay_when_groups_and_rows_are_added(name, small, large, keys):
    few, many = getattr(ml.simulate, name)(**small), getattr(ml.simulate, name)(**large)
    group = keys[0]
    numbers = [np.arange(len(s)) - np.searchsorted(s[group], s[group]) for s in (few, many)]
    kept = (many[group] <= few[group].max()) & (numbers[1] <= numbers[0].max())
    for column in few.columns:
        assert np.array_equal(few[column], many[column][kept]), column


def test_dragging_a_parameter_keeps_the_random_numbers():
    narrow, wide = ml.simulate.cells(icc=0.1), ml.simulate.cells(icc=0.4)
    assert narrow.truth["b"] / np.sqrt(0.1) == pytest.approx(wide.truth["b"] / np.sqrt(0.4))
    shifted = ml.simulate.cells(icc=0.1, mean=7.0)
    assert shifted["expression"] - narrow["expression"] == pytest.approx(2.0)
    straight = ml.simulate.fibre(rho=0.0)
    bent = ml.simulate.fibre(rho=0.9)
    assert np.array_equal(straight.truth["b"][:, 0], bent.truth["b"][:, 0])


def test_simulating_imports_neither_pandas_nor_scipy():
    code = (
        "import sys, mixedlab as ml\n"
        "for name in ('hospitals', 'cells', 'diary', 'fibre'): getattr(ml.simulate, name)()\n"
        "assert not {'pandas', 'scipy', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_parameter_may_take_its_least_and_its_greatest_value(name):
    make = getattr(ml.simulate, name)
    for parameter, (low, high) in make.ranges.items():
        for value in (low, high):
            if np.isfinite(value):
                made = make(**{parameter: value})
                for column in made.columns.values():
                    assert column.dtype.kind != "f" or np.all(np.isfinite(column)), parameter


def test_scenarios_are_listed_in_one_line_each():
    listed = ml.simulate.scenarios()
    assert len(listed) == 15
    assert all(line.endswith(".") and len(line) < 100 for line in listed.values())
    with pytest.raises(AttributeError, match="hospital_beds"):
        ml.simulate.hospital_beds  # noqa: B018
