import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import mixedlab as ml
from mixedlab.inference.james_stein import (
    arcsine_scale,
    james_stein,
    known_variance_mixed_model,
    predicted_error,
    rate_scale,
    total_squared_error,
)

SAMPLES = arrays(float, st.integers(4, 30), elements=st.floats(-50, 50, width=32))


@pytest.fixture(scope="module")
def baseball():
    players = ml.load("baseball1970")
    x = arcsine_scale(players["hits"] / 45, 45)
    season = players["remaining_hits"] / players["remaining_at_bats"]
    return players, x, season


def test_efron_and_morris_figures(baseball):
    """Their table has another Williams, who hit .256; with him 17.56 and 5.01 come back."""
    players, x, season = baseball
    truth = arcsine_scale(season.mask(players["player"] == "Williams", 0.256), 45)
    shrunk = james_stein(x)
    assert shrunk.keep == pytest.approx(0.209, abs=5e-4)
    assert total_squared_error(x, truth) == pytest.approx(17.56, abs=0.02)
    assert total_squared_error(shrunk.estimate, truth) == pytest.approx(5.01, abs=0.005)


def test_figures_that_chapter_3_tells_in_its_text(baseball):
    players, x, season = baseball
    shrunk = rate_scale(james_stein(x).estimate, 45)
    own = players["hits"] / 45
    assert np.sum(np.abs(shrunk - season) < np.abs(own - season)) == 15
    clemente = players["player"] == "Clemente"
    assert shrunk[clemente][0] == pytest.approx(0.290, abs=5e-4)
    points = 1000 * (np.abs(shrunk - season) - np.abs(own - season))[clemente]
    assert points.iloc[0] == pytest.approx(2, abs=0.5)
    theta = arcsine_scale(season, 45)
    assert np.var(x, ddof=1) == pytest.approx(1.12, abs=5e-3)
    assert np.sum((theta - theta.mean()) ** 2) == pytest.approx(6.5, abs=5e-3)
    away = x - x.mean()
    assert away @ (theta - x.mean()) / (away @ away) == pytest.approx(0.15, abs=5e-3)
    errors = [total_squared_error(e, theta) for e in (x, james_stein(x).estimate)]
    assert errors == pytest.approx([19.90, 6.27], abs=5e-3)
    assert players["remaining_at_bats"].mean() == pytest.approx(387, abs=1)


def test_on_the_table_shipped_pooling_in_part_beats_both_ends(baseball):
    _, x, season = baseball
    truth = arcsine_scale(season, 45)
    complete = total_squared_error(np.full(18, x.mean()), truth)
    for shrunk in (james_stein(x), known_variance_mixed_model(x)):
        assert total_squared_error(shrunk.estimate, truth) < complete
    assert complete < total_squared_error(x, truth) / 2


def test_mixed_model_share_minimises_the_predicted_error(baseball):
    _, x, _ = baseball
    keep = np.linspace(0, 1, 100_001)
    best = keep[np.argmin(predicted_error(x, keep))]
    assert known_variance_mixed_model(x).keep == pytest.approx(best, abs=1e-5)


def test_mixed_model_maximises_the_restricted_likelihood():
    x = np.array([-3.0, 0.5, 1.0, 4.0, 2.0])
    v, k = 2.0, x.size
    spread = np.sum((x - x.mean()) ** 2)
    variances = np.linspace(0, 20, 200_001)
    restricted = (k - 1) * np.log(variances + v) + spread / (variances + v)
    tau2 = variances[np.argmin(restricted)]
    assert known_variance_mixed_model(x, v).keep == pytest.approx(tau2 / (tau2 + v), abs=1e-4)


def test_mixed_model_is_the_two_stage_analysis_of_known_errors(baseball):
    _, x, _ = baseball
    two_stage = ml.two_stage(x, np.ones(18), method="REML")
    assert known_variance_mixed_model(x).keep == pytest.approx(
        two_stage.tau2 / (two_stage.tau2 + 1), abs=1e-6
    )


def test_predicted_error_is_unbiased():
    rng = np.random.default_rng(5)
    truth = np.array([0.0, 1.0, -1.0, 2.0, 0.5, 0.0])
    x = truth + rng.standard_normal((40_000, truth.size))
    center = x.mean(axis=1, keepdims=True)
    for keep in (0.0, 0.3, 1.0):
        actual = np.sum((center + keep * (x - center) - truth) ** 2, axis=1)
        spread = np.sum((x - center) ** 2, axis=1)
        k, d = truth.size, 1 - keep
        predicted = k - 2 * d * (k - 1) + d**2 * spread
        np.testing.assert_allclose(predicted_error(x[0], keep), predicted[0])
        gap = predicted - actual
        assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(gap.size)


@given(SAMPLES, st.floats(0.01, 10), st.floats(-100, 100), st.floats(0.1, 10))
def test_shift_and_scale_carry_through(x, variance, shift, scale):
    for rule in (james_stein, known_variance_mixed_model):
        plain, moved = rule(x, variance), rule(shift + scale * x, scale**2 * variance)
        assert 0 <= plain.keep < 1
        assert plain.pooling == 1 - plain.keep
        np.testing.assert_allclose(moved.estimate, shift + scale * plain.estimate, atol=1e-6)


@given(SAMPLES)
def test_james_stein_keeps_more_than_the_mixed_model(x):
    assert james_stein(x).keep >= known_variance_mixed_model(x).keep


def test_equal_estimates_are_left_where_they_are():
    assert james_stein(np.full(5, 2.0)).estimate.tolist() == [2.0] * 5


@given(st.floats(0, 1), st.integers(1, 1000))
def test_arcsine_scale_goes_and_comes_back(rate, trials):
    assert rate_scale(arcsine_scale(rate, trials), trials) == pytest.approx(rate, abs=1e-9)


def test_arcsine_scale_has_variance_one():
    hits = np.random.default_rng(1).binomial(45, 0.27, 20_000)
    assert arcsine_scale(hits / 45, 45).var() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: james_stein([1, 2, 3]), "3 estimates: this needs at least 4"),
        (lambda: known_variance_mixed_model([1]), "at least 2"),
        (lambda: james_stein([1, 2, np.nan, 4]), "1 of the 4 estimates are not finite"),
        (lambda: james_stein([1, 2, 3, 4], 0), "must be above 0"),
        (lambda: arcsine_scale([18, 17], 45), "divide the successes by the trials"),
    ],
)
def test_bad_input_in_words(call, message):
    with pytest.raises(ValueError, match=message):
        call()
