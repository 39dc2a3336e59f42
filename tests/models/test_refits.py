"""Many refits at once are the refits one by one, and so are the questions that take them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import mixedlab as ml
from mixedlab.errors import DataError, MixedlabError
from mixedlab.inference.intervals import _all_parameters, bootstrap
from tests.models_cache import fit, table

M = 8
AT_ONCE = ["intercept", "slopes", "slopes ML", "singular"]


def binomial(nagq=1, **options):
    return ml.glmm(
        "incidence / size ~ period + (1 | herd)", table("cbpp"),
        family="binomial", weights="size", nagq=nagq, **options,
    )  # fmt: skip


def check(model, Y, tolerance):
    many = model.refit_many(Y)
    assert len(many) == Y.shape[1]
    assert not many.failures
    for k in range(len(many)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            one = many[k]
        assert many.converged[k] == one.converged
        assert many.criterion[k] == pytest.approx(one.criterion, rel=1e-8)
        np.testing.assert_allclose(many.fixef[k] / one.se, one.beta / one.se, atol=tolerance)
        np.testing.assert_allclose(many.theta[k], one.theta, atol=tolerance)
        for p in one.named_parameters:
            if abs(p.estimate) < 0.99 or p.kind != "cor":
                assert many.named[p.name][k] == pytest.approx(p.estimate, rel=1e-3, abs=1e-3)
    return many


@pytest.mark.parametrize("name", AT_ONCE)
def test_linear_refits_are_those_of_refit(name):
    model = fit(name)
    assert model.at_once
    many = check(model, model.simulate(M, seed=3).T, 1e-5)
    np.testing.assert_allclose(many.sigma, [many[k].sigma for k in range(M)], rtol=1e-6)
    assert [many[k].singular for k in range(M)] == many.singular.tolist()


@pytest.mark.parametrize("nagq", [1, 5])
def test_generalised_refits_are_those_of_refit(nagq):
    model = binomial(nagq)
    assert model.at_once
    many = check(model, model.simulate(M, seed=4).T, 2e-3)
    assert np.isnan(many.sigma).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: ml.lmm("diameter ~ 1 + (1 | plate) + (1 | sample)", table("penicillin")),
        lambda: ml.lmm(
            "Reaction ~ Days + (1 | Subject)", table("sleepstudy"), residual="ar1(Days)"
        ),
        lambda: binomial(prior_sd=3.0),
    ],
    ids=["crossed", "residual structure", "penalty"],
)
def test_other_models_are_refitted_one_by_one(make):
    model = make()
    assert not model.at_once
    many = model.refit_many(model.simulate(2, seed=5).T)
    assert many.converged.all()
    for k in range(2):
        one = many[k]
        assert many.criterion[k] == one.criterion
        np.testing.assert_array_equal(many.fixef[k], one.beta)
        assert {p.name: p.estimate for p in one.named_parameters} == pytest.approx(
            {name: values[k] for name, values in many.named.items()}, nan_ok=True
        )


def test_a_response_without_an_estimate_is_told_and_spoils_no_other():
    model = fit("slopes")
    Y = model.simulate(3, seed=6).T.copy()
    Y[:, 1] = model.X @ [1.0, 2.0]
    many = model.refit_many(Y)
    assert set(many.failures) == {1}
    assert "reproduce the response exactly" in many.failures[1]
    np.testing.assert_array_equal(many.converged, [True, False, True])
    assert np.isnan(many.fixef[1]).all()
    assert np.isfinite(many.fixef[[0, 2]]).all()
    assert "1 failed" in repr(many)
    with pytest.raises(MixedlabError, match="reproduce the response exactly"):
        many[1]
    with pytest.raises(IndexError, match="no number 3"):
        many[3]


def test_responses_that_do_not_fit_the_rows_are_refused():
    model = fit("intercept")
    with pytest.raises(DataError, match="one column for each response"):
        model.refit_many(np.zeros((4, 2)))
    Y = np.ones((model.n_obs, 2))
    Y[3, 1] = np.nan
    with pytest.raises(DataError, match="Column 1 of Y"):
        model.refit_many(Y)


@pytest.mark.parametrize("name", ["slopes", "crossed", "ar1", "weighted", "binomial"])
def test_many_draws_are_those_of_each_generator(name):
    if name == "weighted":
        df = table("sleepstudy").assign(w=lambda d: 1 + d["Days"] % 3)
        model = ml.lmm("Reaction ~ Days + (1 | Subject)", df, weights="w", offset="Days")
    else:
        model = fit(name)
    many = model.draw_many([np.random.default_rng(k) for k in range(3)])
    for k in range(3):
        np.testing.assert_allclose(many[:, k], model.draw(np.random.default_rng(k)), rtol=1e-12)


@pytest.mark.parametrize("name", ["slopes", "singular"])
def test_the_bootstrap_gives_the_numbers_of_refits_one_by_one(name):
    model = fit(name)
    together = bootstrap(model, 12, seed=2, progress=False).table
    alone = bootstrap(model, 12, seed=2, statistic=_all_parameters, progress=False).table
    assert list(together) == list(alone)
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)


def test_ratios_simulated_at_once_are_those_one_by_one():
    small = ml.lmm("Reaction ~ Days + (1 | Subject)", table("sleepstudy"))
    large = fit("slopes")
    found = ml.compare(small, large, bootstrap=30, seed=3)
    ratios = []
    from mixedlab.inference.replication import generator

    for k in range(30):
        y = small.draw(generator(3, k))
        ratios.append(small.refit(y).criterion - large.refit(y).criterion)
    expected = (np.sum(np.array(ratios) >= found.chisq) + 1) / 31
    assert found.p == pytest.approx(expected)
    assert max(ratios) < found.chisq  # so that one more would change it
