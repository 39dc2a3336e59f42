"""Intervals by the three roads: published figures, definitions, and hard cases."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mixedlab as ml
from mixedlab.errors import MixedlabError
from mixedlab.inference.explained import standardised_residuals
from mixedlab.inference.intervals import bootstrap
from mixedlab.inference.replication import ReplicationWarning
from tests import paths

REFERENCE = json.loads((paths.REFERENCE / "inference.json").read_text(encoding="utf-8"))
Z = stats.norm.ppf(0.975)


@pytest.fixture(scope="module")
def sleep():
    return ml.lmm("Reaction ~ Days + (Days | Subject)", ml.load("sleepstudy"), reml=False)


def test_names_and_order_of_rows(sleep):
    names = [
        "sd (Intercept) | Subject",
        "cor (Intercept), Days | Subject",
        "sd Days | Subject",
        "sigma",
        "(Intercept)",
        "Days",
    ]
    for method in ("wald", "profile"):
        assert list(sleep.confint(method=method).index) == names
    some = sleep.confint(method="profile", parameters=["Days", "sigma"])
    pd.testing.assert_frame_equal(some, sleep.confint(method="profile").loc[["Days", "sigma"]])


def test_wald_by_satterthwaite_is_wider(sleep):
    wald, wider = sleep.confint(), sleep.confint(df="satterthwaite")
    t = stats.t.ppf(0.975, sleep.tests("satterthwaite")["df"])
    half = (wider.upper - wider.lower).loc[["(Intercept)", "Days"]] / 2
    np.testing.assert_allclose(half, t * sleep.se)
    pd.testing.assert_frame_equal(wald.iloc[:4], wider.iloc[:4])


def test_wald_interval_of_sigma_without_groups_is_known():
    """Where groups explain nothing, log sigma has variance 1 / (2 nu)."""
    fit = ml.lmm("Yield ~ 1 + (1 | Batch)", ml.load("dyestuff2"))
    half = Z / np.sqrt(2 * 29)
    np.testing.assert_allclose(
        fit.confint().loc["sigma"], fit.sigma * np.exp([-half, half]), rtol=1e-4
    )


def test_bootstrap(sleep):
    found = bootstrap(sleep, 150, seed=3, progress=False)
    assert found.n_failed == 0
    table = found.table
    assert list(table.columns) == list(sleep.confint().index)
    error = table["Days"].std() / np.sqrt(150)
    assert abs(table["Days"].mean() - sleep.beta[1]) < 4 * error
    assert table["Days"].std() == pytest.approx(sleep.se["Days"], rel=0.2)
    ends = sleep.confint(method="bootstrap", n=150, seed=3)
    np.testing.assert_allclose(ends["lower"], table.quantile(0.025))
    kept = bootstrap(sleep, 3, 1, statistic=lambda fit: fit.criterion, progress=False)
    assert len(kept.values) == 3


def test_intervals_of_a_generalised_fit():
    fit = ml.glmm("incidence / size ~ period + (1 | herd)", ml.load("cbpp"), weights="size")
    wald = fit.confint()
    np.testing.assert_allclose(wald.loc[list(fit.names), "lower"], fit.fixef - Z * fit.se)
    profiled = fit.confint(method="profile", parameters=["sd (Intercept) | herd", "(Intercept)"])
    # lme4's documentation prints 0.3460 to 1.0999 for the sd.
    np.testing.assert_allclose(profiled.iloc[0], [0.3460, 1.0999], rtol=5e-3)
    assert profiled.loc["(Intercept)", "lower"] < wald.loc["(Intercept)", "lower"] + 0.1


def test_bad_requests(sleep):
    with pytest.raises(MixedlabError, match="Did you mean 'Days'"):
        sleep.confint(method="profile", parameters=["days"])
    with pytest.raises(MixedlabError, match="no parameter"):
        sleep.confint(parameters=["x"])
    with pytest.raises(MixedlabError, match="'wald', 'profile' or 'bootstrap'"):
        sleep.confint(method="exact")
    with pytest.raises(MixedlabError, match="between 0 and 1"):
        sleep.confint(level=95)


def test_bootstrap_keeps_quiet_about_simulated_responses_but_tells_of_failures(sleep):
    def warns(fit):
        warnings.warn("about a simulated response", stacklevel=2)
        return 1.0

    def fails_once(fit):
        if fit.criterion > sleep.criterion:
            raise ValueError("too large")
        return 1.0

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bootstrap(sleep, 3, 1, statistic=warns, progress=False)
    with pytest.warns(ReplicationWarning, match="ValueError: too large"):
        found = bootstrap(sleep, 12, 1, statistic=fails_once, progress=False)
    assert 0 < found.n_failed < 12


def test_residual_structures():
    fit = ml.lmm(
        "adherence ~ quality + partner_quality", ml.load("dyads"), residual="us(role | couple)"
    )
    assert not ml.diagnose(fit)
    assert list(fit.confint().index) == ["sigma", "(Intercept)", "quality", "partner_quality"]
    rows = fit.confint(method="bootstrap", n=4).index
    assert any(row.startswith("residual cor[") for row in rows)
    residual = standardised_residuals(fit)
    assert residual.std() == pytest.approx(1, abs=0.05)
    lag = ml.load("dyads").couple.astype("category").cat.codes.to_numpy()
    pairs = np.array([residual[lag == k] for k in np.unique(lag)])
    assert abs(np.corrcoef(pairs.T)[0, 1]) < 3 / np.sqrt(len(pairs))
