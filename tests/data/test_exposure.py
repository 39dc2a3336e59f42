"""A raw exposure among counts is told, its log is not."""

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedlab as ml
from mixedlab.errors import DataWarning


def counts(seed, low, high):
    rng = np.random.default_rng(seed)
    site, t = np.repeat(np.arange(20), 9), rng.normal(size=180)
    hours = rng.uniform(low, high, 180)
    y = rng.poisson(hours * np.exp(0.5 + 0.2 * t + rng.normal(0, 0.4, 20)[site]))
    return pd.DataFrame({"site": site, "t": t, "hours": hours, "y": y, "log": np.log(hours)})


def said(formula, df, **how):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        ml.glmm(formula, df, family="poisson", **how)
    return [str(w.message) for w in told if w.category is DataWarning]


@pytest.mark.parametrize("ends", [(0.2, 3.5), (1.5, 6.0), (12.0, 72.0)])
def test_a_raw_exposure_is_told_however_small_it_is(ends):
    df = counts(1, *ends)
    (by_name,) = said("y ~ t + (1 | site)", df, offset="hours")
    assert "'hours' goes from" in by_name
    assert "offset(log(hours))" in by_name
    assert said("y ~ t + offset(hours) + (1 | site)", df) == [by_name]
    (array,) = said("y ~ t + (1 | site)", df, offset=df["hours"].to_numpy())
    assert array.startswith("The offset goes from")


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("ends", [(1.0, 60.0), (0.2, 3.5), (1.2, 3.0)])
def test_a_logged_exposure_is_no_fault(ends, seed):
    df = counts(seed, *ends)
    assert said("y ~ t + (1 | site)", df, offset="log") == []
    assert said("y ~ t + offset(log(hours)) + (1 | site)", df) == []
