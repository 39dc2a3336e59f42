"""Which groups are pooled: those of one factor, or the finest of nested ones."""

import numpy as np
import pytest

import mixedlab as ml


@pytest.fixture(scope="module")
def sleep():
    return ml.load("sleepstudy")


def test_errors_in_words(sleep):
    with pytest.raises(ValueError, match="groups by plate, sample"):
        ml.pooling("diameter ~ 1 + (1 | plate) + (1 | sample)", ml.load("penicillin"))
    with pytest.raises(ValueError, match="no random term"):
        ml.pooling("Reaction ~ Days", sleep)
    with pytest.raises(ValueError, match="There is no coefficient 'day'"):
        ml.pooling("Reaction ~ Days + (1 | Subject)", sleep).side_by_side("day")


def test_nested_factors_give_the_finest_groups():
    table = ml.load("pastes")
    three = ml.pooling("strength ~ 1 + (1 | batch/cask)", table)
    assert three.sizes.index.name == "batch:cask"
    assert len(three.sizes) == 30
    means = table.groupby(["batch", "cask"], observed=True)["strength"].mean().to_numpy()
    np.testing.assert_allclose(three.none.coef["(Intercept)"], means)
    fit = three.fit
    cask, batch = (next(t for t in fit.terms if t.group == g) for g in ("batch:cask", "batch"))
    b = {t.group: e[:, 0] for t, e in zip(fit.terms, fit.b, strict=True)}
    parent = [batch.index[cask.index == j][0] for j in range(30)]
    expected = fit.beta[0] + b["batch:cask"] + b["batch"][parent]
    np.testing.assert_allclose(three.partial.coef["(Intercept)"], expected)
    index = [cask.index.tolist().index(j) for j in range(30)]
    se = fit.predict(interval="confidence")["se"].to_numpy()[index]
    np.testing.assert_allclose(three.partial.se["(Intercept)"], se, rtol=1e-6)
